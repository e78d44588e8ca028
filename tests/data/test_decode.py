"""Decoding: every kind of file gives the right picture, or one line that says why it gives none."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tablesense.data import decode as module
from tablesense.data.check.look import look_at
from tablesense.data.decode import decode, displayed_size
from tablesense.data.page import Page

WIDTH, HEIGHT = 60, 40
CMYK = (200, 40, 90, 30)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # what makes the stored picture of the upright one


def pattern(mode: str = "L") -> Image.Image:
    """A page that no turn or flip leaves as it is: a black box at the top left, a grey one at the right."""
    image = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 4, 31, 15), fill=0)
    if mode != "1":
        draw.rectangle((40, 20, 51, 35), fill=128)
    if mode == "RGB":
        return Image.merge("RGB", (image, image, Image.new("L", image.size, 255)))
    return image.convert(mode)


def picture(image: Image.Image) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.asarray(image).astype(np.int16)


def same(image: Image.Image, expected: Image.Image, within: int = 0) -> bool:
    return (image.mode, image.size) == (expected.mode, expected.size) and bool(
        np.abs(picture(image) - picture(expected)).max() <= within
    )


def refused(path: Path, number: int | None = None, longest_side: int | None = None) -> str:
    with pytest.raises((OSError, ValueError)) as raised:
        decode(path, number, None, longest_side)
    message = str(raised.value)
    assert message
    assert "\n" not in message
    return message


# -- kinds of pixels -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "webp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_formats_come_as_they_were_saved(tmp_path: Path, mode: str, suffix: str) -> None:
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95, "subsampling": 0}}.get(suffix, {})
    pattern(mode).save(tmp_path / f"a.{suffix}", **options)
    expected = pattern(mode).convert("RGB") if suffix in ("gif", "webp") else pattern(mode)
    assert same(decode(tmp_path / f"a.{suffix}"), expected, 12 if suffix == "jpg" else 0)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!garbage!", "ASCII"])
def test_damaged_exif_leaves_the_picture_as_it_is_stored(tmp_path: Path, exif: bytes | str) -> None:
    if isinstance(exif, str):  # an orientation that is a text
        tag = b"\x12\x01\x02\x00\x04\x00\x00\x00six\0"
        exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4)
    pattern().save(tmp_path / "a.jpg", quality=95, dpi=(150, 150), exif=exif)
    assert displayed_size(tmp_path / "a.jpg") == (WIDTH, HEIGHT)
    assert same(decode(tmp_path / "a.jpg"), pattern(), 12)
    assert not look_at([Page(tmp_path / "a.jpg", "a", (WIDTH, HEIGHT))], 64).faults


def test_a_palette_comes_as_its_colours(tmp_path: Path) -> None:
    pattern("RGB").quantize(8).save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png")
    assert same(image, pattern("RGB"))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pbm"])
def test_one_bit_comes_as_black_and_white(tmp_path: Path, suffix: str) -> None:
    pattern("1").save(tmp_path / f"a.{suffix}")
    assert same(decode(tmp_path / f"a.{suffix}"), pattern("1").convert("L"))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_lzw", "packbits", "raw"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_ink_is_black_whatever_a_tiff_calls_zero(tmp_path: Path, compression: str, photometric: int) -> None:
    pattern("1").save(tmp_path / "a.tif", compression=compression, tiffinfo={262: photometric})
    with Image.open(tmp_path / "a.tif") as stored:
        assert stored.tag_v2[262] == photometric  # type: ignore[attr-defined]
    assert same(decode(tmp_path / "a.tif"), pattern("1").convert("L"))


@pytest.mark.parametrize(("name", "mode"), [("a.png", "I;16"), ("a.tif", "I;16"), ("a.pgm", "I;16")])
def test_sixteen_bits_of_grey_lose_the_lower_eight(tmp_path: Path, name: str, mode: str) -> None:
    sixteen_bits().save(tmp_path / name)
    assert same(decode(tmp_path / name), pattern())


def sixteen_bits() -> Image.Image:
    lower = np.arange(WIDTH, dtype=np.uint16) * 4
    return Image.fromarray(np.asarray(pattern()).astype(np.uint16) * 256 + lower)


@pytest.mark.parametrize(("order", "photometric"), [("<", 0), ("<", 1), (">", 1)])
def test_sixteen_bits_in_either_order_and_either_sense(tmp_path: Path, order: str, photometric: int) -> None:
    pixels = np.asarray(sixteen_bits())
    write_tiff(tmp_path / "a.tif", (pixels if photometric else 65535 - pixels), order, photometric)
    assert same(decode(tmp_path / "a.tif"), pattern())


def test_twelve_bits_of_grey_lose_the_lower_four(tmp_path: Path) -> None:
    pixels = np.asarray(sixteen_bits()).astype(np.int64).reshape(-1, 2) >> 4
    packed = (pixels[:, :1] << 12 | pixels[:, 1:]) >> np.array([16, 8, 0]) & 255
    write_tiff(tmp_path / "a.tif", packed.astype(np.uint8), "<", 1, bits=12)
    assert same(decode(tmp_path / "a.tif"), pattern())


def write_tiff(
    path: Path,
    pixels: np.ndarray[Any, Any],
    order: str,
    photometric: int,
    format: int = 1,
    bits: int | None = None,
) -> None:
    """One strip, uncompressed, as TIFF 6.0 describes it: 2 bytes of order, 42, the place of the tags."""
    tags = {
        256: WIDTH,
        257: HEIGHT,
        258: bits or 8 * pixels.itemsize,
        259: 1,
        262: photometric,
        273: 0,
        277: 1,
    }
    tags |= {278: HEIGHT, 279: pixels.nbytes, 339: format}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    endian: Any = "little" if order == "<" else "big"
    data = (b"II" if order == "<" else b"MM") + (42).to_bytes(2, endian) + (8).to_bytes(4, endian)
    data += len(tags).to_bytes(2, endian)
    for tag, value in sorted(tags.items()):
        data += tag.to_bytes(2, endian) + (4).to_bytes(2, endian) + (1).to_bytes(4, endian)
        data += value.to_bytes(4, endian)
    path.write_bytes(data + bytes(4) + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes())


def test_grey_levels_that_have_no_meaning_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.full((HEIGHT, WIDTH), 70_000, np.uint32), "<", 1)
    assert refused(tmp_path / "a.tif") == "grey levels from 70000 to 70000: expected 8 or 16 bits"
    write_tiff(tmp_path / "a.tif", np.full((HEIGHT, WIDTH), 0.5, np.float32), "<", 1, format=3)
    assert refused(tmp_path / "a.tif") == "grey levels with fractions: expected 8 or 16 bits"


def test_ink_of_four_colours_comes_as_the_colour_it_prints(tmp_path: Path) -> None:
    """Adobe's JPEGs hold CMYK inverted, and may hold CMY as YCbCr (YCCK)."""
    image = Image.new("CMYK", (WIDTH, HEIGHT), CMYK)
    image.save(tmp_path / "a.jpg", quality=95)
    expected = image.convert("RGB")
    assert same(decode(tmp_path / "a.jpg"), expected, 3)
    cmy = Image.merge("RGB", image.split()[:3]).convert("YCbCr")
    # Pillow inverts what it writes; the fourth is stored inverted in either kind.
    stored = [plane.point(lambda level: 255 - level) for plane in cmy.split()]
    file = io.BytesIO()
    Image.merge("CMYK", (*stored, image.getchannel("K"))).save(file, "JPEG", quality=95)
    data = bytearray(file.getvalue())
    data[data.index(b"Adobe") + 11] = 2  # the transform: YCCK
    (tmp_path / "b.jpg").write_bytes(data)
    assert same(decode(tmp_path / "b.jpg"), expected, 4)
    image.save(tmp_path / "a.tif")
    assert same(decode(tmp_path / "a.tif"), expected)


