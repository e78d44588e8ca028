"""Indexes of large data sets: when they are used, when they are made anew, and what they withstand."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tablesense.data import index
from tablesense.data.coco import read_coco
from tablesense.data.index import open_index
from tablesense.data.page import Page
from tablesense.data.table import Pages
from tablesense.errors import UserError


class Reader:
    """Reads `*.txt` of any folder below the data set as pages beside them, and counts how often."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, path: Path) -> Pages:
        self.reads += 1
        pages = Pages()
        files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
        for file in files:
            for line in file.read_text().split():
                pages.add("train", Page(file.with_name(line), "d", (9, 9), ((1, 2, 3, 4),), ("table",)))
        pages.dropped.note("crowd", "a.txt")
        return pages


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    (folder / "a" / "b").mkdir(parents=True)
    for place in (folder, folder / "a", folder / "a" / "b"):
        (place / "list.txt").write_text("1.png 2.png")
        (place / "1.png").touch()
    return folder


def kept(data: Path) -> list[Path]:
    return sorted((data.parent / "cache" / "tablesense" / "index").glob("*"))


def touched(path: Path) -> None:
    """Give it another time of change, however coarse the clock is."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))


def test_a_large_data_set_is_read_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = Reader()
    first = open_index(data, "x", read, least=6)
    (folder,) = kept(data)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"Read 6 pages of {data} in 0 s. Their index is {folder}: delete it ")
    again = open_index(data, "x", read, least=6)
    assert capsys.readouterr().err == ""
    assert read.reads == 1
    for pages in (first, again):
        assert pages.splits == read(data).splits
        assert (pages.dropped, pages.dropped.examples) == ({"crowd": 1}, {"crowd": ["a.txt"]})
        assert len(pickle.dumps(pages.splits["train"])) < 1000  # it is mapped
    shutil.rmtree(folder)
    read.reads = 0
    open_index(data, "x", read, least=6)
    assert read.reads == 1


def test_a_small_one_is_read_each_time(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = Reader()
    for _ in range(2):
        assert len(open_index(data, "x", read, least=7).splits["train"]) == 6
    assert read.reads == 2
    assert not kept(data)
    assert capsys.readouterr().err == ""


CHANGES: dict[str, Callable[[Path], Any]] = {
    "an annotation file is edited": lambda data: (data / "a/b/list.txt").write_text("1.png"),
    "it is edited to the same size": lambda data: touched(data / "a/list.txt"),
    "a file is added": lambda data: (data / "a/b/3.png").touch(),
    "an image is removed": lambda data: (data / "1.png").unlink(),
    "an image is renamed": lambda data: (data / "a/1.png").rename(data / "a/3.png"),
    "a folder is added": lambda data: (data / "a/b/c").mkdir(),
    "a folder is moved away": lambda data: (data / "a/b").rename(data.parent / "b"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_data_set_is_read_anew_and_its_old_index_removed(data: Path, change: str) -> None:
    read = Reader()
    open_index(data, "x", read, least=1)
    (old,) = kept(data)
    time.sleep(0.01)  # longer than the clock of file systems ticks
    CHANGES[change](data)
    for _ in range(2):
        assert open_index(data, "x", read, least=1).splits == Reader()(data).splits
    assert read.reads == 2
    (new,) = kept(data)
    assert new != old


def test_an_image_that_is_read_changes_nothing(data: Path) -> None:
    read = Reader()
    open_index(data, "x", read, least=1)
    (data / "1.png").read_bytes()
    (data / "list.txt").read_text()
    open_index(data, "x", read, least=1)
    assert read.reads == 1


def test_formats_and_data_sets_have_their_own(data: Path, tmp_path: Path) -> None:
    read = Reader()
    other = tmp_path / "other"
    shutil.copytree(data, other)
    for _ in range(2):
        for path, form in ((data, "x"), (data, "y"), (other, "x")):
            assert open_index(path, form, read, least=1).splits["train"][0].path.is_relative_to(path)
    assert read.reads == 3
    assert len(kept(data)) == 3


def test_another_version_makes_another_index(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Reader()
    open_index(data, "x", read, least=1)
    old = kept(data)
    monkeypatch.setattr(index, "VERSION", index.VERSION + 1)
    open_index(data, "x", read, least=1)
    assert read.reads == 2
    assert len(kept(data)) == 1
    assert kept(data) != old


def test_a_relative_path_is_the_same_data_set_and_its_pages_are_found_from_anywhere(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Reader()
    monkeypatch.chdir(data.parent)
    open_index(Path("data"), "x", read, least=1)
    monkeypatch.chdir("/")
    assert open_index(data, "x", read, least=1).splits["train"][0].path == data / "a" / "b" / "1.png"
    assert read.reads == 1


def test_a_single_file_has_an_index_of_its_own(data: Path) -> None:
    def read(path: Path) -> Pages:
        reads.append(path)
        return Reader()(path)

    reads: list[Path] = []
    file = (data / "list.txt").rename(data / "a" / "pages.json")
    changes: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: (data / "unrelated").touch(),
        lambda: touched(file),
        lambda: (data / "a" / "1.png").unlink(),  # in the folder of its images
    )
    counts = []
    for change in changes:
        time.sleep(0.01)
        change()
        open_index(file, "x", read, least=1)
        counts.append(len(reads))
    assert counts == [1, 1, 2, 3]


def test_beside_a_file_that_leads_to_others_these_are_looked_at(data: Path) -> None:
    read = Reader()
    file = data / "data.yaml"
    file.touch()

    def follow(path: Path) -> Pages:
        return read(path.parent)

    for _ in range(2):
        open_index(file, "x", follow, least=1)
    assert read.reads == 1
    touched(data / "a" / "list.txt")
    open_index(file, "x", follow, least=1)
    assert read.reads == 2


def test_of_very_many_files_the_folder_alone_is_looked_at(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_MANY", 3)
    read = Reader()
    many = data / "a" / "b"
    for name in "uvwx":
        (many / f"{name}.txt").write_text(f"{name}.png")
    open_index(data, "x", read, least=1)
    touched(many / "u.txt")
    open_index(data, "x", read, least=1)
    assert read.reads == 1
    touched(data / "list.txt")  # in a folder of few
    open_index(data, "x", read, least=1)
    assert read.reads == 2
    (many / "y.txt").touch()
    open_index(data, "x", read, least=1)
    assert read.reads == 3


def test_links_in_a_circle_end(data: Path) -> None:
    (data / "a" / "up").symlink_to(data)
    read = Reader()
    for _ in range(2):
        open_index(data, "x", read, least=1)
    assert read.reads == 1


@pytest.mark.parametrize("broken", ["faults.json", "manifest.json", "train/boxes.npy", "train/words.json"])
def test_an_index_that_was_cut_short_is_made_anew(data: Path, broken: str) -> None:
    read = Reader()
    open_index(data, "x", read, least=1)
    (folder,) = kept(data)
    (folder / broken).write_bytes((folder / broken).read_bytes()[:-20])
    for _ in range(2):
        assert open_index(data, "x", read, least=1).splits == Reader()(data).splits
    assert read.reads == 2
    assert kept(data) == [folder]


def test_where_nothing_can_be_written_the_pages_are_read_each_time(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data.parent / "cache").write_text("no folder")
    read = Reader()
    for _ in range(2):
        assert len(open_index(data, "x", read, least=1).splits["train"]) == 6
        assert capsys.readouterr().err == (
            f"The index of {data} cannot be kept in {data.parent}/cache/tablesense/index: Not a directory.\n"
        )
    assert read.reads == 2


def test_what_the_reader_refuses_leaves_nothing_behind(data: Path) -> None:
    def refuse(path: Path) -> Pages:
        raise UserError(f"{path} is not COCO")

    for _ in range(2):
        with pytest.raises(UserError, match="is not COCO"):
            open_index(data, "x", refuse, least=1)
    assert not kept(data)


def test_drafts_of_killed_processes_are_removed_after_a_day(data: Path) -> None:
    home = data.parent / "cache" / "tablesense" / "index"
    old, new = home / ".draft-old", home / ".draft-new"
    for draft in (old, new):
        draft.mkdir(parents=True)
    os.utime(old, (0, 0))
    open_index(data, "x", Reader(), least=1)
    assert (old.exists(), new.exists()) == (False, True)


def test_processes_that_build_at_once_all_find_it(data: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, counts = context.Barrier(4), context.Queue()

    def read(path: Path) -> Pages:
        pages = Reader()(path)
        barrier.wait()  # nobody has written it yet
        return pages

    def build() -> None:
        counts.put(len(open_index(data, "x", read, least=1).splits["train"]))

    processes = [context.Process(target=build) for _ in range(4)]
    for process in processes:
        process.start()
    assert [counts.get(timeout=20) for _ in processes] == [6] * 4
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(kept(data)) == 1


def test_processes_give_an_index_the_same_name(data: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tablesense.data.index import open_index;"
        "from tablesense.data.page import Page; from tablesense.data.table import Pages\n"
        "def read(path):\n"
        "    pages = Pages()\n"
        "    for folder in ('.', 'a', 'a/b'):\n"
        "        pages.add('train', Page(path / folder / '1.png', 'd', (9, 9)))\n"
        "    return pages\n"
        "open_index(Path(sys.argv[1]), 'x', read, least=1)"
    )
    found = set()
    for seed in "1234":  # the order in a set of texts follows from it
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run([sys.executable, "-c", program, str(data)], env=environment, check=True)
        (folder,) = kept(data)
        found.add(folder.name)
        shutil.rmtree(folder)
    assert len(found) == 1


def test_an_open_index_outlives_its_removal(data: Path) -> None:
    pages = open_index(data, "x", Reader(), least=1)
    (data / "list.txt").write_text("")
    open_index(data, "x", Reader(), least=1)
    assert pages.splits["train"][5].boxes == ((1, 2, 3, 4),)


def test_who_waits_is_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index, "_PATIENCE", 0.01)

    def read(path: Path) -> Pages:
        time.sleep(0.2)
        return Reader()(path)

    open_index(data, "x", read, least=1)
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"Reading {data}, which takes a while."
    assert second.startswith("Read 6 pages")
    monkeypatch.setenv("LOCAL_RANK", "1")
    touched(data / "list.txt")
    open_index(data, "x", read, least=1)
    assert capsys.readouterr().err == ""


def test_coco(data: Path, write_images: Callable[..., None]) -> None:
    shutil.rmtree(data)
    write_images("data/images/a.png", "data/images/b.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 80} for i in "ab"],
        "annotations": [{"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4]}] * 2,
        "categories": [{"id": 1, "name": "table"}],
    }
    for split in ("train", "val"):
        (data / f"{split}.json").write_text(json.dumps(content))
    expected = read_coco(data).splits
    for _ in range(2):
        assert open_index(data, "coco", read_coco, least=4).splits == expected
    assert len(kept(data)) == 1
