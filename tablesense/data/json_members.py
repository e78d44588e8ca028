"""A JSON file as a stream: its lists are read element by element, however long they are.

The standard library decodes one value at a time where it is told to, and says where that value ends; so
elements are decoded from a part of the file, which is read on only when it ends within one. Time and peak
memory for 200,000 COCO annotations with polygons (74 MB; ten times as many take ten times as long):

    this          1.6 s   18 MB, whatever the size of the file
    ijson, in C   3.2 s   22 MB, whatever the size of the file
    msgspec       0.3 s  174 MB, typed, with all fields skipped that are not read
    orjson        2.1 s  665 MB
    json.load     2.8 s  519 MB

Only the standard library takes the NaN that Python's own `json.dump` writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from tablesense.errors import UserError

CHUNK = 1 << 20  # characters; 64 K and 16 M take as long

_decode = json.JSONDecoder().raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_KINDS = {"[": "list", '"': "str", "t": "bool", "f": "bool", "n": "null"}


def members(file: Path, expected: str) -> Iterator[tuple[str, Any]]:
    """The members of the object that a JSON file holds, in order.

    Args:
        file: In UTF-8, -16 or -32, with or without a byte order mark.
        expected: What it is not when it holds no object, for the message: "COCO: expected an object ...".

    Yields:
        Each key with its value, which for a list is an iterator over its elements: it ends when the
        next member is asked for.

    Raises:
        UserError: The file cannot be read, is not JSON or holds no object.
    """
    try:
        with file.open("rb") as binary:
            encoding = json.detect_encoding(binary.read(4))
        source = file.open(encoding=encoding, errors="surrogatepass", newline="")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    with source:
        text = _Text(file, source)
        if text.peek() not in ("{", ""):
            raise UserError(f"{file} is not {expected}; found a {_KINDS.get(text.peek(), 'number')}")
        text.take("{")
        more = text.peek() != "}"
        while more:
            if text.peek() != '"':
                text.fail('expected a key in ""')
            key = text.value()
            text.take(":")
            if text.peek() == "[":
                elements = _elements(text)
                yield key, elements
                for _ in elements:
                    pass
            else:
                yield key, text.value()
            more = text.peek() != "}"
            if more:
                text.take(",")
        text.take("}")
        if text.peek():
            text.fail("text after the end")


def _elements(text: _Text) -> Iterator[Any]:
    text.take("[")
    if text.peek() != "]":
        yield text.value()
        while text.peek() != "]":
            text.take(",")
            yield text.value()
    text.take("]")


class _Text:
    """A file's text, of which the part at hand is in memory."""

    def __init__(self, file: Path, source: TextIO) -> None:
        self.file, self.source = file, source
        self.part, self.at = "", 0
        self.characters, self.lines = 0, 0  # before this part
        self.ended = False

    def peek(self) -> str:
        """The next character that is no space; none at the end."""
        while True:
            self.at = _space(self.part, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.part) or self.ended:
                return self.part[self.at : self.at + 1]
            self._read_on()

    def take(self, mark: str) -> None:
        """Step over the one character that may stand here."""
        if self.peek() != mark:
            self.fail(f"expected {mark}")
        self.at += 1

    def value(self) -> Any:
        """Step over one value."""
        self.peek()
        failed: tuple[str, int] | None = None
        while True:
            try:
                value, end = _decode(self.part, self.at)
            except json.JSONDecodeError as error:
                # What is cut fails elsewhere once more of it is there; but a string may be very long.
                failure = error.msg, self.characters + error.pos
                cut = error.msg.startswith("Unterminated string") or failure != failed
                if self.ended or not cut:
                    self.fail(error.msg, error.pos)
                failed = failure
            except RecursionError:
                self.fail("nested too deep")
            except ValueError as error:  # a number of thousands of digits
                self.fail(str(error))
            else:
                # A number may go on where the part ends; of "0." and "0e+" it ends before the last two.
                if end + 2 < len(self.part) or self.ended:
                    self.at = end
                    return value
            self._read_on()

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        line = self.lines + self.part.count("\n", 0, at) + 1
        raise UserError(
            f"{self.file} is not JSON: {what}: line {line}, character {self.characters + at + 1} of the file"
        )

    def _read_on(self) -> None:
        rest = self.part[self.at :]
        self.characters += self.at
        self.lines += self.part.count("\n", 0, self.at)
        try:
            more = self.source.read(max(CHUNK, len(rest)))
        except OSError as error:
            raise UserError(f"{self.file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{self.file} is not JSON: {error}") from error
        self.part, self.at, self.ended = rest + more, 0, not more
