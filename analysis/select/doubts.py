"""Numbers that may not be what they look like: fractions beside percents, and accuracies that nothing could lower."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.read.results import is_measured
from analysis.select.metrics import Metric
from analysis.sheets.words import count

_ACCURACIES = ("top1", "top5")


def doubtful_numbers(
    runs: Sequence[Mapping[str, Any]], metrics: Iterable[Metric], beside: Sequence[float] = ()
) -> Iterator[str]:
    """The cautions, a line each.

    Args:
        runs: Flat.
        metrics: What is shown of them.
        beside: Accuracies in percent that stand in the same table, as published ones do.
    """
    for metric in metrics:
        if metric.name.endswith(_ACCURACIES):
            yield from _fractions(
                metric.name, [run[metric.name] for run in runs if is_measured(run[metric.name])], beside
            )
    if alone := sum(run.get("classes") == 1 for run in runs):
        yield (
            f"caution: the data set of {count(alone, 'run')} has a single class, so that every network has an accuracy "
            "of 100 %"
        )


def _fractions(name: str, values: Sequence[float], beside: Sequence[float]) -> Iterator[str]:
    low = [value for value in values if 0 < value <= 1]
    high = [value for value in (*values, *beside) if value > 1]
    if low and high:
        yield (
            f"caution: {name} is at most 1 in {count(len(low), 'run')} (such as {max(low):.4g}) and up to "
            f"{max(high):.4g} beside them: accuracies are percent, so a fraction is wrong by a factor of 100"
        )
