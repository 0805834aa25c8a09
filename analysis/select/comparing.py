"""The one way to a difference between runs, its interval and its p-value: past a look at what else differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from analysis.read.method import METHOD
from analysis.read.results import Run, is_measured
from analysis.read.settings import Settings
from analysis.select.metrics import sample_of
from analysis.select.settings import differing
from analysis.statistics.differences import Difference, compare_each, difference_of


@dataclass(frozen=True)
class Pair:
    """Two sets of runs, judged by one metric.

    Attributes:
        a: Minus `b`.
        b: The baseline.
        metric: A column; both sides have a run that measured it.
        compared: Columns in which they may differ.
    """

    a: Sequence[Run]
    b: Sequence[Run]
    metric: str
    compared: Sequence[str] = METHOD


def compare_runs(pairs: Sequence[Pair], settings: Settings, mix: bool = False) -> list[Difference]:
    """Compare the two sides of each pair, see `statistics.compare_each`.

    Where they differ in more than what is compared, there is neither an interval nor a p-value.

    Args:
        pairs: What to compare.
        settings: Of the runs.
        mix: Whether to compare all the same.
    """
    differences = compare_each([(sample_of(pair.a, pair.metric), sample_of(pair.b, pair.metric)) for pair in pairs])
    return [
        _held_back(difference, differing(settings, *_measured(pair), pair.compared), mix)
        for difference, pair in zip(differences, pairs, strict=True)
    ]


def contrast_runs(
    contrasts: Mapping[str, Sequence[float]], cells: Sequence[Sequence[Run]], settings: Settings, mix: bool = False
) -> list[Difference]:
    """Differences of several sets of runs that were taken seed by seed, as `compare_runs` makes them.

    Args:
        contrasts: By name, a value a seed, at least 2.
        cells: The runs behind them, which may differ in the method alone.
        settings: Of the runs.
        mix: Whether to compare all the same.
    """
    differs = (words for a, b in pairwise(cells) for words in differing(settings, b, a, METHOD))
    found = tuple(dict.fromkeys(differs))
    return [_held_back(difference_of(values), found, mix) for values in contrasts.values()]


def _measured(pair: Pair) -> tuple[list[Run], list[Run]]:
    a, b = ([run for run in side if is_measured(run[pair.metric])] for side in (pair.a, pair.b))
    return a, b


def _held_back(difference: Difference, differs: tuple[str, ...], mix: bool) -> Difference:
    if not differs or mix:
        return replace(difference, differs=differs)
    return replace(difference, low=None, high=None, p=None, method="confounded", differs=differs)
