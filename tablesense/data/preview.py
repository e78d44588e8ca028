"""`tablesense data preview`: some pages with their boxes, and what training makes of them, to look at."""

from __future__ import annotations

import io
import sys
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from tablesense.arguments import Parser, positive
from tablesense.data.check.facts import class_counts
from tablesense.data.page import Box, Page
from tablesense.data.reading import FORMATS, read_pages
from tablesense.data.table import PageTable
from tablesense.data.transforms import Preset, augment, fit_with_boxes, in_view
from tablesense.errors import UserError
from tablesense.files import draft
from tablesense.pictures import in_rows

DESCRIPTION = """\
Draw some pages of a data set with their boxes, each beside views of it as training sees them.

  tablesense data preview my_pages
  tablesense data preview my_pages --augment photo --views 3 --seed 7 -o photo.html
  tablesense data preview my_pages --augment none --pages 40 -o sheet.png

An .html file is one page for a browser that asks no server for anything; a .png file is one sheet. The pages
are of all splits, with tables and without, and of as many documents as there can be.
"""

COLOURS = ("#17914e", "#d6224f", "#1f6fd0", "#b35c00", "#8a3ffc", "#007d79", "#9f1853", "#6b6b00")
"""Of the classes, in the order of their names."""

GROUND = "#262c33"
"""Around the pages of a sheet."""

GENERATOR = "tablesense data preview"
"""Stands in each file, which may therefore be overwritten."""


@dataclass(frozen=True)
class View:
    """A picture of a page.

    Attributes:
        title: What was done to it.
        image: RGB or grey.
        boxes: xyxy in pixels of `image`.
        labels: The class of each.
    """

    title: str
    image: Image.Image
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Leaf:
    """A page of the preview.

    Attributes:
        name: The page's.
        facts: Its split, document and size in words.
        classes: How many boxes each class has on it.
        views: The page as it is, and as training sees it.
    """

    name: str
    facts: str
    classes: Counter[str]
    views: tuple[View, ...]


def run(arguments: list[str]) -> int:
    """Run `tablesense data preview`.

    Args:
        arguments: What stands behind the verb.

    Returns:
        The exit status, 0.

    Raises:
        UserError: An option is wrong, the data cannot be read, or the file cannot be written.
    """
    parser = Parser("data preview", DESCRIPTION)
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="the data set's folder, or its annotation file")
    add("-o", "--output", type=Path, default=Path("preview.html"), metavar="FILE",
        help="an .html or .png file (default: preview.html)")  # fmt: skip
    add("--pages", type=positive, default=12, metavar="N", help="how many pages (default: 12)")
    add("--augment", choices=get_args(Preset), default="scan",
        help="what data.augment does to them; none shows them as they are (default: scan)")  # fmt: skip
    add("--views", type=positive, default=2, metavar="N", help="augmented views of each page (default: 2)")
    add("--seed", type=int, default=0, metavar="N", help="another one: other pages and views (default: 0)")
    add("--image-size", type=positive, default=640, metavar="N", help="longest side of a page in pixels; "
        "with the data.image_size of a training it is what the network sees (default: 640)")  # fmt: skip
    add("--format", choices=["auto", *FORMATS], default="auto", help="the layout of PATH (default: auto)")
    options = parser.parse_args(arguments)
    output = options.output.expanduser()
    if output.suffix.lower() not in (".html", ".htm", ".png"):
        raise UserError(f"data preview: expected an .html or .png file, found {output}")
    _check_free(output)
    splits = read_pages(options.path, options.format).splits
    views = 0 if options.augment == "none" else options.views
    chosen = spread(splits, options.pages, options.seed)
    leaves = draw(chosen, options.image_size, options.augment, views, options.seed)
    if not leaves:
        raise UserError(f"not one page of {options.path} that was looked at can be decoded")
    classes = class_counts(splits)
    if output.suffix.lower() == ".png":
        info = PngInfo()
        info.add_text("Software", GENERATOR)
        file = io.BytesIO()
        sheet(leaves, list(classes)).save(file, "PNG", pnginfo=info)
        content = file.getvalue()
    else:
        what = f"{len(leaves):,} of {sum(map(len, splits.values())):,} pages, seed {options.seed}"
        if views:
            seen = "is a view" if views == 1 else f"are {views} views"
            what += f". Beside each {seen} of it as training with data.augment={options.augment} sees it"
        content = html(leaves, options.path.resolve().stem, what, classes).encode("utf-8", "replace")
    _write(output, content)
    print(f"preview: {output} ({len(leaves)} pages, {len(content) / 1e6:.1f} MB)")
    return 0


def _check_free(output: Path) -> None:
    """Refuse to write over anything but an earlier preview."""
    try:
        with output.open("rb") as file:
            ours = GENERATOR.encode() in file.read(2000)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}") from error
    if not ours:
        raise UserError(f"{output} exists and is no earlier preview: name another file, or delete it")


def _write(output: Path, content: bytes) -> None:
    try:
        with draft(output) as part:
            part.write_bytes(content)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror or error}") from error


# -- which pages -----------------------------------------------------------------------------------


