"""Work for all cores, given out a little at a time."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from tablesense.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Do tasks in other processes.

    Args:
        work: Can be pickled.
        tasks: Taken as they are needed: a few for each process wait at any time.
        workers: How many processes; 1 is this one.

    Yields:
        What came of each task, in their order.

    Raises:
        UserError: A process was killed.
    """
    if workers <= 1:
        yield from map(work, tasks)
        return
    waiting = iter(tasks)
    with _one_thread_each():
        # Not fork: the progress bar has a thread. A person's Ctrl+C is for the one that gives out work.
        pool = ProcessPoolExecutor(
            workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
        )
        try:
            under_way: deque[Future[Result]] = deque(
                pool.submit(work, task) for task in islice(waiting, 3 * workers)
            )
            while under_way:
                result = under_way.popleft().result()
                for task in islice(waiting, 1):
                    under_way.append(pool.submit(work, task))
                yield result
        except BrokenProcessPool as error:
            raise UserError(
                "a process that opens pages was killed, perhaps for its memory: try fewer with --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
