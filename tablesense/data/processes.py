"""Work on pages for all cores, given out a little at a time."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from threading import Thread, current_thread, main_thread
from typing import TypeVar

from tablesense.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, advice: str
) -> Generator[Result, None, None]:
    """Do tasks in other processes, each with one thread.

    Args:
        work: Can be pickled.
        tasks: Taken as they are needed: three for each process are under way at any time.
        workers: How many processes; 1 is this one.
        advice: What a person may do when a process was killed, which is most likely for its memory.

    Yields:
        What came of each task, in their order.

    Raises:
        UserError: A process was killed.
    """
    if workers <= 1:
        yield from map(work, tasks)
        return
    waiting, others = iter(tasks), set(active_children())
    with _one_thread_each():
        # Not fork: a progress bar has a thread.
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
        try:
            under_way: deque[Future[Result]] = deque(
                pool.submit(work, task) for task in islice(waiting, 3 * workers)
            )
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(work, task) for task in islice(waiting, 1))
                yield result
        except BrokenProcessPool as error:
            raise UserError(
                f"a process that opens pages was killed, perhaps for its memory: {advice}"
            ) from error
        except BaseException:
            # What is not finished is not wanted, and a second Ctrl+C must not find this waiting for it.
            with _uninterrupted():
                for process in set(active_children()) - others:
                    process.kill()
                pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def _begin() -> None:
    """What a process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl+C is for the one that gives out work
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Of a parent that was killed, the processes of a pool would wait for work for ever."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    if current_thread() is not main_thread():  # it is the one that is interrupted
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