def spread(splits: Mapping[str, PageTable], number: int, seed: int) -> list[tuple[str, Page]]:
    """Choose pages that show a data set's range.

    The splits take turns, and in each of them a page without boxes comes after three with boxes; among
    either kind each document has its turn before one has its second. Which pages these are is chance.

    Args:
        splits: The pages by split.
        number: How many to choose; fewer where there are fewer.
        seed: Another one chooses others.

    Returns:
        Splits and pages, in the order of their splits, documents and numbers.
    """
    rng = np.random.default_rng(seed)
    queues: dict[tuple[str, bool], deque[int]] = {}
    for split, table in splits.items():
        counts, documents = table.counts, table.documents
        for boxes in (True, False):
            rows = rng.permutation(np.flatnonzero((counts > 0) == boxes))
            rows = rows[np.argsort(_turns(documents[rows]), kind="stable")]
            queues[split, boxes] = deque(rows[:number].tolist())
    chosen: list[tuple[str, int]] = []
    for split, boxes in cycle([(split, i < 3) for i in range(4) for split in splits]):
        if len(chosen) == number or not any(queues.values()):
            break
        if queue := queues[split, boxes] or queues[split, not boxes]:
            chosen.append((split, queue.popleft()))
    order = list(splits)
    return [
        (split, splits[split][row])
        for split, row in sorted(chosen, key=lambda one: (order.index(one[0]), one[1]))
    ]


def _turns(documents: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many pages of its document come before each page, [n]."""
    order = np.argsort(documents, kind="stable")
    ordered = documents[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    turns = np.empty(len(documents), np.int64)
    turns[order] = np.arange(len(documents)) - np.repeat(starts, np.diff(starts, append=len(documents)))
    return turns


# -- what is drawn ---------------------------------------------------------------------------------


def draw(
    chosen: Sequence[tuple[str, Page]], image_size: int, preset: Preset, views: int, seed: int
) -> list[Leaf]:
    """Decode pages, and augment them as `PageDataset` does.

    Args:
        chosen: Splits and pages; those that cannot be decoded are named on stderr and left out.
        image_size: The longest side of a picture, in pixels.
        preset: What `data.augment` may be.
        views: How many augmented views of each page.
        seed: Another one gives other views.
    """
    leaves = []
    for split, page in chosen:
        try:
            # As in training: twice the size, for crops to be sharp.
            image = page.open(2 * image_size if views else image_size)
        except Exception as error:  # of Pillow and of pdfium, which have no class in common
            print(f"left out: {page.name} cannot be read: {error}", file=sys.stderr)
            continue
        boxes = page.boxes_on(image)
        drawn = [View("as it is", *_fitted(image, boxes, image_size), page.labels)]
        for i in range(views):
            rng = Random(f"{seed}/{page.name}/{i}")
            view, moved = augment(image, list(boxes), image_size, preset, rng)
            kept = [j for j, box in enumerate(moved) if in_view(box, view)]
            drawn.append(
                View(
                    f"{preset} {i + 1}",
                    view,
                    tuple(moved[j] for j in kept),
                    tuple(page.labels[j] for j in kept),
                )
            )
        leaves.append(Leaf(page.name, _facts(split, page), Counter(page.labels), tuple(drawn)))
    return leaves


def _fitted(image: Image.Image, boxes: list[Box], image_size: int) -> tuple[Image.Image, tuple[Box, ...]]:
    fitted, moved = fit_with_boxes(image, boxes, image_size)
    return fitted, tuple(moved)


def _facts(split: str, page: Page) -> str:
    width, height = (f"{side:.0f}" for side in page.size)
    unit = "pt" if page.path.suffix.lower() == ".pdf" else "px"
    of_split = "" if split == "all" else f"{split} · "
    return f"{of_split}document {page.document} · {width} x {height} {unit}"


def colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(sorted(classes))}


def sheet(leaves: Sequence[Leaf], classes: Sequence[str]) -> Image.Image:
    """All pages of a preview as one picture, RGB.

    Args:
        leaves: At least one.
        classes: All that the data set has; with several, each box is named.
    """
    colour = colours(classes)
    columns = max(1, round((1.4 * len(leaves) / len(leaves[0].views)) ** 0.5))
    return in_rows([_card(leaf, colour) for leaf in leaves], columns, GROUND)


def _card(leaf: Leaf, colour: Mapping[str, str]) -> Image.Image:
    """The views of a page side by side, under its name."""
    views = [_marked(view, colour) for view in leaf.views]
    width = sum(view.width for view in views) + 6 * (len(views) - 1)
    lines = [(leaf.name, 18), (leaf.facts, 14), (_counted(leaf.classes), 14)]
    card = Image.new("RGB", (width, 74 + max(view.height for view in views)), GROUND)
    draw = ImageDraw.Draw(card)
    for (text, size), top in zip(lines, (6, 30, 50), strict=True):
        draw.text((8, top), text, fill="#fff" if size == 18 else "#c3cad1", font=ImageFont.load_default(size))
    left = 0
    for view in views:
        card.paste(view, (left, 74))
        left += view.width + 6
    return card


def _marked(view: View, colour: Mapping[str, str]) -> Image.Image:
    image = view.image.convert("RGB")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for (x0, y0, x1, y1), label in zip(view.boxes, view.labels, strict=True):
        draw.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=colour[label], width=2)
        if len(colour) > 1:
            left, top, right, bottom = draw.textbbox((x0 + 3, y0 + 2), label, font=font)
            draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=colour[label])
            draw.text((x0 + 3, y0 + 2), label, fill="#fff", font=font)
    return image


def _counted(classes: Counter[str]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in classes.most_common()) or "no boxes"


def html(leaves: Sequence[Leaf], title: str, what: str, classes: Mapping[str, int]) -> str:
    """All pages of a preview as one HTML page that needs nothing else.

    Args:
        leaves: At least one.
        title: What the data set is called.
        what: What is shown, in words.
        classes: How many boxes of each class the data set has.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader

    # The report's own style sheet, so that both look the same.
    loaders = [PackageLoader("tablesense.data", "."), PackageLoader("tablesense.experiment", ".")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["address"] = _address
    return environment.get_template("preview.html.j2").render(
        leaves=leaves,
        title=title,
        what=what,
        classes=classes,
        colours=colours(list(classes)),
        views=len(leaves[0].views),
        generator=GENERATOR,
    )


def _address(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
