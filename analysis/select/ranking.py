"""Which trials of a search count, which is the best, and what a picture says of those that it leaves out.

Every text and picture asks here, so that all of them name the same winner.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analysis.read.results import Run
from analysis.select.dimensions import Value
from analysis.select.metrics import Metric
from analysis.sheets.numbers import fixed
from analysis.sheets.words import count

_REASONS = {"missing": "with seeds to come"}  # by status; the others speak for themselves


@dataclass(frozen=True)
class Trial:
    """One point of a search. With `sweep.seeds` it has several runs, which share its number.

    Attributes:
        number: From 0.
        status: complete if all its runs are, otherwise that of the run that is furthest from it; pruned also if it
            was given up between two seeds, missing if a seed of it has not begun.
        params: What was searched.
        value: Mean of the (first) objective over its runs; for a pruned trial, of the last epochs they reached. None
            if a run has not measured it.
        runs: A run a seed.
        means: Of each objective that all its runs have measured.
    """

    number: int
    status: str
    params: Mapping[str, Value]
    value: float | None
    runs: tuple[Run, ...]
    means: Mapping[str, float] = field(default_factory=dict)


def counts(trial: Trial, metrics: Iterable[Metric]) -> bool:
    """Whether a trial competes: it is complete on all its seeds, and each of its runs has measured every objective."""
    return trial.status == "complete" and all(metric.name in trial.means for metric in metrics)


def ranked(trials: Iterable[Trial], metrics: Sequence[Metric]) -> tuple[Trial, ...]:
    """The trials that count, the best in the first objective first; of equal ones the lower number comes first."""
    competing = (trial for trial in trials if counts(trial, metrics))
    return tuple(sorted(competing, key=lambda trial: (losses(trial.means, metrics), trial.number)))


def losses(means: Mapping[str, float], metrics: Sequence[Metric]) -> tuple[float, ...]:
    """The values of metrics with such signs that the smallest of each is the best."""
    return tuple(means[metric.name] * (1 if metric.smaller_is_better else -1) for metric in metrics)


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Which points no other one equals or beats in every number; of equal ones the first.

    Args:
        points: The smaller a number, the better.
    Returns:
        Their places, in the order of the numbers.
    """
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (tuple(points[place]), place)):
        beaten = (all(a <= b for a, b in zip(points[other], points[place], strict=True)) for other in found)
        if not any(beaten):  # whoever beats a point stands before it
            found.append(place)
    return found


def left_out_note(
    trials: Iterable[Trial], shown: Iterable[Trial], metrics: Sequence[Metric], reason: Callable[[Trial], str]
) -> tuple[str, ...]:
    """How many trials a picture leaves out, and why; () if it shows them all.

    Args:
        trials: All of the search.
        shown: Those that the picture has.
        metrics: The objectives.
        reason: Why it lacks one that counts, as in "without lambda_inter".
    """
    there = {trial.number for trial in shown}
    reasons: dict[str, int] = {}
    for trial in trials:
        if trial.number not in there:
            why = reason(trial) if counts(trial, metrics) else _why_not(trial, metrics)
            reasons[why] = reasons.get(why, 0) + 1
    parts = (f"{number} {why}" for why, number in reasons.items())
    return (f"{count(sum(reasons.values()), 'trial')} left out: {', '.join(parts)}",) if reasons else ()


def _why_not(trial: Trial, metrics: Iterable[Metric]) -> str:
    if trial.status != "complete":
        return _REASONS.get(trial.status, trial.status)
    return f"without {' and '.join(metric.name for metric in metrics if metric.name not in trial.means)}"


def best_note(competing: Sequence[Trial], metric: Metric, shown: Iterable[Trial]) -> str:
    """The winner, also where the picture has no place for it."""
    best = competing[0]
    hidden = "" if best.number in {trial.number for trial in shown} else ", which is not in the picture"
    return f"Best: trial {best.number}, {metric.name} {fixed(best.means[metric.name], metric.decimals)}{hidden}"
