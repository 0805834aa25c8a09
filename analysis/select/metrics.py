"""What a metric is called in a table, and which ones a table shows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from analysis.read.plans import Sweep
from analysis.read.results import Run, is_measured
from analysis.select.columns import check_name
from analysis.statistics.differences import Sample

if TYPE_CHECKING:
    from analysis.read.gather import Gathered

_ACCURACIES = {"top1": "top-1", "top5": "top-5"}
_LOSSES = {"loss": "loss", "ce": "cross-entropy"}
_OF_A_SPLIT = re.compile(rf"(best_)?(train|val|test)_({'|'.join((*_ACCURACIES, *_LOSSES))})")


@dataclass(frozen=True)
class Metric:
    """A column of numbers.

    Attributes:
        name: The field of `result.json`.
        label: Title of its column; names the split, and the epoch that it was taken at.
        decimals: Shown.
        smaller_is_better: Which end is best.
        split: train, val or test; None for what no split has (a time, a size).
        epoch: The epoch rule: "last", "best val" or "best test"; None likewise.
    """

    name: str
    label: str
    decimals: int = 2
    smaller_is_better: bool = False
    split: str | None = None
    epoch: str | None = None


_OTHERS = (
    Metric("best_val_epoch", "best val epoch", decimals=1, smaller_is_better=True),
    Metric("train_seconds", "training time (s)", decimals=1, smaller_is_better=True),
    Metric("images_per_second", "training images per second", decimals=1),
    Metric("peak_memory_mb", "peak memory (MB)", decimals=1, smaller_is_better=True),
    Metric("parameters", "parameters", decimals=0, smaller_is_better=True),
    Metric("intra", "intra term, unweighted, training set, last epoch", 4, True, "train", "last"),
    Metric("inter", "inter term, unweighted, training set, last epoch", 4, True, "train", "last"),
)
_BY_NAME = {metric.name: metric for metric in _OTHERS}
_LISTED = (
    "val_top1", "val_top5", "val_loss", "best_val_top1",
    "test_top1", "test_top5", "test_loss", "best_test_top1", *_BY_NAME,
)  # fmt: skip


def sample_of(runs: Iterable[Run], metric: str) -> Sample:
    """Seed and value of the runs that measured a metric."""
    return [(run.seed, float(run[metric])) for run in runs if is_measured(run[metric])]


def values_of(runs: Iterable[Run], metric: str) -> list[float]:
    """What the runs measured of a metric, without those that did not."""
    return [value for _, value in sample_of(runs, metric)]


def describe_metric(name: str) -> Metric:
    """Label a metric: `best_test_top1` is "test top-1, best test epoch (%)". What is not known keeps its name."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    parts = _OF_A_SPLIT.fullmatch(name)
    if parts is None:
        return Metric(name, name, decimals=4, smaller_is_better=name.endswith(("loss", "seconds")))
    best, split, quantity = parts.groups()
    epoch = f"best {split}" if best else "last"
    if quantity in _ACCURACIES:
        return Metric(name, f"{split} {_ACCURACIES[quantity]}, {epoch} epoch (%)", split=split, epoch=epoch)
    return Metric(name, f"{split} {_LOSSES[quantity]}, {epoch} epoch", 4, True, split, epoch)


def choose_metrics(
    runs: pd.DataFrame, plan: Iterable[Sweep], complete: Sequence[Run], asked: Sequence[str] | None
) -> tuple[Metric, ...]:
    """The metrics that were asked for, else what the sweep optimises, else what its protocol judges by.

    Args:
        runs: The frame of runs, for the columns that there are.
        plan: Where objectives and their directions are known from.
        complete: The complete runs, flat.
        asked: Names of columns, or None.
    Raises:
        ValueError: If there is no such column of numbers, or none of the runs has measured it.
    """
    directions = _directions(plan)
    names = tuple(dict.fromkeys(asked or ())) or _default(directions, complete)
    for name in names:
        _check_metric(name, runs, complete)
    metrics = (describe_metric(name) for name in names)
    return tuple(
        replace(metric, smaller_is_better=directions[metric.name] == "minimize")
        if directions.get(metric.name)
        else metric
        for metric in metrics
    )


def choose_metric(gathered: "Gathered", complete: Sequence[Run], asked: str | None) -> Metric:
    """The one metric that was asked for, or the first of those that `choose_metrics` chooses."""
    return choose_metrics(gathered.runs, gathered.plan, complete, [asked] if asked else None)[0]


def _check_metric(name: str, runs: pd.DataFrame, complete: Sequence[Run]) -> None:
    numeric = runs.select_dtypes("number").columns
    if name in runs.columns and name not in numeric:
        raise ValueError(f"{name} is not a metric: its values are not numbers. Group by it with --rows {name}.")
    check_name("metric", name, numeric)
    if not _any_measured(name, complete):
        raise ValueError(_explain_null(name, complete))


def _directions(plan: Iterable[Sweep]) -> dict[str, str | None]:
    """Direction by objective; None where sweeps disagree or do not say."""
    found: dict[str, set[str | None]] = {}
    for sweep in plan:
        for objective, direction in sweep.directions.items():
            found.setdefault(objective, set()).add(direction)
    return {objective: said.pop() if len(said) == 1 else None for objective, said in found.items()}


def _default(directions: Mapping[str, str | None], complete: Sequence[Run]) -> tuple[str, ...]:
    objectives = tuple(name for name in directions if _any_measured(name, complete))
    if objectives:
        return objectives
    if _any_measured("val_top1", complete):
        return ("val_top1",)
    # The paper protocol has both, and a table that shows one of them should not leave out the other.
    of_test = tuple(name for name in ("test_top1", "best_test_top1") if _any_measured(name, complete))
    return of_test or ("val_top1",)


def _any_measured(name: str, complete: Sequence[Run]) -> bool:
    return any(is_measured(run.get(name)) for run in complete)


def _explain_null(name: str, complete: Sequence[Run]) -> str:
    """Say why no run has a metric, and which metrics there are instead."""
    reason, instead = _why_null(name, {str(run.protocol) for run in complete})
    measured = [other for other in _LISTED if _any_measured(other, complete)]
    advice = f"measured were {', '.join(measured) or 'no metrics at all'}"
    if instead in measured:
        advice = f"use --metric {instead}"
    runs = f"all {len(complete)} complete runs" if len(complete) > 1 else "the one complete run"
    return f"{name} is null in {runs}: {f'{reason}; ' if reason else ''}{advice}."


def _why_null(name: str, protocols: set[str]) -> tuple[str, str]:
    """How the runs' protocols make a metric null, and what they measure in its place; both "" if they do not."""
    if name.startswith(("test_", "best_test_")) and protocols == {"validation"}:
        return "protocol=validation doesn't read the test set (protocol=final does)", "val_top1"
    if name.startswith(("val_", "best_val_")) and protocols <= {"final", "paper"}:
        return f"protocol={' and '.join(sorted(protocols))} holds nothing out", "test_top1"
    if name == "best_test_top1":
        return "only protocol=paper reads the test set at every epoch", "test_top1"
    return "", ""
