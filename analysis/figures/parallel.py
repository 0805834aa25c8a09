"""Parallel coordinates: a search's parameters side by side, a line a trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.figures.chart import Axis, Chart, ColourScale, Label, Line, Numbers, Panel, Rule
from analysis.figures.history import describe_trial
from analysis.figures.log_axis import LogAxis
from analysis.figures.style import PALE
from analysis.read.gather import Gathered
from analysis.read.values import sortable
from analysis.select.dimensions import Dimension
from analysis.select.metrics import Metric
from analysis.select.trials import find_search
from analysis.sheets.words import short, there_are, tick


@dataclass(frozen=True)
class Scale:
    """One upright axis; positions run from 0 at its foot to 1 at its head.

    Attributes:
        name: The parameter, or the metric.
        ticks: Position and text.
        positions: Of each trial's value.
    """

    name: str
    ticks: tuple[tuple[float, str], ...]
    positions: Numbers


@dataclass(frozen=True)
class Parallel:
    """The complete trials of a search, in the order worst to best, so that the best lie on top.

    Attributes:
        metric: The objective, which is the last of the scales.
        scales: The parameters in their order, then the objective.
        values: The objective of each trial.
        notes: What the picture shows.
        hover: A line a trial.
    """

    metric: Metric
    scales: tuple[Scale, ...]
    values: Numbers
    notes: tuple[str, ...]
    hover: tuple[str, ...]

    def chart(self) -> Chart:
        """A line a trial across all scales, coloured by its objective."""
        return _chart(self)


def parallel_info(gathered: Gathered, metric: str | None = None) -> Parallel:
    """Place the complete trials of the one search on a scale a parameter.

    Raises:
        ValueError: If there is no search, or several, or if fewer than 2 trials are complete.
    """
    search = find_search(gathered, metric)
    trials = [trial for trial in reversed(search.ranked()) if not search.lacks(trial)]
    if len(trials) < 2 or not search.dimensions:
        raise ValueError(
            f"parallel coordinates need 2 complete trials with all parameters of a search; {there_are(len(trials))}"
        )
    values = tuple(trial.value for trial in trials if trial.value is not None)
    own = Dimension(search.metric.name, "linear", min(values), max(values))
    scales = [_scale(dimension, [trial.params[dimension.name] for trial in trials]) for dimension in search.dimensions]
    return Parallel(
        metric=search.metric,
        scales=(*scales, _scale(own, values)),
        values=values,
        notes=(search.metric.label, *search.described(trials)),
        hover=tuple(describe_trial(trial, search.metric) for trial in trials),
    )


def _scale(dimension: Dimension, values: Sequence[float | str]) -> Scale:
    if dimension.scale == "choice":
        choices = sorted(set(values), key=sortable)  # numbers by size
        place = {choice: i / max(len(choices) - 1, 1) for i, choice in enumerate(choices)}
        ticks = tuple((position, short(choice)) for choice, position in place.items())
        return Scale(dimension.name, ticks, tuple(place[value] for value in values))
    if dimension.scale == "log":
        axis = LogAxis(dimension.low, dimension.high, dimension.zero)
        (low, high), ticks = axis.ends, axis.ticks
        places = [axis.place(float(value)) for value in values]
    else:
        low, high = dimension.low, dimension.high
        ticks = tuple((at, tick(at)) for at in _round_numbers(low, high))
        places = [float(value) for value in values]
    width = high - low or 1.0
    ticks = tuple(((at - low) / width, text) for at, text in ticks)
    return Scale(dimension.name, ticks, tuple((place - low) / width for place in places))


def _round_numbers(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within the bounds, about 4; one number if there is no more."""
    if low == high:
        return [low]
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _chart(info: Parallel) -> Chart:
    places = tuple(float(i) for i in range(len(info.scales)))
    scale = ColourScale(info.metric.label, min(info.values), max(info.values), info.metric.smaller_is_better)
    uprights = [Rule("x", place, PALE) for place in places]
    ticks = [
        Label(place, position, text, "left" if place < places[-1] else "right")
        for place, one in zip(places, info.scales, strict=True)
        for position, text in one.ticks
    ]
    lines = [
        Line(places, heights, PALE, width=1.0, value=value, hover=hover)
        for value, hover, heights in zip(
            info.values, info.hover, zip(*(one.positions for one in info.scales), strict=True), strict=True
        )
    ]
    x = Axis(ticks=tuple(zip(places, (one.name for one in info.scales), strict=True)), span=(-0.35, places[-1] + 0.3))
    panel = Panel(x, Axis(ticks=(), span=(-0.05, 1.05)), (*uprights, *lines, *ticks))
    return Chart("Parallel coordinates", info.notes, (panel,), scale, wide=len(places) > 3)
