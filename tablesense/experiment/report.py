"""The report: one HTML page of one run, or of several side by side, that needs nothing else.

`tablesense fit` writes it when it ends, `tablesense report` at any time. Everything is in the page, plotly's
JavaScript included; it asks no server for anything.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablesense.arguments import Parser
from tablesense.errors import UserError
from tablesense.files import draft

if TYPE_CHECKING:
    from tablesense.experiment.charts import Figure
    from tablesense.experiment.recorded import Run
    from tablesense.experiment.slices import Slice

LIMIT = 5_000_000
"""The bytes that a page has at most; pictures are made smaller, or left out, until it fits."""

DESCRIPTION = """\
Write a report of a training as one HTML page: figures, curves, errors, pages with what was found on them,
data and configuration. Several runs are compared in one page.

  tablesense report runs/detr/001
  tablesense report runs/detr/001 runs/detr/002 --output both.html

The page needs no network and no account: it can be mailed or kept as it is. `tablesense fit` writes one as
well when it ends.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense report`.

    Args:
        arguments: What stands behind the verb.

    Returns:
        The exit status, 0.

    Raises:
        UserError: An option is wrong, a folder is no run's, or a file cannot be read or written.
    """
    parser = Parser("report", DESCRIPTION)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN_DIR", help="a run's folder, such as runs/detr/001"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (default: RUN_DIR/report.html, for several runs comparison.html here)",
    )
    options = parser.parse_args(arguments)
    one = len({folder.resolve() for folder in options.folders}) == 1
    default = options.folders[0] / "report.html" if one else Path("comparison.html")
    page = write_report(options.folders, options.output or default)
    print(f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def write_report(folders: Sequence[Path], output: Path) -> Path:
    """Write the report of one run, or of several side by side.

    Args:
        folders: The runs' folders, such as runs/detr/001.
        output: The page.

    Returns:
        `output`.

    Raises:
        UserError: A folder is no run's, or a file cannot be read or written.
    """
    from tablesense.experiment.gallery import PAGES, embed, fixed_pages, worst_pages
    from tablesense.experiment.recorded import read_runs

    runs = read_runs(folders)
    fixed = fixed_pages(runs)
    left = max(4, (PAGES - sum(map(len, fixed))) // len(runs))
    worst = [shown for run in runs for shown in worst_pages(run, left)]
    content = _content(runs) | {"fixed": fixed, "worst": worst}
    paths = [shown.picture for row in fixed for shown in row] + [shown.picture for shown in worst]
    pictures = embed(paths, LIMIT - len(_page(content, {}).encode()))
    page = _page(content, pictures)
    try:
        with draft(output) as part:
            part.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror or error}") from error
    return output


def _content(runs: Sequence[Run]) -> dict[str, Any]:
    from tablesense.experiment import charts, curves
    from tablesense.experiment.analysis import KINDS
    from tablesense.experiment.summary import SCORES, cautions, differences, environment, headline, sentence

    groups, missing = curves.draw(runs)
    found = {run.name: run.found for run in runs if run.found}
    facts, environments = [headline(run) for run in runs], [environment(run) for run in runs]
    scored = any(run.analysis.scores for run in found.values())
    datasets = _datasets(runs)
    return {
        "runs": runs,
        "facts": facts,
        "labels": list(dict.fromkeys(label for of_run in facts for label in of_run)),
        "tops": {
            label: max((of_run[label].score or 0 for of_run in facts if label in of_run), default=0)
            for label, _ in SCORES.values()
        },
        "sentences": [sentence(run) for run in runs],
        "cautions": cautions(runs),
        "differences": differences([run.config for run in runs]),
        "curves": groups,
        "missing": missing,
        "found": found,
        "quality": [charts.precision_recall(found), charts.thresholds(found)] if scored else [],
        "kinds": KINDS,
        "slices": _slices(runs),
        "most": max((max(run.analysis.errors.values()) for run in found.values()), default=0) or 1,
        "threshold": next((run.score_threshold for run in found.values()), 0.5),
        "datasets": datasets,
        "counts": _counts(datasets),
        "statistics": _statistics(datasets),
        "environment": [
            (label, [of_run.get(label, "-") for of_run in environments])
            for label in dict.fromkeys(label for of_run in environments for label in of_run)
        ],
        "colour": charts.colour,
    }


def _slices(runs: Sequence[Run]) -> dict[str, dict[str, list[Slice | None]]]:
    """Each part of the tables as each run found it, by group and name."""
    table: dict[str, dict[str, list[Slice | None]]] = {}
    for i, run in enumerate(runs):
        for part in run.found.analysis.slices if run.found else []:
            row = table.setdefault(part.group, {}).setdefault(part.name, [None] * len(runs))
            row[i] = part
    return table


def _datasets(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """What the runs' pages are like, under the runs' names; once where all have the same."""
    known = {run.name: run.data for run in runs if run.data}
    first = next(iter(known.values()), None)
    return {"": first} if first and all(data == first for data in known.values()) else known


def _counts(datasets: dict[str, dict[str, Any]]) -> list[tuple[str, list[int | None]]]:
    """The numbers of pages and tables, each for the training and the validation pages of each data set."""
    splits = [data.get(split) or {} for data in datasets.values() for split in ("train", "val")]
    keys = {"pages": "pages", "documents": "documents", "pages_without_tables": "pages without tables"}
    rows = [(label, [split.get(key) for split in splits]) for key, label in keys.items()]
    rows.append(("tables", [split.get("tables") for split in splits]))
    classes = dict.fromkeys(name for split in splits for name in split.get("classes", {}))
    if len(classes) > 1:
        rows += [
            (f"tables of class {name}", [split.get("classes", {}).get(name, 0) for split in splits])
            for name in classes
        ]
    return rows


def _statistics(datasets: dict[str, dict[str, Any]]) -> list[Figure]:
    from tablesense.experiment.charts import Figure, bars, histogram

    splits = {name: data["train"] for name, data in datasets.items() if data.get("train")}
    if "" in datasets:  # the same pages in all runs
        words = {"train": "training", "val": "validation"}
        splits = {word: datasets[""][split] for split, word in words.items() if datasets[""].get(split)}

    def of(key: str) -> dict[str, Any]:
        return {name: split[key] for name, split in splits.items() if split.get(key)}

    ticks = {"type": "log", "tickvals": [0.1, 0.2, 0.5, 1, 2, 5, 10]}
    figures = [
        Figure("Tables on a page", "", bars(of("tables_per_page"), "tables on the page")),
        Figure(
            "Size of the tables",
            "",
            histogram(of("box_area"), "table's share of its page's area", tickformat=".0%", dtick=0.2),
        ),
        Figure(
            "Shape of the tables", "", histogram(of("box_aspect"), "width / height (over 1: wide)", **ticks)
        ),
    ]
    return [figure for figure in figures if figure.plot["data"]]


def _page(content: dict[str, Any], pictures: dict[Path, str]) -> str:
    import yaml
    from jinja2 import ChainableUndefined, Environment, PackageLoader

    from tablesense.experiment.summary import duration

    environment = Environment(
        loader=PackageLoader("tablesense.experiment", "."),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["yaml"] = lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    environment.filters["duration"] = duration
    places = {address: i for i, address in enumerate(dict.fromkeys(pictures.values()))}
    return environment.get_template("report.html.j2").render(
        **content,
        addresses=list(places),
        picture={path: places[address] for path, address in pictures.items()},
        plotly=_plotly(),
    )


@cache
def _plotly() -> str:
    """Plotly's JavaScript, packed: 4.8 MB become 2."""
    from plotly.offline import get_plotlyjs

    return b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
