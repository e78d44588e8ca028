"""What was found on the validation pages, as files in COCO's format.

In a run's folder `evaluation/truth.json` is a COCO data set of the pages, `best.json` and `last.json` are
COCO results of the best and the last epoch, and `info.json` says which epochs these are. Any tool for COCO
can score them; `read_evaluation` brings them back together page by page.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.ops import box_convert

from tablesense.data.classes import canonical
from tablesense.data.page import Page
from tablesense.errors import UserError
from tablesense.experiment.rules import ruled
from tablesense.files import write_json

FOLDER = "evaluation"

LOWEST = 0.05
"""Finds with a lower score that do not count are not kept: they change no curve that a person looks at."""

Which = Literal["best", "last"]


@dataclass(frozen=True)
class ScoredPage:
    """A page, its tables and what was found on it.

    Attributes:
        name: Which page it is.
        size: Its width and height, the frame of all boxes.
        boxes: The tables, float64 [tables, 4] xyxy.
        labels: Their classes, [tables].
        ruled: Whether each table has ruling lines.
        found: The finds, float64 [finds, 4] xyxy, best first.
        found_labels: Their classes, [finds].
        scores: Their scores, float32 [finds], `LOWEST` to 1, or from the lowest that counts.
        found_ruled: Whether there are ruling lines in each find that counts.
        source: The data set that it comes from.
        picture: The page as an image file, where one was kept.
        fixed: Whether it is of the few pages that are shown whatever is found on them.
    """

    name: str
    size: tuple[float, float]
    boxes: Tensor
    labels: Tensor
    ruled: tuple[bool, ...]
    found: Tensor
    found_labels: Tensor
    scores: Tensor
    found_ruled: tuple[bool, ...]
    source: str = ""
    picture: Path | None = None
    fixed: bool = False


@dataclass(frozen=True)
class Finds:
    """What was found on one page in one epoch; see `ScoredPage` for the fields."""

    ruled: list[bool]
    found: list[list[float]]
    found_labels: list[int]
    scores: list[float]
    found_ruled: list[bool]


def look(
    batch: Mapping[str, Any], predictions: Sequence[Mapping[str, Tensor]], score_threshold: float
) -> dict[int, Finds]:
    """Bring what was found on a batch to the host.

    Args:
        batch: What the network saw, a `tablesense.data.batches.Batch`.
        predictions: What `TableDETRModule.postprocess` made of it, in units of the pages' sizes.
        score_threshold: The lowest score that counts.

    Returns:
        The finds of each page by its index in the data set.
    """
    pixels, masks = batch["pixel_values"].cpu(), batch["pixel_mask"].cpu()
    pages = {}
    for image, mask, target, finds, index in zip(
        pixels, masks, batch["targets"], predictions, batch["indices"], strict=True
    ):
        keep = finds["scores"] >= min(LOWEST, score_threshold)
        boxes, scores = finds["boxes"][keep].cpu(), finds["scores"][keep].cpu()
        seen = torch.tensor([int(mask[0].sum()), int(mask[:, 0].sum())])  # width, height without padding
        grey = image[:, : seen[1], : seen[0]].float().mean(0).numpy()
        truth = box_convert(target["boxes"].cpu(), "cxcywh", "xyxy") * seen.repeat(2)
        scale = (seen / target["size"].cpu()).repeat(2)
        count = int((scores >= score_threshold).sum())  # best first; the many others are not looked into
        pages[index] = Finds(
            ruled(grey, truth.tolist()),
            boxes.double().tolist(),
            finds["labels"][keep].tolist(),
            scores.tolist(),
            ruled(grey, (boxes[:count] * scale).tolist()) + [False] * (len(boxes) - count),
        )
    return pages


def write_truth(
    folder: Path,
    pages: Mapping[int, Page],
    finds: Mapping[int, Finds],
    class_names: Sequence[str],
    pictures: Mapping[int, str] | None = None,
    fixed: Sequence[int] = (),
) -> None:
    """Write the validation pages as a COCO data set, with what COCO has no word for under keys of our own.

    Args:
        folder: The run's.
        pages: The pages by their index.
        finds: What was found on them, of which the truth's `ruled` is taken.
        class_names: In the order of the labels; category ids start at 1.
        pictures: The files in the folder's `evaluation` that show a page.
        fixed: Pages that are shown whatever is found on them.
    """
    ids = {name: i + 1 for i, name in enumerate(class_names)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, page in pages.items():
        width, height = page.size
        # A name on disk need not be UTF-8; then what is read back could not be written anywhere.
        name = page.name.encode("utf-8", "replace").decode()
        image = {"id": index, "file_name": name, "width": width, "height": height, "source": page.source}
        if pictures and index in pictures:
            image["picture"] = pictures[index]
        if index in fixed:
            image["fixed"] = True
        images.append(image)
        # A table that is no longer in view has no `ruled`.
        lines = finds[index].ruled + [False] * len(page.boxes)
        for box, label, has_lines in zip(page.boxes, page.labels, lines, strict=False):
            x, y, w, h = _to_coco(box)
            annotations.append({
                "id": len(annotations) + 1,
                "image_id": index,
                "category_id": ids[canonical(label)],
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "ruled": has_lines,
            })  # fmt: skip
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_json(folder / FOLDER / "truth.json", content)


def write_results(folder: Path, which: Which, finds: Mapping[int, Finds]) -> None:
    """Write what was found as COCO results: a list of `image_id`, `category_id`, `bbox` and `score`."""
    write_json(
        folder / FOLDER / f"{which}.json",
        [
            {
                "image_id": index,
                "category_id": label + 1,
                "bbox": _to_coco(box),
                "score": score,
                "ruled": has_lines,
            }
            for index, page in finds.items()
            for box, label, score, has_lines in zip(
                page.found, page.found_labels, page.scores, page.found_ruled, strict=True
            )
        ],
    )


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write which epochs the results are of, and the thresholds: `best`, `last`, `score_threshold`, ..."""
    write_json(folder / FOLDER / "info.json", info)


