"""The command `tablesense data convert`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from tablesense.arguments import Parser
from tablesense.data.convert.conversion import Conversion, convert
from tablesense.data.convert.images import SUFFIXES
from tablesense.data.convert.layouts import LAYOUTS
from tablesense.data.reading import FORMATS

DESCRIPTION = """\
Write a data set of any layout that tablesense reads in another one, with all its boxes, their classes and its
splits. Classes without a box are left out, and ids are given anew, in the order of the names.

  tablesense data convert icdar2013 icdar2013_coco --to coco
  tablesense data convert my_pages my_pages_yolo --to yolo --images copy

  coco  annotations/instances_SPLIT.json, images/SPLIT/; says which pages are of one document
  voc   Annotations/*.xml, JPEGImages/, ImageSets/Main/SPLIT.txt
  yolo  data.yaml, images/SPLIT/, labels/SPLIT/

Image files are linked, so that nothing lies on the disk twice: the links are relative, and lead on while
both folders keep their places. Pages of PDFs and of TIFFs with several are drawn, in grey where they have no
colour; so are images with an unusual suffix, such as .jfif, and, for yolo, photos that were annotated before
they were turned upright. What was interrupted goes on with the same command. DST must be new, empty, or an
earlier conversion.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense data convert`.

    Args:
        arguments: What stands behind the verb.

    Returns:
        The exit status: 0, or 130 when a person interrupted it.

    Raises:
        UserError: An option is wrong, the data cannot be read, or the folder is not free.
    """
    parser = Parser("data convert", DESCRIPTION)
    add = parser.add_argument
    add("source", type=Path, metavar="SRC", help="the data set's folder, or its annotation file")
    add("destination", type=Path, metavar="DST", help="the folder of the new one")
    add("--to", choices=list(LAYOUTS), required=True, help="the layout of DST")
    add("--format", choices=["auto", *FORMATS], default="auto", help="the layout of SRC (default: auto)")
    add(
        "--images",
        choices=["link", "copy"],
        default="link",
        help="what becomes of image files (default: link)",
    )
    add("--dpi", type=_dpi, default=150, metavar="N", help="resolution of PDF pages as drawn (default: 150)")
    add("--image-format", choices=list(SUFFIXES), default="png", help="of pages as drawn (default: png)")
    add("--force", action="store_true", help="remove an earlier conversion in DST first")
    options = parser.parse_args(arguments)
    try:
        done = convert(
            options.source.expanduser(),
            options.destination.expanduser(),
            options.to,
            source_format=options.format,
            images=options.images,
            dpi=options.dpi,
            image_format=options.image_format,
            force=options.force,
        )
    except KeyboardInterrupt:
        print("the conversion was interrupted; the same command goes on with it")
        return 130
    _describe(done, options)
    return 0


def _dpi(text: str) -> int:
    if not text.isdecimal() or not 10 <= int(text) <= 1200:
        raise argparse.ArgumentTypeError(f"expected a whole number from 10 to 1200, found {text}")
    return int(text)


def _describe(done: Conversion, options: argparse.Namespace) -> None:
    print(f"{options.destination}: {options.to}{', gone on with' * done.goes_on}")
    for split, pages in done.splits.items():
        empty = int((pages.counts == 0).sum())
        classes = ", ".join(f"{name} {number:,}" for name, number in pages.label_counts().most_common(8))
        print(
            f"  {split}: {len(pages):,} pages, {empty:,} of them without a table; "
            f"{int(pages.counts.sum()):,} boxes ({classes or 'of no class'})"
        )
    print(f"images: {', '.join(f'{number:,} {way}' for way, number in done.images.items())}")
    if done.without_links:
        print("this file system has no links, or does not let you make them, so image files were copied")
    if done.coarser:
        print(f"{done.coarser:,} of the pages drawn are so large that they have fewer than {options.dpi} dpi")
    if done.read:
        print(done.read)
    for reason, number in done.dropped.items():
        what = f"page{'s' * (number > 1)} whose image is {reason}"
        print(f"left out: {number:,} {what}, such as {done.dropped.examples[reason][0]}")
    several = any(len(set(pages.documents.tolist())) < len(pages) for pages in done.splits.values())
    if several and not LAYOUTS[options.to].documents:
        print(f"{options.to} does not say which pages are of one document: file names alone tell it now")
    if options.to == "yolo" and "val" not in done.splits:
        print(
            "there is no val split, which most YOLO trainers ask for; tablesense holds documents back itself"
        )
    print(
        f"next: tablesense fit --config configs/detr.yaml --data.path={shlex.quote(str(options.destination))}"
    )
