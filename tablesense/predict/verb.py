"""The command `tablesense predict`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from itertools import groupby, islice
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tablesense.arguments import Parser, positive
from tablesense.errors import UserError
from tablesense.predict.destination import Destination, check_replaced, finished, prepare
from tablesense.predict.found import DPI, MARGIN, FoundPage
from tablesense.predict.inputs import Document, Failure, find_documents, keep_stdin, read_pages
from tablesense.predict.network import load_network
from tablesense.predict.outputs import FORMATS, write_all, write_document, write_stream
from tablesense.progress import progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress

PIPE = Path("-")
"""As --out, stdout."""

DESCRIPTION = """\
Find the tables of documents with a trained network.

  tablesense predict best.ckpt report.pdf
  tablesense predict best.ckpt scans 'more/**/*.tif' --out found --overlay --crops
  tablesense predict best.ckpt scans --out found --format csv --skip-existing
  cat report.pdf | tablesense predict best.ckpt - --out - | jq .

Pages are images, the frames of TIFFs and the pages of PDFs. Folders are searched to the bottom; - is one
document from stdin. With --out each document gets a JSON file, named and placed as the document is; --out -
writes the same to stdout, a document a line. Without --out the tables are printed for reading.
A page that cannot be read is said at the end, and the others are done.

