"""Learning curves with bands over seeds, and how the terms of the kd_modes go."""

from collections.abc import Sequence

import numpy as np

from analysis.figures.bands import CurvePanel, CurvePicture, assemble, curve_of, needs_log
from analysis.figures.series import judging, make_series, notes_on_trials
from analysis.read.curves import Curves
from analysis.read.gather import Gathered
from analysis.select.metrics import Metric, describe_metric
from analysis.select.trials import trials_by_search

_LABELS = {
    "train_ce": "training cross-entropy",
    "train_loss": "training loss, all terms",
    "train_top1": "training top-1 (%)",
}
_NO_TERMS = ("lr", "kd_factor", "train_", "val_", "test_")
"""How the columns of metrics.csv begin that are no terms of kd_modes."""
_CURVE_OF = {"best_val_top1": "val_top1", "best_val_epoch": "val_top1", "best_test_top1": "test_top1"}


def learning_info(gathered: Gathered, curves: Curves, metric: str | None = None, band: str = "sd") -> CurvePicture:
    """Show the objective and the training cross-entropy by epoch.

    Where the objective was measured once, as under protocol=final, training accuracy takes its place.

    Args:
        gathered: The runs; complete ones are shown.
        curves: What `read_curves` makes of them.
        metric: The metric to show, which also ranks the trials of a search; None for the objective.
        band: "sd" or "ci", as in `series.mean_and_band`.
    Raises:
        ValueError: If no complete run has such a curve.
    """
    metrics = judging(gathered, metric)
    judged = _CURVE_OF.get(metrics[0].name, metrics[0].name)
    names = (judged if _values_by_run(curves, judged) else "train_top1", "train_ce")
    return _by_epoch("Learning curves", gathered, curves, names, metrics, band)


def terms_info(gathered: Gathered, curves: Curves, metric: str | None = None, band: str = "sd") -> CurvePicture:
    """Show the unweighted terms of the kd_modes by epoch.

    Args:
        gathered: The runs; complete ones are shown.
        curves: What `read_curves` makes of them.
        metric: What ranks the trials of a search; None for the objective.
        band: "sd" or "ci", as in `series.mean_and_band`.
    Raises:
        ValueError: If no complete run has recorded one.
    """
    metrics = judging(gathered, metric)
    names = [name for name in curves.metrics() if not name.startswith(_NO_TERMS)]
    if not names:
        raise ValueError("no complete run has recorded a term of a kd_mode by epoch")
    return _by_epoch("Terms of the loss", gathered, curves, names, metrics, band, terms=True)


def _by_epoch(
    title: str,
    gathered: Gathered,
    curves: Curves,
    names: Sequence[str],
    metrics: Sequence[Metric],
    band: str,
    terms: bool = False,
) -> CurvePicture:
    searches = trials_by_search(gathered, metrics)
    series = make_series(gathered, searches, metrics)
    panels = []
    for name in names:
        values = _values_by_run(curves, name)
        rows = {one.label: [values[run.path] for run in one.runs if run.path in values] for one in series}
        drawn = [curve_of(label, of_series, band) for label, of_series in rows.items()]
        if found := tuple(curve for curve in drawn if curve is not None):
            panels.append(
                CurvePanel("epoch", f"{name} term, unweighted" if terms else _label(name), found, log=needs_log(found))
            )
    if not panels:
        raise ValueError(f"no complete run has recorded {' or '.join(names)} by epoch")
    return assemble(title, panels, series, band, notes_on_trials(searches, metrics))


def _values_by_run(curves: Curves, name: str) -> dict[str, np.ndarray]:
    """One metric from the first epoch on, by run; runs that measured it never or once have no curve of it."""
    if name not in curves.metrics():
        return {}
    by_path = curves.frame.groupby("path", sort=False, observed=True)[name]
    values = {str(path): column.to_numpy(float) for path, column in by_path}
    return {path: of_run for path, of_run in values.items() if np.isfinite(of_run).sum() > 1}


def _label(name: str) -> str:
    return _LABELS.get(name) or describe_metric(name).label.replace(", last epoch", "")
