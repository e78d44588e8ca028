"""Whatever a notebook holds."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tablesense import DetrConfig, TableDETRModule, UserError
from tablesense.predict.notebook import detect_any

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def module() -> TableDETRModule:
    small = DetrConfig(hidden_dim=32, num_encoder_layers=1, num_decoder_layers=1, num_queries=5, ffn_dim=32)
    return TableDETRModule(detr=small, image_size=96)


def test_all_kinds_of_sources_give_the_same(module: TableDETRModule, write_image: Write) -> None:
    file = write_image("a.png")
    picture = Image.open(file)
    array = np.asarray(picture)
    sources = [file, str(file), file.read_bytes(), picture, array, np.stack([array] * 3, 2)]
    pages = detect_any(module, sources, threshold=0, batch_size=8)
    assert len(pages) == 6
    assert len(pages[0]) > 0
    for page in pages:
        assert page.size == (100, 200)
        np.testing.assert_allclose(page.boxes, pages[0].boxes, atol=1e-3)
        assert page.image().size == (100, 200)


def test_pages_of_a_pdf_in_memory(module: TableDETRModule, write_pdf: Write) -> None:
    content = write_pdf("a.pdf", (60, 100, 120, 80), None).read_bytes()
    pages = detect_any(module, content, threshold=0)
    assert [(page.number, page.unit) for page in pages] == [(1, "pt"), (2, "pt")]
    assert pages[0].image(72).size == (300, 400)


def test_the_module_stays_in_its_mode(module: TableDETRModule) -> None:
    module.train()
    detect_any(module, Image.new("RGB", (50, 60)))
    assert module.training
    assert module.detr.training


def test_a_picture_is_taken_as_it_is(module: TableDETRModule) -> None:
    exif = Image.Exif()
    exif[274] = 6
    image = Image.new("RGB", (50, 80))
    image.info["exif"] = exif.tobytes()
    (page,) = detect_any(module, image)
    assert page.size == (50, 80)
    assert page.image().size == (50, 80)


def test_files_of_what_was_in_memory_go_with_its_pages(module: TableDETRModule) -> None:
    pages = detect_any(module, [Image.new("L", (50, 60), 255)] * 2)
    folder = pages[0].path.parent
    assert folder.is_dir()
    del pages
    gc.collect()
    assert not folder.exists()


def test_what_cannot_be_read_is_a_warning_beside_other_pages_and_an_error_alone(
    module: TableDETRModule, write_image: Write
) -> None:
    good = write_image("a.png")
    with pytest.warns(UserWarning, match="left out: .*unreadable image"):
        assert len(detect_any(module, [b"no image", good])) == 1
    with pytest.raises(UserError, match=r"^not one page can be read: .*unreadable image$"):
        detect_any(module, b"no image")


@pytest.mark.parametrize("source", [3.5, None, np.zeros((4, 4)), np.zeros((2, 3, 4, 4), np.uint8)])
def test_other_kinds_are_refused(module: TableDETRModule, source: object) -> None:
    with pytest.raises(UserError, match=r"^detect: expected .*, found |^detect: expected .*; found "):
        detect_any(module, source)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i4"])
def test_pictures_of_16_bits_keep_their_greys(module: TableDETRModule, dtype: str) -> None:
    (page,) = detect_any(module, Image.fromarray(np.full((60, 80), 40000, dtype)))
    assert page.image().getextrema() == (156, 156)


def test_a_picture_without_greys_of_8_or_16_bits_is_refused(module: TableDETRModule) -> None:
    with pytest.raises(
        UserError, match=r"^detect: a PIL image of mode F cannot be read: grey levels with frac"
    ):
        detect_any(module, Image.new("F", (80, 60)))
    with pytest.raises(
        UserError, match=r"^detect: .* mode I cannot be read: grey levels from 70000 to 70000"
    ):
        detect_any(module, Image.new("I", (80, 60), 70000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "expected a batch_size of 1 or more, found 0"),
        ({"threshold": 7}, "expected a threshold from 0 to 1, found 7"),
    ],
)
def test_numbers_out_of_their_range_are_refused(
    module: TableDETRModule, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^detect: {message}$"):
        detect_any(module, Image.new("L", (80, 60)), **options)


def test_huge_pages_are_looked_at_in_tiles(module: TableDETRModule, write_image: Write) -> None:
    file = write_image("a.png", size=(500, 300))
    batches: list[int] = []
    seen = module.register_forward_pre_hook(lambda _, pages: batches.append(len(pages[0])))
    (page,) = detect_any(module, file, threshold=0, batch_size=5, tile=200)
    seen.remove()
    assert page.size == (500, 300)
    assert batches == [5, 2]  # the page, and three times two tiles
    with pytest.raises(UserError, match=r"^detect: expected a tile of 1 pixel or point or more, found 0$"):
        detect_any(module, file, tile=0)
