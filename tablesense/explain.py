"""What is wrong with a command or a recipe, in one line."""

from __future__ import annotations

import re
from dataclasses import fields
from difflib import get_close_matches

_UNKNOWN = re.compile(
    r"(?:unrecognized arguments: --|accept option '|Option '|[Kk]ey [\"'])([\w.]+)(?!.*Expected)"
)
_WRONG_TYPE = re.compile(r"key \"([\w.]+)\": Expected an? (.+?)\. Got value: (.+)")
_WRONG_UNION = re.compile(
    r"key \"([\w.]+)\": Does not validate against any of the Union subtypes Subtypes: [\[(](.+?)[\])] Errors:"
    r".*Given value type: .*?Given value: (\S+)"
)
_WRONG_OBJECT = re.compile(
    r"Problem with given class_path '(?:\w+\.)*(\w+)': (.+?)(?= - Expected| Given value|$)"
)

_SOURCE = "class_path 'tablesense.data.sources.SourceConfig': "
_AFTER_SOURCE = " - Expected a <class 'NoneType'> Given value type: <class 'list'>"


def explain(message: str, known: set[str]) -> str:
    """Put a message of jsonargparse plainly.

    Args:
        message: The message.
        known: The right keys, from which the nearest to a wrong one is named.
    """
    message = " ".join(message.split())
    if _SOURCE in message:
        from tablesense.data.sources import SourceConfig

        inner = message.partition(_SOURCE)[2].partition(_AFTER_SOURCE)[0]
        return f"data.sources: {explain(inner, {field.name for field in fields(SourceConfig)})}"
    if message.startswith('Parser key "data.sources":'):
        return (
            "data.sources: expected a list such as '[{path: my_pages, weight: 2.0}, {weight: 1.0}]', found "
            + message.rpartition("Given value: ")[2]
        )
    if found := _WRONG_UNION.search(message) or _WRONG_TYPE.search(message):
        key, kind, value = found.groups()
        kind = (
            re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", kind)
            .replace("NoneType", "null")
            .replace("None", "null")
        )
        kind, choices = re.subn(r"typing\.Literal\[([^\]]+)\]", r"\1", kind)
        if choices:
            kind = f"one of {kind}"
        return f"{key}: expected {kind}, found {value}"
    if "File does not exist" in message:
        return f"--config: no file {message.rsplit(': ', 1)[1]}"
    if found := re.search(r"\"config\": Path is not a file: '(.+)'", message):
        return f"--config: expected a file, found the folder {found[1]}"
    if found := re.search(r"unrecognized arguments: (?!-)(\S+)", message):
        hint = f": did you mean --config {found[1]}?" if found[1].endswith((".yaml", ".yml")) else ""
        return f"expected options such as --config FILE, found {found[1]}{hint}"
    if found := _UNKNOWN.search(message):
        near = get_close_matches(found[1], known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else "see tablesense fit --help for all keys"
        return f"unknown key {found[1]}: {hint}"
    return message


def explain_value(message: str) -> str | None:
    """Put plainly what is found to be wrong with a value only after the configuration was read.

    Args:
        message: Of a ValueError of Lightning or of jsonargparse.

    Returns:
        One line, or None where it is not about the configuration.
    """
    message = " ".join(message.split())
    if "`val_check_interval`" in message:  # the batches are counted late
        return f"trainer.val_check_interval: {message}"
    if found := _WRONG_OBJECT.search(message):  # a logger or a callback, whose package may be missing
        return f"{found[1]}: {found[2]}"
    return None
