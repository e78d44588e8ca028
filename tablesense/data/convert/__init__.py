"""`tablesense data convert`: a data set in another layout, for other tools and for pages drawn once."""

from __future__ import annotations

from tablesense.data.convert.conversion import Conversion, convert
from tablesense.data.convert.verb import run

__all__ = ["Conversion", "convert", "run"]