def read_evaluation(folder: Path, which: Which) -> list[ScoredPage]:
    """Read back what a run found on its validation pages.

    Args:
        folder: The run's.
        which: The best epoch or the last.

    Raises:
        UserError: The files are not there or cannot be read.
    """
    place = folder / FOLDER
    try:
        truth = json.loads((place / "truth.json").read_text(encoding="utf-8"))
        results = json.loads((place / f"{which}.json").read_text(encoding="utf-8"))
        tables, finds = defaultdict(list), defaultdict(list)
        for annotation in truth["annotations"]:
            tables[annotation["image_id"]].append(annotation)
        for result in results:
            finds[result["image_id"]].append(result)
        return [_page(image, tables[image["id"]], finds[image["id"]], place) for image in truth["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place}: what the run found cannot be read: {error}") from error


def _page(
    image: Mapping[str, Any], tables: list[dict[str, Any]], finds: list[dict[str, Any]], place: Path
) -> ScoredPage:
    finds = sorted(finds, key=lambda find: -find["score"])
    picture = place / image["picture"] if "picture" in image else None
    return ScoredPage(
        name=image["file_name"],
        size=(image["width"], image["height"]),
        boxes=_from_coco(tables),
        labels=torch.tensor([table["category_id"] - 1 for table in tables], dtype=torch.long),
        ruled=tuple(bool(table.get("ruled")) for table in tables),
        found=_from_coco(finds),
        found_labels=torch.tensor([find["category_id"] - 1 for find in finds], dtype=torch.long),
        scores=torch.tensor([find["score"] for find in finds], dtype=torch.float),
        found_ruled=tuple(bool(find.get("ruled")) for find in finds),
        source=image.get("source", ""),
        picture=picture if picture and picture.is_file() else None,
        fixed=bool(image.get("fixed")),
    )


def _to_coco(box: Sequence[float]) -> list[float]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]


def _from_coco(entries: Sequence[Mapping[str, Any]]) -> Tensor:
    boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.double).reshape(-1, 4)
    converted: Tensor = box_convert(boxes, "xywh", "xyxy")
    return converted
