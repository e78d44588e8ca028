"""A local sweep as one HTML page that needs nothing else: Optuna's own plots and the table of trials."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablesense.sweep.best import best_trial, history
from tablesense.sweep.distributions import Latent, Quantised
from tablesense.sweep.plan import Sweep
from tablesense.sweep.table import short, state

if TYPE_CHECKING:
    from optuna import Study

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px }
td, th { padding: .3em .7em; border-bottom: 1px solid #ddd; text-align: left }
tr.best { font-weight: bold; background: #eef6ee }
.note { color: #777 }
"""


def write_page(sweep: Sweep, study: Study, path: Path) -> None:
    """Write the page.

    Args:
        sweep: The sweep.
        study: Its trials.
        path: The page.
    """
    from optuna import visualization
    from optuna.importance import PedAnovaImportanceEvaluator

    metric = sweep.metric
    plots: dict[str, Callable[[], Any]] = {
        "History": lambda: visualization.plot_optimization_history(study, target_name=metric),
        "Epochs": lambda: visualization.plot_intermediate_values(study),
        "Parallel coordinates": lambda: visualization.plot_parallel_coordinate(study, target_name=metric),
        "Importance of the parameters": lambda: visualization.plot_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(), target_name=metric
        ),
    }
    parts, with_script = [], True
    for title, plot in plots.items():
        parts.append(f"<h2>{title}</h2>")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the evaluator is marked experimental
                drawn = plot().to_html(full_html=False, include_plotlyjs=with_script)
        except (
            Exception
        ) as error:  # of Optuna, which wants some trials for each; the rest is still worth a page
            parts.append(f'<p class="note">Not drawn: {html.escape(str(error))}</p>')
            continue
        parts.append(drawn)
        with_script = False
    if any(isinstance(d, (Latent, Quantised)) for d in sweep.parameters.values()):
        parts.append(
            '<p class="note">In the plots, parameters with a normal or beta distribution or probabilities '
            "stand as the share from 0 to 1 that their value was taken at, and rounded ones unrounded; the "
            "table has the values.</p>"
        )
    title = html.escape(sweep.name)
    path.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{html.escape(sweep.method)} search, {html.escape('highest' if sweep.maximize else 'lowest')} "
        f"{html.escape(metric)}, {html.escape(str(sweep.file.path))}</p>{_trials(sweep, study)}"
        f"{''.join(parts)}</body></html>",
        encoding="utf-8",
    )


def _trials(sweep: Sweep, study: Study) -> str:
    best = best_trial(study, sweep.maximize)
    better = max if sweep.maximize else min
    rows = []
    for trial in study.get_trials(deepcopy=False):
        logged = history(trial)
        why = trial.user_attrs.get("stopped") or "; ".join(trial.user_attrs.get("failed", [])[-2:])
        cells = [
            str(trial.number),
            state(trial),
            f"{len(logged)}/{sweep.epochs(trial.user_attrs.get('values', {}))}",
            f"{better(logged):.3f}" if logged else "",
            short(trial.user_attrs.get("values", {})),
            why,
        ]
        mark = ' class="best"' if best is not None and best.number == trial.number else ""
        rows.append(f"<tr{mark}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
    heads = "".join(
        f"<th>{name}</th>" for name in ("trial", "state", "epochs", f"best {sweep.metric}", "values", "")
    )
    return f"<table><tr>{heads}</tr>{''.join(rows)}</table>"
