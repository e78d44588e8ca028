"""A survey in words for a person, as JSON for a program, and as YAML for a recipe."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import fill
from typing import Any

import yaml
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tablesense.data.check.chosen import Chosen
from tablesense.data.check.facts import Size, Spread
from tablesense.data.check.kinds import headline, kind_of, worst_first
from tablesense.data.check.survey import IMAGE_SIZE, VAL_FRACTION, Survey

_SHOWN = 6  # classes


def as_json(found: Survey) -> dict[str, Any]:
    """All that was found, for a program; its keys are those of `Survey`, with `faults` the worst first."""
    return {
        "path": str(found.path),
        "format": found.format,
        "wrong": found.wrong,
        "refused": found.refused,
        "pages": found.total,
        "opened": found.opened,
        "sample_seed": Chosen.SEED if found.opened < found.total else None,
        "image_size": found.image_size,
        "splits": {split: asdict(facts) for split, facts in found.splits.items()},
        "classes": found.classes,
        "ignored_classes": found.ignored,
        "unit": "points" if found.in_points else "pixels",
        "page_sizes": asdict(found.pages) if found.pages else None,
        "resolution": asdict(found.resolution) if found.resolution else None,
        "table_sizes": asdict(found.tables) if found.tables else None,
        "faults": [
            {
                "name": fault,
                "severity": kind_of(fault).severity,
                "count": found.faults[fault],
                "unit": kind_of(fault).unit or None,
                "effect": kind_of(fault).effect,
                "remedy": kind_of(fault).remedy,
                "examples": found.faults.examples.get(fault, []),
            }
            for fault in worst_first(found.faults)
        ],
        "data": recipe(found) if found.refused is None else None,
        "seconds": round(found.seconds, 1),
    }


def recipe(found: Survey) -> dict[str, Any]:
    """The keys of `data` that a recipe needs for this data set."""
    keys: dict[str, Any] = {"path": str(found.path), "format": found.format}
    if set(found.classes) - {"table"}:
        keys["class_names"] = sorted(found.classes)
    if "val" not in found.splits:
        keys["val_fraction"] = VAL_FRACTION
    if found.image_size != IMAGE_SIZE:
        keys["image_size"] = found.image_size
    return keys


def show(found: Survey, console: Console) -> None:
    """Print what was found."""
    faults = worst_first(found.faults)
    heading = f"{found.path}: {found.format or 'format not recognised'}\n"
    console.print(Text(heading, "bold"), soft_wrap=True)
    if found.splits:
        console.print(Group(_splits(found), "", _facts(found), ""), highlight=False)
    for fault in faults:
        console.print(_fault(fault, found, console.width), highlight=False)
    if faults:
        console.print()
    console.print(_verdict(found, faults), highlight=False)
    if found.refused is None:
        console.print("\nFor a recipe:\n")
        text = yaml.safe_dump({"data": recipe(found)}, sort_keys=False, allow_unicode=True)
        console.print(text.rstrip(), highlight=False, markup=False, soft_wrap=True)


def _splits(found: Survey) -> Table:
    table = Table(box=None, pad_edge=False, header_style="none")
    table.add_column("split")
    for title in ("pages", "documents", "tables", "pages without tables"):
        table.add_column(title, justify="right")
    for split, facts in found.splits.items():
        share = facts.without_tables / facts.pages
        table.add_row(
            "(none)" if split == "all" else split,
            f"{facts.pages:,}",
            f"{facts.documents:,}",
            f"{facts.tables:,}",
            f"{facts.without_tables:,} ({share:.0%})",
        )
    return table


def _facts(found: Survey) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column()
    grid.add_row("classes", Text(_classes(found.classes) or "none"))
    if found.ignored:
        grid.add_row("", Text(f"not looked for: {_classes(found.ignored)}"))
    unit = "points" if found.in_points else "pixels"
    if pages := found.pages:
        size = f"{_times(pages.median)} {unit}"
        if pages.smallest != pages.largest:
            size += f" (median), {_times(pages.smallest)} to {_times(pages.largest)}"
        grid.add_row("pages", f"{size}; {pages.landscape:.0%} landscape")
    if found.resolution:
        grid.add_row("dpi", _resolution(found))
    if found.tables and found.pages and (number := found.pages.tables):
        width, height, side = found.tables.width, found.tables.height, found.tables.shorter_side
        grid.add_row("tables", f"{number.median:g} a page that has any (median), {number.most:g} at most")
        grid.add_row(
            "",
            f"width {_shares(width)} of the page's, height {_shares(height)}; at {found.image_size} pixels "
            f"the shorter side is {side.median:.0f} pixels (median), {side.least:.0f} at least",
        )
    sample = ", drawn by a fixed seed: the others may have faults too" if found.opened < found.total else ""
    grid.add_row("opened", f"{found.opened:,} of {found.total:,} pages in {found.seconds:.1f} s{sample}")
    return grid


def _classes(counts: dict[str, int]) -> str:
    words = [f"{name} {count:,}" for name, count in list(counts.items())[:_SHOWN]]
    if len(counts) > _SHOWN:
        words.append(f"{len(counts) - _SHOWN} more")
    return ", ".join(words)


def _resolution(found: Survey) -> str:
    resolution = found.resolution
    if resolution is None or resolution.dpi is None or found.pages is None:
        return "unknown: no file says it, and no page has the shape of A4 or Letter"
    dpi = resolution.dpi
    median = f"{dpi.median:.0f}"
    said = median if dpi.least == dpi.most else f"{median} (median), {dpi.least:.0f} to {dpi.most:.0f}"
    counts = {
        "by the file": resolution.tagged,
        "by the shape of A4 or Letter": resolution.guessed,
        "unknown": resolution.unknown,
    }
    told = ", ".join(f"{count:,} {how}" for how, count in counts.items() if count)
    small = dpi.median * found.image_size / max(found.pages.median)
    return f"{said}; {told}; {small:.0f} once scaled to {found.image_size} pixels"


def _shares(shares: Spread) -> str:
    return f"{shares.least:.0%} to {shares.most:.0%} (median {shares.median:.0%})"


def _times(size: Size) -> str:
    return f"{size[0]:.0f}x{size[1]:.0f}"


def _fault(fault: str, found: Survey, width: int) -> RenderableType:
    kind, root = kind_of(fault), found.path if found.path.is_dir() else found.path.parent
    style = "bold red" if kind.severity == "error" else "yellow"
    lines = [Text.assemble((kind.severity, style), ": ", (headline(fault, found.faults[fault]), "bold"))]
    for example in found.faults.examples.get(fault, []):
        if example:
            lines.append(Text(f"  {example.replace(f'{root}/', '')}", "dim", overflow="fold"))
    words = f"{kind.effect} {kind.remedy}"
    lines.append(Text(fill(words, width, initial_indent="  ", subsequent_indent="  ")))
    return Group(*lines)


def _verdict(found: Survey, faults: list[str]) -> Text:
    errors = sum(kind_of(fault).severity == "error" for fault in faults)
    counts = [
        f"{count} {word}{'s' * (count != 1)}"
        for word, count in (("error", errors), ("warning", len(faults) - errors))
        if count
    ]
    if found.wrong:
        return Text(f"{' and '.join(counts)}: do not train on this data set as it is.", "bold red")
    if faults:
        return Text(f"{counts[0]}, no errors: it can be trained on.", "bold green")
    return Text("No faults: it can be trained on.", "bold green")