def test_ink_on_nothing_lies_on_white_paper(tmp_path: Path) -> None:
    page = pattern("RGB")
    ink = Image.new("RGBA", page.size, (0, 0, 0, 0))  # black, and nothing of it to be seen
    ink.paste(page, mask=page.convert("L").point(lambda level: 255 * (level < 250)))
    for name in ("a.png", "a.webp", "a.tif"):
        ink.save(tmp_path / name, **({"lossless": True, "exact": True} if name == "a.webp" else {}))
        assert same(decode(tmp_path / name), page), name
    half = Image.new("LA", (WIDTH, HEIGHT), (55, 128))
    half.save(tmp_path / "b.png")
    assert same(decode(tmp_path / "b.png"), Image.new("L", half.size, 155), 1)
    half.convert("RGBA").save(tmp_path / "b.png")
    assert same(decode(tmp_path / "b.png"), Image.new("RGB", half.size, (155,) * 3), 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_colour_that_is_called_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("L", (WIDTH, HEIGHT), 0)
    image.paste(255, (10, 10, 20, 20))
    image = image.convert(mode)
    image.save(tmp_path / "a.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    white = Image.new("L" if mode in "1L" else "RGB", image.size, "white")
    assert same(decode(tmp_path / "a.png"), white)


# -- frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_as_exif_says_it_is_displayed(tmp_path: Path, orientation: int, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    stored = save_turned(file, orientation)
    upright = decode(file)
    assert same(upright, pattern("RGB"), 12 if suffix == "jpg" else 0)
    assert displayed_size(file) == (WIDTH, HEIGHT)
    assert same(decode(file, size=(10 * WIDTH, 10 * HEIGHT)), upright)
    assert same(decode(file, size=(1, 3)), upright)  # fits neither
    if orientation >= 5:
        raw = decode(file, size=stored.size)
        assert same(raw, stored, 12 if suffix == "jpg" else 0)
    small = decode(file, longest_side=30)
    assert small.size == (30, 20)
    assert np.abs(picture(small) - picture(pattern("RGB").resize((30, 20), 2))).mean() < 4


def save_turned(file: Path, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[274] = orientation
    turn = TURNS.get(orientation)
    stored = pattern("RGB") if turn is None else pattern("RGB").transpose(turn)
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 95, "subsampling": 0}}.get(file.suffix, {})
    stored.save(file, exif=exif, **options)
    return stored


def test_an_orientation_may_stand_behind_the_pixels(tmp_path: Path) -> None:
    stored = save_turned(tmp_path / "a.png", 6)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    last = data.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(data[:start] + data[end:last] + data[start:end] + data[last:])
    assert same(decode(tmp_path / "a.png"), pattern("RGB"))
    assert same(decode(tmp_path / "a.png", size=stored.size), stored)


def test_the_number_picks_the_page_of_a_tiff(tmp_path: Path) -> None:
    pages = [Image.new("L", (20 + i, 30), 40 * i) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    for number, page in enumerate(pages):
        assert same(decode(tmp_path / "a.tif", number), page)
    assert same(decode(tmp_path / "a.tif"), pages[0])
    assert refused(tmp_path / "a.tif", 3) == "it has no page 4"
    pages[0].save(tmp_path / "a.png")
    assert same(decode(tmp_path / "a.png", 0), pages[0])
    assert refused(tmp_path / "a.png", 1) == "it has no page 2"


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_the_page(tmp_path: Path, suffix: str) -> None:
    frames = [pattern("L"), Image.new("L", (WIDTH, HEIGHT), 128), Image.new("L", (WIDTH, HEIGHT), 0)]
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    image = decode(tmp_path / f"a.{suffix}")
    assert same(image.convert("L"), pattern())


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_large_page_comes_at_the_size_asked_for(tmp_path: Path, suffix: str, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 30), dtype=np.uint8)
    page = Image.fromarray(noise).resize((1000, 800), Image.Resampling.BICUBIC).convert(mode)
    file = tmp_path / f"a.{suffix}"
    page.save(file)
    for longest in (100, 333, 700):
        small = decode(file, longest_side=longest)
        reference = page.resize((longest, round(longest * 0.8)), Image.Resampling.BILINEAR)
        assert (small.mode, small.size) == (mode, reference.size)
        assert np.abs(picture(small) - picture(reference)).mean() < 2
    assert decode(file, longest_side=2000).size == (1000, 800)
    assert decode(file).size == (1000, 800)


def test_a_small_view_of_a_large_jpeg_saves_time(tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((6000, 8000)).convert("RGB").save(tmp_path / "a.jpg")
    decode(tmp_path / "a.jpg", longest_side=2)  # imports
    started = time.process_time()
    assert decode(tmp_path / "a.jpg", longest_side=384).size == (288, 384)
    reduced = time.process_time() - started
    started = time.process_time()
    decode(tmp_path / "a.jpg")
    assert reduced < (time.process_time() - started) / 2


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_plain_pngs_are_decoded_as_pillow_does(tmp_path: Path, mode: str) -> None:
    channels = len(mode)
    pixels = np.random.default_rng(0).integers(0, 4, (HEIGHT, WIDTH, channels), dtype=np.uint8) * 60
    if mode == "RGBA":
        pixels[..., 3] = 255
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        plain = module._plain_png(file)
    assert plain is not None
    assert np.array_equal(plain, pixels.squeeze())
    assert np.array_equal(np.asarray(decode(tmp_path / "a.png")), pixels[..., :3].squeeze())


def test_absurdly_large_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = b"IHDR" + (100_000).to_bytes(4) + (50_000).to_bytes(4) + b"\x08\x02\x00\x00\x00"
    chunks = (header, b"IDAT" + zlib.compress(b""), b"IEND")
    data = b"".join((len(c) - 4).to_bytes(4) + c + zlib.crc32(c).to_bytes(4) for c in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    expected = "Image size (5000000000 pixels) exceeds limit of 178956970 pixels: scale it down"
    assert refused(tmp_path / "a.png", longest_side=100) == expected
    with pytest.raises(OSError, match="5000000000 pixels"):
        displayed_size(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 3)
    for suffix in ("png", "jpg", "tif", "gif", "webp", "bmp"):
        pattern("RGB").save(tmp_path / f"b.{suffix}")
        assert "2400 pixels" in refused(tmp_path / f"b.{suffix}")


def test_images_below_the_limit_come_without_a_warning(tmp_path: Path) -> None:
    pattern().save(tmp_path / "a.png")
    program = (
        "from pathlib import Path; from PIL import Image; from tablesense.data.decode import decode; "
        f"Image.MAX_IMAGE_PIXELS = 2000; print(decode(Path({str(tmp_path / 'a.png')!r})).size)"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("(60, 40)\n", "")


# -- broken files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "webp", "bmp"])
def test_a_file_that_is_cut_off_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(file)
    data = file.read_bytes()
    for share in (0.02, 0.5, 0.9):
        file.write_bytes(data[: int(share * len(data))])
        refused(file)
        refused(file, longest_side=50)


def test_no_image_at_all_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert refused(tmp_path / "a.png") == "the file is empty"
    (tmp_path / "a.png").write_bytes(b"not an image")
    assert refused(tmp_path / "a.png") == "neither a PDF nor an image that Pillow reads"
    assert "b.png" in refused(tmp_path / "b.png")
    assert "directory" in refused(tmp_path).lower()
    for name, words in (("a.png", "nor an image"), ("b.png", r"b\.png")):
        with pytest.raises(OSError, match=words):
            displayed_size(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "webp", "bmp", "pdf"])
def test_damage_anywhere_is_refused_or_does_no_harm(tmp_path: Path, suffix: str) -> None:
    file, random = tmp_path / f"a.{suffix}", Random(0)
    pattern("RGB").save(file)
    data = file.read_bytes()
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(random.choice((1, 3, 10))):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        file.write_bytes(damaged)
        with suppress(OSError, ValueError):
            assert decode(file, longest_side=50).mode in ("L", "RGB")


# -- PDF -------------------------------------------------------------------------------------------


def write_pdf(path: Path, *sizes: tuple[int, int]) -> None:
    """A PDF of pages whose upper left quarter is black, their sizes in points."""
    pages = [Image.new("L", size, 255) for size in sizes]
    for page in pages:
        page.paste(0, (0, 0, page.width // 2, page.height // 2))
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)


def bare_pdf(path: Path, kids: int = 1, box: str = "0 0 200 100", trailer: str = "") -> None:
    """A PDF without contents, so that its catalogue and trailer can be what they should not."""
    data = "%PDF-1.4\n"
    places = []
    for i, body in enumerate(
        (
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{'3 0 R ' * kids}] /Count {kids} >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] >>",
        )
    ):
        places.append(len(data))
        data += f"{i + 1} 0 obj\n{body}\nendobj\n"
    start = len(data)
    data += "xref\n0 4\n0000000000 65535 f \n" + "".join(f"{place:010} 00000 n \n" for place in places)
    data += f"trailer\n<< /Size 4 /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    path.write_text(data)


def test_what_a_pdf_is_its_contents_say(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", (300, 200), (200, 300))
    (tmp_path / "a.pdf").rename(tmp_path / "a.bin")
    for number, size in ((None, (75, 50)), (0, (75, 50)), (1, (50, 75))):
        image = decode(tmp_path / "a.bin", number, longest_side=75)
        assert (image.mode, image.size) == ("RGB", size)
        assert (picture(image)[:20, :20] == 0).all()
        assert (picture(image) < 128).mean() == pytest.approx(0.25, abs=0.03)
    assert decode(tmp_path / "a.bin").size == (625, 417)


@pytest.mark.parametrize("points", [(595, 842), (612, 792), (842, 595), (531, 707), (431, 649)])
def test_a_pdf_page_has_the_size_asked_for_to_the_pixel(tmp_path: Path, points: tuple[int, int]) -> None:
    bare_pdf(tmp_path / "a.pdf", box=f"0 0 {points[0]} {points[1]}")
    for side in (384, 799, 800):
        assert max(decode(tmp_path / "a.pdf", longest_side=side).size) == side


def test_a_huge_pdf_page_is_rendered_at_fewer_dpi(tmp_path: Path) -> None:
    bare_pdf(tmp_path / "a.pdf", box="0 0 14400 7200")
    for longest in (None, 30_000):
        width, height = decode(tmp_path / "a.pdf", longest_side=longest).size
        assert 0.99 * module.MOST_RENDERED < width * height < 1.01 * module.MOST_RENDERED
        assert width == pytest.approx(2 * height, abs=2)
    bare_pdf(tmp_path / "a.pdf", box="0 0 14400 1")
    assert decode(tmp_path / "a.pdf", longest_side=800).size == (800, 1)


def test_pdfs_without_a_page_to_show_are_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    bare_pdf(file)
    assert refused(file, 1) == "it has no page 2, but 1 in all"
    data = file.read_bytes()
    file.write_bytes(b"<html>not found</html>")
    assert refused(file).startswith("the PDF is broken: ")
    file.write_bytes(data[:60])
    assert refused(file).startswith("the PDF is broken: ")
    file.touch()
    file.write_bytes(b"")
    assert refused(file) == "the file is empty"
    bare_pdf(file, kids=0)
    assert refused(file).startswith("the PDF is broken: ")
    secret = f"<{'ab' * 32}>"
    locked = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O {secret} /U {secret} >> /ID [<00> <00>]"
    bare_pdf(file, trailer=locked)
    assert refused(file) == "the PDF is encrypted: save it without a password"


def test_a_pdf_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    for width in (100, 200, 300):
        write_pdf(file, (width, 400))
        assert decode(file, 0, longest_side=400).size == (width, 400)
    other = tmp_path / "b.pdf"
    write_pdf(other, (50, 400))
    assert [decode(path, 0, longest_side=400).width for path in (file, other, file)] == [300, 50, 300]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_processes_read_a_pdf_side_by_side(tmp_path: Path) -> None:
    sizes = [(100 + 10 * i, 400) for i in range(20)]
    write_pdf(tmp_path / "a.pdf", *sizes)
    decode(tmp_path / "a.pdf", 0, longest_side=400)
    with get_context("fork").Pool(2) as pool:
        tasks = [(tmp_path / "a.pdf", number, None, 400) for number in range(20)] * 2
        images = pool.starmap_async(decode, tasks, chunksize=1)
        assert [decode(*task).size for task in tasks] == sizes * 2
        assert [image.size for image in images.get(30)] == sizes * 2
