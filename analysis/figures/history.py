"""How a search went: every trial's objective, and the best so far."""

import math
from dataclasses import dataclass
from itertools import accumulate

from analysis.figures.chart import Axis, Chart, Line, Mark, Panel, Points, Rule, Style
from analysis.figures.style import BLACK, GREY, numbered
from analysis.read.gather import Gathered
from analysis.select.metrics import Metric
from analysis.select.ranking import Trial
from analysis.select.trials import find_search
from analysis.sheets.numbers import mean_text
from analysis.sheets.words import count, short
from analysis.statistics.differences import mean_and_sd


@dataclass(frozen=True)
class History:
    """The objective of a search by trial.

    Attributes:
        metric: The objective.
        numbers: Of the complete trials.
        values: Their objective.
        best: The best of the complete trials up to each.
        pruned: Number and last value of the pruned trials.
        baseline: Mean, sample standard deviation (None if n < 2) and n of the baseline; None without one.
        notes: What the picture shows.
    """

    metric: Metric
    numbers: tuple[int, ...]
    values: tuple[float, ...]
    best: tuple[float, ...]
    pruned: tuple[tuple[int, float], ...]
    baseline: tuple[float, float | None, int] | None
    notes: tuple[str, ...]
    hover: tuple[str, ...]

    def chart(self) -> Chart:
        """Dots for trials, a stair for the best so far, a line for the baseline."""
        return _chart(self)


def history_info(gathered: Gathered, metric: str | None = None) -> History:
    """Collect the trials of the one search by number.

    Raises:
        ValueError: If there is no search, or several, or if none of its trials is complete.
    """
    search = find_search(gathered, metric)
    complete = search.complete()
    values = tuple(trial.value for trial in complete if trial.value is not None)
    if not values:
        raise ValueError(f"no complete trial of the search has measured {search.metric.name}")
    better = min if search.metric.smaller_is_better else max
    pruned = [trial for trial in search.trials if trial.status == "pruned" and trial.value is not None]
    measured = [run[search.metric.name] for run in search.baseline]
    mean, sd = mean_and_sd(measured)
    crosses = [f"{count(len(pruned), 'pruned trial')} at the last value"] if pruned else []
    return History(
        metric=search.metric,
        numbers=tuple(trial.number for trial in complete),
        values=values,
        best=tuple(accumulate(values, better)),
        pruned=tuple((trial.number, trial.value) for trial in pruned if trial.value is not None),
        baseline=None if mean is None else (mean, sd, len(measured)),
        notes=(search.metric.label, *search.described([*complete, *pruned]), *crosses),
        hover=tuple(describe_trial(trial, search.metric) for trial in complete),
    )


def describe_trial(trial: Trial, metric: Metric) -> str:
    """A trial in a line: its number, value and parameters."""
    params = ", ".join(f"{key} {short(value)}" for key, value in trial.params.items())
    return f"trial {trial.number}: {metric.name} {short(trial.value)}; {params}"


def _chart(info: History) -> Chart:
    blue, red = numbered(0), numbered(1)
    low, high = _span(info)
    marks: list[Mark] = [
        Line(info.numbers, info.best, Style(red.colour), "best so far", width=1.6, steps=True),
        Points(info.numbers, info.values, Style(blue.colour), "complete trial", 4.5, hover=info.hover),
    ]
    if info.pruned:
        numbers, values = zip(*info.pruned, strict=True)
        # Values of earlier epochs may lie far off, and would squeeze what compares into a corner.
        within = tuple(min(max(value, low), high) for value in values)
        label = "pruned, at its last value or the edge"
        hover = tuple(f"trial {n}: pruned at {short(value)}" for n, value in info.pruned)
        marks.append(Points(numbers, within, Style(GREY.colour, "x"), label, 5, hover=hover))
    if info.baseline:
        mean, sd, n = info.baseline
        known = sd is not None and math.isfinite(sd)
        label = f"baseline {mean_text(mean, sd if known else None, info.metric.decimals)}{' (sd)' * known}, n={n}"
        marks.insert(0, Rule("y", mean, Style(BLACK.colour, dash="dash"), label))
    room = 0.04 * (high - low)
    panel = Panel(Axis("trial", whole=True), Axis(info.metric.label, span=(low - room, high + room)), tuple(marks))
    return Chart("Optimisation history", info.notes, (panel,))


def _span(info: History) -> tuple[float, float]:
    """The range of the complete trials and the baseline, with some room."""
    values = [*info.values, *([info.baseline[0]] if info.baseline else [])]
    room = 0.06 * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room
