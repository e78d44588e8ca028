"""From a data set on disk to batches: splits, classes, padding, chance, processes, and what is refused."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.trainer.states import RunningStage
from PIL import Image, ImageDraw
from torchvision.ops import box_convert

from tablesense import SyntheticConfig, TableDataModule, UserError
from tablesense.data.batches import Batch, PageDataset, Sample, collate
from tablesense.data.page import Page
from tablesense.data.reading import read_pages
from tablesense.data.sampling import Draw, EvaluationOrder, Stratum, TrainingLoader, TrainingOrder
from tablesense.data.sources import SourceConfig

SIZE = (120, 160)
SLOTS = ((40, 10, 80, 30), (40, 70, 80, 90), (40, 130, 80, 150))
"""Where the first, second and third box of a page lie."""

Pages = dict[str, Sequence[str]]
"""Names of image files, each with the classes of its boxes."""


def write_pages(root: Path, **splits: Pages) -> Path:
    """A COCO data set with a file and a folder of images for each split; "all" is none."""
    for split, pages in splits.items():
        classes = sorted({label for labels in pages.values() for label in labels})
        content: dict[str, list[dict[str, Any]]] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": 7 + i, "name": name} for i, name in enumerate(classes)],
        }
        folder = root / ("images" if split == "all" else split)
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, labels) in enumerate(pages.items()):
            image = Image.new("L", SIZE, 255)
            content["images"].append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            for label, (x0, y0, x1, y1) in zip(labels, SLOTS, strict=False):
                # The first class is black, the others lighter by 80 each.
                ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill=80 * classes.index(label))
                content["annotations"].append({
                    "id": len(content["annotations"]),
                    "image_id": number,
                    "category_id": 7 + classes.index(label),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                })  # fmt: skip
            image.save(folder / name)
        (root / f"{'annotations' if split == 'all' else split}.json").write_text(json.dumps(content))
    return root


def tables(*documents: str, pages: int = 2) -> Pages:
    """Pages with one table each."""
    return {f"{document}_{page}.png": ["table"] for document in documents for page in range(pages)}


def build(path: Path | None, **options: Any) -> TableDataModule:
    return TableDataModule(path, **{"image_size": 96, "batch_size": 4, "num_workers": 0, **options})


def names(pages: Sequence[Page]) -> list[str]:
    return [page.name for page in pages]


def message(action: Callable[[], object]) -> str:
    """The one line of the error that a person meets."""
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sample(width: int, height: int) -> Sample:
    """A white page whose one box is its middle 80%."""
    return {
        "image": torch.full((3, height, width), 255, dtype=torch.uint8),
        "boxes": torch.tensor([[0.5, 0.5, 0.8, 0.8]]),
        "labels": torch.tensor([0]),
        "size": (width, height),
        "name": f"{width}x{height}",
        "index": width,
        "source": "mine",
    }


# -- batches ----------------------------------------------------------------------------------------


def test_pages_are_padded_with_zeros_and_masked() -> None:
    batch = collate([sample(70, 50), sample(40, 65), sample(96, 1)])
    pixels, mask = batch["pixel_values"], batch["pixel_mask"]
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (3, 3, 96, 96))
    assert (mask.dtype, mask.shape) == (torch.bool, (3, 96, 96))
    for i, (width, height) in enumerate(((70, 50), (40, 65), (96, 1))):
        assert mask[i, :height, :width].all()
        assert mask[i].sum() == width * height
    assert (pixels == 255 * mask[:, None]).all()
    assert batch["names"] == ["70x50", "40x65", "96x1"]
    assert batch["indices"] == [70, 40, 96]


@pytest.mark.parametrize("width", [1, 31, 32, 33, 64, 65])
def test_the_sides_of_a_batch_are_multiples_of_32(width: int) -> None:
    assert collate([sample(width, 40)])["pixel_values"].shape == (1, 3, 64, -(-width // 32) * 32)


def write_page(path: Path, size: tuple[int, int]) -> Page:
    """A page whose one box is its middle 80%."""
    Image.new("L", size, 255).save(path)
    width, height = size
    box = (0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)
    return Page(path, path.stem, size, (box,), ("table",))


def test_boxes_are_relative_to_the_page_not_to_the_padding(tmp_path: Path) -> None:
    wide, high = (write_page(tmp_path / f"{w}.png", (w, h)) for w, h in ((1000, 800), (800, 1200)))
    dataset = PageDataset([wide, high], ["table"], 320, "none")
    alone, together = collate([dataset[0]]), collate([dataset[0], dataset[1]])
    assert alone["pixel_values"].shape == (1, 3, 256, 320)
    assert together["pixel_values"].shape == (2, 3, 320, 320)
    for batch in (alone, together):
        assert batch["targets"][0]["boxes"].tolist() == [pytest.approx([0.5, 0.5, 0.8, 0.8])]
        assert batch["targets"][0]["size"].tolist() == [1000, 800]
    assert together["targets"][1]["size"].dtype == torch.float


def test_labels_follow_their_boxes_when_a_crop_leaves_tables_out(tmp_path: Path) -> None:
    # A box's shape says which it is: one, two or three times as wide as high.
    boxes = ((10.0, 70.0, 50.0, 90.0), (10.0, 10.0, 30.0, 30.0), (10.0, 130.0, 70.0, 150.0))
    labels = ("table rotated", "table", "figure")
    Image.new("L", SIZE, 255).save(tmp_path / "a.png")
    page = Page(tmp_path / "a.png", "a", SIZE, boxes, labels)
    dataset = PageDataset([page], ["table", "table rotated", "figure"], 160, "light")
    seen: set[tuple[int, ...]] = set()
    seeds = Random(0)
    for _ in range(600):
        drawn = dataset[Draw(0, seeds.getrandbits(62))]
        height, width = drawn["image"].shape[1:]
        shapes = drawn["boxes"][:, 2] * width / (drawn["boxes"][:, 3] * height)
        assert drawn["labels"].tolist() == [round(float(shape)) - 1 for shape in shapes]
        seen.add(tuple(drawn["labels"].tolist()))
    assert seen >= {(1, 0, 2), (1, 0), (1, 2), (1,), ()}


def test_boxes_stay_on_the_page_and_have_an_area(tmp_path: Path) -> None:
    boxes = tuple((float(x), 0.0, x + 20.0, 160.0) for x in range(0, 120, 20))
    Image.new("L", (120, 160), 255).save(tmp_path / "a.png")
    dataset = PageDataset(
        [Page(tmp_path / "a.png", "a", (120, 160), boxes, ("table",) * 6)], ["table"], 160, "scan"
    )
    for seed in range(200):
        corners = box_convert(dataset[Draw(0, seed)]["boxes"], "cxcywh", "xyxy")
        assert len(corners) >= 1
        assert corners.min() > -1e-6
        assert corners.max() < 1 + 1e-6
        assert (corners[:, 2:] - corners[:, :2]).min() > 0.05


def test_a_mosaic_has_the_tables_of_several_pages(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables(*"abcdef"), val=tables("v"))
    seen = {
        mosaic: [
            len(target["boxes"])
            for batch in build(tmp_path, augment="none", mosaic=mosaic).train_dataloader()
            for target in batch["targets"]
        ]
        for mosaic in (0.0, 1.0)
    }
    assert set(seen[0.0]) == {1}
    assert min(seen[1.0]) >= 2


def test_a_mosaic_takes_pages_as_the_weights_say(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a", "b"))
    pages = read_pages(tmp_path).splits["train"]
    few, many = Stratum(np.array([0]), 3.0), Stratum(np.arange(1, len(pages)), 1.0)
    dataset = PageDataset(pages, ["table"], 64, "none", 1.0, [few, many])
    rng = Random(1)
    assert 650 < sum(dataset._another(rng) == 0 for _ in range(1000)) < 850


# -- in which order -----------------------------------------------------------------------------------


def whole(count: int) -> list[Stratum]:
    return [Stratum(np.arange(count), 1.0)]


def batches_of(order: TrainingOrder) -> list[list[int]]:
    drawn = [draw.page for draw in order]
    return [drawn[i : i + order.batch_size] for i in range(0, len(drawn), order.batch_size)]


def test_each_page_comes_once_in_batches_of_one_orientation() -> None:
    rng = Random(5)
    for seed in range(300):
        count, size = rng.randint(1, 40), rng.randint(1, 9)
        landscape = np.array([rng.random() < 0.3 for _ in range(count)])
        order = TrainingOrder(whole(count), landscape, size, seed)
        batches = batches_of(order)
        assert sorted(i for batch in batches for i in batch) == list(range(count))
        assert len(order) == count
        mixed = sum(len({bool(landscape[i]) for i in batch}) == 2 for batch in batches)
        rare = min(landscape.sum(), count - landscape.sum())
        assert mixed <= (1 if 3 * rare * size >= count else rare)


@pytest.mark.parametrize(("rare", "size"), [(3, 4), (30, 4), (15, 16)])
def test_a_shortened_epoch_sees_its_share_of_a_rare_orientation(rare: int, size: int) -> None:
    landscape = np.arange(3000) < rare
    order = TrainingOrder(whole(3000), landscape, size, 1)
    seen = 0
    for epoch in range(100):
        order.set_epoch(epoch)
        seen += sum(landscape[draw.page] for draw in islice(order, 512))
    share = 100 * 512 / 3000 * rare
    assert abs(seen - share) < 4 * share**0.5


def test_the_order_follows_from_seed_and_epoch() -> None:
    order = TrainingOrder(whole(30), np.zeros(30, bool), 4, 1)
    first = list(order)
    assert list(order) == first
    order.set_epoch(1)
    assert list(order) != first
    assert list(TrainingOrder(whole(30), np.zeros(30, bool), 4, 2)) != first
    assert len({draw.seed for draw in first} | {draw.seed for draw in order}) == 60


def test_weights_are_shares_of_an_epoch_and_no_page_repeats_before_all_were_seen() -> None:
    few, many = Stratum(np.arange(4), 3.0), Stratum(np.arange(4, 24), 1.0)
    drawn = Counter(draw.page for draw in TrainingOrder([few, many], np.zeros(24, bool), 4, 1))
    assert drawn.total() == 24
    assert sum(drawn[i] for i in few.indices) == 18
    assert {drawn[i] for i in few.indices} == {4, 5}
    assert max(drawn[i] for i in many.indices) == 1


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9])
def test_processes_share_an_epoch(count: int) -> None:
    orders = [TrainingOrder(whole(count), np.zeros(count, bool), 2, 1, rank, 3) for rank in range(3)]
    seen = [[draw.page for draw in order] for order in orders]
    assert {len(pages) for pages in seen} == {-(-count // 3)}
    assert {i for pages in seen for i in pages} == set(range(count))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_processes_score_each_page_once(count: int) -> None:
    shares = [list(EvaluationOrder(np.arange(count)[::-1], rank, 3)) for rank in range(3)]
    assert all(shares)
    seen = [i for share in shares for i in share]
    assert set(seen) == set(range(count))
    assert len(seen) == max(count, 3)


def test_the_trainer_leaves_the_order_to_its_process(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a", "b", "c"), val=tables("v"))
    data = build(tmp_path, batch_size=4)
    data.trainer = trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False, barebones=True
    )
    assert trainer.world_size == 2
    loader = data.train_dataloader()
    assert trainer._data_connector._prepare_dataloader(loader, True, RunningStage.TRAINING) is loader
    assert [len(batch["names"]) for batch in loader] == [3]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(tmp_path: Path, workers: int) -> None:
    write_pages(tmp_path, train=tables(*"abcdef"), val=tables("v"))

    def loader() -> TrainingLoader:
        made = build(tmp_path, batch_size=2, num_workers=workers).train_dataloader()
        assert isinstance(made, TrainingLoader)
        return made

    straight = loader()
    expected = [batch["pixel_values"] for _ in range(2) for batch in straight]
    broken_off = loader()
    epoch = iter(broken_off)
    begun = [next(epoch)["pixel_values"] for _ in range(2)]
    resumed = loader()
    resumed.load_state_dict(broken_off.state_dict())
    begun += [batch["pixel_values"] for _ in range(2) for batch in resumed]
    assert len(begun) == len(expected) == 12
    assert all(one.equal(other) for one, other in zip(begun, expected, strict=True))


# -- which pages ------------------------------------------------------------------------------------


def test_synthetic_pages_are_the_default(tmp_path: Path) -> None:
    data = build(None, batch_size=3, synthetic=SyntheticConfig(pages=6, val_pages=3, cache_dir=tmp_path))
    data.prepare_data()
    assert data.class_names == ("table",)
    assert (len(data.train_pages), len(data.val_pages)) == (6, 3)
    assert data.test_pages == data.val_pages
    (train, rest), (val,) = data.train_dataloader(), data.val_dataloader()
    assert len({*train["names"], *rest["names"]}) == 6
    assert sorted(val["names"]) == sorted(names(data.val_pages))
    assert train["pixel_values"].dtype == torch.uint8
    assert max(train["pixel_values"].shape[2:]) <= 96


def test_a_preview_shows_pages_beside_what_the_network_sees(tmp_path: Path) -> None:
    write_pages(tmp_path, train={"a.png": ["table"], "b.png": ["table"]}, val={"c.png": ["table"]})
    data = build(tmp_path)
    one, both = data.preview(1), data.preview()
    assert one.mode == "RGB"
    assert one.width < both.width or one.height < both.height
    assert data.preview(1).tobytes() == one.tobytes() != data.preview(1, seed=1).tobytes()
    plain = build(tmp_path, augment="none").preview(1)
    assert plain.width < one.width


def test_hard_synthetic_pages_have_turned_tables_too(tmp_path: Path) -> None:
    made = SyntheticConfig(pages=24, val_pages=4, cache_dir=tmp_path, difficulty="hard")
    data = build(None, synthetic=made)
    assert data.class_names == ("table", "table rotated")
    found = {label for page in data.train_pages for label in page.labels}
    assert found == {"table", "table rotated"}


def test_a_data_set_brings_its_own_splits(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a", "b"), val=tables("c"), test=tables("d"))
    data = build(tmp_path)
    assert names(data.train_pages) == ["a_0.png", "a_1.png", "b_0.png", "b_1.png"]
    assert names(data.val_pages) == ["c_0.png", "c_1.png"]
    assert names(data.test_pages) == ["d_0.png", "d_1.png"]


def test_whole_documents_are_held_back_where_there_is_no_val_split(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables(*"abcdefghij", pages=3), test=tables("z"))
    held = {}
    for seed in (0, 1):
        data = build(tmp_path, val_fraction=0.2, split_seed=seed)
        train, val = ({page.document for page in pages} for pages in (data.train_pages, data.val_pages))
        assert train | val == set("abcdefghij")
        assert not train & val
        assert (len(data.train_pages), len(data.val_pages)) == (24, 6)
        assert names(data.test_pages) == ["z_0.png", "z_1.png"]
        held[seed] = val
    assert held[0] != held[1]


def test_without_a_test_split_what_is_validated_on_is_tested(tmp_path: Path) -> None:
    write_pages(tmp_path / "one", train=tables("a", "b"))
    write_pages(tmp_path / "other", train=tables("c"))
    assert names(build(tmp_path / "one").test_pages) == names(build(tmp_path / "one").val_pages)
    data = build(tmp_path / "one", val_path=tmp_path / "other")
    assert names(data.test_pages) == ["c_0.png", "c_1.png"]


def test_other_data_sets_to_validate_and_test_on(tmp_path: Path) -> None:
    write_pages(tmp_path / "one", train=tables("a", "b"))
    write_pages(tmp_path / "two", val=tables("c"), train=tables("d"))
    write_pages(tmp_path / "three", all=tables("e"))
    data = build(tmp_path / "one", val_path=tmp_path / "two", test_path=tmp_path / "three")
    assert len(data.train_pages) == 4  # nothing is held back
    assert names(data.val_pages) == ["c_0.png", "c_1.png"]
    assert names(data.test_pages) == ["e_0.png", "e_1.png"]


def test_validating_needs_no_training_pages(tmp_path: Path) -> None:
    write_pages(tmp_path, val=tables("a"), test=tables("b"))
    assert names(build(tmp_path).val_pages) == ["a_0.png", "a_1.png"]
    assert names(build(tmp_path).test_pages) == ["b_0.png", "b_1.png"]
    assert message(lambda: build(tmp_path).train_pages) == (
        f"data.path: expected train pages in {tmp_path}, found only val, test pages: give a train split"
    )
    only_test = tmp_path / "test.json"
    assert names(build(only_test).test_pages) == ["b_0.png", "b_1.png"]
    assert message(lambda: build(only_test).val_pages) == (
        f"data.path: expected val pages in {only_test}, found only test pages: give data.val_path"
    )


class Counts(LightningModule):
    """Counts the pages it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen += batch["names"]

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen += batch["names"]


