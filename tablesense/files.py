"""Where files lie that are made once, and writing them whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/tablesense`, or `~/.cache/tablesense`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tablesense"


@contextmanager
def draft(path: Path, parents: bool = False) -> Iterator[Path]:
    """A file beside `path` that takes its place once it is whole, and is removed where that fails.

    Args:
        path: The file that is wanted.
        parents: Whether to make its folder.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader finds the old file or the new one, never a half."""
    with draft(path, parents=True) as part:
        part.write_text(json.dumps(content), encoding="utf-8")
