"""`tablesense data`: look at data sets before training, and make them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from tablesense.errors import UserError

HELP = """\
usage: tablesense data WORD ...

Look at a data set before training on it, and make one.

words:
  check      what is in it, and what is wrong with it:  tablesense data check my_pages
  preview    its pages with their boxes as a picture:   tablesense data preview my_pages -o pages.html
  convert    write it in another layout:                tablesense data convert my_pages copy --to coco
  synth      make synthetic pages:                      tablesense data synth pages --pages 1000

  tablesense data WORD --help     all options
"""


WORDS = ("check", "preview", "convert", "synth")
"""Each is a module beside this one, imported when it is asked for."""


def run(arguments: Sequence[str]) -> int:
    """Run `tablesense data`.

    Args:
        arguments: What stands behind the verb: a word, and its options.

    Returns:
        The exit status.

    Raises:
        UserError: There is no such word, or what it was asked for cannot be done.
    """
    word = arguments[0] if arguments else "--help"
    if word in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if word not in WORDS:
        near = get_close_matches(word, WORDS, n=1)
        raise UserError(
            f"data: expected one of {', '.join(WORDS)}, found {word!r}"
            + (f"; did you mean {near[0]}?" if near else "; see tablesense data --help")
        )
    status: int = import_module(f"tablesense.data.{word}").run(list(arguments[1:]))
    return status
