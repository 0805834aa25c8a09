"""Cost against accuracy, and which settings no other one beats in both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from analysis.figures.chart import Axis, Chart, Label, Line, Mark, Panel, Points, Style
from analysis.figures.log_axis import LogAxis, log_axis
from analysis.figures.series import Series, check_same, choose_styles, make_series, notes_on_trials
from analysis.figures.style import BLACK, GREY
from analysis.read.gather import Gathered
from analysis.read.results import is_measured
from analysis.select.conditions import short_conditions
from analysis.select.inventory import complete_runs
from analysis.select.metrics import Metric, choose_metric
from analysis.select.ranking import front, losses
from analysis.select.trials import objectives, trials_by_search
from analysis.sheets.words import count, short, spread, there_are
from analysis.statistics.paired import t_interval

_NAMED = 8  # points of a front that have room for their names
_TIMES = ("train_seconds", "images_per_second")


@dataclass(frozen=True)
class Choice:
    """One setting or trial: means of cost and value over its `n` runs, the value's 95 % t interval if n > 1."""

    label: str
    cost: float
    value: float
    low: float
    high: float
    n: int
    trial: bool
    baseline: bool


@dataclass(frozen=True)
class Pareto:
    """What each setting costs and reaches.

    Attributes:
        cost: The metric across.
        metric: The metric upwards.
        choices: In the order of `series.make_series`.
        front: Indices of the choices that no other one equals or beats in both, the cheapest first.
        notes: What the picture shows.
    """

    cost: Metric
    metric: Metric
    choices: tuple[Choice, ...]
    front: tuple[int, ...]
    notes: tuple[str, ...]

    @cached_property
    def across(self) -> LogAxis | None:
        """The axis of the costs where these span so much that only a logarithmic one shows all of it."""
        costs = [choice.cost for choice in self.choices]
        above = [cost for cost in costs if cost > 0]
        return log_axis(costs) if above and min(costs) >= 0 and max(above) > 20 * min(above) else None

    def place(self, cost: float) -> float:
        """Where a cost lies on its axis."""
        return self.across.drawn(cost) if self.across else cost

    def chart(self) -> Chart:
        """Points, and the front as a stair."""
        return _chart(self)


def pareto_info(gathered: Gathered, metric: str | None = None, cost: str | None = None) -> Pareto:
    """Average cost and value of every setting and trial.

    Args:
        gathered: The runs.
        metric: What is to be reached; None for the (first) objective.
        cost: What it costs; None for the second objective of a sweep that has several, else train_seconds.
    Raises:
        ValueError: If fewer than 2 settings or trials have both, if these are of several data sets or protocols, or if
            a column cannot be had.
    """
    complete = complete_runs(gathered)
    both = objectives(gathered) if metric is None and cost is None else ()
    value, price = both[:2] if both else (
        choose_metric(gathered, complete, metric), choose_metric(gathered, complete, cost or "train_seconds")
    )  # fmt: skip
    if value.name == price.name:
        raise ValueError(f"cost and value are both {value.name}; choose another --metric")
    judged = both or (value,)
    searches = trials_by_search(gathered, judged)
    series = make_series(gathered, searches, judged)
    drawn = [one for one in series if one.values(value.name) and one.values(price.name)]
    runs = [run for one in drawn for run in one.runs]
    check_same(runs, ("dataset", "protocol"), "cost against accuracy is of one data set and one protocol")
    choices = [_choice(one, value, price) for one in drawn]
    if len(choices) < 2:
        raise ValueError(f"cost against accuracy needs 2 settings with both; {there_are(len(choices))}")
    numbers = [choice.n for choice in choices]
    averaged = f"means of {spread(numbers)} runs" if max(numbers) > 1 else "single runs"
    notes = [value.label, short_conditions(runs), f"{count(len(choices), 'setting')}, {averaged}"]
    if max(numbers) > 1:
        off_front = ", of trials on the front alone" if any(choice.trial for choice in choices) else ""
        notes.append(f"Bars: 95 % t interval of the mean{off_front}")
    if without := sum(not one.trial for one in series) - sum(not one.trial for one in drawn):
        notes.append(f"{count(without, 'setting')} left out, without {value.name} or {price.name}")
    costless = f"without {price.name}"
    notes += notes_on_trials(
        searches, judged, lambda trial: "" if any(is_measured(run[price.name]) for run in trial.runs) else costless
    )
    if len(both) > 2:
        notes.append(f"Left out: {', '.join(other.name for other in both[2:])}")
    machines = {(run.device, run.threads) for run in runs}
    if price.name in _TIMES and len(machines) > 1:
        notes.append("The runs' devices or threads differ, so that their times do not compare")
    points = [losses({price.name: choice.cost, value.name: choice.value}, (price, value)) for choice in choices]
    return Pareto(price, value, tuple(choices), tuple(front(points)), tuple(notes))


