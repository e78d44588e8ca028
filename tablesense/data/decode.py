"""From a file to the picture of a page: every kind of image that documents come as, and PDF.

The picture comes as it is displayed: EXIF orientation applied, transparency on white paper, ink black
whatever a TIFF calls zero. What cannot be decoded is an `OSError` or a `ValueError` of one line, never half a
page and never a warning alone.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

Size = tuple[float, float]

MOST_RENDERED = 40_000_000
"""The most pixels that a PDF page is rendered at: A0 at 150 dpi; larger pages come at fewer dpi."""

# Pillow refuses images of more than 2 * Image.MAX_IMAGE_PIXELS, 179 million as it comes: A0 at 330 dpi. From
# half of that on it warns, of images that are decoded none the less.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_TURNS = {  # EXIF's orientation, and what makes a picture upright (CIPA DC-008, 4.6.5.1)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FOREIGN = ("EPS", "WMF")  # for which Pillow starts Ghostscript, or asks Windows
_BITS, _SENSE = 258, 262  # TIFF's BitsPerSample, and PhotometricInterpretation: 0 if white is zero


def decode(
    path: Path, number: int | None = None, size: Size | None = None, longest_side: int | None = None
) -> Image.Image:
    """Decode a page.

    A JPEG whose size is to be halved or more is decoded at a half, a quarter or an eighth of it, and scaled
    from there. 16 bits of grey lose the lower 8; colours are converted without their ICC profile. Of an
    animated GIF, WebP or PNG the first frame is the page.

    Args:
        path: An image in any format that Pillow reads, or a PDF; its contents say which.
        number: The page of a PDF or of a multi-page TIFF, from 0; None for the first.
        size: Width and height of the frame that the page's truth is given in. It decides what an EXIF
            orientation by 90 degrees means, as annotation tools differ: where the upright picture does not
            have its proportions but the picture as it is stored does, that is what comes.
        longest_side: What an image is scaled down to if it is larger, and what a PDF page is rendered at,
            in pixels. None for an image's full size, and 150 dpi of a PDF.

    Returns:
        RGB, or L where the file has grey levels alone (a palette of greys counts as colours).

    Raises:
        OSError: The file is missing, empty, cut off, damaged, too large or of no known kind.
        ValueError: It has no such page, needs a password, or its pixels are of no usable kind.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
            if not head:
                raise OSError("the file is empty")
            if b"%PDF-" in head or path.suffix.lower() == ".pdf":
                return _render(path, number or 0, longest_side)
            file.seek(0)
            return _decode_image(file, number or 0, size, longest_side)
    except (OSError, ValueError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise OSError(f"{str(error).partition(',')[0]}: scale it down") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        message = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"the file is damaged: {message}") from error


