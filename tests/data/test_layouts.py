"""Every layout as it lies on disk, from `data.path` to a training step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tablesense.cli import main
from tablesense.data.reading import FORMATS, recognise

RECIPE = Path(__file__).parents[2] / "configs" / "detr.yaml"
SIZE = (120, 160)
BOX = (20, 40, 100, 90)
DOCUMENTS = ("one", "two", "three")
TINY = [
    "--data.image_size=96",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--model.detr.hidden_dim=32",
    "--model.detr.num_queries=10",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.fast_dev_run=true",
    "--trainer.enable_progress_bar=false",
    "--logging.wandb=off",
]


def draw(file: Path) -> None:
    """A page with a black table."""
    image = Image.new("L", SIZE, 255)
    ImageDraw.Draw(image).rectangle((BOX[0], BOX[1], BOX[2] - 1, BOX[3] - 1), fill=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, resolution=72.0)


def csv(root: Path) -> None:
    rows = ["filename,xmin,ymin,xmax,ymax,class"]
    for document in DOCUMENTS:
        draw(root / "images" / f"{document}_1.png")
        rows.append(f"{document}_1.png,{','.join(map(str, BOX))},table")
    (root / "tables.csv").write_text("\n".join(rows))


def icdar2013(root: Path) -> None:
    x0, y0, x1, y1 = BOX
    box = f'<bounding-box x1="{x0}" y1="{SIZE[1] - y1}" x2="{x1}" y2="{SIZE[1] - y0}"/>'
    for document in DOCUMENTS:
        draw(root / f"{document}.pdf")
        (root / f"{document}-reg.xml").write_text(
            f'<document filename="{document}.pdf"><table id="1"><region id="1" page="1">{box}</region>'
            "</table></document>"
        )


def ctdar(root: Path) -> None:
    x0, y0, x1, y1 = BOX
    for number in range(3):
        draw(root / "training" / "TRACKA" / "ground_truth" / f"cTDaR_t1000{number}.jpg")
        (root / "training" / "TRACKA" / "ground_truth" / f"cTDaR_t1000{number}.xml").write_text(
            f'<document filename="cTDaR_t1000{number}.jpg"><table id="1">'
            f'<Coords points="{x0},{y0} {x0},{y1} {x1},{y1} {x1},{y0}"/></table></document>'
        )


def huggingface(root: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    files = [root.parent / "rows" / f"{document}_1.png" for document in DOCUMENTS]
    for file in files:
        draw(file)
    x0, y0, x1, y1 = BOX
    objects = {"bbox": [[x0, y0, x1 - x0, y1 - y0]], "category": ["table"]}
    rows = datasets.Dataset.from_dict({"image": list(map(str, files)), "objects": [objects] * 3})
    rows.cast_column("image", datasets.Image()).save_to_disk(root)


def converted(layout: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        csv(root.parent / "source")
        assert main(["data", "convert", str(root.parent / "source"), str(root), "--to", layout]) == 0

    return write


LAYOUTS: dict[str, Callable[[Path], None]] = {
    **{layout: converted(layout) for layout in ("coco", "voc", "yolo")},
    "csv": csv,
    "icdar2013": icdar2013,
    "ctdar": ctdar,
    "huggingface": huggingface,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_trains_as_it_lies(tmp_path: Path, layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    LAYOUTS[layout](tmp_path / "pages")
    assert recognise(tmp_path / "pages") == layout
    assert main(["data", "check", str(tmp_path / "pages"), "--workers", "1"]) == 0
    assert main(["fit", "--config", str(RECIPE), f"--data.path={tmp_path / 'pages'}", *TINY]) == 0
    assert "2 pages to train on, 1 to validate on" in capsys.readouterr().out


def test_every_format_has_a_miniature() -> None:
    assert set(FORMATS) - set(LAYOUTS) == {"huggingface_xyxy", "images"}


def test_images_alone_have_nothing_to_learn_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "pages" / "a.png")
    arguments = ["fit", "--config", str(RECIPE), f"--data.path={tmp_path / 'pages'}", *TINY]
    assert main(arguments) == 2
    assert "no annotations in" in capsys.readouterr().err
    assert main([*arguments, "--data.format=images"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"tablesense: data.path: {tmp_path / 'pages'} is read as images, which have no annotations to learn "
        "from or to score"
    )


@pytest.mark.parametrize("name", ["icdar2013", "unlv"])
def test_real_pages_go_through_check_convert_preview_and_fit(
    tmp_path: Path, real_data: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, copy = str(real_data / name), str(tmp_path / "copy")
    assert main(["data", "check", source, "--limit", "12"]) == 0
    assert main(["data", "convert", source, copy, "--to", "coco", "--dpi", "30"]) == 0
    assert main(["data", "preview", copy, "-o", "pages.html", "--pages", "4"]) == 0
    assert (tmp_path / "pages.html").stat().st_size > 20_000
    capsys.readouterr()
    assert main(["fit", "--config", str(RECIPE), f"--data.path={copy}", *TINY]) == 0
    numbers = re.search(r"(\d+) pages to train on, (\d+) to validate on", capsys.readouterr().out)
    assert numbers
    assert sum(map(int, numbers.groups())) == {"icdar2013": 111, "unlv": 191}[name]
