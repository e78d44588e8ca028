"""The folder that is written: claimed first, resumed when interrupted, never overwritten unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tablesense.data.folder import contents
from tablesense.errors import UserError

MARK = ".convert.json"
"""Says that a folder is a conversion's, of what, and whether it is finished."""
DRAFT = ".convert.part"
"""Holds what is not finished."""

Plan = dict[str, str | int]


def claim(folder: Path, source: Path, plan: Plan, places: Mapping[str, Sequence[str]], force: bool) -> bool:
    """Make a folder the destination of a conversion.

    Args:
        folder: May be missing, empty, or an earlier conversion.
        source: The data set that is converted.
        plan: What is converted, and how; a conversion goes on only where nothing of it changed.
        places: What a conversion to each layout writes into the folder.
        force: Remove an earlier conversion that is finished or has another plan: the places of its own
            layout, with all that is in them. What lies beside those is never removed.

    Returns:
        Whether an interrupted conversion goes on.

    Raises:
        UserError: The folder holds something else, or cannot be written; nothing was changed.
    """
    target, origin = folder.resolve(), source.resolve()
    if target == origin or origin in target.parents or target in origin.parents:
        raise UserError(f"{folder} and {source} lie in each other: name a folder outside the data set")
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file: expected a new folder")
        earlier = _earlier(folder)
        if earlier is None and folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder} holds {contents(folder)} that no conversion has written: expected a new or empty "
                "folder; --force replaces only an earlier conversion"
            )
        goes_on = earlier is not None and not earlier.pop("finished", False) and earlier == plan
        if earlier is not None and not goes_on:
            if not force:
                raise UserError(_refusal(folder, earlier, plan))
            written = places.get(str(earlier.get("to")), ())
            _refuse_others(folder, set(places[str(plan["to"])]) - set(written))
            for place in (*written, MARK):
                _remove(folder / place)
        _remove(folder / DRAFT)
        (folder / DRAFT).mkdir(parents=True)
        if not goes_on:
            _mark(folder, plan)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
    return goes_on


def finish(folder: Path, plan: Plan) -> None:
    """Move what was drafted to its places, and say that the folder is complete."""
    for draft in sorted((folder / DRAFT).iterdir()):
        place = folder / draft.name
        _remove(place)  # of a conversion that was interrupted between two of them
        draft.replace(place)
    (folder / DRAFT).rmdir()
    _mark(folder, {**plan, "finished": True})


def _earlier(folder: Path) -> dict[str, Any] | None:
    try:
        earlier = json.loads((folder / MARK).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:  # ended while it was written: nothing else was yet
        return {}
    return earlier if isinstance(earlier, dict) else {}


def _refusal(folder: Path, earlier: dict[str, Any], plan: Plan) -> str:
    changed = [key for key in plan if earlier.get(key) != plan[key]]
    if not changed:
        return f"{folder} holds this conversion, finished: --force writes it again"
    words = ", ".join(f"{key} {earlier.get(key)}" for key in changed if key != "pages")
    return (
        f"{folder} holds another conversion ({words or 'of other pages'}): name another folder, or "
        "replace it with --force"
    )


def _refuse_others(folder: Path, places: set[str]) -> None:
    """Refuse what lies in places that the earlier conversion has not written."""
    # The names as listed: where case does not count, what is now "annotations" is no other's "Annotations".
    others = sorted(places & {entry.name for entry in folder.iterdir()})
    if others:
        raise UserError(
            f"{folder} holds {', '.join(others)}, which no conversion has written: name another folder, or "
            "move them away"
        )


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _mark(folder: Path, content: dict[str, Any]) -> None:
    draft = folder / f"{MARK}.part"
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(folder / MARK)
