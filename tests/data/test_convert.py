"""Conversion: nothing is lost on the way, nothing is written twice, nothing of others is overwritten."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import yaml
from PIL import Image

from tablesense.data import decode
from tablesense.data.convert import conversion, convert, run
from tablesense.data.convert import images as making
from tablesense.data.convert.images import Job, Made
from tablesense.data.convert.names import output_stem
from tablesense.data.images import read_images
from tablesense.data.page import Page
from tablesense.data.reading import read_pages, recognise
from tablesense.data.table import Pages, PageTable
from tablesense.data.voc import read_voc
from tablesense.data.yolo import read_yolo
from tablesense.errors import UserError

Write = Callable[..., None]
Splits = dict[str, PageTable]


def write_pages(folder: Path, pages: dict[str, list[Page]]) -> Path:
    """A data set in COCO's format, without images."""
    for split, of_split in pages.items():
        classes = sorted({label for page in of_split for label in page.labels})
        images = [
            {"id": i, "file_name": str(page.path), "width": page.size[0], "height": page.size[1]}
            | {"document": page.document}
            for i, page in enumerate(of_split)
        ]
        boxes = [
            {"image_id": i, "category_id": classes.index(label), "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for i, page in enumerate(of_split)
            for (x0, y0, x1, y1), label in zip(page.boxes, page.labels, strict=True)
        ]
        for number, box in enumerate(boxes):
            box["id"] = number
        categories = [{"id": i, "name": name} for i, name in enumerate(classes)]
        content = {"images": images, "annotations": boxes, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def source(tmp_path: Path, write_images: Write) -> Path:
    """Three splits of pages with 0 to 3 random boxes of two classes."""
    rng = Random(5)
    size = (100, 80)

    def page(i: int) -> Page:
        boxes = []
        for _ in range(i % 4):
            (x0, x1), (y0, y1) = (sorted(rng.uniform(0, side) for _ in "ab") for side in size)
            boxes.append((x0, y0, min(x1 + 1, 100), min(y1 + 1, 80)))
        labels = tuple(rng.choice(("table", "Table & <figure>")) for _ in boxes)
        return Page(Path(f"page {i}.png"), f"report {i % 3}", size, tuple(boxes), labels)

    write_images(*(f"source/images/page {i}.png" for i in range(12)))
    pages = [page(i) for i in range(12)]
    return write_pages(tmp_path / "source", {"train": pages[:7], "val": pages[7:10], "test": pages[10:]})


def truth(
    splits: Splits,
) -> dict[str, list[tuple[str, tuple[float, ...], list[tuple[str, tuple[float, ...]]]]]]:
    """Names, sizes, classes and boxes of all pages by split."""
    return {
        split: [
            (page.path.stem.replace(" ", "_"), page.size, list(zip(page.labels, page.boxes, strict=True)))
            for page in sorted(pages, key=lambda page: page.path.name)
        ]
        for split, pages in splits.items()
    }


def read_yolo_by_hand(folder: Path) -> Splits:
    """What Ultralytics' documentation says, and no more."""
    content = yaml.safe_load((folder / "data.yaml").read_text())
    names = content.pop("names")
    pages = Pages()
    for split, place in content.items():
        for image in sorted((folder / place).iterdir()):
            label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
            width, height = Image.open(image).size
            boxes, labels = [], []
            for line in label.read_text().splitlines():
                number, *sides = line.split()
                x, y, w, h = map(float, sides)
                boxes.append(
                    ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
                )
                labels.append(names[int(number)])
            pages.add(split, Page(image, "", (width, height), tuple(boxes), tuple(labels)))
    return pages.splits


@pytest.mark.parametrize(
    ("to", "read", "tolerance"),
    [
        ("coco", lambda path: read_pages(path).splits, 1e-12),
        ("voc", lambda path: read_voc(path).splits, 0),
        ("yolo", lambda path: read_yolo(path).splits, 1e-9),
        ("yolo", read_yolo_by_hand, 1e-9),
    ],
)
def test_what_is_converted_is_read_again(
    tmp_path: Path, source: Path, to: str, read: Callable[[Path], Splits], tolerance: float
) -> None:
    before = truth(read_pages(source).splits)
    convert(source, tmp_path / "new", to)
    after = truth(read(tmp_path / "new"))
    assert after.keys() == before.keys()
    for split, pages in before.items():
        assert [(name, size, [label for label, _ in boxes]) for name, size, boxes in after[split]] == [
            (name, size, [label for label, _ in boxes]) for name, size, boxes in pages
        ]
        for (_, _, old), (_, _, new) in zip(pages, after[split], strict=True):
            for (_, box), (_, again) in zip(old, new, strict=True):
                assert again == pytest.approx(box, rel=tolerance, abs=tolerance * 100)


def test_coco_keeps_documents(tmp_path: Path, source: Path) -> None:
    convert(source, tmp_path / "new", "coco")
    old, new = (read_pages(path).splits["train"] for path in (source, tmp_path / "new"))
    assert [page.document for page in old] == [page.document for page in new]


def test_layouts_are_those_that_other_tools_look_for(tmp_path: Path, source: Path) -> None:
    def files(to: str) -> set[str]:
        convert(source, tmp_path / to, to)
        found = (path.relative_to(tmp_path / to) for path in (tmp_path / to).rglob("*") if not path.is_dir())
        return {re.sub(r"page_\d+", "PAGE", str(path)) for path in found} - {".convert.json"}

    splits = ("train", "val", "test")
    assert files("coco") == {
        *(f"annotations/instances_{split}.json" for split in splits),
        *(f"images/{split}/PAGE.png" for split in splits),
    }
    assert files("voc") == {
        "Annotations/PAGE.xml",
        "JPEGImages/PAGE.png",
        *(f"ImageSets/Main/{split}.txt" for split in splits),
    }
    assert files("yolo") == {
        "data.yaml",
        *(
            f"{kind}/{split}/PAGE{end}"
            for kind, end in (("images", ".png"), ("labels", ".txt"))
            for split in splits
        ),
    }
    assert yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text()) == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "names": {0: "Table & <figure>", 1: "table"},
    }