def displayed_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as `decode` shows it where no size is given, from the file's header.

    Raises:
        OSError: The file is missing, or not an image, or too large.
    """
    try:
        with Image.open(path) as image:
            # A PNG would be decoded to find what stands behind its pixels.
            exif = image.format not in ("PNG", "TIFF") or (image.format == "PNG" and "exif" in image.info)
            return (image.height, image.width) if exif and orientation(image) >= 5 else image.size
    except UnidentifiedImageError:
        raise OSError("neither a PDF nor an image that Pillow reads") from None
    except Image.DecompressionBombError as error:
        raise OSError(f"{str(error).partition(',')[0]}: scale it down") from error


def orientation(image: Image.Image) -> int:
    """EXIF's orientation of an open image: 1 where there is none, or none that can be read.

    Of 1 to 8, those from 5 on exchange width and height.
    """
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF leads Pillow to whatever error; the picture may be good all the same
        return 1
    return int(found) if found in range(1, 9) else 1


# -- images ----------------------------------------------------------------------------------------


def _decode_image(file: IO[bytes], number: int, size: Size | None, longest_side: int | None) -> Image.Image:
    try:
        image: Image.Image = Image.open(file)
    except UnidentifiedImageError:
        raise OSError("neither a PDF nor an image that Pillow reads") from None
    if image.format in _FOREIGN:
        raise OSError(f"{image.format} would be drawn by another program: save it as PNG or PDF")
    if number:
        try:
            image.seek(number)
        except EOFError:
            raise ValueError(f"it has no page {number + 1}") from None
    pixels = _plain_png(file) if image.format == "PNG" and not number else None
    if pixels is not None:
        if pixels.shape[2:] == (4,):
            pixels = np.array(_on_white(Image.fromarray(pixels)))
        return Image.fromarray(pixels if longest_side is None else _shrink(pixels, longest_side))
    if longest_side is not None and image.format in ("JPEG", "MPO"):
        scale = longest_side / max(image.size)
        image.draft(image.mode, (int(image.width * scale), int(image.height * scale)))
    turned = orientation(image)
    tags = dict(getattr(image, "tag_v2", {}))
    image.load()
    turn = _turn(turned, image, size)
    image = as_grey_or_rgb(image, tags)
    if longest_side is not None and longest_side < max(image.size):
        image = Image.fromarray(_shrink(np.array(image), longest_side))
    return image if turn is None else image.transpose(turn)


def _plain_png(file: IO[bytes]) -> NDArray[np.uint8] | None:
    """Decode a PNG of 8 bits a channel, two to four times as fast as libpng does.

    Returns:
        Grey [height, width], RGB or RGBA [height, width, channels]; None where there is more to it (a
        palette, another depth, a transparent colour, orientation, animation, rows out of order) or
        something wrong with it: Pillow knows what.
    """
    from kornia_rs.io import decode_image_png_u8

    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    depth, colours, interlaced = data[24], data[25], data[28]
    mode = {0: "mono", 2: "rgb", 6: "rgba"}.get(colours)
    if mode is None or depth != 8 or interlaced or not _no_more_than_pixels(data):
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    try:
        pixels: NDArray[np.uint8] = decode_image_png_u8(data, (height, width), mode)
    except Exception:  # of no particular type
        return None
    return pixels[..., 0] if mode == "mono" else pixels


def _no_more_than_pixels(png: bytes) -> bool:
    """Whether no chunk names a transparent colour, an orientation or frames; False if the file is cut off."""
    at = 8
    while at + 12 <= len(png):
        kind, end = png[at + 4 : at + 8], at + 12 + int.from_bytes(png[at : at + 4])
        if kind == b"IEND":
            return True
        if kind in (b"tRNS", b"eXIf", b"acTL") or (
            kind in (b"tEXt", b"zTXt", b"iTXt")
            and png[at + 8 : end].startswith((b"Raw profile type", b"XML:com.adobe.xmp"))
        ):
            return False
        at = end
    return False


def _turn(turned: int, image: Image.Image, size: Size | None) -> Image.Transpose | None:
    """What is left to do to a loaded image: Pillow makes a TIFF upright itself, and nothing else."""
    if turned not in _TURNS:
        return None
    upright = stored = image.size
    if turned >= 5:
        if image.format == "TIFF":
            stored = stored[::-1]
        else:
            upright = upright[::-1]
    as_stored = size is not None and not _fits(upright, size) and _fits(stored, size)
    if image.format == "TIFF":
        return _TURNS[{6: 8, 8: 6}.get(turned, turned)] if as_stored else None
    return None if as_stored else _TURNS[turned]


def _fits(size: Size, frame: Size) -> bool:
    """Whether two sizes have the same proportions, to 2%."""
    return abs(size[0] * frame[1] - size[1] * frame[0]) <= 0.02 * size[0] * frame[1]


def as_grey_or_rgb(image: Image.Image, tags: dict[int, Any]) -> Image.Image:
    """A picture of any kind in 8 bits, grey or RGB, as it is displayed: transparency lies on white.

    Args:
        image: Upright or not; that stays.
        tags: TIFF's, which tell the number of bits and whether 0 is white; {} for other formats.

    Raises:
        ValueError: Grey levels that are not of 8 or 16 bits.
    """
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        bits = min(tags.get(_BITS, (16,))[0], 16)
        if grey.min() < 0 or grey.max() >> bits:
            raise ValueError(f"grey levels from {grey.min()} to {grey.max()}: expected 8 or 16 bits")
        if tags.get(_SENSE) == 0:  # Pillow turns up to 8 bits itself
            grey = (1 << bits) - 1 - grey
        return Image.fromarray((grey >> (bits - 8)).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("grey levels with fractions: expected 8 or 16 bits")
    if image.has_transparency_data:
        return _on_white(image)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image) -> Image.Image:
    """Ink on nothing is meant to lie on white paper."""
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("LA" if grey else "RGBA")
    paper = Image.new("L" if grey else "RGB", image.size, "white")
    paper.paste(image.convert(paper.mode), mask=image.getchannel("A"))
    return paper


def _shrink(pixels: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """Scale [height, width(, 3)] down with a triangle filter, as Pillow does, but with SIMD."""
    height, width = pixels.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(height * scale)), max(1, round(width * scale))
    try:
        import torch  # a second that pages of their own size, and reading truth, do without
    except ImportError:  # where networks are run by onnxruntime alone
        return np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
    planes = torch.from_numpy(pixels).reshape(1, height, width, -1).permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)
    result: NDArray[np.uint8] = small[0].permute(1, 2, 0).numpy().reshape(*size, *pixels.shape[2:])
    return result


# -- PDF -------------------------------------------------------------------------------------------

_kept: dict[Path, tuple[Any, PdfDocument]] = {}  # the one that was used last stands last


def _render(path: Path, number: int, longest_side: int | None) -> Image.Image:
    with open_pdf_page(path, number) as page:
        return render(page, longest_side)


@contextmanager
def open_pdf_page(path: Path, number: int, keep: int = 1) -> Iterator[PdfPage]:
    """A page of a PDF, which is closed again; pdfium reads all that is on it when it is opened.

    Args:
        path: The PDF.
        number: The page, from 0.
        keep: See `open_pdf`.

    Raises:
        OSError: The file is missing, broken, or no PDF; or the page is broken.
        ValueError: It has no such page, or needs a password.
    """
    from pypdfium2 import PdfiumError  # 60 ms that only PDF pages need

    try:
        document = open_pdf(path, keep)
        if not 0 <= number < len(document):
            raise ValueError(f"it has no page {number + 1}, but {len(document)} in all")
        page = document[number]
        try:
            yield page
        finally:
            page.close()
    except PdfiumError as error:
        message = str(error)
        if "password" in message or "security" in message:
            raise ValueError("the PDF is encrypted: save it without a password") from error
        raise OSError(f"the PDF is broken: {message}") from error


def render(page: PdfPage, longest_side: int | None = None) -> Image.Image:
    """Draw a page of a PDF on white paper, in RGB.

    Args:
        page: An open page.
        longest_side: In pixels, less where that would be more than `MOST_RENDERED`; None for 150 dpi.
    """
    width, height = page.get_size()
    scale = 150 / 72
    if longest_side is not None:
        # A little less: pypdfium2 rounds up, what is a hair above as well.
        scale = (longest_side - 0.001) / max(width, height)
    scale = min(scale, sqrt(MOST_RENDERED / (width * height)))
    image: Image.Image = page.render(scale=scale).to_pil()
    return image if image.mode == "RGB" else image.convert("RGB")


def open_pdf(path: Path, keep: int = 1) -> PdfDocument:
    """Open a PDF, or take it from the last that were, which stay open: the next pages are often of the same.

    That takes a fifth off the time of a page in short documents, and more than half in long ones. A process
    that was forked opens its own, as the file's position would be shared.

    Args:
        path: The PDF.
        keep: How many are open then at most, this one included.

    Raises:
        PdfiumError: The file is no PDF that can be read.
        OSError: It is missing.
    """
    from pypdfium2 import PdfDocument

    state = path.stat()
    key = os.getpid(), state.st_mtime_ns, state.st_size
    kept = _kept.pop(path, None)
    if kept is None or kept[0] != key:
        if kept is not None:
            kept[1].close()
        while len(_kept) >= keep:
            close_pdf(next(iter(_kept)))
        kept = key, PdfDocument(path)
        atexit.unregister(_close_pdfs)
        atexit.register(_close_pdfs)  # before pypdfium2 does at the process's end, and says so
    _kept[path] = kept
    return kept[1]


def close_pdf(path: Path) -> None:
    """Close a PDF that is kept open."""
    kept = _kept.pop(path, None)
    if kept is not None:
        kept[1].close()


def _close_pdfs() -> None:
    while _kept:
        close_pdf(next(iter(_kept)))
