"""From a decoded page to a training image: crop, scale, degrade, and keep the boxes right."""

from __future__ import annotations

from random import Random
from typing import Literal

import numpy as np
from PIL import Image

from tablesense.data.augment.camera import blur, illuminate, lay_on_table, sensor_noise
from tablesense.data.augment.geometry import (
    Boxes,
    Points,
    bounds,
    fit,
    fit_with_boxes,
    in_view,
    outlines,
    pose,
    project,
    rotate,
    shift,
    warp,
    zoom_out,
)
from tablesense.data.augment.ink import binarise_locally, degrade_print, fade, fax
from tablesense.data.augment.paper import bleed_through, crease, punch_holes, stamp, yellow
from tablesense.data.augment.scanner import adjust_light, degrade_scan, jpeg, streak
from tablesense.data.augment.window import crop, draw_window

__all__ = ["Preset", "augment", "fit", "fit_with_boxes", "in_view"]

Preset = Literal["none", "light", "scan", "scan_hard", "photo"]


def augment(
    image: Image.Image, boxes: Boxes, longest_side: int, preset: Preset, rng: Random
) -> tuple[Image.Image, Boxes]:
    """Draw one training view of a page. Pages are never flipped: text has one direction.

    "light" crops or zooms out, stretches and changes light and colour a little; "scan" does in every
    other view what copiers, scanners and fax machines do as well: skew, dark edges, binarisation, thick
    strokes, blur and noise. "scan_hard" does more of it and in four views of five: an uneven threshold,
    faded ink, the other side shining through, folds, punch holes, stamps, lost and spoilt lines, JPEG.
    "photo" gives, in three views of four, the page as a telephone takes it: tilted, on a table top, in
    uneven and coloured light, with shadows, blur, noise and JPEG. The other views are "light".

    A view holds each table whole or not at all: windows that would cut one are drawn again. "scan_hard"
    and "photo" have windows that end just beyond a table's edge among them.

    Args:
        image: The page.
        boxes: xyxy in pixels of `image`.
        longest_side: The largest size of the result, in pixels.
        preset: How far to go.
        rng: Where all chance comes from.

    Returns:
        The view in its final size, and each of the boxes in its pixels: those that a crop left out lie
        outside it.
    """
    if preset == "none":
        return fit_with_boxes(image, boxes, longest_side)
    if max(image.size) > 2 * longest_side:
        # Strokes a few pixels wide, whatever the file's resolution: what the scan effects work on.
        image, boxes = fit_with_boxes(image, boxes, 2 * longest_side)
    if preset == "scan_hard" and rng.random() < 0.8:
        return hard_scan(image, boxes, longest_side, rng)
    if preset == "photo" and rng.random() < 0.75:
        return photograph(image, boxes, longest_side, rng)
    scan = preset == "scan" and rng.random() < 0.5
    if scan and rng.random() < 0.5:
        image, boxes = rotate(image, boxes, rng.gauss(0, 0.6))
    chance = rng.random()
    if chance < 0.4:
        image, boxes = crop(image, boxes, rng)
    elif chance < 0.6:
        image, boxes = zoom_out(image, boxes, rng, dark=scan and rng.random() < 0.4)
    if scan:
        image = degrade_print(image, rng)
    longest_side = int(longest_side * rng.uniform(0.85, 1))
    image, boxes = fit_with_boxes(image, boxes, longest_side, stretch=rng.uniform(0.88, 1.14))
    return (degrade_scan(image, boxes, rng) if scan else adjust_light(image, rng)), boxes


def hard_scan(image: Image.Image, boxes: Boxes, longest_side: int, rng: Random) -> tuple[Image.Image, Boxes]:
    """A page that was handled, copied, faxed and scanned; arguments and result are those of `augment`."""
    degrees = max(-3.0, min(3.0, rng.gauss(0, 1.0)))
    matrix, size, moved = draw_view(image, boxes, longest_side, rng, degrees, (0, 0), around=0.1)
    coloured = image.mode == "RGB" and rng.random() < 0.35
    image = image if coloured else image.convert("L")
    image = handle(image, boxes, rng)
    if not coloured:
        chance = rng.random()
        if chance < 0.3:
            image = binarise_locally(image, rng)
        elif chance < 0.45:
            image = fax(image, rng)
        else:
            image = degrade_print(image, rng)
    if rng.random() < 0.25:
        image = bleed_through(image, rng)  # after any threshold, which would make full ink of it
    dark = rng.random() < 0.3
    view = warp(image, matrix, size, rng.randint(0, 70) if dark else 255)
    if rng.random() < 0.4:
        view = fade(view, rng)
    if rng.random() < 0.2:
        view = streak(view, rng)
    view = adjust_light(yellow(view, rng), rng) if coloured else degrade_scan(view, moved, rng)
    return (jpeg(view, rng) if rng.random() < 0.5 else view), moved


def photograph(image: Image.Image, boxes: Boxes, longest_side: int, rng: Random) -> tuple[Image.Image, Boxes]:
    """A page as a telephone takes it; arguments and result are those of `augment`."""
    degrees = max(-6.0, min(6.0, rng.gauss(0, 2.5)))
    tilt = rng.uniform(-0.05, 0.05), rng.uniform(-0.1, 0.1)
    matrix, size, moved = draw_view(image, boxes, longest_side, rng, degrees, tilt, around=0.15)
    image = handle(image.convert("RGB"), boxes, rng)
    if rng.random() < 0.2:
        image = bleed_through(image, rng)
    view = illuminate(lay_on_table(image, matrix, size, rng), rng)
    if rng.random() < 0.5:
        view = blur(view, rng)
    if rng.random() < 0.7:
        view = sensor_noise(view, rng)
    return (jpeg(view, rng, 25, 85) if rng.random() < 0.7 else view), moved


def handle(image: Image.Image, boxes: Boxes, rng: Random) -> Image.Image:
    """What may happen to a sheet before anything takes its picture."""
    if rng.random() < 0.25:
        image = stamp(image, rng)
    if rng.random() < 0.2:
        image = punch_holes(image, boxes, rng)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        image = crease(image, rng)
    return image


def draw_view(
    image: Image.Image,
    boxes: Boxes,
    longest_side: int,
    rng: Random,
    degrees: float,
    tilt: tuple[float, float],
    around: float,
) -> tuple[Points, tuple[int, int], Boxes]:
    """Choose what of a turned and tilted page is seen, before a pixel is drawn.

    Four views in ten are windows on the page, a third of which end just beyond a table's edge; the others
    show all of it, with up to `around` of its sides on each side of it.

    Returns:
        The homography [3, 3] from the page's pixels to the view's, the view's size, and the boxes in it.
    """
    points = outlines(image, boxes)
    matrix, sheet = pose(image.size, degrees, rng.uniform(0.88, 1.14), tilt)
    on_sheet = [bounds(project(matrix, outline)) for outline in points]
    window = None
    if rng.random() < 0.4:
        window = draw_window(sheet, on_sheet, rng, at_table=rng.random() < 1 / 3)
    if window is None:
        left, top, right, bottom = (rng.uniform(0, around) for _ in range(4))
        window = -left * sheet[0], -top * sheet[1], (1 + right) * sheet[0], (1 + bottom) * sheet[1]
    width, height = window[2] - window[0], window[3] - window[1]
    scale = int(longest_side * rng.uniform(0.85, 1)) / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    matrix = np.diag([size[0] / width, size[1] / height, 1]) @ shift(-window[0], -window[1]) @ matrix
    return matrix, size, [bounds(project(matrix, outline)) for outline in points]
