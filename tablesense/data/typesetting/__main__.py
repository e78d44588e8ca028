"""A worker: sets every n-th page of a job and prints what is on it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from tablesense.data.typesetting import set_page
from tablesense.data.typesetting.workers import Job, recorded


def main(draft: Path, job: Job, first: int, step: int) -> None:
    """Write pages `first`, `first + step`, … of a job to the draft, and a line of JSON for each to stdout.

    Pages that the draft's record has are left out.
    """
    done = {index for index, _ in recorded(draft)}
    for index in range(first, job.pages, step):
        if index in done:
            continue
        image, boxes, labels = set_page(f"{job.seed}/{index}", job.difficulty, job.without_tables)
        name = f"{index:06}.jpg"
        image.save(draft / "images" / name, quality=90)
        page = {
            "index": index,
            "file": name,
            "width": image.width,
            "height": image.height,
            "boxes": boxes,
            "labels": labels,
        }
        print(json.dumps(page), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends its workers
    try:
        main(Path(sys.argv[1]), Job(**json.loads(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))
    except OSError as error:  # most likely a full disk
        sys.exit(f"a page cannot be written to {sys.argv[1]}: {error.strerror or error}")