def _choice(one: Series, value: Metric, cost: Metric) -> Choice:
    values = one.values(value.name)
    low, high = t_interval(values) if len(values) > 1 else (math.nan, math.nan)
    price = fmean(one.values(cost.name))
    return Choice(one.label, price, fmean(values), low, high, len(values), one.trial, one.baseline)


def _chart(info: Pareto) -> Chart:
    trials = [choice for choice in info.choices if choice.trial]
    others = [choice for choice in info.choices if not choice.trial]
    on_front = [info.choices[i] for i in info.front]
    marks: list[Mark] = [
        Line(
            tuple(info.place(choice.cost) for choice in on_front),
            tuple(choice.value for choice in on_front),
            Style(BLACK.colour, dash="dot"),
            width=1.0,
            steps=True,
        )
    ]
    named = [choice for choice in on_front if choice.trial]
    if trials:
        blue = Style("#56B4E9")
        marks.append(replace(_points(trials, info, blue, "trial", 4), low=None, high=None))
        marks.append(_points(named, info, blue, "", 4))
    marks += _settings(others, info)
    ring = _points(on_front, info, BLACK, "Pareto front", 9)
    marks.append(replace(ring, filled=False, low=None, high=None))
    if len(named) <= _NAMED:
        sides = ("below", "above")  # in turn, as neighbours on a front may be close
        marks += [Label(info.place(one.cost), one.value, one.label, sides[i % 2]) for i, one in enumerate(named)]
    x = info.across.axis(info.cost.label) if info.across else Axis(info.cost.label)
    panel = Panel(x, Axis(info.metric.label), tuple(marks))
    return Chart("Cost against accuracy", info.notes, (panel,))


def _settings(choices: Sequence[Choice], info: Pareto) -> list[Points]:
    styles = choose_styles([(choice.label, choice.baseline) for choice in choices])
    points = []
    for choice in choices:
        style = styles.by_label[choice.label]
        name = choice.label + (f" (n={choice.n})" if choice.n > 1 else "")
        name = "" if styles.keys else "other settings" if style is GREY else name
        points.append(_points([choice], info, style, name, 6))
    nowhere = (math.nan,)
    return points + [Points(nowhere, nowhere, style, name, 6) for name, style in styles.keys]


def _points(choices: Sequence[Choice], info: Pareto, style: Style, name: str, size: float) -> Points:
    hover = tuple(
        f"{choice.label}: {info.metric.name} {short(choice.value)}, {info.cost.name} {short(choice.cost)}, n={choice.n}"
        for choice in choices
    )
    costs = tuple(info.place(choice.cost) for choice in choices)
    values = tuple(choice.value for choice in choices)
    several = any(choice.n > 1 for choice in choices)
    low = tuple(choice.low for choice in choices) if several else None
    high = tuple(choice.high for choice in choices) if several else None
    return Points(costs, values, style, name, size, low=low, high=high, upright=True, hover=hover)
