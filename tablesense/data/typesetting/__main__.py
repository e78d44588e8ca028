"""A worker of `tablesense.data.synthetic`: sets every n-th page and prints what is on it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from tablesense.data.typesetting import typeset_page


def main(folder: Path, pages: int, seed: str, first: int, step: int) -> None:
    """Write pages `first`, `first + step`, … to the folder, and a line of JSON for each to stdout."""
    for index in range(first, pages, step):
        image, boxes = typeset_page(f"{seed}/{index}")
        name = f"{index:06}.jpg"
        image.save(folder / name, quality=90)
        page = {"index": index, "file": name, "width": image.width, "height": image.height, "boxes": boxes}
        print(json.dumps(page), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends its workers
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
