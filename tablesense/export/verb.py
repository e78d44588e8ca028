"""The command `tablesense export`."""

from __future__ import annotations

from pathlib import Path

from tablesense.arguments import Parser
from tablesense.errors import UserError

DESCRIPTION = """\
Write the network of a checkpoint in a format that runs without torch.

  tablesense export runs/detr/001/checkpoints/best.ckpt --format onnx --out model.onnx
  tablesense predict model.onnx report.pdf

The file takes pages of any size, in batches, with a mask of their padding, and holds the class names, the
size of the pages and the thresholds; its metadata say how it is used without tablesense.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense export`.

    Args:
        arguments: What stands behind the word.

    Returns:
        The exit status: 0.

    Raises:
        UserError: An option or the checkpoint is wrong, a package is missing, or the file cannot be written.
    """
    parser = Parser("export", DESCRIPTION)
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CKPT", help="a checkpoint that `tablesense fit` wrote")
    add("--format", choices=["onnx"], default="onnx", help="the format (default: onnx)")
    add("--out", type=Path, required=True, metavar="FILE", help="the file, such as model.onnx")
    add("--int8", action="store_true", help="keep the weights of the matrix products as 8-bit integers")
    options = parser.parse_args(arguments)
    checkpoint, out = options.checkpoint.expanduser(), options.out.expanduser()
    if out.suffix != ".onnx":
        raise UserError(f"--out: expected a file whose name ends in .onnx, found {out}")
    if out.is_dir():
        raise UserError(f"--out: expected a file, found the folder {out}")
    if not checkpoint.is_file():
        raise UserError(
            f"export: expected a checkpoint that `tablesense fit` wrote, found no file {checkpoint}"
        )

    from tablesense.export.onnx import OPSET, export_onnx
    from tablesense.predict.eager import load_checkpoint

    module = load_checkpoint(checkpoint, "cpu").module
    export_onnx(module, out, options.int8)
    size = out.stat().st_size / 1e6
    print(f"{out}: {size:.1f} MB, ONNX opset {OPSET}, classes {', '.join(module.class_names)}")
    print(f"next: tablesense predict {out} report.pdf")
    return 0
