"""What each setting of an ablation reaches: means with intervals, and every single run."""

from dataclasses import dataclass
from statistics import fmean

from analysis.figures.chart import Axis, Bars, Chart, Mark, Numbers, Panel, Points, Rule, Style
from analysis.figures.series import label_of
from analysis.figures.style import BLACK, numbered
from analysis.read.gather import Gathered
from analysis.read.results import is_measured
from analysis.select.conditions import short_conditions
from analysis.select.groups import choose_by, context_of, find_baselines, group_runs, read_baseline
from analysis.select.inventory import complete_runs
from analysis.select.metrics import Metric, choose_metric
from analysis.select.searches import compared_runs
from analysis.sheets.words import count, spread, there_are
from analysis.statistics.paired import t_interval

_LONGEST = 30  # bars that a page can hold
_NARROW = 30  # letters of a name beside which a column has room for bars


@dataclass(frozen=True)
class Bar:
    """One setting.

    Attributes:
        label: Its kd_mode and what else varies.
        mean: Of the metric over its runs.
        low: Lower end of the 95 % t interval of the mean; None for a single run.
        high: Upper end.
        runs: Seed and value of every run.
        baseline: Mean of the setting that it is compared to; None if there is none, and for the baseline itself.
        is_baseline: Whether others are compared to it.
    """

    label: str
    mean: float
    low: float | None
    high: float | None
    runs: tuple[tuple[int | None, float], ...]
    baseline: float | None
    is_baseline: bool


@dataclass(frozen=True)
class Ablation:
    """The settings, in the order in which they were planned."""

    metric: Metric
    bars: tuple[Bar, ...]
    notes: tuple[str, ...]

    def chart(self) -> Chart:
        """Bars from the baseline's mean to each setting's, so that a length is a difference."""
        return _chart(self)


def ablation_info(gathered: Gathered, metric: str | None = None, baseline: str | None = None) -> Ablation:
    """Average the complete runs of every setting that no search chose.

    Args:
        gathered: The runs.
        metric: Column to average; None for the objective.
        baseline: kd_mode to compare to, or column=value; None for "none", if there is such a run.
    Raises:
        ValueError: If there are fewer than 2 settings, or more than a page can hold.
    """
    complete = compared_runs(complete_runs(gathered), gathered)
    if not complete:
        raise ValueError("an ablation compares settings; the complete runs here are all trials of a search")
    chosen = choose_metric(gathered, complete, metric)
    measured = [run for run in complete if is_measured(run[chosen.name])]
    by = choose_by(measured, None, gathered.runs.columns)
    groups = group_runs(measured, by)
    if not 2 <= len(groups) <= _LONGEST:
        raise ValueError(f"an ablation compares 2 to {_LONGEST} settings; {there_are(len(groups))} outside of a search")
    chosen_baseline = read_baseline(baseline)
    baselines, context = find_baselines(groups, by, chosen_baseline), context_of(by, chosen_baseline.compared)
    samples = {key: [float(run[chosen.name]) for run in runs] for key, runs in groups.items()}
    bars = []
    for key, values in samples.items():
        low, high = t_interval(values) if len(values) > 1 else (None, None)
        against = baselines.get(context(key))
        start = None if against is None or against == key else fmean(samples[against])
        runs = tuple(zip((run.seed for run in groups[key]), values, strict=True))
        bars.append(Bar(label_of(by, key), fmean(values), low, high, runs, baseline=start, is_baseline=against == key))
    numbers = [len(bar.runs) for bar in bars]
    shown = "Square: mean, with its 95 % t interval" if max(numbers) > 1 else "Square: a single run"
    notes = [chosen.label, short_conditions(measured), f"{shown}; dots: its runs, {spread(numbers)} each"]
    if any(bar.baseline is not None for bar in bars):
        notes.append("Bars start at the baseline's mean; the table pairs by seed")
    if left_out := len(complete) - len(measured):
        notes.append(f"{count(left_out, 'complete run')} without a value")
    return Ablation(chosen, tuple(bars), tuple(notes))


def _chart(info: Ablation) -> Chart:
    bars = info.bars
    heights = tuple(float(-i) for i in range(len(bars)))
    modes = list(dict.fromkeys(bar.label.partition(", ")[0] for bar in bars if not bar.is_baseline))
    of_mode = {mode: numbered(i) for i, mode in enumerate(modes)}
    colours = [BLACK if bar.is_baseline else of_mode[bar.label.partition(", ")[0]] for bar in bars]
    styles = tuple(Style(style.colour, "square") for style in colours)
    decimals = info.metric.decimals
    from_baseline = [(y, bar, style) for y, bar, style in zip(heights, bars, styles, strict=True) if bar.baseline]
    marks: list[Mark] = []
    if from_baseline:
        marks.append(
            Bars(
                tuple(y for y, _, _ in from_baseline),
                tuple(bar.baseline or 0.0 for _, bar, _ in from_baseline),
                tuple(bar.mean for _, bar, _ in from_baseline),
                tuple(style for _, _, style in from_baseline),
                tuple(f"{bar.label}: {bar.mean - (bar.baseline or 0.0):+.{decimals}f}" for _, bar, _ in from_baseline),
            )
        )
    only = [bar for bar in bars if bar.is_baseline]
    if len(only) == 1:
        marks.append(Rule("x", only[0].mean, Style(BLACK.colour, dash="dash"), f"mean of {only[0].label}"))
    dots = [(value, y, f"seed {seed}: {value:.{decimals}f}") for y, bar in zip(heights, bars, strict=True)
            for seed, value in bar.runs]  # fmt: skip
    x, y, hover = zip(*dots, strict=True)
    marks.append(Points(x, tuple(place + 0.22 for place in y), Style("#595959"), "single run", 3, hover=hover))
    for height, bar, style in zip(heights, bars, styles, strict=True):
        marks.append(_mean(bar, height, style, decimals))
    ticks = tuple((y, f"{bar.label} ({bar.mean:.{decimals}f})") for y, bar in zip(heights, bars, strict=True))
    y_axis = Axis(ticks=ticks, span=(heights[-1] - 0.6, 0.6))
    panel = Panel(Axis(info.metric.label), y_axis, tuple(marks))
    wide = max(len(bar.label) for bar in bars) > _NARROW
    height = (0.38 if len(bars) < 8 else 0.3) * len(bars) + 0.5
    return Chart("Ablation", info.notes, (panel,), wide=wide, height=max(1.4, height))


def _mean(bar: Bar, height: float, style: Style, decimals: int) -> Points:
    def ends(value: float | None) -> Numbers | None:
        return None if value is None else (value,)

    interval_text = "" if bar.low is None else f" [{bar.low:.{decimals}f}, {bar.high:.{decimals}f}]"
    hover = f"{bar.label}: {bar.mean:.{decimals}f}{interval_text}, n={len(bar.runs)}"
    dark = Style(BLACK.colour, style.marker)
    return Points((bar.mean,), (height,), dark, size=5, low=ends(bar.low), high=ends(bar.high), hover=(hover,))
