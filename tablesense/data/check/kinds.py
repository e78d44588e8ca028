"""What can be wrong with a data set: what it does to a training, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        severity: An "error" makes a training stop, or its boxes or scores wrong; a "warning" may be right.
        unit: What is counted, in the plural; "" where the fault is one of the whole data set.
        effect: What happens in a training.
        remedy: What a person can do.
        words: What stands behind the count and its unit; "" for the fault's own name.
    """

    severity: Severity
    unit: str
    effect: str
    remedy: str
    words: str = ""


# The faults that the check itself finds, by names that follow a count: "3 pages whose image is missing".
REFUSED = "the data set cannot be read"
NO_TRAIN = "no pages to train on"
NO_BOXES = "no table on the pages to train on"
NO_VAL_BOXES = "no table on the pages to validate on"
ONE_DOCUMENT = "no pages to validate on: all are of one document"
ONE_SIDED = "no table on the pages to train on, or on those held back to validate on"
MISSING = "whose image is missing"
UNREADABLE = "whose image cannot be read"
MISFIT = "not fitting the page"
SWAPPED = "whose image has width and height exchanged"
RESHAPED = "whose image has another shape than annotated"
LEAKED = "found in an earlier split as well"
SHARED_FILES = "named in two splits"
SHARED_DOCUMENTS = "with pages in two splits"
SCALED = "whose image was scaled after it was annotated"
SIDEWAYS = "annotated as the image is stored, on its side"
UPRIGHTED = "turned upright by the image's EXIF tag"
REPEATED = "met twice in a split"
TWINS = "lying on another of their class"
NESTED = "inside a larger one"
WHOLE_PAGE = "covering the whole page"
TINY = "too small to be seen"
CROWDED = "with very many tables"
UNSPLIT = "of no split, beside those that have one"

_STOPS = "Training stops at once."
_STOPS_LATER = "Training stops when it comes to the first of them."
_SHIFTED = "Boxes are stretched to the image's shape and lie in wrong places."
_TOO_GOOD = "What is trained on is scored as well, so scores come out too high."

