"""Leaving out of what is kept of a run what is nobody else's business."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SECRET = re.compile("key|token|secret|passw|credential", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def private(value: Any) -> Any:
    """Leave out of a configuration what is nobody else's business.

    The home folder becomes `~`, the machine's name `HOST`; the values of the environment's secrets (those
    with "key", "token", "secret", ... in their name) and the logins of URLs become `***`.

    Args:
        value: Text, or lists and dicts of it; other values are returned as they are.
    """
    if isinstance(value, Mapping):
        return {key: private(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [private(entry) for entry in value]
    if not isinstance(value, (str, Path)):
        return value
    text = _LOGIN.sub("***@", str(value))
    for name, secret in os.environ.items():
        if _SECRET.search(name) and len(secret) >= 8:
            text = text.replace(secret, "***")
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=/|$|\W)", "~", text)
    host = socket.gethostname()
    if len(host) > 3 and host != "localhost":
        text = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "HOST", text)
    return text
