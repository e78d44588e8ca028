"""The `tablesense` command. Nothing heavy is imported before it is known what is wanted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tablesense.errors import UserError

HELP = """\
usage: tablesense VERB [--config FILE ...] [--KEY=VALUE ...]

Train, tune and run DETR-family detectors of tables on document pages.

verbs:
  fit        train:                tablesense fit --config configs/detr.yaml
  validate   score a checkpoint:   tablesense validate --config configs/detr.yaml --ckpt_path FILE
  test       the same on the test pages, or on those of --data.test_path
  predict    find tables:          tablesense predict best.ckpt report.pdf scans/ --out found
  export     for others to use:    tablesense export best.ckpt --format onnx --out model.onnx
  sweep      tune:                 tablesense sweep sweeps/detr_bayes.yaml
  report     one page of runs:     tablesense report runs/detr/001 [runs/detr/002 ...]
  data       check, convert, preview or make pages:  tablesense data check my_pages

Every key of a recipe can be given on the command line, with dots, and wins over the file:
  tablesense fit --config configs/detr.yaml --data.path=my_pages --training.lr=3e-4

keys:
  --data.*       which pages: --data.path, --data.val_path, --data.batch_size, ...
  --model.*      the network (--model.detr.hidden_dim) and its losses (--model.loss.lambda_cls)
  --training.*   --training.lr, --training.warmup_epochs, ...
  --trainer.*    Lightning's own: --trainer.max_epochs, --trainer.accelerator, --trainer.devices, ...
  --logging.*    where runs are kept, and whether Weights & Biases is used

  tablesense VERB --help          all keys, with their meaning
  tablesense sweep --help         how a sweep is checked and run, with Weights & Biases and without
  tablesense report --help        what is in a report, and where it is written
  tablesense data --help          what can be done with pages before training
  tablesense VERB --print_config  the configuration that would be used
  tablesense --version
"""

VERBS = ("fit", "validate", "test", "predict", "export", "sweep", "report", "data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What stands behind `tablesense`; None takes the process's own.

    Returns:
        The exit status: 0, 2 after one line about what the person can put right, or 130 after Ctrl+C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(arguments)
    except UserError as error:
        # An error from a process that decodes pages comes with that process's traceback before it.
        lines = [line for line in str(error).splitlines() if line.strip()]
        print(f"tablesense: {lines[-1].removeprefix('tablesense.errors.UserError: ')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _main(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if verb == "--version":
        from importlib.metadata import version

        print(f"tablesense {version('tablesense')}")
        return 0
    if verb not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(verb, VERBS, n=1)
        raise UserError(
            f"expected one of the verbs {', '.join(VERBS)}, found {verb!r}"
            + (f"; did you mean {near[0]}?" if near else "; see tablesense --help")
        )
    if verb == "sweep":
        from tablesense.sweep.verb import run as sweep

        return sweep(arguments[1:])
    if verb == "report":
        from tablesense.experiment.report import run as report

        return report(arguments[1:])
    if verb == "predict":
        from tablesense.predict.verb import run as predict

        return predict(arguments[1:])
    if verb == "export":
        from tablesense.export.verb import run as export

        return export(arguments[1:])
    if verb == "data":
        from tablesense.data.verb import run as data

        return data(arguments[1:])
    from tablesense.memory import importing

    with importing():
        from tablesense.running import run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