def test_images_are_linked_so_that_both_folders_can_move_together(tmp_path: Path, source: Path) -> None:
    done = convert(source, tmp_path / "deep" / "new", "coco")
    assert done.images == {"linked": 12}
    (tmp_path / "moved").mkdir()
    for name in ("source", "deep"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    for page in read_pages(tmp_path / "moved" / "deep" / "new").splits["train"]:
        assert page.path.is_symlink()
        assert page.open().size == (100, 80)


def test_images_are_copied_where_there_are_no_links(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(source: str, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    assert run([str(source), str(tmp_path / "new"), "--to", "coco"]) == 0
    assert "image files were copied" in capsys.readouterr().out
    old, new = (read_pages(path).splits["val"] for path in (source, tmp_path / "new"))
    for a, b in zip(old, new, strict=True):
        assert not b.path.is_symlink()
        assert a.path.read_bytes() == b.path.read_bytes()


def test_images_of_the_cache_are_copied_as_it_may_be_cleared(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    unpacked = source.rename(tmp_path / "cache" / "tablesense")
    run([str(unpacked), str(tmp_path / "new"), "--to", "coco"])
    out = capsys.readouterr().out
    assert "images: 12 copied" in out
    assert "links" not in out


def write_pdf(folder: Path, stem: str, colours: list[str], regions: str = "") -> None:
    """Pages of 300 x 400 points in one colour each, and their ICDAR 2013 truth."""
    folder.mkdir(exist_ok=True)
    first, *rest = (Image.new("RGB", (300, 400), colour) for colour in colours)
    first.save(folder / f"{stem}.pdf", save_all=True, append_images=rest, resolution=72)
    (folder / f"{stem}-reg.xml").write_text(f"<document filename='x'><table>{regions}</table></document>")


REGION = "<region id='1' page='2'><bounding-box x1='30' y1='100' x2='150' y2='300'/></region>"  # y upwards


def test_pdf_pages_are_drawn_and_their_boxes_become_pixels(tmp_path: Path) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["white", "#102030"], REGION)
    done = convert(tmp_path / "pdfs", tmp_path / "new", "coco", dpi=144)
    assert done.images == {"drawn": 2}
    blank, page = read_pages(tmp_path / "new").splits["all"]
    assert [blank.path.name, page.path.name] == ["a_page0001.png", "a_page0002.png"]
    assert (page.document, page.size, page.number) == ("a", (600, 800), None)
    assert page.boxes == (pytest.approx((60, 200, 300, 600)),)
    image = Image.open(page.path)
    assert (image.size, image.mode, round(image.info["dpi"][0])) == ((600, 800), "RGB", 144)
    assert image.getpixel((300, 400)) == pytest.approx((16, 32, 48), abs=3)
    assert Image.open(blank.path).mode == "L"  # no colour, so no channels for it


def test_pages_can_be_drawn_as_jpeg(tmp_path: Path) -> None:
    write_pdf(
        tmp_path / "pdfs", "a", ["white"], REGION.replace("'2'", "'1'", 1).replace("page='2'", "page='1'")
    )
    convert(tmp_path / "pdfs", tmp_path / "new", "voc", image_format="jpeg", dpi=36)
    (page,) = read_voc(tmp_path / "new").splits["all"]
    assert (page.path.name, page.size, page.boxes[0]) == ("a_page0001.jpg", (150, 200), (15, 50, 75, 150))
    assert Image.open(page.path).format == "JPEG"


def test_several_processes_make_what_one_makes(tmp_path: Path) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["white", "#102030"] * 9, REGION)
    for workers in (1, 2):
        convert(tmp_path / "pdfs", tmp_path / f"by{workers}", "coco", dpi=36, workers=workers)
    files = sorted(path.relative_to(tmp_path / "by1") for path in (tmp_path / "by1").rglob("*.*"))
    assert len(files) == 18 + 1 + 1
    for file in files:
        assert (tmp_path / "by1" / file).read_bytes() == (tmp_path / "by2" / file).read_bytes()


def test_names_that_collide_get_their_folders(tmp_path: Path, write_images: Write) -> None:
    names = ["a/1.png", "b/1.png", "c/1.PNG", "c/2.png", "b_1.png", "x/b/1.png", "x.y/3.png"]
    write_images(*(f"source/{name}" for name in names))
    pages = [Page(Path(name), name, (100, 80), ((0, 0, 50, 50),), ("table",)) for name in names]
    convert(write_pages(tmp_path / "source", {"all": pages}), tmp_path / "new", "yolo")
    made = {path.name: path.resolve() for path in (tmp_path / "new" / "images" / "train").iterdir()}
    assert sorted(made.values()) == sorted(tmp_path / "source" / name for name in names)
    assert {"a_1.png", "c_1.PNG", "2.png", "3.png", "x_b_1.png"} <= set(made)
    assert len({Path(name).stem.lower() for name in made}) == len(names)
    assert sorted(path.stem for path in (tmp_path / "new" / "labels" / "train").iterdir()) == sorted(
        Path(name).stem for name in made
    )


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_names_that_would_be_too_long_are_cut_and_stay_apart(
    tmp_path: Path, write_images: Write, to: str
) -> None:
    deep = "/".join("ä" * 100 for _ in range(3))
    names = [f"{'é' * 125}.png", f"{deep}/a/1.png", f"{deep}/b/1.png", "a/1.png", "b/1.png"]
    names += [f"{letter * 200}/{letter * 200}.png" for letter in "xX"]
    names += [f"{letter}/{'z' * 251}.png" for letter in "ab"]
    write_images(*(f"source/{name}" for name in names))
    pages = [Page(Path(name), name, (100, 80), ((0, 0, 50, 50),), ("table",)) for name in names]
    done = convert(write_pages(tmp_path / "source", {"all": pages}), tmp_path / "new", to)
    assert done.images == {"linked": len(names)}
    after = read_pages(tmp_path / "new").splits
    read = next(iter(after.values()))
    assert {page.path.resolve() for page in read} == {tmp_path / "source" / name for name in names}
    assert all(len(page.boxes) == 1 for page in read)
    stems = [page.path.stem for page in read]
    assert len({stem.lower() for stem in stems}) == len(names)
    assert any(re.fullmatch("é{100,}_[0-9a-f]{10}", stem) for stem in stems)


def test_a_name_leaves_room_for_the_number_of_its_page(tmp_path: Path) -> None:
    write_pdf(tmp_path / "pdfs", "a" * 240, ["white"] * 2, REGION)
    convert(tmp_path / "pdfs", tmp_path / "new", "voc", dpi=36)
    assert len(read_voc(tmp_path / "new").splits["all"]) == 2
    long = Page(Path("/" + "b" * 250), "b", (300, 400), number=98_765)
    stem = output_stem(long)
    assert stem.endswith("_page98766")
    assert len(f"{stem}.jpeg") <= 255


def test_an_interrupted_conversion_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["white", "#102030"] * 3, REGION)
    arguments = [str(tmp_path / "pdfs"), str(tmp_path / "new"), "--to", "yolo", "--dpi", "36"]
    drawn: list[str] = []
    draw = making._draw

    def interrupted(job: Job, part: Path, dpi: int, format: making.Format) -> Made:
        if len(drawn) == 3:
            part.write_bytes(b"half an image")
            raise KeyboardInterrupt
        drawn.append(job.target.name)
        return draw(job, part, dpi, format)

    with monkeypatch.context() as patch:
        patch.setattr(making, "_draw", interrupted)
        assert run(arguments) == 130
    assert "the same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "new" / "data.yaml").exists()
    finished = {file: file.stat().st_mtime_ns for file in (tmp_path / "new" / "images").rglob("*.png")}
    assert sorted(file.name for file in finished) == drawn

    with pytest.raises(UserError, match=r"holds another conversion \(dpi 36\): .* --force"):
        run([*arguments[:-1], "72"])
    assert run(arguments) == 0
    assert "gone on with" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    convert(tmp_path / "pdfs", tmp_path / "at once", "yolo", dpi=36)
    assert truth(read_yolo_by_hand(tmp_path / "new")) == truth(read_yolo_by_hand(tmp_path / "at once"))
    assert sorted(os.listdir(tmp_path / "new")) == sorted(os.listdir(tmp_path / "at once"))


def test_whoever_interrupts_it_twice_need_not_wait(tmp_path: Path) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["#102030"] * 600, REGION)
    arguments = [str(tmp_path / "pdfs"), str(tmp_path / "new"), "--to", "coco", "--dpi", "300"]
    code = f"from tablesense.data.convert import run; raise SystemExit(run({arguments}))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        start = time.monotonic()
        while not list((tmp_path / "new").rglob("*.png")):
            assert time.monotonic() < start + 30
            time.sleep(0.02)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert b"the same command goes on" in output
    assert not (tmp_path / "new" / "annotations").exists()


