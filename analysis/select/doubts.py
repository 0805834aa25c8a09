"""Numbers that may not be what they look like: fractions beside percents, and accuracies that nothing could lower."""

from collections.abc import Iterable, Iterator, Sequence

from analysis.read.results import Run
from analysis.select.metrics import Metric, values_of
from analysis.sheets.notes import Kind, Note, caution
from analysis.sheets.words import count

_ACCURACIES = ("top1", "top5")


def doubtful_numbers(runs: Sequence[Run], metrics: Iterable[Metric], beside: Sequence[float] = ()) -> Iterator[Note]:
    """The cautions.

    Args:
        runs: Flat.
        metrics: What is shown of them.
        beside: Accuracies in percent that stand in the same table, as published ones do.
    """
    for metric in metrics:
        if metric.name.endswith(_ACCURACIES):
            yield from _fractions(metric.name, values_of(runs, metric.name), beside)
    if alone := sum(run.classes == 1 for run in runs):
        text = (
            f"the data set of {count(alone, 'run')} has a single class, so that every network has an accuracy of 100 %"
        )
        yield caution(Kind.ONE_CLASS, text)


def _fractions(name: str, values: Sequence[float], beside: Sequence[float]) -> Iterator[Note]:
    low = [value for value in values if 0 < value <= 1]
    high = [value for value in (*values, *beside) if value > 1]
    if low and high:
        text = (
            f"{name} is at most 1 in {count(len(low), 'run')} (such as {max(low):.4g}) and up to {max(high):.4g} "
            "beside them: accuracies are percent, so a fraction is wrong by a factor of 100"
        )
        yield caution(Kind.FRACTIONS, text)
