"""`tablesense data check`: what a data set holds, and what is wrong with it, before a training tells."""

from __future__ import annotations

from tablesense.data.check.verb import run

__all__ = ["run"]
