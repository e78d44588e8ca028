"""What happens to a sheet of paper: the other side shines through, folds, holes, stamps, age."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from tablesense.data.augment.geometry import Boxes

STAMPS = (
    "RECEIVED",
    "PAID",
    "COPY",
    "APPROVED",
    "FILE",
    "DRAFT",
    "CONFIDENTIAL",
    "ENTERED",
    "VOID",
    "ORIGINAL",
)
INKS = (32, 42, 122), (150, 26, 38), (84, 38, 120), (30, 92, 62), (35, 35, 40)
"""Red, green and blue of stamp pads."""


def bleed_through(image: Image.Image, rng: Random, other: Image.Image | None = None) -> Image.Image:
    """Let the other side shine through: `other`, or the page itself, mirrored, faint and soft."""
    half = (max(1, image.width // 2), max(1, image.height // 2))
    back = ImageOps.mirror((other or image).convert("L").resize(half, Image.Resampling.BOX))
    strength = rng.uniform(0.06, 0.28)
    back = back.point([round(255 - strength * (255 - grey)) for grey in range(256)])
    sheet = Image.new("L", half, 255)
    sheet.paste(back, (round(half[0] * rng.uniform(-0.04, 0.04)), round(half[1] * rng.uniform(-0.03, 0.03))))
    return ImageChops.multiply(image, sheet.resize(image.size, Image.Resampling.BILINEAR).convert(image.mode))


def crease(image: Image.Image, rng: Random) -> Image.Image:
    """Fold the sheet once, across or along, in two or in three: one side of the fold is in the shade."""
    pixels = np.array(image)
    across = rng.random() < 0.7
    field = pixels if across else pixels.swapaxes(0, 1)  # the fold runs along the second axis
    length, breadth = field.shape[:2]
    middle = length * (rng.choice((1 / 3, 1 / 2, 1 / 2, 2 / 3)) + rng.uniform(-0.04, 0.04))
    reach, slope = length * rng.uniform(0.015, 0.06), rng.gauss(0, 0.008)
    first = int(max(0, middle - reach - abs(slope) * breadth / 2 - 2))
    last = int(min(length, middle + reach + abs(slope) * breadth / 2 + 3))
    positions = middle + slope * (np.arange(breadth, dtype=np.float32) - breadth / 2)
    away = np.arange(first, last, dtype=np.float32)[:, None] - positions
    light = 1 - rng.choice((-1, 1)) * rng.uniform(0.03, 0.16) * np.sign(away) * np.exp(
        -np.abs(away) / (reach / 2)
    )
    width = max(0.6, max(image.size) * rng.uniform(0.0004, 0.0012))
    light += rng.choice((-0.5, 0.3)) * rng.uniform(0.3, 1) * np.exp(-((away / width) ** 2))
    light = light if field.ndim == 2 else light[..., None]
    field[first:last] = (field[first:last] * light).clip(0, 255)
    return Image.fromarray(pixels)


def punch_holes(
    image: Image.Image, boxes: Boxes, rng: Random, colour: tuple[int, int, int] = (40, 40, 40)
) -> Image.Image:
    """Punch two or four holes into the left margin, or the upper one; none where one would hit a table.

    Args:
        image: Grey or RGB.
        boxes: xyxy in pixels of `image`: what is not to be hit.
        rng: Where all chance comes from.
        colour: What is seen through them.
    """
    side = max(image.size)  # about that of A4, 297 mm: ISO 838 has holes 6 mm wide, 80 mm apart, 12 mm inside
    radius, inside = side * rng.uniform(0.008, 0.012), side * rng.uniform(0.03, 0.045)
    distances = rng.choice(((-0.5, 0.5), (-1.5, -0.5, 0.5, 1.5)))
    left = rng.random() < 0.8
    middle = (image.height if left else image.width) / 2 + side * rng.gauss(0, 0.02)
    along = [middle + side * 80 / 297 * distance for distance in distances]
    centres = [(inside, place) if left else (place, inside) for place in along]
    discs = [(x - radius, y - radius, x + radius, y + radius) for x, y in centres]
    if any(a < x1 and x0 < c and b < y1 and y0 < d for a, b, c, d in discs for x0, y0, x1, y1 in boxes):
        return image
    image, grey = image.copy(), round(sum(colour) / 3)
    draw = ImageDraw.Draw(image)
    edge = [max(0, part - 60) for part in colour]
    for disc in discs:
        fill, outline = (grey, max(0, grey - 60)) if image.mode == "L" else (colour, tuple(edge))
        draw.ellipse(disc, fill=fill, outline=outline, width=max(1, round(radius / 6)))
    return image


def stamp(image: Image.Image, rng: Random) -> Image.Image:
    """Stamp a word at any place, tables included: a table that is stamped on is the same table."""
    noise = np.random.default_rng(rng.getrandbits(64))
    word, height = rng.choice(STAMPS), max(8, round(max(image.size) * rng.uniform(0.018, 0.045)))
    if rng.random() < 0.4:
        word += f" {rng.randint(1, 28)}.{rng.randint(1, 12)}.{rng.randint(1960, 2030)}"
    font = ImageFont.load_default(height)
    width = max(4, round(font.getlength(word)))
    ink = Image.new("L", (width + 2 * height, 2 * height + height // 2), 0)
    draw = ImageDraw.Draw(ink)
    draw.text((ink.width / 2, ink.height / 2), word, 255, font, anchor="mm")
    frame = rng.choice(("none", "box", "box", "rounded", "double"))
    line, inner = (
        max(1, height // 9),
        (height // 4, height // 4, ink.width - height // 4, ink.height - height // 4),
    )
    if frame in ("box", "double"):
        draw.rectangle(inner, outline=255, width=line)
    if frame == "double":
        draw.rectangle((0, 0, ink.width - 1, ink.height - 1), outline=255, width=line)
    if frame == "rounded":
        draw.rounded_rectangle(inner, height // 2, outline=255, width=line)
    patchy = noise.random((max(2, ink.height // 3), max(2, ink.width // 3)), dtype=np.float32)
    uneven = Image.fromarray(np.uint8(255 - 255 * rng.uniform(0.2, 0.9) * patchy)).resize(ink.size)
    ink = ImageChops.multiply(ink, uneven)
    ink = ink.rotate(rng.choice((0, 0, 0, 90)) + rng.gauss(0, 6), Image.Resampling.BILINEAR, expand=True)
    strength, pad = rng.uniform(0.5, 0.95), rng.choice(INKS)
    ink = ink.point([round(strength * grey) for grey in range(256)])
    x, y = (
        round(rng.uniform(-0.02, 1.02) * side - of / 2) for side, of in zip(image.size, ink.size, strict=True)
    )
    image = image.copy()
    area = (x, y, x + ink.width, y + ink.height)
    under = image.crop(area)
    colour = Image.new("RGB", ink.size, pad).convert(image.mode)
    image.paste(Image.composite(ImageChops.multiply(under, colour), under, ink), (x, y))
    return image


def yellow(image: Image.Image, rng: Random) -> Image.Image:
    """Tint the paper: recycled, coloured or old; a grey page becomes darker."""
    depth = rng.uniform(0.02, 0.16)
    tint = [
        255 * (1 - depth * part)
        for part in rng.choice(((0.2, 0.5, 1.6), (0.4, 0.7, 1.2), (1, 0.6, 0.3), (1, 1, 1)))
    ]
    if image.mode == "L":
        return image.point([round(grey * sum(tint) / 765) for grey in range(256)])
    return image.point([round(grey * part / 255) for part in tint for grey in range(256)])
