"""The verb `tablesense data synth`: a data set of synthetic pages, in a folder of one's own."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import get_args

from tablesense.arguments import Parser, positive
from tablesense.data.synthetic import SHARE_WITHOUT_TABLES, Difficulty, synthesize
from tablesense.errors import UserError

DESCRIPTION = """\
Set pages with typst, with tables whose boxes are known to the pixel, and write them in COCO's format.

  tablesense data synth pages --pages 10000
  tablesense data synth hard_pages --pages 10000 --difficulty hard --seed 7

OUT gets train/ and val/, each with images/ and annotations.json; with --val-share 0 it gets these two itself.
Hard pages have turned tables as well, of the class "table rotated", nested headings, merged cells, tables
side by side, more languages and scripts, and forms, programs and schedules that are no
tables. The same seed gives the same pages, however many cores set them. What is interrupted goes on where it
stopped when the same command is given again; nothing is ever overwritten.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense data synth`.

    Args:
        arguments: What stands behind the verb.

    Returns:
        The exit status: 0, or 130 where it was interrupted.

    Raises:
        UserError: An option is wrong, or the folder holds something else or cannot be written.
    """
    options = _parser().parse_args(arguments)
    held = round(options.pages * options.val_share)
    if options.val_share:
        held = max(1, held)
    if held >= options.pages:
        raise UserError(
            f"data synth: expected pages to train on as well as to validate on, found {options.pages} pages "
            f"and --val-share {options.val_share:g}: give more pages or a smaller share"
        )
    numbers = {"train": options.pages - held, "val": held} if held else {"": options.pages}
    out: Path = options.out
    _refuse_others(out, set(numbers))
    try:
        for split, number in numbers.items():
            synthesize(
                out / split,
                number,
                f"{options.seed}/{split or 'train'}",
                difficulty=options.difficulty,
                without_tables=options.without_tables,
                resume=True,
            )
    except KeyboardInterrupt:
        print("the pages set so far are kept; the same command goes on with them")
        return 130
    for split in numbers:
        print(f"{out / split}: {_counts(out / split)}")
    print(f"to look at them:  tablesense data preview {shlex.quote(str(out))} -o page.html")
    print(f"to train on them: tablesense fit --config configs/detr.yaml --data.path={shlex.quote(str(out))}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("data synth", DESCRIPTION)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="the data set's folder: a new one, or one that it goes on with")
    add("--pages", type=positive, required=True, metavar="N", help="pages in all")
    add("--seed", type=int, default=0, metavar="S", help="another seed gives other pages (default: 0)")
    add("--difficulty", choices=get_args(Difficulty), default="standard", help="(default: standard)")
    add(
        "--without-tables",
        type=_share,
        default=SHARE_WITHOUT_TABLES,
        metavar="SHARE",
        help=f"the share of pages without a table (default: {SHARE_WITHOUT_TABLES})",
    )
    add(
        "--val-share",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="the share of pages to validate on (default: 0.1)",
    )
    return parser


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text}")
    return share


def _refuse_others(out: Path, splits: set[str]) -> None:
    """Raise unless the folder is new, empty or has only what this command writes."""
    if splits == {""} or not out.exists():  # `synthesize` looks at the folder itself
        return
    if not out.is_dir():
        raise UserError(f"{out}: expected a folder, found a file: name another")
    known = splits | {f".{split}.part" for split in splits}
    others = sorted(path.name for path in out.iterdir() if path.name not in known)
    if others:
        raise UserError(
            f"{out}: expected a new folder, found {', '.join(others[:3])}{', ...' * (len(others) > 3)}: "
            "name another"
        )


def _counts(folder: Path) -> str:
    """What a data set holds, as its annotations say."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    pages, tables = content["images"], content["annotations"]
    turned = sum(table["category_id"] == 2 for table in tables)
    without = len(pages) - len({table["image_id"] for table in tables})
    rotated = f", {turned:,} of them rotated" if turned else ""
    return f"{len(pages):,} pages with {len(tables):,} tables{rotated}; {without:,} pages without a table"
