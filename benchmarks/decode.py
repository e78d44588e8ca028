"""Pages a second on one core, from the file to what the network takes, against transformers and torchvision.

    python benchmarks/decode.py [PAGES]

PAGES pages (8) of 1654x2339 pixels, A4 at 200 dpi, are set with typst and saved as PNG and as JPEG of quality
90: as they are set, with colours and a photograph's worth of shades, and as a scanner sees them in grey and
in colour, with blur, noise and paper that is not quite white. Each method takes a file from the file cache to
a normalised float32 tensor [3, height, width] whose longest side is the model's. A round is all pages by each
method in turn, in one process with one thread; figures are medians over rounds, and ratios of the same round.

- tablesense: a page of `PageDataset`, padded to a batch, and (pixels - mean) / std as the module computes it
  on the device, counted here on the same core.
- transformers: DeformableDetrImageProcessor, which is the fast one with torchvision's backend, on what Pillow
  opens, and on what torchvision.io decodes.
- torchvision v2: its resize with antialias, on what torchvision.io decodes.

Quality is against the float32 scaling, antialiased and bilinear, of the whole decoded page: the mean absolute
difference in levels of 255, and the PSNR. "bicubic" is the same scaling with the other common filter: how far
choices of a filter lie apart.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch
import typst
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn.functional import interpolate as scale
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional
from transformers import DeformableDetrImageProcessor

from tablesense.data.batches import PageDataset, collate
from tablesense.data.page import Page

SIZE, LONGEST_SIDES, ROUNDS = (1654, 2339), (800, 384), 3
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255
PROCESSORS = {
    side: DeformableDetrImageProcessor(size={"shortest_edge": side, "longest_edge": side})
    for side in LONGEST_SIDES
}


def main() -> None:
    torch.set_num_threads(1)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    methods: dict[str, Callable[[Path, int], Tensor]] = {
        "tablesense": tablesense,
        "transformers": transformers,
        "transformers, torchvision.io": transformers_from_tensor,
        "torchvision v2": torchvision,
    }
    with tempfile.TemporaryDirectory() as name:
        kinds = write_pages(Path(name), number)
        print(f"{number} pages of {SIZE[0]}x{SIZE[1]}, one thread; ratio: tablesense's speed to the method's")
        for side in LONGEST_SIDES:
            for kind, files in kinds.items():
                compare(f"longest side {side}, {kind}", files, side, methods)


def compare(
    title: str, files: list[Path], side: int, methods: dict[str, Callable[[Path, int], Tensor]]
) -> None:
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(ROUNDS):
        for name, method in methods.items():
            started = time.perf_counter()
            for file in files:
                method(file, side)
            times[name].append((time.perf_counter() - started) / len(files))
    print(title)
    for name, method in methods.items():
        ratio = statistics.median(b / a for a, b in zip(times["tablesense"], times[name], strict=True))
        off, decibels = quality([method(file, side) for file in files], files)
        print(
            f"  {name:29}{1 / statistics.median(times[name]):6.1f} pages/s  {ratio:4.2f}  {off}, {decibels}"
        )
    size = [side, round(side * SIZE[0] / SIZE[1])]
    cubic = [(scale(whole(file), size, mode="bicubic", antialias=True)[0] - MEAN) / STD for file in files]
    print(f"  {'bicubic':49}{', '.join(quality(cubic, files))}")


def quality(results: list[Tensor], files: list[Path]) -> tuple[str, str]:
    away, square = [], []
    for result, file in zip(results, files, strict=True):
        expected = scale(whole(file), result.shape[1:], mode="bilinear", antialias=True)[0]
        difference = result * STD + MEAN - expected
        away.append(difference.abs().mean().item())
        square.append(difference.square().mean().item())
    return f"off by {statistics.mean(away):.2f}", f"{10 * np.log10(255**2 / statistics.mean(square)):.1f} dB"


def whole(file: Path) -> Tensor:
    pixels = torch.from_numpy(np.array(Image.open(file).convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float()


# -- methods ---------------------------------------------------------------------------------------


def tablesense(file: Path, side: int) -> Tensor:
    batch = collate([PageDataset([Page(file, file.stem, SIZE)], ["table"], side, "none")[0]], multiple=1)
    return ((batch["pixel_values"] - MEAN) / STD)[0]


def transformers(file: Path, side: int) -> Tensor:
    image = Image.open(file).convert("RGB")  # it takes no grey pages
    pixels: Tensor = PROCESSORS[side](images=image, return_tensors="pt")["pixel_values"][0]
    return pixels


def transformers_from_tensor(file: Path, side: int) -> Tensor:
    image = decode_image(str(file), ImageReadMode.RGB)
    pixels: Tensor = PROCESSORS[side](images=image, return_tensors="pt")["pixel_values"][0]
    return pixels


def torchvision(file: Path, side: int) -> Tensor:
    image = decode_image(str(file), ImageReadMode.RGB)
    size = [side, round(side * SIZE[0] / SIZE[1])]
    return (functional.resize(image, size, antialias=True) - MEAN) / STD


# -- pages -----------------------------------------------------------------------------------------


def write_pages(folder: Path, number: int) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for i in range(number):
        page = set_page(i)
        scanned = scan(page, i)
        for kind, image in {"set": page, "grey scan": scanned.convert("L"), "colour scan": scanned}.items():
            for suffix in ("png", "jpg"):
                file = folder / f"{kind} {i}.{suffix}"
                image.save(file, quality=90)
                kinds.setdefault(f"{kind}, {'PNG' if suffix == 'png' else 'JPEG'}", []).append(file)
    return kinds


def set_page(seed: int) -> Image.Image:
    random = Random(seed)
    cells = ", ".join(f"[{random.choice(('Net', 'Total', 'Sales'))}], [{random.randint(0, 99999)}], "
                      f"[{random.random():.3f}], [{random.randint(0, 99)}%]" for _ in range(10))  # fmt: skip
    source = f"""
        #set page("a4", margin: 2cm, columns: {random.choice((1, 2))})
        #set text({random.choice((9, 10, 11))}pt)
        #set par(justify: true)
        = #text(rgb("#1f4e8c"))[Report {seed}]
        #lorem({random.randint(150, 260)})
        #rect(width: 100%, height: 3.5cm, fill: gradient.linear(..color.map.viridis, angle: {seed * 30}deg))
        #table(columns: 4, fill: (_, y) => if y == 0 {{ rgb("#dde8f5") }}, {cells})
        #lorem(400)
    """
    png = typst.compile(source.encode(), format="png", ppi=200.05)
    page = Image.open(io.BytesIO(png if isinstance(png, bytes) else png[0])).convert("RGB")
    assert page.size == SIZE
    return page


def scan(page: Image.Image, seed: int) -> Image.Image:
    pixels = np.asarray(page.filter(ImageFilter.GaussianBlur(0.7)), np.float32) * 0.85 + 18
    noise = np.random.default_rng(seed).standard_normal((*pixels.shape[:2], 1), np.float32)
    return Image.fromarray((pixels + 4 * noise).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
