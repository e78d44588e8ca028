"""The one exception that a person, not a programmer, is meant to read."""

from __future__ import annotations


class UserError(Exception):
    """Something the person running tablesense can put right.

    The message is one line: what was expected, what was found and what to do. The command line
    prints it after ``tablesense:`` and exits with status 2; in Python it is raised as it is.
    """
