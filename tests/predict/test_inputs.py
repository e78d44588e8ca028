"""From names to pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tablesense.data.page import Page
from tablesense.errors import UserError
from tablesense.predict.inputs import Document, Failure, find_documents, keep_stdin, read_pages

Write = Callable[..., Path]


def names(*inputs: str | Path) -> list[str]:
    return [document.name for document in find_documents(inputs)]


def test_folders_are_searched_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/two.pdf", "b/one.PNG", "a.tif", ".hidden/c.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a", "b/one", "b/two"]
    assert names(tmp_path / "b" / "two.pdf", tmp_path) == ["two", "a", "b/one"]


def test_a_pattern_is_taken_from_its_first_folder_that_varies(tmp_path: Path) -> None:
    for name in ("scans/2024/a.png", "scans/2025/a.png", "scans/2025/a.txt", "b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(f"{tmp_path}/scans/*/*") == ["2024/a", "2025/a"]
    assert names(f"{tmp_path}/**/*.png") == ["b", "scans/2024/a", "scans/2025/a"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    for name in ("a[1].png", "a1.png"):
        (tmp_path / name).touch()
    assert names(tmp_path / "a[1].png") == ["a[1]"]


def test_names_that_collide_are_told_apart(tmp_path: Path) -> None:
    for name in ("x/a.png", "x/a.pdf", "x/b.png", "y/B.png", "x/predictions.coco.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = names(tmp_path / "x", tmp_path / "y")
    assert found[:2] == ["a.pdf", "a.png"]
    assert found[2].startswith("b.png.")
    assert found[3] == "predictions.coco.png"
    assert found[4].startswith("B.png.")
    assert found[2].lower() != found[4].lower()


def test_names_that_are_too_long_for_results_are_cut_short(tmp_path: Path) -> None:
    for name in ("ж" * 120 + ".png", "m" * 231 + ".png"):
        (tmp_path / name).touch()
    middle, long = names(tmp_path)
    assert middle == "m" * 231
    assert long.startswith("ж" * 50 + ".")
    assert len(long.encode()) < 120


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.pdf", r"none\.pdf does not exist: expected images, PDFs, folders"),
        ("a.docx", r"a\.docx is no image or PDF: expected one of \.bmp, "),
        ("", r"^no images or PDFs in .*: found 1 \.docx"),
        ("*.d*", r"^no images or PDFs match .*: found 1 file"),
    ],
)
def test_a_name_with_nothing_under_it_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "a.docx").touch()
    with pytest.raises(UserError, match=message):
        find_documents([tmp_path / name])


@pytest.mark.parametrize("name", ["~nobody-of-this-name/a.pdf", "a" * 300 + ".pdf"])
def test_what_cannot_be_a_name_does_not_exist(name: str) -> None:
    with pytest.raises(UserError, match=r"\.pdf does not exist: "):
        find_documents([name])


def test_each_page_of_pdfs_and_tiffs_comes_with_its_size(
    tmp_path: Path, write_pdf: Write, write_image: Write
) -> None:
    pdf = write_pdf("a.pdf", None, None, rotation=90)
    frames = [Image.new("1", size) for size in ((60, 80), (90, 70))]
    tiff = tmp_path / "fax.tif"
    frames[0].save(tiff, save_all=True, append_images=frames[1:])
    image = write_image("z.png")
    counts: list[int] = []
    pages = list(read_pages(find_documents([tmp_path]), counts.append))
    assert pages == [
        Page(pdf, "a", (400, 300), number=0),
        Page(pdf, "a", (400, 300), number=1),
        Page(tiff, "fax", (60, 80), number=0),
        Page(tiff, "fax", (90, 70), number=1),
        Page(image, "z", (100, 200)),
    ]
    assert counts == [2, 2, 1]


def test_what_cannot_be_read_is_said_in_its_place(
    tmp_path: Path, write_pdf: Write, write_image: Write
) -> None:
    (tmp_path / "a.pdf").write_text("no PDF")
    (tmp_path / "b.png").write_text("no image")
    write_image("c.png")
    flat = write_pdf("d.pdf", None, None)
    flat.write_bytes(flat.read_bytes().replace(b"/Type /Page /", b"/Type /Nope /", 1))
    for name in ("e.pdf", "f.png"):
        (tmp_path / name).symlink_to("nowhere")
    assert [
        str(page) if isinstance(page, Failure) else page.name
        for page in read_pages(find_documents([tmp_path]))
    ] == [
        f"{tmp_path}/a.pdf: broken PDF",
        f"{tmp_path}/b.png: unreadable image",
        "c.png",
        f"{flat}, page 1: broken page of a PDF",
        "d.pdf, page 2",
        f"{tmp_path}/e.pdf: missing file",
        f"{tmp_path}/f.png: missing file",
    ]


def test_a_document_is_opened_when_its_pages_are_asked_for(write_pdf: Write) -> None:
    def documents() -> Iterator[Document]:
        yield Document(write_pdf("a.pdf", None, None), "a")
        raise AssertionError("opened too early")

    pages = read_pages(documents())
    assert [next(pages).number, next(pages).number] == [0, 1]


def test_what_comes_from_stdin_is_told_by_its_content(
    tmp_path: Path, write_pdf: Write, write_image: Write
) -> None:
    pdf, image = write_pdf("a.pdf", None).read_bytes(), write_image("a.png").read_bytes()
    (tmp_path / "in").mkdir()
    for content, size in ((b"\n" + pdf, (300, 400)), (image, (100, 200))):
        file = keep_stdin(io.BytesIO(content), tmp_path / "in")
        (document,) = find_documents(["-"], file)
        assert (document.name, str(document)) == ("stdin", "stdin")
        (page,) = read_pages([document])
        assert isinstance(page, Page)
        assert page.size == size


def test_stdin_may_stand_among_other_inputs(tmp_path: Path, write_image: Write) -> None:
    other = write_image("stdin.png")
    (tmp_path / "in").mkdir()
    file = keep_stdin(io.BytesIO(other.read_bytes()), tmp_path / "in")
    documents = find_documents([other, "-"], file)
    assert [str(document) for document in documents] == [str(other), "stdin"]
    assert [document.name for document in documents] == ["stdin.png", "stdin"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^-: nothing came from stdin: expected an image or a PDF$"),
        (b"a,b\n1,2\n", r"^-: expected an image or a PDF from stdin, found .* b'a,b.n1,2.n'$"),
    ],
)
def test_stdin_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        keep_stdin(io.BytesIO(content), tmp_path)


def test_an_image_from_stdin_that_is_cut_off_is_said_where_it_is_read(
    tmp_path: Path, write_image: Write
) -> None:
    content = write_image("a.png").read_bytes()[:20]
    (document,) = find_documents(["-"], keep_stdin(io.BytesIO(content), tmp_path))
    (failure,) = read_pages([document])
    assert isinstance(failure, Failure)
    assert failure.reason == "unreadable image"
