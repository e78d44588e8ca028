"""What asks a sweep to end: SIGTERM, of a cluster or `kill`, and SIGHUP, of a terminal that closes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Ended(KeyboardInterrupt):
    """A signal that ends a sweep as Ctrl+C does.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def status(end: KeyboardInterrupt) -> int:
    """The exit status that a shell expects of what ended by a signal."""
    return 128 + (end.number if isinstance(end, Ended) else signal.SIGINT)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Have the first SIGTERM or SIGHUP raise `Ended`, and those after it do nothing: the end is near.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored.
    """
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def end(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        for stream in terminals:
            if not os.isatty(stream):  # it has closed, and what is still printed would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        raise Ended(number)

    ends = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in ends}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