@pytest.mark.parametrize(
    ("verb", "key"), [("validate", "val_path"), ("test", "val_path"), ("test", "test_path")]
)
def test_no_synthetic_pages_are_made_to_score_other_pages(tmp_path: Path, verb: str, key: str) -> None:
    write_pages(tmp_path / "pages", val=tables("a"))
    cache = tmp_path / "cache"
    data = build(
        None, **{key: tmp_path / "pages"}, synthetic=SyntheticConfig(pages=1, val_pages=1, cache_dir=cache)
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    model = Counts()
    getattr(trainer, verb)(model, datamodule=data, verbose=False)
    assert sorted(model.seen) == ["a_0.png", "a_1.png"]
    assert not cache.exists()


# -- several data sets -------------------------------------------------------------------------------


def source(path: Path, **options: Any) -> SourceConfig:
    return SourceConfig(path, **options)


def test_sources_are_trained_and_validated_on_together(tmp_path: Path) -> None:
    write_pages(tmp_path / "one", train=tables("a", "b"), val=tables("v"), test=tables("t"))
    write_pages(tmp_path / "two", all=tables("c", "d", "e"))
    write_pages(tmp_path / "three", train=tables("f"), val=tables("w"))
    data = build(
        None,
        sources=[
            source(tmp_path / "one"),
            source(tmp_path / "two", name="second", role="train"),
            source(tmp_path / "three", role="val"),
        ],
    )
    assert {name[0] for name in names(data.train_pages)} == set("abcde")
    assert {name[0] for name in names(data.val_pages)} == {"v", "w"}
    assert {name[0] for name in names(data.test_pages)} == {"t"}
    assert data.train_pages.sources == ("one", "second")
    (batch,) = data.val_dataloader()
    assert sorted(batch["sources"]) == ["one", "one", "three", "three"]


def test_synthetic_pages_mix_in_like_any_other_source(tmp_path: Path) -> None:
    write_pages(tmp_path / "real", train=tables("a", "b"), val=tables("v"))
    made = SyntheticConfig(pages=6, val_pages=1, cache_dir=tmp_path)
    data = build(
        None,
        sources=[source(tmp_path / "real", weight=3.0), SourceConfig(weight=1.0)],
        synthetic=made,
        batch_size=10,
        augment="none",
    )
    (batch,) = data.train_dataloader()
    assert Counter(batch["sources"]) == {"real": 8, "synthetic": 2}


@pytest.mark.parametrize(("ratio", "empty"), [(0.0, 0), (0.5, 5), (1.0, 10), (None, 2)])
def test_the_share_of_pages_without_tables(tmp_path: Path, ratio: float | None, empty: int) -> None:
    pages = {**tables("a", pages=8), "b_0.png": [], "b_1.png": []}
    write_pages(tmp_path / "mine", train=pages, val=tables("v"))
    data = build(
        None, sources=[source(tmp_path / "mine", without_tables=ratio)], batch_size=10, augment="none"
    )
    (batch,) = data.train_dataloader()
    assert sum(not len(target["boxes"]) for target in batch["targets"]) == empty


def test_classes_are_renamed_by_source(tmp_path: Path) -> None:
    write_pages(tmp_path / "one", train={"a_0.png": ["Tabelle", "Bild"]}, val={"v_0.png": ["Tabelle"]})
    write_pages(tmp_path / "two", train={"b_0.png": ["bordered", "logo"]}, val={"w_0.png": ["bordered"]})
    data = build(
        None,
        sources=[
            source(tmp_path / "one", class_map={"tabelle": "table"}),
            source(tmp_path / "two", class_map={"bordered": "table", "logo": None}),
        ],
    )
    assert data.class_names == ("table",)
    assert [page.labels for page in data.train_pages] == [("table",), ("table",)]


def test_unknown_classes_can_be_refused(tmp_path: Path) -> None:
    write_pages(tmp_path, train={"a_1.png": ["Text", "Table"]}, val={"c_1.png": ["Table"]})
    data = build(tmp_path, unknown_classes="refuse")
    assert message(lambda: data.train_pages) == (
        "data.path: train pages have boxes of classes that are not looked for: 1 text: name them in "
        "data.class_map or data.class_names, or set data.unknown_classes=ignore"
    )
    assert len(build(tmp_path, unknown_classes="refuse", class_map={"text": None}).train_pages) == 1


def test_a_source_without_pages_to_train_on_is_named(tmp_path: Path) -> None:
    one = write_pages(tmp_path / "one", train=tables("a", "b"), val=tables("v"))
    two = write_pages(tmp_path / "two", test=tables("t"))
    data = build(None, sources=[source(one), source(two)])
    assert message(lambda: data.train_pages) == (
        "data.sources: two has no train pages: give its role as val, or leave it out"
    )


def test_sources_to_train_on_alone_are_validated_elsewhere(tmp_path: Path) -> None:
    one = write_pages(tmp_path / "one", train=tables("a", "b"))
    other = write_pages(tmp_path / "other", val=tables("v"))
    data = build(None, sources=[source(one, role="train")], val_path=other)
    assert (len(data.train_pages), len(data.val_pages)) == (4, 2)


def test_images_without_annotations_are_no_source(tmp_path: Path) -> None:
    one = write_pages(tmp_path / "one", train=tables("a", "b"), val=tables("v"))
    data = build(None, sources=[source(one), source(one / "val", name="bare", format="images", role="train")])
    assert message(lambda: data.train_pages) == (
        f"data.sources: {one / 'val'} is read as images, which have no annotations to learn from or to score"
    )


def test_it_is_said_when_one_document_is_most_of_what_is_held_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pages(tmp_path, train={**tables("a", pages=6), **tables("b", pages=4)})
    data = build(tmp_path)
    assert (len(data.train_pages), len(data.val_pages)) == (6, 4)
    assert caplog.messages == [
        f"{tmp_path}: 40 % of the pages are held back, not 10 %, for documents are not divided: "
        "data.val_path gives others"
    ]


def test_pages_that_are_trained_on_are_not_validated_on_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = write_pages(tmp_path / "one", train=tables(*"abcde"))
    (tmp_path / "link").symlink_to(one)
    for role in ("train", "both"):
        again = source(tmp_path / "link", name="again", role="val")
        data = build(None, sources=[source(one, role=role), again])
        assert message(lambda data=data: data.val_pages) == (  # type: ignore[misc]
            f"data.sources: {tmp_path / 'link'} is trained on and has no val split: give it once, with the "
            "role both, and documents are held back"
        )
    assert not caplog.messages
    assert len(build(one, val_path=one, augment="none").val_pages) == 10  # as one who wants it may have it
    assert caplog.messages == [
        f"data.val_path: {one} is trained on and has no val split: scores come out too high"
    ]
    write_pages(one, val=tables("v"))
    data = build(None, sources=[source(one, role="train"), source(one, name="again", role="val")])
    assert names(data.val_pages) == ["v_0.png", "v_1.png"]


def test_pages_of_no_split_beside_those_of_train_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pages(tmp_path, train=tables("a", "b"), val=tables("c"))
    write_pages(tmp_path / "train", all=tables("d"))
    for name in ("d_0.png", "d_1.png"):
        (tmp_path / "train" / "images" / name).rename(tmp_path / "train" / name)
    (tmp_path / "train" / "annotations.json").rename(tmp_path / "train_val.json")
    data = build(tmp_path)
    assert (len(data.train_pages), len(data.val_pages)) == (4, 2)
    assert data.dropped == {"page of no split, beside those of train": 2}
    assert caplog.messages == [f"{tmp_path}: 2 pages of no split are not used beside those of train"]


def test_sources_that_cannot_be_mixed_are_refused(tmp_path: Path) -> None:
    one = write_pages(tmp_path / "one", train=tables("a", "b"), val=tables("v"))
    assert message(lambda: build(one, sources=[source(one)])) == (
        f"data.path is {one}, and data.sources is given: put it among the sources"
    )
    assert message(lambda: build(None, sources=[source(one), source(one)])) == (
        "data.sources: two are called one: give each a name of its own"
    )
    uneven = build(None, sources=[source(one, weight=1.0), source(one, name="again")])
    assert message(lambda: uneven.train_pages) == (
        "data.sources: again has no weight and others have: give one to each, or to none"
    )
    full = build(None, sources=[source(one, without_tables=0.5)])
    assert message(lambda: full.train_pages) == (
        "data.sources: one: without_tables is 0.5, and it has no page without a table"
    )
    assert message(lambda: build(None, sources=[source(one, role="val")])) == (
        "data.sources: expected one or more to train on, found none"
    )
    assert message(lambda: build(None, sources=[source(one, weight=0.0)])) == (
        "data.sources: one: expected a weight above 0, found 0.0"
    )


# -- which classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "given", "expected"),
    [
        (["table"], None, ("table",)),
        (["Text", "Table", "Figure"], None, ("table",)),
        (["Table_Rotated", "table", "list"], None, ("table", "table rotated")),
        (["borderless", "bordered"], None, ("bordered", "borderless")),
        (["table", "table row", "Table-Caption"], None, ("table",)),
        (["Text", "Table", "Figure"], ["figure", "TABLE"], ("figure", "table")),
        (["table-rotated", "table"], ["Table Rotated", "table_rotated"], ("table rotated",)),
    ],
)
def test_the_classes_to_find(
    tmp_path: Path, found: list[str], given: list[str] | None, expected: tuple[str, ...]
) -> None:
    write_pages(tmp_path, train={"a_1.png": found, "b_1.png": found}, val={"c_1.png": found})
    data = build(tmp_path, class_names=given, augment="none")
    assert data.class_names == expected
    (batch,) = data.val_dataloader()
    labels = batch["targets"][0]["labels"].tolist()
    wanted = [" ".join(name.lower().replace("_", " ").replace("-", " ").split()) for name in found]
    assert labels == [expected.index(name) for name in wanted if name in expected]