def test_a_finished_conversion_is_replaced_only_by_force(tmp_path: Path, source: Path) -> None:
    convert(source, tmp_path / "new", "coco")
    with pytest.raises(UserError, match=r"new holds this conversion, finished: --force writes it again"):
        convert(source, tmp_path / "new", "coco")
    with pytest.raises(UserError, match=r"holds another conversion \(to coco\)"):
        convert(source, tmp_path / "new", "yolo")
    convert(source / "val.json", tmp_path / "new", "coco", force=True)
    assert sorted(path.name for path in (tmp_path / "new").rglob("*.png")) == [
        "page_7.png",
        "page_8.png",
        "page_9.png",
    ]
    assert set(read_pages(tmp_path / "new").splits) == {"val"}


def test_of_an_earlier_conversion_to_another_layout_nothing_stays(tmp_path: Path, source: Path) -> None:
    new = tmp_path / "new"
    for to in ("coco", "yolo", "voc", "coco"):
        convert(source, new, to, force=True)
        (new / "notes.txt").write_text("mine")
        convert(source, tmp_path / f"fresh_{to}", to, force=True)
        fresh = set(os.listdir(tmp_path / f"fresh_{to}"))
        assert set(os.listdir(new)) == fresh | {"notes.txt"}
        (new / "notes.txt").unlink()
        assert recognise(new) == to


