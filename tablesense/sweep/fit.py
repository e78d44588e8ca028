"""The command line of `tablesense fit`, read without being run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tablesense.data.synthetic import SyntheticConfig
from tablesense.detr import DetrConfig
from tablesense.errors import UserError
from tablesense.losses import LossConfig
from tablesense.running import TableCLI
from tablesense.training import TrainingConfig

_PARTS = {
    "training": TrainingConfig,
    "model.detr": DetrConfig,
    "model.loss": LossConfig,
    "data.synthetic": SyntheticConfig,
}


class FitCommand:
    """Reads command lines of `fit` one after another; building the parser is what takes time."""

    def __init__(self) -> None:
        self._cli = _Read.from_arguments(["fit"])
        parser: Any = self._cli._subcommand_parsers["fit"]
        linked = {action.target[0] for action in parser._links_group._group_actions}
        self.keys: set[str] = {action.dest for action in parser._actions} - linked
        """The keys that can be given."""

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """What a command line comes to, by dotted key.

        Args:
            words: What stands behind `tablesense fit`.

        Raises:
            UserError: There is an unknown key, a value of the wrong type or one out of its range.
        """
        self._cli.parse_arguments(self._cli.parser, ["fit", *words])
        config = self._cli.config.fit
        for key, kind in _PARTS.items():
            kind(**{name: value for name, value in vars(config[key]).items() if not name.startswith("__")})
        return dict(config.items())


class _Read(TableCLI):
    def parse_arguments(self, parser: Any, args: Any) -> None:
        try:
            super().parse_arguments(parser, args)
        except SystemExit as error:  # --help among the words
            raise UserError("the command prints help and trains nothing") from error

    def _set_seed(self) -> None:
        """Leave the process's random numbers alone."""

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""