def test_classes_that_are_not_looked_for_are_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pages(
        tmp_path,
        train={"a_1.png": ["Text", "Table", "Text"], "b_1.png": ["Figure"]},
        val={"c_1.png": ["Table"]},
    )
    data = build(tmp_path)
    for _ in range(2):
        assert [len(page.boxes) for page in data.train_pages] == [1, 0]
        list(data.train_dataloader())
        list(data.val_dataloader())
    assert caplog.messages == ["train pages: boxes of classes that are not looked for: 2 text, 1 figure"]


def test_boxes_left_out_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two"):
        write_pages(tmp_path / name, train=tables("a", "b"))
        file = tmp_path / name / "train.json"
        content = json.loads(file.read_text())
        content["annotations"][0]["bbox"] = [10, 10, 0, 5]
        content["annotations"][1]["iscrowd"] = 1
        file.write_text(json.dumps(content))
    data = build(tmp_path / "one", val_path=tmp_path / "two")
    for _ in range(2):
        list(data.train_dataloader())
        list(data.val_dataloader())
        list(data.test_dataloader())
    reports = [f"{tmp_path / name}: left out or changed: 1 crowd; 1 zero area" for name in ("one", "two")]
    assert caplog.messages == reports
    assert all(record.levelno == logging.WARNING for record in caplog.records)


