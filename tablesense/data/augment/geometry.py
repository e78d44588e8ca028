"""Where a page lies in a view of it, and where its tables lie then."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tablesense.data.page import Box

Boxes = list[Box]
Points = NDArray[np.float64]


def fit(image: Image.Image, longest_side: int, stretch: float = 1.0) -> Image.Image:
    """Scale a page so that its longest side has `longest_side` pixels.

    Args:
        image: Any mode.
        longest_side: Pixels.
        stretch: Width to height, compared with the page's own; 1 keeps the aspect.
    """
    width, height = image.width * stretch, image.height
    scale = longest_side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def fit_with_boxes(
    image: Image.Image, boxes: Boxes, longest_side: int, stretch: float = 1.0
) -> tuple[Image.Image, Boxes]:
    """`fit`, with the boxes."""
    fitted = fit(image, longest_side, stretch)
    x, y = fitted.width / image.width, fitted.height / image.height
    return fitted, [(x0 * x, y0 * y, x1 * x, y1 * y) for x0, y0, x1, y1 in boxes]


def in_view(box: Box, image: Image.Image) -> bool:
    """Whether a box has an area, and its middle lies inside an image."""
    x0, y0, x1, y1 = box
    return x0 < x1 and y0 < y1 and 0 < x0 + x1 < 2 * image.width and 0 < y0 + y1 < 2 * image.height


def zoom_out(image: Image.Image, boxes: Boxes, rng: Random, dark: bool) -> tuple[Image.Image, Boxes]:
    """Set the page on a larger sheet: white, or the dark surround of a copied book."""
    width, height = (round(side * rng.uniform(1, 1.35)) for side in image.size)
    left, top = rng.randint(0, width - image.width), rng.randint(0, height - image.height)
    grey = rng.randint(0, 70) if dark else 255
    sheet = Image.new(image.mode, (width, height), grey if image.mode == "L" else (grey,) * 3)
    sheet.paste(image, (left, top))
    return sheet, [(x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in boxes]


def rotate(image: Image.Image, boxes: Boxes, degrees: float) -> tuple[Image.Image, Boxes]:
    """Turn the page about its centre; a box becomes the one that bounds its turned corners, clipped."""
    white = 255 if image.mode == "L" else (255, 255, 255)
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=white)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    centre = np.array([image.width / 2, image.height / 2])
    matrix = np.array([[cos, sin], [-sin, cos]])
    result: Boxes = []
    for x0, y0, x1, y1 in boxes:
        corners = (np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - centre) @ matrix.T + centre
        low, high = (side.clip(0, image.size) for side in (corners.min(0), corners.max(0)))
        result.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    return turned, result


def pose(
    size: tuple[int, int], degrees: float, stretch: float = 1.0, tilt: tuple[float, float] = (0.0, 0.0)
) -> tuple[Points, tuple[float, float]]:
    """Turn a page, and tilt it away from the eye.

    Args:
        size: The page's width and height.
        degrees: How far it is turned about its centre, with the clock.
        stretch: Width to height, compared with the page's own.
        tilt: How much farther than its centre, in parts of that distance, the page's right and lower
            edges are; the left and upper ones are nearer by as much.

    Returns:
        The homography [3, 3] from the page's pixels to those of the sheet that just holds the page, and
        that sheet's width and height.
    """
    width, height = size
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    centred = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    seen = np.array([[stretch, 0, 0], [0, 1, 0], [2 * tilt[0] / width, 2 * tilt[1] / height, 1]])
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    matrix = turned @ seen @ centred
    corners = project(matrix, corners_of((0, 0, width, height)))
    low, high = corners.min(0), corners.max(0)
    return shift(-low[0], -low[1]) @ matrix, (float(high[0] - low[0]), float(high[1] - low[1]))


def shift(x: float, y: float) -> Points:
    """The homography that moves by x and y."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=float)


def corners_of(box: Box) -> Points:
    """The corners of a box, [4, 2], with the clock from the upper left one."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=float)


def project(matrix: Points, points: Points) -> Points:
    """Where a homography takes points [n, 2]."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[:, :2] / moved[:, 2:])


def bounds(points: Points) -> Box:
    """The box that bounds points [n, 2]."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def outlines(image: Image.Image, boxes: Boxes, faint: int = 24) -> list[Points]:
    """Points around each table whose bounds are its box, and stay its box however the page is turned.

    The bounds of a box's turned corners are too large for a table with nothing in a corner, as above its
    row headers. So these are the ends of the ink in each row of pixels, moved outwards by what the box
    leaves around the ink: a tight box stays tight, one with a margin keeps its margin.

    Args:
        image: The page; its paper is taken to be lighter than its ink.
        boxes: xyxy in pixels of `image`.
        faint: How much darker than the paper the faintest ink is, of 255.

    Returns:
        [n, 2] for each box; its corners where there is no ink in it.
    """
    grey = np.asarray(image.convert("L"))
    ink = grey < np.percentile(grey[::4, ::4], 90) - faint
    return [_outline(ink, box) for box in boxes]


def _outline(ink: NDArray[np.bool_], box: Box) -> Points:
    x0, y0, x1, y1 = box
    left, top = max(0, int(x0)), max(0, int(y0))
    window = ink[top : max(top, int(np.ceil(y1))), left : max(left, int(np.ceil(x1)))]
    rows = np.nonzero(window.any(1))[0]
    if not len(rows):
        return corners_of(box)
    first = left + window[rows].argmax(1)
    last = left + window.shape[1] - window[rows, ::-1].argmax(1)
    moves = (first, x0 - first.min()), (last, x1 - last.max())
    ends = (top + rows, y0 - top - rows[0]), (top + rows + 1, y1 - top - rows[-1] - 1)
    return np.concatenate([np.stack([x + dx, y + dy], 1) for x, dx in moves for y, dy in ends])


def warp(
    image: Image.Image, matrix: Points, size: tuple[int, int], fill: int = 255, finer: float = 1.25
) -> Image.Image:
    """Draw a page through a homography, scaled down beforehand where it would be sampled too coarsely.

    Args:
        image: Grey or RGB.
        matrix: [3, 3], from pixels of `image` to pixels of the result; areas grow or shrink by much the
            same all over the page.
        size: Width and height of the result.
        fill: The grey around the page.
        finer: How much larger than in the result the page is when it is sampled, at most: more is sharper.
    """
    middle = project(matrix, np.array([[0, 0], [image.width, 0], [0, image.height]]))
    across, down = (float(np.hypot(*(middle[i] - middle[0]))) for i in (1, 2))
    scale = finer * max(across / image.width, down / image.height)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        matrix = matrix @ np.diag([image.width / width, image.height / height, 1])
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    inverse = np.linalg.inv(matrix)
    coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    method, sampling = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
    colour = fill if image.mode == "L" else (fill,) * 3
    return image.transform(size, method, coefficients, sampling, fillcolor=colour)
