"""The objective over lambda_intra x lambda_inter."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.figures.chart import Chart, ColourScale, Panel, Points, Style, Surface
from analysis.figures.log_axis import log_axis
from analysis.figures.published_pairs import published_pairs
from analysis.figures.series import check_same
from analysis.figures.style import BLACK, GREY
from analysis.figures.surface import surface_of
from analysis.read.gather import Gathered
from analysis.read.method import DEFAULT_BY
from analysis.read.overrides import as_pairs, read_overrides
from analysis.read.results import Run, is_measured
from analysis.select.conditions import short_conditions
from analysis.select.inventory import complete_runs
from analysis.select.metrics import Metric, choose_metric
from analysis.select.ranking import best_note, counts, left_out_note
from analysis.select.searches import only_search
from analysis.select.trials import Search, find_search
from analysis.sheets.words import count, short, spread

_CONTEXT = tuple(column for column in DEFAULT_BY if not column.startswith("lambda_"))


@dataclass(frozen=True)
class Point:
    """A pair of lambdas that was tried: the mean of the metric over its `n` runs."""

    lambda_intra: float
    lambda_inter: float
    value: float
    n: int
    name: str
    trials: tuple[int, ...] = ()

    @property
    def lambdas(self) -> tuple[float, float]:
        """Both."""
        return self.lambda_intra, self.lambda_inter

    @property
    def acts(self) -> bool:
        """Whether neither is 0."""
        return min(self.lambdas) > 0


@dataclass(frozen=True)
class Landscape:
    """The objective over both lambdas.

    Attributes:
        metric: The objective.
        points: What was tried to the end, in the order of first appearance.
        best: Index of the point of the search's best trial, None if that one has no place here or there is none yet;
            without a search the best point among those with the most runs.
        best_value: Of that trial or point; NaN if there is none yet.
        pruned: lambda_intra and lambda_inter of what was given up early; it has no value of the last epoch.
        published: Name, lambda_intra and lambda_inter of the published pairs, if these have the same meaning here.
        surface: The metric on a grid, linear between neighbouring points of log10(lambda), NaN outside their hull,
            which pairs with a 0 have no part in; None where the others lie on one line.
        notes: What the picture shows.
    """

    metric: Metric
    points: tuple[Point, ...]
    best: int | None
    best_value: float
    pruned: tuple[tuple[float, float], ...]
    published: tuple[tuple[str, float, float], ...]
    surface: Surface | None
    notes: tuple[str, ...]

    def chart(self) -> Chart:
        """The surface, every trial on it in its own colour, the best one and the published pairs."""
        return _chart(self)


def landscape_info(gathered: Gathered, metric: str | None = None) -> Landscape:
    """Collect the complete runs by their lambdas, those of a search if there is one; the best is a trial that counts.

    They are those of the kd_mode in which both terms act; where one of them has a weight of 0, it lies beyond a gap.

    Raises:
        ValueError: If there are several searches, if fewer than 3 pairs of lambdas above 0 are complete, or if the runs
            with such a pair differ in model, data set, protocol, number of epochs or kd_mode.
    """
    complete = complete_runs(gathered)
    search = find_search(gathered, metric) if only_search(complete_runs(gathered.whole())) else None
    chosen = search.metric if search else choose_metric(gathered, complete, metric)
    runs = [run for trial in search.trials for run in trial.runs] if search else complete
    runs = [run for run in runs if run.status == "complete" and is_measured(run[chosen.name])]
    acting = [run for run in runs if _has_both(run)]
    check_same(acting, _CONTEXT, "a landscape compares lambdas alone")
    placed = [run for run in runs if not _elsewhere(run, acting)]
    points = _points(placed, chosen)
    if (pairs := sum(point.acts for point in points)) < 3:
        raise ValueError(
            f"a landscape needs at least 3 pairs of lambdas above 0; {count(pairs, 'complete pair')} so far"
        )
    pruned = [run for run in gathered.whole().flat if run.status == "pruned"]
    pruned = [run for run in pruned if not _elsewhere(run, acting)]
    best, best_value = _best(points, search, chosen)
    inside = [point for point in points if point.acts]
    surface = surface_of([point.lambdas for point in inside], [point.value for point in inside])
    overrides = [as_pairs(read_overrides(run.path)) for run in placed]
    published = published_pairs(placed, overrides)
    notes = (
        *_notes(chosen, points, placed, surface, published),
        *_left_out(search, complete, placed, pruned, acting),
        *_varied(overrides),
    )
    crosses = dict.fromkeys(map(_lambdas, pruned))
    return Landscape(chosen, points, best, best_value, tuple(crosses), published, surface, notes)


def _lambdas(run: Run) -> tuple[float, float]:
    return run.lambda_intra or 0.0, run.lambda_inter or 0.0


def _has_both(run: Run) -> bool:
    return min(_lambdas(run)) > 0


def _elsewhere(run: Run, acting: Sequence[Run]) -> str:
    """Why a run has no place among those in which both terms act, as in "with kd_mode intra"; "" if it has one."""
    for column in _CONTEXT if acting else ():
        if run[column] != acting[0][column]:
            return f"with {column} {short(run[column])}"
    missing = [name for name in ("lambda_intra", "lambda_inter") if run[name] is None]
    return f"without {' and '.join(missing)}" if missing else ""


def _best(points: Sequence[Point], search: Search | None, metric: Metric) -> tuple[int | None, float]:
    if search:
        if not (competing := search.ranked()):
            return None, math.nan
        winner = competing[0]
        lambdas = (winner.runs[0].lambda_intra, winner.runs[0].lambda_inter)
        named = (i for i, point in enumerate(points) if winner.number in point.trials and point.lambdas == lambdas)
        return next(named, None), winner.means[metric.name]
    most = max(point.n for point in points)
    sign = 1 if metric.smaller_is_better else -1
    best = min(range(len(points)), key=lambda i: (points[i].n < most, sign * points[i].value))
    return best, points[best].value


def _left_out(
    search: Search | None, complete: Sequence[Run], placed: Sequence[Run], pruned: Sequence[Run], acting: Sequence[Run]
) -> Iterator[str]:
    if search:
        there = {run.path for run in (*placed, *pruned)}
        shown = [trial for trial in search.trials if there.intersection(run.path for run in trial.runs)]
        drawn = {run.path for run in placed}
        partial = [t for t in shown if not counts(t, search.metrics) and drawn & {run.path for run in t.runs}]
        if partial:
            yield f"{count(len(partial), 'trial')} drawn without all seeds or objectives, which cannot be the best"
        yield from left_out_note(search.trials, shown, search.metrics, lambda trial: _elsewhere(trial.runs[0], acting))
        yield from [best_note(competing, search.metric, shown)] if (competing := search.ranked()) else []
    elif len(placed) < len(complete):
        there = {run.path for run in placed}
        why: dict[str, int] = {}
        for run in complete:
            if run.path not in there:
                reason = _elsewhere(run, acting) or "without a value"
                why[reason] = why.get(reason, 0) + 1
        parts = ", ".join(f"{number} {reason}" for reason, number in why.items())
        yield f"{count(sum(why.values()), 'complete run')} left out: {parts}"


def _points(runs: Sequence[Run], metric: Metric) -> tuple[Point, ...]:
    by_lambdas: dict[tuple[float, float], list[Run]] = {}
    for run in runs:
        by_lambdas.setdefault(_lambdas(run), []).append(run)
    points = []
    for (intra, inter), own in by_lambdas.items():
        trials = sorted({run.trial for run in own if run.trial is not None})
        name = "trial " + ", ".join(map(str, trials)) if trials else "run"
        mean = fmean(run[metric.name] for run in own)
        points.append(Point(intra, inter, mean, len(own), name, tuple(trials)))
    return tuple(points)


def _notes(
    metric: Metric,
    points: Sequence[Point],
    runs: Sequence[Run],
    surface: Surface | None,
    published: Sequence[object],
) -> tuple[str, ...]:
    numbers = [point.n for point in points]
    averaged = f"means of {spread(numbers)} runs" if max(numbers) > 1 else "single runs, whose noise is part of it"
    notes = [metric.label, short_conditions(runs), f"{count(len(points), 'pair')} of lambdas, {averaged}"]
    if surface:
        notes.append("Between trials: linear in log(lambda), none outside their hull")
    else:
        notes.append("All on one line: nothing is drawn between them")
    if not all(point.acts for point in points):
        notes.append("A lambda of 0 lies beyond a gap of its axis")
    if published:
        notes.append("Published pairs: ResNet-20 on CIFAR")
    else:
        notes.append("Published pairs are left out: they are for terms with reduction=mean")
    return tuple(notes)


def _varied(overrides: Sequence[dict[str, str]]) -> Iterator[str]:
    keys = dict.fromkeys(key for of_run in overrides for key in of_run if "." in key and not key.startswith("sweep."))
    if varied := [key for key in keys if len({of_run.get(key) for of_run in overrides}) > 1]:
        yield f"Varies as well: {', '.join(varied)}"


def _chart(info: Landscape) -> Chart:
    values = [point.value for point in info.points]
    scale = ColourScale(info.metric.label, min(values), max(values), info.metric.smaller_is_better)
    every = [*(point.lambdas for point in info.points), *info.pruned, *((a, b) for _, a, b in info.published)]
    across, upwards = log_axis([intra for intra, _ in every]), log_axis([inter for _, inter in every])
    hover = tuple(
        f"{point.name}: {info.metric.name} {short(point.value)}; lambda_intra {short(point.lambda_intra)}, "
        f"lambda_inter {short(point.lambda_inter)}, n={point.n}"
        for point in info.points
    )
    x = tuple(across.drawn(point.lambda_intra) for point in info.points)
    y = tuple(upwards.drawn(point.lambda_inter) for point in info.points)
    trials = Points(x, y, BLACK, "trial", size=5, values=tuple(values), hover=hover)
    winner = []
    if info.best is not None:
        place, ring, name = ((x[info.best],), (y[info.best],)), Style("#D55E00"), f"best: {short(info.best_value)}"
        winner = [Points(*place, ring, name, 11, filled=False, hover=(hover[info.best],))]
    markers = ("diamond", "square")  # open, so that a trial of just this pair shows inside
    published = [
        Points((a,), (b,), Style(BLACK.colour, marker), f"{name} ({short(a)}, {short(b)})", 9, filled=False)
        for marker, (name, a, b) in zip(markers, info.published, strict=False)
    ]
    crosses = []
    if info.pruned:
        intras, inters = tuple(across.drawn(a) for a, _ in info.pruned), tuple(upwards.drawn(b) for _, b in info.pruned)
        crosses = [Points(intras, inters, Style(GREY.colour, "x"), "pruned early, no value", 4)]
    surface = (info.surface,) if info.surface else ()
    marks = (*surface, *crosses, trials, *published, *winner)
    panel = Panel(across.axis("lambda_intra"), upwards.axis("lambda_inter"), marks)
    return Chart(f"{info.metric.name} over both lambdas", info.notes, (panel,), scale, height=3.0)
