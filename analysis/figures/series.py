"""What is told apart in a picture: the groups of an ablation, and the trials of a search."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.figures.chart import Numbers, Style
from analysis.figures.style import BASELINE, GREY, MOST, numbered
from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.select.groups import choose_by, group_runs
from analysis.select.inventory import complete_runs
from analysis.select.metrics import Metric, choose_metrics, values_of
from analysis.select.ranking import Trial, best_note, left_out_note, losses, ranked
from analysis.select.searches import compared_runs
from analysis.select.trials import Searches
from analysis.sheets.words import short
from analysis.statistics.differences import mean_and_sd
from analysis.statistics.paired import t_interval

BANDS = {"sd": "± 1 sample standard deviation", "ci": "95 % t interval of the mean"}


@dataclass(frozen=True)
class Series:
    """Complete runs of one setting.

    Attributes:
        label: Its name.
        runs: All of it.
        trial: Whether a search chose it.
        baseline: Whether others compare to it.
    """

    label: str
    runs: tuple[Run, ...]
    trial: bool = False
    baseline: bool = False

    def values(self, name: str) -> list[float]:
        """What the runs measured."""
        return values_of(self.runs, name)


def make_series(gathered: Gathered, searches: Searches, metrics: Sequence[Metric]) -> tuple[Series, ...]:
    """Group the complete runs by setting: first what was compared on purpose, then the trials that count, best first.

    Args:
        gathered: The runs.
        searches: What `trials_by_search` makes of them.
        metrics: What trials are judged by.
    Raises:
        ValueError: If no run is complete.
    """
    compared = compared_runs(complete_runs(gathered), gathered)
    by = choose_by(compared, None, gathered.runs.columns)
    groups = group_runs(compared, by)
    # Where several settings have no distillation, each is the baseline of others: none stands out.
    series = [Series(label_of(by, key), tuple(runs), baseline=key == ("none",)) for key, runs in groups.items()]
    trials = [(name, trial) for name, of_search in searches for trial in ranked(of_search, metrics)]
    trials.sort(key=lambda pair: losses(pair[1].means, metrics[:1]))
    named = ((f"{name} trial {trial.number}".strip(), trial) for name, trial in trials)
    return (*series, *(Series(label, trial.runs, trial=True) for label, trial in named))


def judging(gathered: Gathered, metric: str | None) -> tuple[Metric, ...]:
    """What trials are judged by: the metric that was asked for, else all objectives; the first one is shown."""
    asked = [metric] if metric else None
    chosen = choose_metrics(gathered.runs, gathered.plan, complete_runs(gathered), asked)
    several = metric is None and len(gathered.plan) == 1 and len(gathered.plan[0].directions) > 1
    return chosen if several else chosen[:1]


def notes_on_trials(
    searches: Searches, metrics: Sequence[Metric], lacks: Callable[[Trial], str] = lambda trial: ""
) -> tuple[str, ...]:
    """How many trials of each search are not shown and why, and which is the best; () if there is no search.

    Args:
        searches: What `trials_by_search` made.
        metrics: What trials are judged by.
        lacks: Why the picture has no place for one that counts, as in "without train_seconds"; "" if it has.
    """
    found: list[str] = []
    for name, trials in searches:
        competing = ranked(trials, metrics)
        shown = [trial for trial in competing if not lacks(trial)]
        notes = left_out_note(trials, shown, metrics, lacks)
        best = (best_note(competing, metrics[0], shown),) if competing else ()
        found += [f"{name}: {note}" if name else note for note in (*notes, *best)]
    return tuple(found)


def label_of(by: Sequence[str], key: Sequence[object]) -> str:
    """A group's name, as in "tfd, model=vgg8"."""
    named = dict(zip(by, key, strict=True))
    label = str(named.pop("kd_mode"))
    return ", ".join([label, *(f"{column}={short(value)}" for column, value in named.items() if value is not None)])


def check_same(runs: Sequence[Run], columns: Sequence[str], what: str) -> None:
    """Refuse to draw together what does not compare.

    Args:
        runs: To be drawn.
        columns: In which they have to agree.
        what: The picture and what it compares, for the message.
    Raises:
        ValueError: If the runs differ in one of the columns.
    """
    for column in columns:
        values = list(dict.fromkeys(short(run[column]) for run in runs))
        if len(values) > 1:
            raise ValueError(
                f"{what}, and its runs differ in {column}: {', '.join(values)}. Give a directory with one of them"
            )


@dataclass(frozen=True)
class Styles:
    """A style for each label.

    Attributes:
        by_label: In the order of the labels; GREY for those that cannot be told apart.
        keys: What a legend has to explain where a style says two things, a kd_mode and what varies beside it; empty
            where every label has a style of its own.
    """

    by_label: dict[str, Style]
    keys: tuple[tuple[str, Style], ...] = ()


def choose_styles(labels: Sequence[tuple[str, bool]]) -> Styles:
    """Choose styles for labels, each given with whether it is the baseline, which has a style of its own."""
    others = [label for label, is_baseline in labels if not is_baseline]
    if len(others) > MOST and (crossed := _cross(others)):
        return crossed
    numbers = iter(range(len(others)))
    return Styles({label: BASELINE if is_baseline else numbered(next(numbers)) for label, is_baseline in labels})


def _cross(labels: Sequence[str]) -> Styles | None:
    """A marker and dash for each kd_mode, a colour for what varies beside it; None where these are too many, too."""
    parts = {label: label.partition(", ") for label in labels}
    modes = {mode: numbered(i) for i, mode in enumerate(dict.fromkeys(mode for mode, _, _ in parts.values()))}
    others = {other: numbered(i) for i, other in enumerate(dict.fromkeys(other for _, _, other in parts.values()))}
    if "" in others or max(len(modes), len(others)) > MOST:
        return None
    by_label = {
        label: Style(others[other].colour, modes[mode].marker, modes[mode].dash)
        for label, (mode, _, other) in parts.items()
    }
    keys = [(mode, Style(GREY.colour, style.marker, style.dash)) for mode, style in modes.items()]
    return Styles(by_label, (*keys, *((other, Style(style.colour)) for other, style in others.items())))


def mean_and_band(values: np.ndarray, band: str) -> tuple[Numbers, Numbers, Numbers]:
    """Mean over runs, and the ends of a band around it, which are NaN where fewer than two runs measured.

    Args:
        values: One row a run; NaN where nothing was measured.
        band: "sd" for the mean +- the sample standard deviation, "ci" for its 95 % t interval.
    Returns:
        Mean, low and high, one number a column.
    """
    mean, low, high = zip(*(_of_column(column[np.isfinite(column)].tolist(), band) for column in values.T), strict=True)
    return mean, low, high


def _of_column(values: Sequence[float], band: str) -> tuple[float, float, float]:
    mean, sd = mean_and_sd(values)
    if mean is None or sd is None:
        return math.nan if mean is None else mean, math.nan, math.nan
    low, high = t_interval(values) if band == "ci" else (mean - sd, mean + sd)
    return mean, low, high
