"""The command `tablesense data check`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tablesense.arguments import Parser, positive
from tablesense.data.reading import FORMATS
from tablesense.progress import progress_bar

DESCRIPTION = """\
Tell what is in a data set and what is wrong with it, before a training does. Nothing is changed.

  tablesense data check my_pages
  tablesense data check my_pages --limit 2000 --json

All images are opened. Each fault is said with its number, its first examples, what it does to a training
and what to do about it, the worst first. The last lines are the data set's part of a recipe.

A page in two splits is found though it was encoded anew or scaled, not though it was cropped, turned or
scanned anew. Pages with next to nothing on them are not compared.

Exit status: 0 where a training is right, with warnings perhaps; 1 where it would stop, or its boxes or its
scores would be wrong; 2 where this command is not used as it should be.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense data check`.

    Args:
        arguments: What stands behind the word.

    Returns:
        The exit status: 0; 1 where a training on these data would be wrong; 130 when interrupted.

    Raises:
        UserError: An option is wrong, there is nothing at the path, or a process was killed.
    """
    parser = Parser("data check", DESCRIPTION)
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="the data set's folder, or its annotation file")
    add("--format", choices=["auto", *FORMATS], default="auto", help="its layout (default: auto, by looking)")
    add(
        "--image-size",
        type=positive,
        default=384,
        metavar="N",
        help="data.image_size of the training: a page's longest side in pixels (default: 384)",
    )
    add(
        "--limit",
        type=positive,
        metavar="N",
        help="open only N pages, drawn from all splits by a fixed seed",
    )
    add(
        "--workers",
        type=positive,
        metavar="N",
        help="processes that open pages (default: one for each core)",
    )
    add("--json", action="store_true", help="print one JSON object instead")
    options = parser.parse_args(arguments)

    from rich.console import Console

    from tablesense.data.check.show import as_json, show
    from tablesense.data.check.survey import survey

    try:
        with _progress() as advance:
            found = survey(
                options.path.expanduser(),
                options.format,
                options.image_size,
                options.workers,
                options.limit,
                advance,
            )
    except KeyboardInterrupt:
        Console(stderr=True).print("the check was interrupted")
        return 130
    if options.json:
        print(json.dumps(as_json(found), indent=1))
    else:
        show(found, Console())
    return 1 if found.wrong else 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console

    console = Console(stderr=True)
    with progress_bar(console, disable=not console.is_terminal) as progress:
        tasks = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield advance
