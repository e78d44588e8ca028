"""Train, tune and run DETR-family detectors of tables on document pages."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tablesense.data.datamodule import TableDataModule
    from tablesense.data.synthetic import SyntheticConfig
    from tablesense.detr import DetrConfig, build_detr
    from tablesense.errors import UserError
    from tablesense.experiment.logger import ExperimentLogger
    from tablesense.loggers import LoggingConfig
    from tablesense.losses import DetrCriterion, LossConfig
    from tablesense.matcher import HungarianMatcher
    from tablesense.metrics import CocoMAP, CTDaRWeightedF1, DetectionF1, TableBankAreaF1
    from tablesense.module import TableDETRModule
    from tablesense.training import TrainingConfig

_HOMES = {
    "CTDaRWeightedF1": "metrics",
    "CocoMAP": "metrics",
    "DetectionF1": "metrics",
    "DetrConfig": "detr",
    "DetrCriterion": "losses",
    "ExperimentLogger": "experiment.logger",
    "HungarianMatcher": "matcher",
    "LoggingConfig": "loggers",
    "LossConfig": "losses",
    "SyntheticConfig": "data.synthetic",
    "TableBankAreaF1": "metrics",
    "TableDETRModule": "module",
    "TableDataModule": "data.datamodule",
    "TrainingConfig": "training",
    "UserError": "errors",
    "build_detr": "detr",
}

__all__ = [
    "CTDaRWeightedF1",
    "CocoMAP",
    "DetectionF1",
    "DetrConfig",
    "DetrCriterion",
    "ExperimentLogger",
    "HungarianMatcher",
    "LoggingConfig",
    "LossConfig",
    "SyntheticConfig",
    "TableBankAreaF1",
    "TableDETRModule",
    "TableDataModule",
    "TrainingConfig",
    "UserError",
    "build_detr",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import tablesense` costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"tablesense.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tablesense' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