KINDS: dict[str, Kind] = {
    REFUSED: Kind("error", "", _STOPS, "Put it right, then check again."),
    NO_TRAIN: Kind(
        "error", "", _STOPS, "Call one of the splits train, or use these pages as data.test_path."
    ),
    NO_BOXES: Kind("error", "", _STOPS, "Add annotations, or name the classes to find in data.class_names."),
    NO_VAL_BOXES: Kind("error", "", _STOPS, "Give other pages to validate on as data.val_path."),
    ONE_DOCUMENT: Kind(
        "error",
        "",
        "Training stops at once, as a document is never divided.",
        "Give data.val_path, or names to the images that tell documents apart.",
    ),
    ONE_SIDED: Kind(
        "error",
        "",
        _STOPS,
        "Give data.val_path, or another data.split_seed, which holds other documents back.",
    ),
    MISSING: Kind(
        "error", "pages", _STOPS_LATER, "Put the images back, or take the pages out of the annotations."
    ),
    UNREADABLE: Kind(
        "error", "pages", _STOPS_LATER, "Get the files anew, or take the pages out of the annotations."
    ),
    MISFIT: Kind(
        "error",
        "boxes",
        "Left out or cut, and the other boxes are probably wrong too.",
        "See whether they are written in the order (x, y, width, height or two corners), the unit (pixels or "
        "shares of the page) and for the image size that the format asks for.",
    ),
    SWAPPED: Kind("error", "pages", _SHIFTED, "Turn these images back, or write size and boxes anew."),
    RESHAPED: Kind(
        "error", "pages", _SHIFTED, "Use the images that were annotated, or write size and boxes anew."
    ),
    SHARED_FILES: Kind("error", "pages", _TOO_GOOD, "Name each image in one split only."),
    LEAKED: Kind("error", "pages", _TOO_GOOD, "Remove one of each pair."),
    SHARED_DOCUMENTS: Kind(
        "error",
        "documents",
        "Pages of one document look alike, so scores come out too high.",
        "Move all pages of a document into one split. Documents are told by the names of the images unless "
        "the annotations have them: if these are none, name the right ones there.",
    ),
    SCALED: Kind(
        "warning",
        "pages",
        "Boxes are scaled along, from the annotated size to the image's.",
        "Right if they were drawn at the annotated size: see with tablesense data preview.",
    ),
    UPRIGHTED: Kind(
        "warning",
        "pages",
        "Boxes are taken to be those of the upright page.",
        "See whether they are with tablesense data preview.",
    ),
    SIDEWAYS: Kind(
        "warning",
        "pages",
        "Shown as they are stored, against their EXIF tag, so that their boxes fit.",
        "Better turn image and boxes upright, for text lies on its side.",
    ),
    UNSPLIT: Kind("warning", "pages", "Not used.", "Name a split for them, or none for any page."),
    REPEATED: Kind(
        "warning",
        "pages",
        "Count twice; without a val split, one may be trained on and the other held back.",
        "Remove one of each pair.",
    ),
    "not finite": Kind(
        "warning", "boxes", "Left out.", "Correct their corners.", "with corners that are no numbers"
    ),
    "zero area": Kind("warning", "boxes", "Left out.", "Correct or remove them.", "without an area"),
    "outside the page": Kind(
        "warning",
        "boxes",
        "Left out.",
        "Correct or remove them; see whether image and annotation belong together.",
        "outside the page",
    ),
    "less than a pixel on the page": Kind(
        "warning",
        "boxes",
        "Left out.",
        "See whether the numbers are pixels: fractions of the page are not.",
        "less than a pixel wide or high on their page",
    ),
    "partly outside the page, clipped": Kind(
        "warning",
        "boxes",
        "Cut at the edge of the page.",
        "See whether what is left is the table.",
        "partly outside the page",
    ),
    "crowd": Kind(
        "warning",
        "boxes",
        "Left out, as a crowd is many objects at once.",
        "Draw a box around each table.",
        "marked as a crowd",
    ),
    TWINS: Kind(
        "warning", "boxes", "Count twice, and only one of two can be found.", "Remove one of each pair."
    ),
    WHOLE_PAGE: Kind(
        "warning",
        "boxes",
        "Trained on as they are.",
        "See whether the page is all table, or the box says that nobody drew one.",
    ),
    TINY: Kind(
        "warning",
        "boxes",
        "Trained on, though hardly anything is left of them at the network's size.",
        "Take a larger data.image_size, or remove them.",
    ),
    CROWDED: Kind(
        "warning",
        "pages",
        "Tables beyond model.detr.num_queries are never found.",
        "See whether all are tables; if so, raise model.detr.num_queries.",
    ),
    NESTED: Kind(
        "warning", "boxes", "Both are trained on and scored.", "Remove those that should not be found."
    ),
}

_BY_READER = Kind(
    "warning", "", "They are not in the training.", "See whether they are meant to be left out."
)


def kind_of(fault: str) -> Kind:
    """The kind of a fault; readers have names of their own for what they leave out."""
    return KINDS.get(fault, _BY_READER)


def headline(fault: str, count: int) -> str:
    """A fault with its count: "1 page whose image is missing"."""
    kind = kind_of(fault)
    if kind.unit:
        return f"{count:,} {kind.unit if count != 1 else _one(kind.unit)} {kind.words or fault}"
    return fault if fault in KINDS else f"{count:,} left out: {fault}"


def worst_first(counts: Mapping[str, int]) -> list[str]:
    """The faults that were met: errors before warnings, in the order of `KINDS`."""
    order = {fault: i for i, fault in enumerate(KINDS)}
    met = [fault for fault, count in counts.items() if count]
    return sorted(
        met, key=lambda fault: (kind_of(fault).severity, order.get(fault, len(order)), -counts[fault])
    )


def _one(units: str) -> str:
    return "box" if units == "boxes" else units.removesuffix("s")
