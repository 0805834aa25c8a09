"""What a metric is called in a table, and which one a table shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis.columns import check_name
from analysis.gather import Gathered
from analysis.results import is_measured


@dataclass(frozen=True)
class Metric:
    """A column of numbers: `label` names its split, and the epoch that it was taken at."""

    name: str
    label: str
    decimals: int = 2
    smaller_is_better: bool = False


# The one place that says what a number in a table is.
_METRICS = (
    Metric("val_top1", "val top-1, last epoch (%)"),
    Metric("val_top5", "val top-5, last epoch (%)"),
    Metric("val_loss", "val loss, last epoch", decimals=4, smaller_is_better=True),
    Metric("best_val_top1", "val top-1, best val epoch (%)"),
    Metric("best_val_epoch", "best val epoch", decimals=1, smaller_is_better=True),
    Metric("test_top1", "test top-1, last epoch (%)"),
    Metric("test_top5", "test top-5, last epoch (%)"),
    Metric("test_loss", "test loss, last epoch", decimals=4, smaller_is_better=True),
    Metric("best_test_top1", "test top-1, best test epoch (%)"),
    Metric("train_seconds", "training time (s)", decimals=1, smaller_is_better=True),
    Metric("images_per_second", "training images per second", decimals=1),
    Metric("peak_memory_mb", "peak memory (MB)", decimals=1, smaller_is_better=True),
    Metric("parameters", "parameters", decimals=0, smaller_is_better=True),
)
_BY_NAME = {metric.name: metric for metric in _METRICS}


def describe_metric(name: str) -> Metric:
    """Label a metric; one that is not known here keeps its column's name."""
    guess = Metric(name, name, decimals=4, smaller_is_better=name.endswith(("loss", "seconds")))
    return _BY_NAME.get(name, guess)


def choose_metric(gathered: Gathered, complete: list[dict[str, Any]], asked: str | None) -> Metric:
    """The metric that was asked for, else the sweep's objective, else val_top1, else test_top1.

    Args:
        gathered: Where the sweep's objective and its direction are known from.
        complete: The complete runs, flat.
        asked: Name of a column, or None.
    Raises:
        ValueError: If there is no such column of numbers, or none of the runs has measured it.
    """
    numeric = gathered.runs.select_dtypes("number").columns
    name = asked or _default(gathered, complete)
    if name in gathered.runs.columns and name not in numeric:
        raise ValueError(f"{name} is not a metric: its values are not numbers. Group by it with --by {name}.")
    check_name("metric", name, numeric)
    if not any(is_measured(run[name]) for run in complete):
        raise ValueError(_explain_null(name, complete))
    metric = describe_metric(name)
    directions = {sweep.direction for sweep in gathered.plan if sweep.objective == name and sweep.direction}
    if len(directions) == 1:
        metric = replace(metric, smaller_is_better=directions == {"minimize"})
    return metric


def _default(gathered: Gathered, complete: Iterable[Mapping[str, Any]]) -> str:
    objectives = {sweep.objective for sweep in gathered.plan if sweep.objective}
    if len(objectives) == 1:
        return objectives.pop()
    return "val_top1" if any(is_measured(run["val_top1"]) for run in complete) else "test_top1"


def _explain_null(name: str, complete: list[dict[str, Any]]) -> str:
    """Say why no run has a metric, and which metrics there are instead."""
    protocols = {run["protocol"] for run in complete}
    if name.startswith(("test_", "best_test_")) and protocols == {"validation"}:
        why = "protocol=validation doesn't read the test set; use --metric val_top1 or protocol=final"
    elif name.startswith(("val_", "best_val_")) and protocols <= {"final", "paper"}:
        why = f"protocol={' and '.join(sorted(protocols))} holds nothing out; use --metric test_top1"
    elif name == "best_test_top1":
        why = "only protocol=paper reads the test set at every epoch; use --metric test_top1"
    else:
        measured = [other for other in _BY_NAME if any(is_measured(run.get(other)) for run in complete)]
        why = f"measured were {', '.join(measured) or 'no metrics at all'}"
    runs = f"all {len(complete)} complete runs" if len(complete) > 1 else "the one complete run"
    return f"{name} is null in {runs}: {why}."