def test_what_others_have_put_where_another_layout_is_written_is_refused(
    tmp_path: Path, source: Path
) -> None:
    new = tmp_path / "new"
    convert(source, new, "coco")
    (new / "labels").mkdir()
    (new / "labels" / "page.txt").write_text("years of work")
    (new / "data.yaml").write_text("names: {0: table}")
    before = sorted(new.rglob("*"))
    with pytest.raises(UserError, match=r"new holds data\.yaml, labels, which no conversion has written"):
        convert(source, new, "yolo", force=True)
    assert sorted(new.rglob("*")) == before
    convert(source, new, "coco", force=True)
    assert sorted(new.rglob("*")) == before


def test_what_others_have_written_is_refused_before_anything_is_written(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(
            UserError, match=r"new holds 1 \.txt that no conversion has written: expected a new"
        ):
            convert(source, folder, "coco", force=force)
    assert os.listdir(folder) == ["thesis.txt"]
    before = sorted(source.rglob("*"))
    for inside in (source, source / "new", source.parent):
        with pytest.raises(UserError, match="name a folder outside the data set"):
            convert(source, inside, "coco", force=True)
    with pytest.raises(UserError, match=r"thesis\.txt is a file: expected a new folder"):
        convert(source, folder / "thesis.txt", "coco")
    assert sorted(source.rglob("*")) == before


def test_pages_without_an_image_are_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["white"] * 3, REGION)
    opened = Page.open

    def broken(page: Page, longest_side: int | None = None) -> Image.Image:
        if page.number in unreadable:
            raise OSError("the file is damaged")
        return opened(page, longest_side)

    monkeypatch.setattr(Page, "open", broken)
    unreadable = {0}
    assert run([str(tmp_path / "pdfs"), str(tmp_path / "new"), "--to", "voc", "--dpi", "72"]) == 0
    message = "left out: 1 page whose image is not to be decoded, such as a.pdf, page 1: the file is damaged"
    assert message in capsys.readouterr().out
    assert len(read_voc(tmp_path / "new").splits["all"]) == 2
    unreadable = {0, 1, 2}
    with pytest.raises(UserError, match=r"^not one image of .*/pdfs can be used: 3 not to be decoded"):
        convert(tmp_path / "pdfs", tmp_path / "none", "voc")