# -- chance -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_seed_gives_the_same_batches_and_every_epoch_others(tmp_path: Path, workers: int) -> None:
    write_pages(tmp_path, train=tables("a", "b", "c"), val=tables("v"))

    def epochs() -> list[list[Batch]]:
        seed_everything(3, verbose=False)
        loader = build(tmp_path, num_workers=workers, batch_size=3).train_dataloader()
        return [list(loader) for _ in range(2)]

    once, again = epochs(), epochs()
    for first, second in zip(once[0] + once[1], again[0] + again[1], strict=True):
        assert first["names"] == second["names"]
        assert first["pixel_values"].equal(second["pixel_values"])
    assert [batch["names"] for batch in once[0]] != [batch["names"] for batch in once[1]]
    views: dict[str, list[torch.Tensor]] = {}
    for batch in once[0] + once[1]:
        for name, pixels in zip(batch["names"], batch["pixel_values"], strict=True):
            views.setdefault(name, []).append(pixels)
    assert sorted(views) == ["a_0.png", "a_1.png", "b_0.png", "b_1.png", "c_0.png", "c_1.png"]
    assert not any(first.equal(second) for first, second in views.values())


def test_validation_shows_every_page_once_and_always_the_same(tmp_path: Path) -> None:
    pages = tables(*"abcde")
    write_pages(tmp_path, train=tables("t"), val=pages)
    for name in list(pages)[::3]:  # some are wider than high
        Image.new("L", SIZE[::-1], 255).save(tmp_path / "val" / name)
    content = json.loads((tmp_path / "val.json").read_text())
    for image in content["images"][::3]:
        image["width"], image["height"] = SIZE[::-1]
    (tmp_path / "val.json").write_text(json.dumps(content))
    data = build(tmp_path)
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert sorted(name for batch in first for name in batch["names"]) == sorted(pages)
    for once, again in zip(first, second, strict=True):
        assert once["names"] == again["names"]
        assert once["pixel_values"].equal(again["pixel_values"])
    assert [tuple(batch["pixel_values"].shape) for batch in first] == [
        (4, 3, 96, 96),
        (4, 3, 96, 96),
        (2, 3, 96, 96),
    ]


