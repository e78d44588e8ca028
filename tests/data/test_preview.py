"""The preview: which pages it has, where their boxes are, and that it needs nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw

from tablesense.data.page import Page
from tablesense.data.preview import COLOURS, draw, run, spread
from tablesense.data.table import Pages
from tablesense.errors import UserError

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<script>document.title = 'taken'</script>.png"
BLACK = (20, 30, 60, 70)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six pages in two splits; each but the last has one black rectangle, which is its table."""
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    for split, names in {"train": ["a_1", "a_2", "b_1"], "val": ["c_1", "d_1", "e_1"]}.items():
        images, boxes = [], []
        for i, name in enumerate(names):
            image = Image.new("L", (100, 140), 255)
            if name != "e_1":
                ImageDraw.Draw(image).rectangle((*BLACK[:2], BLACK[2] - 1, BLACK[3] - 1), fill=0)
                x0, y0, x1, y1 = BLACK
                boxes.append(
                    {"id": i, "image_id": i, "category_id": i % 2, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                )
            image.save(folder / "images" / f"{name}.png")
            images.append({"id": i, "file_name": f"{name}.png", "width": 100, "height": 140})
        categories = [{"id": 0, "name": "table"}, {"id": 1, "name": "figure & <plot>"}]
        content = {"images": images, "annotations": boxes, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def pages_of(split_of: dict[str, list[tuple[str, int]]]) -> Pages:
    """Pages of a document with 0 or more boxes."""
    pages = Pages()
    for split, wanted in split_of.items():
        for i, (document, boxes) in enumerate(wanted):
            table = ((0.0, 0.0, 9.0, 9.0),) * boxes
            pages.add(split, Page(Path(f"{split}{i}.png"), document, (10, 10), table, ("table",) * boxes))
    return pages


def test_the_pages_are_of_all_kinds() -> None:
    splits = pages_of(
        {
            "train": [("long", 1)] * 500 + [("short", 1), ("other", 1)] + [("long", 0)] * 500,
            "val": [("x", 0)] * 20 + [("y", 2)],
        }
    ).splits
    chosen = spread(splits, 8, seed=3)
    assert Counter(split for split, _ in chosen) == {"train": 4, "val": 4}
    train = [page for split, page in chosen if split == "train"]
    assert {page.document for page in train if page.boxes} == {"long", "short", "other"}
    assert sum(not page.boxes for page in train) == 1
    assert [page.document for split, page in chosen if split == "val"].count("y") == 1
    assert len({page.path for _, page in chosen}) == 8


def test_the_seed_chooses_the_pages() -> None:
    splits = pages_of({"all": [(str(i), 1) for i in range(100)]}).splits
    assert spread(splits, 5, seed=1) == spread(splits, 5, seed=1) != spread(splits, 5, seed=2)
    assert len(spread(splits, 500, seed=1)) == 100


def test_boxes_stay_on_their_tables_in_every_view(source: Path) -> None:
    page = Page(source / "images" / "a_1.png", "a", (200, 280), ((40, 60, 120, 140),), ("table",))
    (leaf,) = draw([("all", page)], 280, "light", 12, seed=0)
    assert [view.title for view in leaf.views] == ["as it is", *(f"light {i + 1}" for i in range(12))]
    assert leaf.views[0].boxes == ((40, 60, 120, 140),)
    seen = 0
    for view in leaf.views:
        pixels = np.asarray(view.image.convert("L"), float)
        for x0, y0, x1, y1 in view.boxes:
            seen += 1
            inside = pixels[round(y0) + 4 : round(y1) - 4, round(x0) + 4 : round(x1) - 4]
            assert inside.mean() < pixels.max() / 2
    assert seen > 6
    assert len({view.image.tobytes() for view in leaf.views}) == 13


def test_views_depend_on_the_seed_alone(source: Path) -> None:
    page = Page(source / "images" / "a_1.png", "a", (100, 140))
    first, again, other = (
        draw([("all", page)], 100, "scan", 1, seed)[0].views[1].image.tobytes() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_sheet_shows_each_page_with_its_boxes(source: Path, tmp_path: Path) -> None:
    arguments = [str(source), "-o", str(tmp_path / "sheet.png"), "--augment", "none", "--image-size", "140"]
    assert run(arguments) == 0
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert pixels.shape[:2] == (2 * (140 + 74 + 8) + 8, 3 * 108 + 8)
    for name, colour, times in (("table", COLOURS[1], 3), ("figure & <plot>", COLOURS[0], 2)):
        outline = (pixels == ImageColor.getrgb(colour)).all(-1)
        left_sides = sum(
            int(outline[top : top + 44, left].all())
            for top in range(8 + 74 + 28, pixels.shape[0] - 44, 222)
            for left in range(8 + 18, pixels.shape[1], 108)
        )
        assert left_sides == times, name


def test_an_html_page_says_what_it_shows(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    run([str(source), "-o", str(output), "--views", "1", "--image-size", "140"])
    text = " ".join(re.sub("<[^>]+>", " ", output.read_text()).split())
    assert "6 of 6 pages, seed 0. Beside each is a view of it as training with data.augment=scan" in text
    assert "a_1.png train · document a · 100 x 140 px table: 1 table as it is" in text
    assert "e_1.png val · document e · 100 x 140 px no boxes" in text
    assert "figure &amp; &lt;plot&gt;: 2" in text
    svgs = re.findall(r"<svg.*?</svg>", output.read_text(), re.DOTALL)
    assert len(svgs) == 12
    assert '<rect x="20.0" y="30.0" width="40.0" height="40.0"/>' in svgs[0]


def test_a_file_name_that_is_no_text_is_shown_as_far_as_it_is(source: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"a_\xff.png")
    try:
        (source / "images" / "a_1.png").rename(source / "images" / name)
    except OSError:
        pytest.skip("this file system takes names that are UTF-8 alone")
    truth = (source / "train.json").read_text()
    (source / "train.json").write_text(truth.replace('"a_1.png"', json.dumps(name)))
    output = tmp_path / "page.html"
    run([str(source), "-o", str(output), "--augment", "none"])
    assert "a_?.png" in output.read_text(encoding="utf-8")


def test_an_html_page_asks_no_server_and_runs_nothing_of_the_data(source: Path, tmp_path: Path) -> None:
    (source / "images" / "a_1.png").rename(source / "images" / HOSTILE.replace("/", "_"))
    truth = (source / "train.json").read_text()
    (source / "train.json").write_text(truth.replace("a_1.png", HOSTILE.replace("/", "_")))
    output = tmp_path / "page.html"
    run([str(source), "-o", str(output), "--augment", "none"])
    text = output.read_text()
    assert "default-src 'none'" in text
    assert "&lt;script&gt;document.title" in text
    assert text.count("<script>") == 1
    for reference in re.findall(r"""(?:\bsrc|\bhref|\baction)\s*=\s*["']?([^"'\s>]+)|url\(([^)]*)\)""", text):
        assert "".join(reference).startswith("data:image/webp;base64,"), reference


@pytest.mark.skipif(BROWSER is None, reason="install chromium or Chrome to see the page drawn")
def test_a_picture_is_enlarged_by_a_click_without_a_network(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    run([str(source), "-o", str(output), "--augment", "none"])
    script = """<script>
      document.querySelectorAll(".page button")[1].click();
      dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
      const height = document.querySelector("dialog[open] svg").getBoundingClientRect().height;
      document.title = `${dialog.querySelector("span").textContent}: ${height > 300}`;
    </script>"""
    output.write_text(output.read_text().replace("</body>", f"{script}</body>"))
    assert BROWSER
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--enable-logging=stderr", "--dump-dom", output.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert "<title>b_1.png, as it is: true</title>" in done.stdout


def test_only_an_earlier_preview_is_overwritten(source: Path, tmp_path: Path) -> None:
    for name in ("page.html", "page.png"):
        output = tmp_path / name
        arguments = [str(source), "-o", str(output), "--augment", "none", "--pages", "1"]
        output.write_bytes(b"something else")
        with pytest.raises(UserError, match=r"exists and is no earlier preview: name another file"):
            run(arguments)
        assert output.read_bytes() == b"something else"
        output.unlink()
        for _ in range(2):
            assert run(arguments) == 0


def test_pages_that_cannot_be_decoded_are_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((source / "images").iterdir())
    images[0].write_bytes(images[0].read_bytes()[:60])
    arguments = [str(source), "-o", str(tmp_path / "page.html"), "--augment", "none"]
    run(arguments)
    out, err = capsys.readouterr()
    assert "(5 pages" in out
    assert "left out: a_1.png cannot be read" in err
    for image in images:
        image.write_bytes(b"")
    with pytest.raises(UserError, match=r"not one page of .* can be decoded"):
        run(arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "page.pdf"], "data preview: expected an .html or .png file, found page.pdf"),
        (["--augment", "heavy"], "argument --augment: invalid choice: 'heavy'"),
        (["--pages", "0"], "argument --pages: expected a whole number from 1, found 0"),
        (["-o", "nowhere/page.png"], "nowhere/page.png cannot be written: No such file or directory"),
    ],
)
def test_options_that_are_wrong_are_refused_in_one_line(
    source: Path, options: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        run([str(source), *options])
