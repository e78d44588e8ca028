"""The processes that set the pages of a data set, and the record of what they have set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from tablesense.errors import UserError
from tablesense.progress import progress_bar

RECORD = "pages.jsonl"


@dataclass(frozen=True)
class Job:
    """The pages of one data set: page i follows from this and i alone.

    Attributes:
        pages: How many there are.
        seed: Another one gives other pages.
        difficulty: "standard" or "hard".
        without_tables: The share of pages without a table.
    """

    pages: int
    seed: str
    difficulty: str
    without_tables: float


def recorded(draft: Path) -> Iterator[tuple[int, str]]:
    """The index and the line of every page that a draft has, in the order they were set."""
    record = draft / RECORD
    if not record.is_file():
        return
    with record.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("}\n"):  # the last one may have been cut off
                yield json.loads(line)["index"], line


def set_pages(draft: Path, job: Job, workers: int, title: str) -> None:
    """Set the pages that a draft lacks, in worker processes, with a progress bar on stderr.

    Args:
        draft: The folder that gets `images/` and the record.
        job: The pages.
        workers: How many processes.
        title: What is said before.

    Raises:
        UserError: A process that sets pages failed; it has said why.
        OSError: The draft cannot be written.
    """
    from rich.console import Console

    console = Console(stderr=True)
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    done = sum(1 for _ in recorded(draft))
    _mend(draft)
    scratch = draft / "scratch"
    scratch.mkdir(exist_ok=True)
    workers = max(1, min(workers, job.pages))
    # Plain subprocesses: neither fork under a caller with threads, nor multiprocessing's spawn, which
    # imports the caller's main module again, torch and all, and asks for a guard in it.
    command = [sys.executable, "-m", "tablesense.data.typesetting", str(draft), json.dumps(asdict(job))]
    package_root = str(Path(__file__).parents[3])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TMPDIR": str(scratch),  # a worker that is killed leaves a file there
        "RAYON_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen([*command, str(k), str(workers)], stdout=subprocess.PIPE, text=True, env=environment)
        for k in range(workers)
    ]
    with (
        (draft / RECORD).open("a", encoding="utf-8", buffering=1) as record,
        progress_bar(console) as progress,
        ThreadPoolExecutor(workers) as readers,
    ):
        writing = Lock()
        task = progress.add_task("pages", total=job.pages, completed=done)

        def follow(process: subprocess.Popen[str]) -> int:
            found = 0
            for line in process.stdout or ():
                with writing:
                    record.write(line)
                progress.advance(task)
                found += 1
            return found

        try:
            done += sum(readers.map(follow, processes))
            failed = any([process.wait() for process in processes])
        finally:
            for process in processes:  # before the readers are waited for, who read to the end
                process.kill()
                process.wait()
            shutil.rmtree(scratch)
    if failed or done != job.pages:
        raise UserError(
            f"a process that sets synthetic pages failed after {done} of {job.pages}: see above for "
            "the reason, then give the same command again"
        )


def _mend(draft: Path) -> None:
    """Cut a line off the record that was not written to its end, so that the next does not join it."""
    record = draft / RECORD
    if record.is_file():
        with record.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