def test_a_page_too_large_for_its_dpi_is_drawn_smaller_and_its_boxes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["white"] * 2, REGION)
    monkeypatch.setattr(decode, "MOST_RENDERED", 150 * 200)
    run([str(tmp_path / "pdfs"), str(tmp_path / "new"), "--to", "coco"])
    assert "2 of the pages drawn are so large that they have fewer than 150 dpi" in capsys.readouterr().out
    page = read_pages(tmp_path / "new").splits["all"][1]
    assert (page.size, page.boxes) == ((150, 200), (pytest.approx((15, 50, 75, 150)),))


def test_each_frame_of_a_tiff_becomes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = (Image.new("L", (30 + i, 40), 80 * i) for i in range(3))
    (tmp_path / "scans").mkdir()
    first.save(tmp_path / "scans" / "fax.tif", save_all=True, append_images=others)
    monkeypatch.setattr(conversion, "read_pages", lambda path, format: read_images(path))
    convert(tmp_path / "scans", tmp_path / "new", "coco")
    made = sorted((tmp_path / "new" / "images").iterdir())
    assert [file.name for file in made] == [f"fax_page000{i}.png" for i in (1, 2, 3)]
    assert [Image.open(file).size for file in made] == [(30, 40), (31, 40), (32, 40)]
    assert [Image.open(file).getpixel((0, 0)) for file in made] == [0, 80, 160]