Exit status: 0; 1 where a page could not be read; 2 where this command is not used as it should be; 130 when
interrupted.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense predict`.

    Args:
        arguments: What stands behind the verb.

    Returns:
        The exit status: 0; 1 where a page could not be read; 130 when interrupted.

    Raises:
        UserError: An option is wrong, an input is not there, the model cannot be used, or nothing can be
            written.
    """
    options = _parser().parse_args(arguments)
    folder: Path | None = None if options.out == PIPE else options.out
    _check(options)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files are bytes, not always UTF-8
    try:
        with TemporaryDirectory(prefix="tablesense_") if "-" in options.input else nullcontext() as kept:
            stdin = keep_stdin(sys.stdin.buffer, Path(kept)) if kept else None
            documents = find_documents(options.input, stdin)
            destination = None
            if folder is not None:
                prepare(folder)
                voc = options.format == "voc"
                destination = Destination(
                    folder, options.overlay, options.crops, voc, options.margin, options.dpi
                )
                check_replaced(destination, documents)
            return _predict(options, documents, destination)
    except KeyboardInterrupt:
        kept_in = "" if folder is None else f"; finished documents are in {folder}, --skip-existing goes on"
        print(f"tablesense: interrupted{kept_in}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read what is printed has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> Parser:
    parser = Parser("predict", DESCRIPTION)
    add = parser.add_argument
    add("model", type=_path, metavar="MODEL", help="a checkpoint of a run, or what export wrote")
    add("input", nargs="+", metavar="INPUT", help="images, PDFs, folders of them, patterns, or - for stdin")
    add("--out", type=_path, metavar="DIR", help="the folder that results are written to, or - for stdout")
    add(
        "--format",
        choices=FORMATS,
        help="json: a file for each document (default). jsonl, csv, coco: one file of all, predictions.*, "
        "as well; jsonl and csv are printed where there is no --out. voc: an XML for each page as well, and "
        "its picture: a data set, predictions.voc/",
    )
    add("--overlay", action="store_true", help="write each page with its finds drawn on it: NAME.pages/")
    add("--crops", action="store_true", help="write a picture of each find: NAME.tables/")
    add(
        "--margin",
        type=_number(0, inf),
        default=MARGIN,
        metavar="N",
        help="around crops, in pixels of images and points of PDFs; it ends where the page ends "
        f"(default: {MARGIN:g})",
    )
    add(
        "--threshold",
        type=_number(0, 1),
        metavar="X",
        help="the lowest score that counts as a find (default: the model's own)",
    )
    add(
        "--dpi",
        type=_number(10, 1200),
        default=DPI,
        metavar="N",
        help=f"of the pictures of PDF pages, and of their boxes in pixels (default: {DPI})",
    )
    add(
        "--tile",
        type=_number(1, inf),
        metavar="LENGTH",
        help="look at pages that are longer than this, in pixels of images and points of PDFs, in "
        "overlapping tiles of that length as well: for huge pages with small tables",
    )
    add("--batch-size", type=positive, default=4, metavar="N", help="pages at once (default: 4)")
    add(
        "--skip-existing",
        action="store_true",
        help="leave out documents whose finds with the same model, --threshold and --tile are in --out "
        "already, unless a page of them failed",
    )
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default: auto)")
    add(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        default="32-true",
        help="bf16-mixed is what the recipes train and test with: faster where the hardware has bfloat16 "
        "(default: 32-true)",
    )
    return parser


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # shells leave the ~ of --out=~/found as it is


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -inf
        if not low <= value <= high or value == inf:
            expected = f"a number from {low:g}" + ("" if high == inf else f" to {high:g}")
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")
        return value

    return number


def _check(options: argparse.Namespace) -> None:
    """Refuse what would not do what was asked for."""
    folder: Path | None = options.out
    if "-" in options.input and options.skip_existing:
        raise UserError("predict: --skip-existing cannot tell what comes from stdin: leave one of both out")
    if "-" in options.input and sys.stdin.isatty():
        raise UserError("-: expected an image or a PDF through a pipe, found a terminal: name a file")
    if folder is None or folder == PIPE:
        needing = [
            f"--{name.replace('_', '-')}"
            for name in ("overlay", "crops", "skip_existing")
            if getattr(options, name)
        ]
        if needing:
            raise UserError(f"predict: {' and '.join(needing)} can only be done with --out: name a folder")
        if folder is None and options.format in ("json", "coco", "voc"):
            raise UserError(
                f"predict: --format {options.format} can only be done with --out: name a folder, or - for "
                "stdout"
            )
        return
    folders = [given for given in options.input if given != "-" and os.path.isdir(_path(given))]
    inside = [given for given in folders if folder.resolve().is_relative_to(_path(given).resolve())]
    if inside and (options.overlay or options.crops or options.format == "voc"):
        raise UserError(
            f"--out: {folder} lies in {inside[0]}, and the next call would take its pictures for pages: name "
            "a folder outside"
        )


def _predict(
    options: argparse.Namespace, documents: Sequence[Document], destination: Destination | None
) -> int:
    piped = options.format if options.out != PIPE else options.format or "json"
    if destination is None and piped == "voc":
        _check_one_page(documents)
    network = load_network(options.model, options.device, options.precision)
    from tablesense.predict.detecting import detect

    about: dict[str, Any] = {
        "model": str(options.model),
        "threshold": network.threshold if options.threshold is None else options.threshold,
        **({} if options.tile is None else {"tile": options.tile}),
        "class_names": list(network.class_names),
    }
    left = list(documents)
    if destination and options.skip_existing:
        left = [document for document in documents if not finished(destination, document, about)]
        print(
            f"{len(documents) - len(left)} of {len(documents)} documents are there already", file=sys.stderr
        )
    counts = {"pages": 0, "tables": 0}
    by_path = {document.path: document for document in left}
    failures: list[Failure] = []
    with _progress(len(left), shown=destination is not None or not sys.stdout.isatty()) as bar:
        pages = read_pages(left, bar.opened)
        found = detect(network, pages, options.batch_size, options.threshold, options.tile)
        with closing(found) as results:
            counted = _counted(results, bar, counts)
            if destination is not None:
                for path, of_document in groupby(counted, key=lambda result: result.path):
                    failures += write_document(destination, by_path[path], of_document, about)
            elif piped:
                failures += write_stream(sys.stdout, piped, by_path, counted, about, options.dpi)
            else:
                failures += _print(counted, by_path)
        sys.stdout.flush()
    if destination and options.format in ("jsonl", "csv", "coco"):
        write_all(destination, documents, options.format, network.class_names)
    print(_summary(counts, len(left), failures), file=sys.stderr)
    for failure in failures:
        print(f"  {replace(failure, path=Path(str(by_path[failure.path])))}", file=sys.stderr)
    return 1 if failures else 0


def _check_one_page(documents: Sequence[Document]) -> None:
    pages = (page for page in read_pages(documents) if not isinstance(page, Failure))
    if len(list(islice(pages, 2))) > 1:
        raise UserError(
            "predict: --format voc is a file of one page, and there are several: name a folder as --out, or "
            "another format"
        )


def _summary(counts: dict[str, int], documents: int, failures: Sequence[Failure]) -> str:
    words = [f"{counts[what]:,} {what if counts[what] != 1 else what[:-1]}" for what in ("tables", "pages")]
    files = f"{documents:,} {'documents' if documents != 1 else 'document'}"
    text = f"{words[0]} on {words[1]} of {files}"
    return text + (f"; {len(failures):,} could not be read:" if failures else "")


def _counted(
    results: Generator[FoundPage | Failure, None, None], bar: _Bar, counts: dict[str, int]
) -> Iterator[FoundPage | Failure]:
    for result in results:
        if not isinstance(result, Failure) or result.number is not None:
            bar.advance()
        if isinstance(result, FoundPage):
            counts["pages"] += 1
            counts["tables"] += len(result)
        yield result


def _print(results: Iterable[FoundPage | Failure], documents: Mapping[Path, Document]) -> list[Failure]:
    """Print finds as they come, for reading; what could not be read is returned."""
    failures = []
    print(f"{'score':>5}  {'x0':>6} {'y0':>6} {'x1':>6} {'y1':>6}     {'class':<10}  page")
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            continue
        where = str(documents[result.path])
        if result.page.number is not None:
            where += f", page {result.number}"
        for box, score, label in zip(
            result.boxes.tolist(), result.scores.tolist(), result.labels, strict=True
        ):
            sides = " ".join(f"{side:6.0f}" for side in box)
            print(f"{score:5.2f}  {sides} {result.unit}  {label:<10}  {where}")
        sys.stdout.flush()
    return failures


# -- the bar ---------------------------------------------------------------------------------------


class _Bar:
    """Pages done, of all that there are as far as that is known: files are opened as they come."""

    def __init__(self, progress: Progress, documents: int) -> None:
        self._progress, self._documents = progress, documents
        self._task = progress.add_task("pages", total=None)
        self._opened = self._pages = 0

    def opened(self, pages: int) -> None:
        """Take note of the pages of one more document."""
        self._opened += 1
        self._pages += pages
        expected = round(self._pages * self._documents / self._opened)
        self._progress.update(self._task, total=expected)

    def advance(self) -> None:
        """Take note of a page that is done."""
        self._progress.advance(self._task)


@contextmanager
def _progress(documents: int, shown: bool) -> Iterator[_Bar]:
    from rich.console import Console

    console = Console(stderr=True)
    progress = progress_bar(
        console,
        disable=not (shown and console.is_terminal),
        redirect_stdout=False,  # to a pipe it would send what is printed to the terminal
    )
    with progress:
        yield _Bar(progress, documents)
