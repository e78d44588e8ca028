"""The command `tablesense export`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tablesense.arguments import Parser
from tablesense.errors import UserError
from tablesense.memory import importing

DESCRIPTION = """\
Write the network of a checkpoint for others to use.

  tablesense export runs/detr/001/checkpoints/best.ckpt --format onnx --out model.onnx
  tablesense export runs/detr/001/checkpoints/best.ckpt --format huggingface --out tables
  tablesense predict model.onnx report.pdf

onnx: one file, run by onnxruntime without torch. It takes pages of any size, in batches, with a mask of their
padding, and holds the class names, the size of the pages and the thresholds; its metadata say how it is used
without tablesense.

huggingface: a folder for transformers, with a model card. It is opened again as anyone would open it, and
kept only if it finds the same there. A network with model.detr.exact_geometry=true needs --custom-code: the
folder then holds two Python files, and is opened with trust_remote_code=True. --push sends it to the hub as
well, where a repository that is new is public.
"""


def run(arguments: list[str]) -> int:
    """Run `tablesense export`.

    Args:
        arguments: What stands behind the word.

    Returns:
        The exit status: 0.

    Raises:
        UserError: An option or the checkpoint is wrong, a package is missing, the network cannot be exported
            so, nothing can be written, or the hub cannot be reached.
    """
    parser = Parser("export", DESCRIPTION)
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CKPT", help="a checkpoint that `tablesense fit` wrote")
    add("--format", choices=["onnx", "huggingface"], default="onnx", help="the format (default: onnx)")
    add("--out", type=Path, required=True, metavar="PATH", help="the file, such as model.onnx, or the folder")
    add("--int8", action="store_true", help="onnx: keep the weights of the matrix products as 8-bit integers")
    add("--custom-code", action="store_true", help="huggingface: put code into the folder where it is needed")
    add("--license", metavar="ID", help="huggingface: the licence of the weights, for the model card")
    add("--push", type=_repository, metavar="OWNER/NAME", help="huggingface: send the folder to the hub")
    options = parser.parse_args(arguments)
    checkpoint, out = options.checkpoint.expanduser(), options.out.expanduser()
    _check(options, out)
    if not checkpoint.is_file():
        raise UserError(
            f"export: expected a checkpoint that `tablesense fit` wrote, found no file {checkpoint}"
        )
    if options.format == "onnx":
        return _onnx(checkpoint, out, options.int8)
    return _huggingface(checkpoint, out, options)


def _repository(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"expected OWNER/NAME, found {text}")
    return text


def _check(options: argparse.Namespace, out: Path) -> None:
    """Refuse what would not do what was asked for."""
    others = {"onnx": ("custom_code", "license", "push"), "huggingface": ("int8",)}[options.format]
    for name in others:
        if getattr(options, name):
            raise UserError(
                f"export: --{name.replace('_', '-')} cannot be had with --format {options.format}"
            )
    if options.format == "onnx":
        if out.suffix != ".onnx":
            raise UserError(f"--out: expected a file whose name ends in .onnx, found {out}")
        if out.is_dir():
            raise UserError(f"--out: expected a file, found the folder {out}")


def _onnx(checkpoint: Path, out: Path, int8: bool) -> int:
    with importing():
        from tablesense.export.onnx import OPSET, export_onnx
        from tablesense.predict.eager import read_checkpoint

    module, _ = read_checkpoint(checkpoint)
    export_onnx(module, out, int8)
    size = out.stat().st_size / 1e6
    print(f"{out}: {size:.1f} MB, ONNX opset {OPSET}, classes {', '.join(module.class_names)}")
    print(f"next: tablesense predict {out} report.pdf")
    return 0


def _huggingface(checkpoint: Path, out: Path, options: argparse.Namespace) -> int:
    with importing():
        from tablesense.export.card import read_training
        from tablesense.export.huggingface import export_huggingface
        from tablesense.predict.eager import read_checkpoint

    module, kept = read_checkpoint(checkpoint)
    training = read_training(checkpoint, kept)
    own = export_huggingface(module, out, options.custom_code, training, options.license, options.push)
    opened = "transformers with trust_remote_code=True" if own else "plain transformers"
    print(f"{out}: classes {', '.join(module.class_names)}; opened with {opened} it finds the same")
    if options.push:
        print(f"pushed: {_push(out, options.push)}")
    print(f"next: tablesense predict {out} report.pdf; {out / 'README.md'} says how others use it")
    return 0


def _push(folder: Path, repository: str) -> str:
    """Send a folder to the hub, and return its address there."""
    from huggingface_hub import HfApi, get_token

    kept = f"{folder} is kept"
    if not get_token():
        raise UserError(f"--push: expected a login to the hub, found none: run `hf auth login`; {kept}")
    api = HfApi(library_name="tablesense")
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export of tablesense")
    except Exception as error:  # the client's own and those of the library that it speaks HTTP with
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"--push: {repository} cannot be written: {lines[0]}; {kept}") from error
    return str(address)