@pytest.mark.parametrize("images", ["link", "copy"])
@pytest.mark.parametrize("image_format", ["png", "jpeg"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_yolo_shows_a_turned_photo_in_the_frame_of_its_boxes(
    tmp_path: Path, suffix: str, image_format: making.Format, images: str
) -> None:
    """Labels of fractions do not say whether the picture was turned when it was annotated."""
    (tmp_path / "source").mkdir()
    stored = Image.new("L", (300, 200), 255)
    stored.paste(0, (20, 30, 120, 80))
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn to the right makes it upright
    for name in ("a", "b"):
        stored.save(tmp_path / "source" / f"{name}.{suffix}", exif=exif)
    pages = [
        Page(Path(f"a.{suffix}"), "a", (300, 200), ((20, 30, 120, 80),), ("table",)),
        Page(Path(f"b.{suffix}"), "b", (200, 300), ((120, 20, 170, 120),), ("table",)),
    ]
    source = write_pages(tmp_path / "source", {"all": pages})
    done = convert(source, tmp_path / "new", "yolo", images=images, image_format=image_format)
    assert done.images == {"drawn": 1, {"link": "linked", "copy": "copied"}[images]: 1}
    for page, before in zip(read_yolo(tmp_path / "new").splits["train"], pages, strict=True):
        assert page.size == before.size
        assert page.boxes[0] == pytest.approx(before.boxes[0])
        image = page.open()
        assert image.size == before.size
        x0, y0, x1, y1 = map(round, page.boxes[0])
        ink = image.convert("L").point(lambda level: 255 * (level < 128)).getbbox()
        assert ink == pytest.approx((x0, y0, x1, y1), abs=1)
    for to in ("coco", "voc"):  # which say the size of the frame
        assert convert(source, tmp_path / to, to).images == {"linked": 2}


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_images_that_their_names_do_not_call_images_are_drawn(tmp_path: Path, to: str) -> None:
    (tmp_path / "source").mkdir()
    formats = {"a.jfif": "JPEG", "b.jp2": "JPEG2000", "c": "PNG", "d.v2": "PNG", "e.PNG": "PNG"}
    for name, form in formats.items():
        Image.new("L", (100, 80), 255).save(tmp_path / "source" / name, form)
    pages = [
        Page(Path(name), name, (100, 80), ((10, 10, 50 + i, 50),), ("table",))
        for i, name in enumerate(formats)
    ]
    source = write_pages(tmp_path / "source", {"train": pages})
    done = convert(source, tmp_path / "new", to)
    assert done.images == {"drawn": 4, "linked": 1}
    after = sorted(read_pages(tmp_path / "new").splits["train"], key=lambda page: page.path.name)
    assert [page.path.name for page in after] == ["a.png", "b.png", "c.png", "d.png", "e.PNG"]
    for page, before in zip(after, pages, strict=True):
        assert page.size == (100, 80)
        assert page.boxes[0] == pytest.approx(before.boxes[0])
        assert page.open().size == (100, 80)


def test_missing_and_damaged_images_are_counted_whatever_their_suffix(
    tmp_path: Path, write_images: Write
) -> None:
    names = ["a.png", "b.jfif", "c.png", "d.png"]
    write_images("source/a.png", "source/c.png", "source/d.png")
    Image.new("L", (100, 80), 255).save(tmp_path / "source" / "b.jfif", "JPEG")
    pages = [Page(Path(name), name, (100, 80), ((0, 0, 50, 50),), ("table",)) for name in names]
    splits = read_pages(write_pages(tmp_path / "source", {"train": pages}))
    for name in names[:2]:
        (tmp_path / "source" / name).unlink()
    (tmp_path / "source" / "d.png").write_text("no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "read_pages", lambda path, format: splits)
        done = convert(tmp_path / "source", tmp_path / "new", "yolo")
    assert done.dropped == {"missing": 2, "not to be decoded": 1}
    assert done.images == {"linked": 1}


def test_pages_that_nobody_annotated_are_refused(tmp_path: Path, write_images: Write) -> None:
    write_images("source/a.png")
    with pytest.raises(UserError, match=r"images have no annotations, .* expected another --format"):
        run([str(tmp_path / "source"), str(tmp_path / "new"), "--to", "coco", "--format", "images"])
    assert not (tmp_path / "new").exists()


def test_yolo_without_a_box_is_refused_before_anything_is_written(
    tmp_path: Path, write_images: Write
) -> None:
    write_images("source/a.png")
    source = write_pages(tmp_path / "source", {"train": [Page(Path("a.png"), "a", (100, 80))]})
    with pytest.raises(UserError, match=r"source has no box .* annotate a table, or take --to coco or voc"):
        convert(source, tmp_path / "new", "yolo")
    assert not (tmp_path / "new").exists()
    for to in ("coco", "voc"):
        convert(source, tmp_path / to, to)
        assert [page.boxes for page in read_pages(tmp_path / to).splits["train"]] == [()]


def test_yolo_is_refused_where_only_pages_without_a_box_have_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pdf(tmp_path / "pdfs", "a", ["white"] * 2, REGION)
    opened = Page.open

    def broken(page: Page, longest_side: int | None = None) -> Image.Image:
        if page.boxes:
            raise OSError("the file is damaged")
        return opened(page, longest_side)

    monkeypatch.setattr(Page, "open", broken)
    with pytest.raises(UserError, match=r"pdfs has no box on a page whose image can be used"):
        convert(tmp_path / "pdfs", tmp_path / "new", "yolo", dpi=36)
    assert not (tmp_path / "new" / "data.yaml").exists()


def test_help_says_what_becomes_of_categories(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((source / "val.json").read_text())
    names = [category["name"] for category in content["categories"]]
    content["categories"].append({"id": 77, "name": "logo"})
    (source / "val.json").write_text(json.dumps(content))
    convert(source, tmp_path / "new", "coco")
    written = json.loads((tmp_path / "new" / "annotations" / "instances_val.json").read_text())
    assert written["categories"] == [{"id": i, "name": name} for i, name in enumerate(sorted(names), 1)]
    with pytest.raises(SystemExit):
        run(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "Classes without a box are left out, and ids are given anew, in the order of the names." in words


def test_pages_of_no_split_beside_others_are_refused(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Pages()
    for split in ("train", "all"):
        pages.extend(split, read_pages(source).splits["val"])
    monkeypatch.setattr(conversion, "read_pages", lambda path, format: pages)
    with pytest.raises(UserError, match="3 pages of no split beside those of train"):
        convert(source, tmp_path / "new", "coco")


def test_a_class_that_xml_cannot_hold_is_refused(tmp_path: Path, source: Path) -> None:
    content = (source / "val.json").read_text().replace('"table"', '"ta\\u0001ble"')
    (source / "val.json").write_text(content)
    with pytest.raises(UserError, match=r"the class 'ta\\x01ble' has a character that XML cannot hold"):
        convert(source, tmp_path / "new", "voc")
    assert not (tmp_path / "new" / "Annotations").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "data convert: the following arguments are required: --to; see tablesense data convert --help"),
        (["--to", "pdf"], "argument --to: invalid choice: 'pdf' (choose from"),
        (["--to", "coco", "--dpi", "7"], "argument --dpi: expected a whole number from 10 to 1200, found 7"),
    ],
)
def test_options_that_are_wrong_are_refused_in_one_line(options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        run(["source", "new", *options])


def test_it_says_what_it_did_and_how_to_train_with_it(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([str(source), str(tmp_path / "a b"), "--to", "yolo"])
    out = capsys.readouterr().out
    assert "train: 7 pages, 2 of them without a table; 9 boxes (" in out
    assert "images: 12 linked" in out
    assert f"--data.path='{tmp_path / 'a b'}'" in out


def test_no_torch_is_imported(tmp_path: Path, source: Path) -> None:
    arguments = [str(source), str(tmp_path / "new"), "--to", "coco"]
    code = f"from tablesense.data.convert import run; run({arguments})"
    code += "; import sys; assert not {'torch', 'pypdfium2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
