"""The objective over lambda_intra x lambda_inter."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from analysis.figures.chart import Axis, Chart, ColourScale, Numbers, Panel, Points, Surface
from analysis.figures.series import check_same
from analysis.figures.style import BLACK, GREY, Style
from analysis.gather import Gathered
from analysis.groups import DEFAULT_BY, Run, plain_runs
from analysis.inventory import complete_runs
from analysis.metrics import Metric, choose_metric
from analysis.overrides import as_pairs, read_overrides
from analysis.results import is_measured
from analysis.searches import only_search
from analysis.words import conditions, count, short, spread

# lambda_intra, lambda_inter: the command in the README, and the defaults of train_kd.py (Tf-FD at 3427f98).
PUBLISHED = (("published: README", 8e-4, 5e-4), ("published: script", 4e-4, 5e-3))
_CONTEXT = tuple(column for column in DEFAULT_BY if not column.startswith("lambda_"))
_STEPS = 121  # of the surface, along each axis


@dataclass(frozen=True)
class Point:
    """A pair of lambdas that was tried: the mean of the metric over its `n` runs."""

    lambda_intra: float
    lambda_inter: float
    value: float
    n: int
    name: str


@dataclass(frozen=True)
class Landscape:
    """The objective over both lambdas.

    Attributes:
        metric: The objective.
        points: What was tried to the end, in the order of first appearance.
        best: Index of the best point among those with the most runs.
        pruned: lambda_intra and lambda_inter of what was given up early; it has no value of the last epoch.
        published: Name, lambda_intra and lambda_inter of the published pairs, if these have the same meaning here.
        surface: The metric on a grid, linear between neighbouring points of log10(lambda), NaN outside their hull;
            None where the points lie on one line.
        notes: What the picture shows.
    """

    metric: Metric
    points: tuple[Point, ...]
    best: int
    pruned: tuple[tuple[float, float], ...]
    published: tuple[tuple[str, float, float], ...]
    surface: Surface | None
    notes: tuple[str, ...]

    def chart(self) -> Chart:
        """The surface, every trial on it in its own colour, the best one and the published pairs."""
        return _chart(self)


def landscape_info(gathered: Gathered, metric: str | None = None) -> Landscape:
    """Collect the complete runs in which both terms act, by their lambdas; those of a search if there is one.

    Raises:
        ValueError: If there are several searches, if fewer than 3 pairs of lambdas are complete, or if the runs differ
            in model, data set, protocol, number of epochs or kd_mode.
    """
    complete = complete_runs(gathered)
    chosen = choose_metric(gathered, complete, metric)
    search = only_search(complete_runs(gathered.whole()))
    runs = [run for run in (search[1] if search else complete) if _has_both(run) and is_measured(run[chosen.name])]
    check_same(runs, _CONTEXT, "a landscape compares lambdas alone")
    points = _points(runs, chosen)
    if len(points) < 3:
        raise ValueError(
            f"a landscape needs at least 3 pairs of lambdas above 0; {count(len(points), 'complete pair')} so far"
        )
    most = max(point.n for point in points)
    sign = 1 if chosen.smaller_is_better else -1
    best = min(range(len(points)), key=lambda i: (points[i].n < most, sign * points[i].value))
    pruned = [run for run in plain_runs(gathered.whole().runs) if run["status"] == "pruned" and _has_both(run)]
    crosses = dict.fromkeys((run["lambda_intra"], run["lambda_inter"]) for run in pruned)
    surface = _surface(points)
    overrides = [as_pairs(read_overrides(run["path"])) for run in runs]
    # Published values are of the mean over stages; a sum over three of them asks for a third of the lambdas.
    same = all(of_run.get("kd_mode.reduction", "mean") == "mean" for of_run in overrides)
    published = PUBLISHED if same else ()
    notes = _notes(chosen, points, runs, surface, published, overrides)
    return Landscape(chosen, points, best, tuple(crosses), published, surface, notes)


def _has_both(run: Run) -> bool:
    return (run["lambda_intra"] or 0) > 0 and (run["lambda_inter"] or 0) > 0


def _points(runs: Sequence[Run], metric: Metric) -> tuple[Point, ...]:
    by_lambdas: dict[tuple[float, float], list[Run]] = {}
    for run in runs:
        by_lambdas.setdefault((run["lambda_intra"], run["lambda_inter"]), []).append(run)
    points = []
    for (intra, inter), own in by_lambdas.items():
        trials = sorted({run["trial"] for run in own if run["trial"] is not None})
        name = "trial " + ", ".join(map(str, trials)) if trials else "run"
        points.append(Point(intra, inter, fmean(run[metric.name] for run in own), len(own), name))
    return tuple(points)


def _surface(points: Sequence[Point]) -> Surface | None:
    from scipy.spatial import ConvexHull, Delaunay, QhullError

    places = np.log10([[point.lambda_intra, point.lambda_inter] for point in points])
    try:
        triangles = Delaunay(places)
        corners = ConvexHull(places).vertices.tolist()
    except QhullError:
        return None  # all on one line
    x, y = (np.linspace(column.min(), column.max(), _STEPS) for column in places.T)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    found = triangles.find_simplex(grid)
    # As scipy.interpolate would: barycentric coordinates in the triangle that holds the place, NaN outside of all.
    transform = triangles.transform[found]
    first = np.einsum("...ij,...j->...i", transform[..., :2, :], grid - transform[..., 2, :])
    weights = np.concatenate([first, 1 - first.sum(axis=-1, keepdims=True)], axis=-1)
    values = np.array([point.value for point in points])[triangles.simplices[found]]
    z = np.where(found >= 0, (weights * values).sum(axis=-1), np.nan)
    hull = tuple((points[i].lambda_intra, points[i].lambda_inter) for i in corners)
    return Surface(_powers(x), _powers(y), tuple(tuple(row) for row in z.tolist()), hull)


def _powers(exponents: np.ndarray) -> Numbers:
    return tuple((10.0**exponents).tolist())


def _notes(
    metric: Metric,
    points: Sequence[Point],
    runs: Sequence[Run],
    surface: Surface | None,
    published: Sequence[object],
    overrides: Sequence[dict[str, str]],
) -> tuple[str, ...]:
    numbers = [point.n for point in points]
    averaged = f"means of {spread(numbers)} runs" if max(numbers) > 1 else "single runs, whose noise is part of it"
    notes = [metric.label, conditions(runs), f"{count(len(points), 'pair')} of lambdas, {averaged}"]
    if surface:
        notes.append("Between trials: linear in log(lambda), none outside their hull")
    else:
        notes.append("All on one line: nothing is drawn between them")
    if published:
        notes.append("Published pairs: ResNet-20 on CIFAR")
    else:
        notes.append("Published pairs are left out: they are for kd_mode.reduction=mean")
    if varied := _also_varied(overrides):
        notes.append(f"Varies as well: {', '.join(varied)}")
    return tuple(notes)


def _also_varied(overrides: Sequence[dict[str, str]]) -> list[str]:
    keys = dict.fromkeys(key for of_run in overrides for key in of_run if "." in key)
    return [key for key in keys if len({of_run.get(key) for of_run in overrides}) > 1 and not key.startswith("sweep.")]


def _chart(info: Landscape) -> Chart:
    values = [point.value for point in info.points]
    scale = ColourScale(info.metric.label, min(values), max(values), info.metric.smaller_is_better)
    best = info.points[info.best]
    hover = tuple(
        f"{point.name}: {info.metric.name} {short(point.value)}; lambda_intra {short(point.lambda_intra)}, "
        f"lambda_inter {short(point.lambda_inter)}, n={point.n}"
        for point in info.points
    )
    x, y = tuple(p.lambda_intra for p in info.points), tuple(p.lambda_inter for p in info.points)
    trials = Points(x, y, BLACK, "trial", size=5, values=tuple(values), hover=hover)
    ring = Style("#D55E00")
    winner = Points(
        (best.lambda_intra,),
        (best.lambda_inter,),
        ring,
        f"best: {short(best.value)}",
        11,
        filled=False,
        hover=(hover[info.best],),
    )
    markers = ("diamond", "square")  # open, so that a trial of just this pair shows inside
    published = [
        Points((a,), (b,), Style(BLACK.colour, marker), f"{name} ({short(a)}, {short(b)})", 9, filled=False)
        for marker, (name, a, b) in zip(markers, info.published, strict=False)
    ]
    crosses = []
    if info.pruned:
        intras, inters = zip(*info.pruned, strict=True)
        crosses = [Points(intras, inters, Style(GREY.colour, "x"), "pruned early, no value", 4)]
    surface = (info.surface,) if info.surface else ()
    marks = (*surface, *crosses, trials, *published, winner)
    others = [*info.pruned, *((intra, inter) for _, intra, inter in info.published)]
    x_axis = Axis("lambda_intra", log=True, span=_around([*x, *(intra for intra, _ in others)]))
    y_axis = Axis("lambda_inter", log=True, span=_around([*y, *(inter for _, inter in others)]))
    panel = Panel(x_axis, y_axis, marks)
    return Chart(f"{info.metric.name} over both lambdas", info.notes, (panel,), scale, height=3.0)


def _around(values: Sequence[float]) -> tuple[float, float]:
    """The range of values on a log axis, and some room for the markers at its ends."""
    room = (max(values) / min(values)) ** 0.06
    return min(values) / room, max(values) * room
