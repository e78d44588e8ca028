"""Pages without truth: images, PDFs, TIFFs of several pages, and what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tablesense.data.images import files_below, read_images
from tablesense.data.page import Page
from tablesense.errors import UserError

Write = Callable[..., None]


def write_pdf(file: Path, *sizes: tuple[float, float], rotation: int = 0, encrypted: bool = False) -> None:
    """A PDF of empty pages; an encrypted one asks for a password that nobody knows."""
    kids = " ".join(f"{i} 0 R" for i in range(3, 3 + len(sizes)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(sizes)} >>"]
    for width, height in sizes:
        box = f"/MediaBox [0 0 {width} {height}]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {box} /Rotate {rotation} >>")
    trailer = ""
    if encrypted:
        key = "00" * 32
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>")
        trailer = f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    content, places = b"%PDF-1.4\n", []
    for i, each in enumerate(objects, start=1):
        places.append(len(content))
        content += f"{i} 0 obj\n{each}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    content += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{trailer} >>\nstartxref\n{len(content)}\n%%EOF\n"
    ).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def write_tiff(file: Path, *sizes: tuple[int, int], orientation: int = 1) -> None:
    first, *others = (Image.new("L", size, 255) for size in sizes)
    exif = Image.Exif()
    exif[274] = orientation
    first.save(file, save_all=True, append_images=others, exif=exif)


def test_every_page_at_and_below_a_folder_without_truth(tmp_path: Path, write_images: Write) -> None:
    write_images("b/scan_2.png", "b/scan_1.PNG", "photo_1.jpg", ".hidden.png", ".cache/thumb.png")
    write_pdf(tmp_path / "a" / "report.pdf", (595, 842), (842, 595))
    (tmp_path / "notes.txt").write_text("not a page")
    pages = read_images(tmp_path)
    size = (100, 80)
    assert pages.splits == {
        "all": [
            Page(tmp_path / "photo_1.jpg", "photo", size),
            Page(tmp_path / "a" / "report.pdf", "a/report", (595, 842), number=0),
            Page(tmp_path / "a" / "report.pdf", "a/report", (842, 595), number=1),
            Page(tmp_path / "b" / "scan_1.PNG", "b/scan", size),
            Page(tmp_path / "b" / "scan_2.png", "b/scan", size),
        ]
    }
    assert not pages.dropped


def test_one_file_by_itself(tmp_path: Path, write_images: Write) -> None:
    write_images("a.png", "b.png")
    assert read_images(tmp_path / "a.png").splits == {"all": [Page(tmp_path / "a.png", "a", (100, 80))]}
    write_pdf(tmp_path / "c.PDF", (300, 400))
    assert [page.size for page in read_images(tmp_path / "c.PDF").splits["all"]] == [(300, 400)]


def test_a_pdf_page_has_the_size_that_it_is_displayed_with(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", (300, 400), rotation=90)
    page = read_images(tmp_path).splits["all"][0]
    assert page.size == (400, 300)
    assert page.open(80).size == (80, 60)


def test_each_frame_of_a_tiff_is_a_page_and_a_single_one_an_image(tmp_path: Path) -> None:
    write_tiff(tmp_path / "fax.tiff", (60, 80), (90, 70))
    write_tiff(tmp_path / "one.tif", (50, 40))
    write_tiff(tmp_path / "turned.tif", (50, 40), orientation=6)
    assert read_images(tmp_path).splits["all"] == [
        Page(tmp_path / "fax.tiff", "fax", (60, 80), number=0),
        Page(tmp_path / "fax.tiff", "fax", (90, 70), number=1),
        Page(tmp_path / "one.tif", "one", (50, 40)),
        Page(tmp_path / "turned.tif", "turned", (40, 50)),
    ]


def test_an_animation_is_one_page(tmp_path: Path) -> None:
    frames = [Image.new("L", (30, 20), grey) for grey in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_images(tmp_path).splits["all"] == [Page(tmp_path / "a.gif", "a", (30, 20))]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.png", "unreadable image"),
        ("text.jpg", "unreadable image"),
        ("cut.tif", "unreadable image"),
        ("locked.pdf", "encrypted PDF"),
        ("text.pdf", "broken PDF"),
        ("gone.pdf", "missing file"),
        ("gone.png", "missing file"),
        ("damaged.png", "unreadable image"),
        ("none.pdf", "PDF without pages"),
        ("flat.pdf", "broken page of a PDF"),
        ("bomb.png", "image of too many pixels, scale it down"),
    ],
)
def test_a_file_that_cannot_be_read_is_counted_and_named(
    tmp_path: Path, write_images: Write, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    file = tmp_path / name
    if name == "locked.pdf":
        write_pdf(file, (300, 400), encrypted=True)
    elif name == "none.pdf":
        write_pdf(file)
    elif name == "flat.pdf":
        write_pdf(file, (300, 400))
        file.write_bytes(file.read_bytes().replace(b"/Type /Page /", b"/Type /Nope /"))
    elif name.startswith("gone"):
        file.symlink_to("nowhere")
    elif name == "damaged.png":  # told by its content
        Image.new("RGB", (8, 8)).save(file, "DDS")
        content = file.read_bytes()
        file.write_bytes(content[:80] + bytes(4) + content[84:])  # of no pixel format
    elif name == "cut.tif":
        write_tiff(file, (60, 80), (60, 80))
        file.write_bytes(file.read_bytes()[:5000])
    elif name == "bomb.png":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
        Image.new("1", (300, 200)).save(file)
    else:
        file.write_text("no image" if name.startswith("text") else "")
    with pytest.raises(UserError, match=rf"^not one page of .* can be read: 1 {reason}, .*{name}"):
        read_images(tmp_path)
    write_images("good.png")
    pages = read_images(tmp_path)
    assert [page.path.name for page in pages.splits["all"]] == ["good.png"]
    assert pages.dropped == {reason: 1}
    assert name in pages.dropped.examples[reason][0]


def test_a_place_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: expected a folder of images and PDFs"):
        read_images(tmp_path / "nowhere")
    (tmp_path / "a.docx").touch()
    with pytest.raises(UserError, match=r"no images or PDFs in .*: found 1 \.docx"):
        read_images(tmp_path)
    with pytest.raises(UserError, match=r"a\.docx is no image or PDF: expected one of \.bmp, "):
        read_images(tmp_path / "a.docx")


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path, write_images: Write) -> None:
    write_images("in/a.png")
    (tmp_path / "in" / "back").symlink_to(tmp_path)
    assert list(files_below(tmp_path, {".png"})) == [("in", ["a.png"])]


def test_real_pdfs(real_data: Path) -> None:
    pages = read_images(real_data / "icdar2013").splits["all"]
    assert len(pages) == 111
    assert len({page.document for page in pages}) == len({page.path for page in pages})
    assert all(page.number is not None and not page.boxes for page in pages)
