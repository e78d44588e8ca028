"""What the commands with options of their own share: faults in one line, and numbers."""

from __future__ import annotations

import argparse
from typing import NoReturn

from tablesense.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose faults are a `UserError` that names the command and its help.

    Args:
        words: The command without `tablesense`, such as "data check".
        description: Printed as it stands.
    """

    def __init__(self, words: str, description: str) -> None:
        super().__init__(
            prog=f"tablesense {words}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.words = words

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise UserError(f"{self.words}: {message}; see {self.prog} --help")


def positive(text: str) -> int:
    """A whole number from 1.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text}")
    return int(text)
