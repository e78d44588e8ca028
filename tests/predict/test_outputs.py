"""Files of results."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tablesense.data.coco import read_coco
from tablesense.data.reading import read_pages as read_pages_of
from tablesense.errors import UserError
from tablesense.predict.destination import Destination, check_replaced, finished, prepare
from tablesense.predict.detecting import detect
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Document, Failure, find_documents, read_pages
from tablesense.predict.outputs import write_all, write_document

Write = Callable[..., Path]


def results(network: Any, document: Document) -> Iterator[FoundPage | Failure]:
    return detect(network, read_pages([document]))


def test_a_document_becomes_one_file(tmp_path: Path, write_pdf: Write, network: Any) -> None:
    document = Document(write_pdf("a.pdf", (60, 100, 120, 80), None), "sub/a")
    out = Destination(tmp_path / "out")
    assert write_document(out, document, results(network, document), {"model": "best.ckpt"}) == []
    assert [path.name for path in (tmp_path / "out" / "sub").iterdir()] == ["a.json"]
    content = json.loads(out.json(document).read_text())
    assert (content["file"], content["model"], content["failures"]) == (str(document.path), "best.ckpt", [])
    assert [(page["page"], len(page["tables"])) for page in content["pages"]] == [(1, 1), (2, 0)]
    assert finished(out, document, {"model": "best.ckpt"})


def test_a_document_that_is_interrupted_leaves_no_half(
    tmp_path: Path, write_pdf: Write, network: Any
) -> None:
    document = Document(write_pdf("a.pdf", None, None), "a")

    def interrupted() -> Iterator[FoundPage | Failure]:
        yield next(results(network, document))
        raise KeyboardInterrupt

    out = Destination(tmp_path / "out")
    prepare(out.folder)
    with pytest.raises(KeyboardInterrupt):
        write_document(out, document, interrupted(), {})
    assert list(out.folder.iterdir()) == []
    assert not finished(out, document, {})


def test_a_document_with_a_failed_page_is_not_finished(
    tmp_path: Path, write_pdf: Write, network: Any
) -> None:
    document = Document(write_pdf("a.pdf", None), "a")
    failure = Failure(document.path, 1, "broken page of a PDF")
    out = Destination(tmp_path / "out")
    assert write_document(out, document, [*results(network, document), failure], {}) == [failure]
    content = json.loads(out.json(document).read_text())
    assert content["failures"] == [{"page": 2, "reason": "broken page of a PDF"}]
    assert not finished(out, document, {})


def test_a_document_without_a_page_gets_no_file(tmp_path: Path) -> None:
    document = Document(tmp_path / "a.pdf", "a")
    out = Destination(tmp_path)
    out.json(document).write_text("of an earlier call")
    write_document(out, document, [Failure(document.path, None, "broken PDF")], {})
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_pages_and_of_finds(tmp_path: Path, write_pdf: Write, network: Any) -> None:
    document = Document(write_pdf("a.pdf", (0, 100, 120, 80), None), "a")
    out = Destination(tmp_path / "out", overlay=True, crops=True, margin=10, dpi=72)
    write_document(out, document, results(network, document), {})
    pictures = sorted(str(path.relative_to(out.folder)) for path in out.folder.rglob("*.png"))
    assert pictures == ["a.pages/1.png", "a.pages/2.png", "a.tables/1_1.png"]
    assert Image.open(out.folder / "a.pages" / "1.png").size == (300, 400)
    width, height = Image.open(out.folder / "a.tables" / "1_1.png").size
    assert width == pytest.approx(130, abs=1)
    assert height == pytest.approx(100, abs=1)


def test_pictures_of_an_earlier_call_go(tmp_path: Path, write_pdf: Write, network: Any) -> None:
    out = Destination(tmp_path / "out", overlay=True, crops=True, voc=True)
    document = Document(write_pdf("a.pdf", (60, 100, 120, 80), None), "a")
    write_document(out, document, results(network, document), {})
    own = out.tables(document) / "1_mine.png"
    own.touch()
    write_pdf("a.pdf", None)
    write_document(Destination(out.folder), document, results(network, document), {})
    assert (out.tables(document) / "1_1.png").exists()  # this call was not for pictures
    write_document(out, document, results(network, document), {})
    pictures = sorted(str(path.relative_to(out.folder)) for path in out.folder.rglob("*_*.*"))
    voc = "predictions.voc/a.pages/a_page0001"
    assert pictures == ["a.tables/1_mine.png", f"{voc}.png", f"{voc}.xml"]
    assert [path.name for path in out.overlays(document).iterdir()] == ["1.png"]


def test_pictures_that_are_missing_are_written_where_documents_are_skipped(
    tmp_path: Path, write_pdf: Write, network: Any
) -> None:
    document = Document(write_pdf("a.pdf", (60, 100, 120, 80), None), "a")
    out = Destination(tmp_path / "out", overlay=True, crops=True)
    write_document(Destination(out.folder), document, results(network, document), {})
    assert not finished(out, document, {})
    write_document(out, document, results(network, document), {})
    assert finished(out, document, {})
    for picture in (out.overlays(document) / "2.png", out.tables(document) / "1_1.png"):
        picture.rename(tmp_path / "away")
        assert not finished(out, document, {})
        (tmp_path / "away").rename(picture)


def test_what_another_model_found_is_not_finished(tmp_path: Path, write_pdf: Write, network: Any) -> None:
    document = Document(write_pdf("a.pdf", None), "a")
    out = Destination(tmp_path / "out")
    about = {"model": "best.ckpt", "threshold": 0.5, "class_names": ["table"]}
    write_document(out, document, results(network, document), about)
    assert finished(out, document, about)
    for other in ({"model": "last.ckpt"}, {"threshold": 0.4}, {"tile": 900.0}, {"class_names": ["grid"]}):
        assert not finished(out, document, about | other)


def test_no_file_but_that_of_the_same_document_is_replaced(
    tmp_path: Path, write_image: Write, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Document(write_image(f"{folder}/report.png"), "report") for folder in ("q1", "q2"))
    out = Destination(tmp_path / "found")
    check_replaced(out, [first])
    write_document(out, first, results(network, first), {})
    monkeypatch.chdir(tmp_path)
    check_replaced(out, [Document(Path("q1/report.png"), "report")])
    with pytest.raises(
        UserError, match=r"found/report\.json holds the finds of .*q1/report\.png, not of .*q2/"
    ):
        check_replaced(out, [second])
    for content in ("no JSON", "[]", '{"version": "5.0", "shapes": []}'):  # the last is LabelMe's
        out.json(first).write_text(content)
        with pytest.raises(
            UserError, match=r"^--out: .*report\.json is not of tablesense predict and would be"
        ):
            check_replaced(out, [first])


@pytest.fixture
def three(tmp_path: Path, write_image: Write, network: Any) -> tuple[Destination, list[Document]]:
    for name, box in (("a", (20, 30, 60, 70)), ("b", None), ("c", (10, 10, 20, 40))):
        write_image(f"images/{name}.png", box)
    documents = find_documents([tmp_path / "images"])
    out = Destination(tmp_path / "out")
    for document in documents:
        write_document(out, document, results(network, document), {})
    return out, documents


def test_all_as_csv(three: tuple[Destination, list[Document]]) -> None:
    with write_all(*three, "csv", ("table",)).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in rows] == ["a.png", "c.png"]
    assert [float(rows[0][side]) for side in ("x0", "y0", "x1", "y1")] == pytest.approx(
        [20, 30, 60, 70], abs=1
    )
    assert rows[0]["unit"] == "px"


def test_all_as_lines_of_json(three: tuple[Destination, list[Document]]) -> None:
    lines = [json.loads(line) for line in write_all(*three, "jsonl", ("table",)).read_text().splitlines()]
    assert [(Path(line["file"]).name, len(line["tables"])) for line in lines] == [
        ("a.png", 1),
        ("b.png", 0),
        ("c.png", 1),
    ]


def test_all_as_coco_can_be_read_as_a_data_set(three: tuple[Destination, list[Document]]) -> None:
    file = write_all(*three, "coco", ("table",))
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["file_name"] = Path(image["file_name"]).name
    home = three[1][0].path.parent / "annotations.json"
    home.write_text(json.dumps(content))
    pages = read_coco(home).splits["all"]
    assert [len(page.boxes) for page in pages] == [1, 0, 1]
    assert pages[2].boxes[0] == pytest.approx((10, 10, 20, 40), abs=1)
    assert pages[0].labels == ("table",)


def test_as_voc_the_folder_can_be_read_as_a_data_set(
    tmp_path: Path, write_pdf: Write, write_image: Write, network: Any
) -> None:
    write_pdf("in/sub/a.pdf", (60, 100, 120, 80), None, rotation=90)
    write_image("in/b & c.png")
    frames = [Image.new("L", (80, 60), 255) for _ in range(2)]
    frames[1].paste(0, (10, 20, 50, 40))
    frames[0].save(tmp_path / "in" / "fax.tif", save_all=True, append_images=frames[1:])
    out = Destination(tmp_path / "out", voc=True, dpi=144)
    found: dict[str, FoundPage] = {}
    for document in find_documents([tmp_path / "in"]):
        pages = [page for page in results(network, document) if isinstance(page, FoundPage)]
        write_document(out, document, iter(pages), {})
        assert finished(out, document, {})
        stem = f"{document.name}.pages/{Path(document.name).name}_page000"
        found |= {f"{stem}{page.number}" if len(pages) > 1 else document.name: page for page in pages}
    home = out.folder / "predictions.voc"
    read = read_pages_of(home)
    assert not read.dropped
    truths = {page.path.relative_to(home).with_suffix("").as_posix(): page for page in read.splits["all"]}
    assert truths.keys() == found.keys()
    assert len(truths) == 5
    assert {truth.document for truth in truths.values()} == {"a", "b & c", "fax"}
    for name, truth in truths.items():
        assert truth.open().size == truth.size
        np.testing.assert_allclose(
            np.array(truth.boxes).reshape(-1, 4), found[name].pixel_boxes(144), atol=0.01
        )
        assert truth.labels == found[name].labels
    assert "<score>0.80000</score>" in (home / "b & c.xml").read_text()
    assert (home / "b & c.png").is_symlink()


def test_voc_that_is_missing_is_written_where_documents_are_skipped(
    tmp_path: Path, write_pdf: Write, network: Any
) -> None:
    document = Document(write_pdf("a.pdf", None, None), "a")
    write_document(Destination(tmp_path), document, results(network, document), {})
    assert finished(Destination(tmp_path), document, {})
    out = Destination(tmp_path, voc=True)
    assert not finished(out, document, {})
    write_document(out, document, results(network, document), {})
    assert finished(out, document, {})
    (tmp_path / "predictions.voc" / "a.pages" / "a_page0002.xml").unlink()
    assert not finished(out, document, {})


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^--out: .*file.* cannot be written: "):
        prepare(tmp_path / "file" / "out")