# -- real pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "pages"), [("icdar2013", 111), ("unlv", 191)])
def test_real_data_sets_give_batches(real_data: Path, name: str, pages: int) -> None:
    data = build(real_data / name, image_size=128, batch_size=3)
    assert data.class_names == ("table",)
    assert len(data.train_pages) + len(data.val_pages) == pages
    assert not {page.document for page in data.train_pages} & {page.document for page in data.val_pages}
    torch.manual_seed(0)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        batch = next(iter(loader))
        count, _, height, width = batch["pixel_values"].shape
        assert count == 3
        assert max(height, width) == 128
        for page, target in enumerate(batch["targets"]):
            assert batch["pixel_values"][page, :, batch["pixel_mask"][page]].float().mean() > 100  # paper
            assert target["boxes"].shape == (len(target["labels"]), 4)
            assert ((target["boxes"] > 0) & (target["boxes"] <= 1)).all()


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["path", "val_path", "test_path"])
def test_a_missing_or_empty_folder_is_named_with_its_key(tmp_path: Path, key: str) -> None:
    write_pages(tmp_path / "pages", train=tables("a", "b"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    attribute = {"path": "train_pages", "val_path": "val_pages", "test_path": "test_pages"}[key]
    for folder, expected in (("absent", "does not exist"), ("empty", "found 1 .txt")):
        options = {"path": tmp_path / "pages", key: tmp_path / folder}
        line = message(lambda options=options: getattr(build(**options), attribute))  # type: ignore[misc]
        assert line.startswith(f"data.{key}: ")
        assert str(tmp_path / folder) in line
        assert expected in line


def test_an_unknown_format_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a", "b"))
    line = message(lambda: build(tmp_path, format="icdar13").class_names)
    assert line.startswith("data.format: unknown format 'icdar13': expected one of auto, coco")
    assert line.endswith("did you mean icdar2013?")


def test_a_format_counts_for_every_path(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a", "b"), val=tables("c"))
    (tmp_path / "boxes.csv").write_text("filename,xmin,ymin,xmax,ymax,class\na_0.png,1,2,30,40,table\n")
    line = message(lambda: build(tmp_path / "train.json", val_path=tmp_path).val_pages)
    assert line.startswith("data.val_path: ")
    assert "say which with format" in line
    data = build(tmp_path / "train.json", val_path=tmp_path, format="coco")
    assert names(data.val_pages) == ["c_0.png", "c_1.png"]


def test_pages_without_a_table_to_find_are_refused(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a", "b"), val={"c_0.png": ["text", "text"], "d_0.png": ["list"]})
    assert message(lambda: build(tmp_path).val_pages) == (
        "data.path: no table on any val page, found 2 text, 1 list: give data.class_names, or other pages"
    )
    assert message(lambda: build(tmp_path, class_names=["tabel"]).train_pages) == (
        "data.path: no tabel on any train page, found 4 table: give data.class_names, or other pages"
    )
    write_pages(tmp_path / "bare", all={"a_0.png": [], "b_0.png": []})
    assert message(lambda: build(tmp_path, val_path=tmp_path / "bare").val_pages) == (
        "data.val_path: no table on any val page, found no boxes: give data.class_names, or other pages"
    )
    write_pages(tmp_path / "few", all={"a_0.png": ["table"]} | {f"{name}_0.png": [] for name in "bcdefghi"})
    assert message(lambda: build(tmp_path / "few").val_pages) == (
        "data.path: no table on any val page, found no boxes: give data.val_path, or another data.split_seed"
    )
    assert message(lambda: build(tmp_path / "bare").class_names) == (
        f"data.path: no table is annotated in {tmp_path / 'bare'}"
    )


def test_a_single_document_cannot_be_divided(tmp_path: Path) -> None:
    write_pages(tmp_path, train=tables("a"))
    content = json.loads((tmp_path / "train.json").read_text())
    for image in content["images"]:
        image["document"] = "a"
    (tmp_path / "train.json").write_text(json.dumps(content))
    for pages in ("train_pages", "val_pages"):
        assert message(lambda pages=pages: getattr(build(tmp_path), pages)) == (  # type: ignore[misc]
            f"data.path: {tmp_path} is a single document: give data.val_path to validate on"
        )
    write_pages(tmp_path / "other", all=tables("b"))
    assert len(build(tmp_path, val_path=tmp_path / "other").train_pages) == 2


@pytest.mark.parametrize("fraction", [0.0, 1.0, 20.0, float("nan")])
def test_a_fraction_counts_where_it_is_used(tmp_path: Path, fraction: float) -> None:
    write_pages(tmp_path, train=tables("a", "b"))
    assert message(lambda: build(tmp_path, val_fraction=fraction).val_pages) == (
        f"data.val_fraction: expected between 0 and 1, found {fraction}"
    )
    write_pages(tmp_path, val=tables("c"))
    assert len(build(tmp_path, val_fraction=fraction).train_pages) == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, workers: int) -> None:
    write_pages(tmp_path, train=tables("a", "b"), val=tables("c"))
    file = tmp_path / "val" / "c_1.png"
    file.write_bytes(file.read_bytes()[:60])
    try:
        list(build(tmp_path, num_workers=workers).val_dataloader())
        pytest.fail("a page that cannot be decoded was accepted")
    except UserError as error:
        lines = str(error).strip().splitlines()
        error.__traceback__ = None  # its frames keep the worker alive: that would cost five seconds
    # An error from a worker comes with its traceback, of which the command line shows the last line.
    line = lines[-1].removeprefix("tablesense.errors.UserError: ")
    assert line.startswith(f"{file} cannot be read as a page: ")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 0}, "data.batch_size: expected 1 or more, found 0"),
        ({"image_size": -5}, "data.image_size: expected 1 or more, found -5"),
        ({"num_workers": -1}, "data.num_workers: expected 0 or more, found -1"),
        (
            {"augment": "heavy"},
            "data.augment: expected one of none, light, scan, scan_hard, photo, found heavy",
        ),
        ({"mosaic": 1.5}, "data.mosaic: expected a share from 0 to 1, found 1.5"),
        ({"class_names": []}, "data.class_names: expected null or at least one name, found none"),
    ],
)
def test_options_out_of_range_are_refused_at_once(options: dict[str, Any], expected: str) -> None:
    assert message(lambda: build(None, **options)) == expected
