"""Curves with bands over runs, in panels: what learning curves and saliency by rank have in common."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.figures.chart import Axis, Band, Chart, Line, Mark, Numbers, Panel, Rule, Style
from analysis.figures.series import BANDS, Series, choose_styles, mean_and_band
from analysis.figures.style import GREY, PALE
from analysis.select.conditions import short_conditions
from analysis.sheets.words import count, spread


@dataclass(frozen=True)
class Curve:
    """One series in one panel: the mean over its runs by x, and a band around it, NaN where n is below 2.

    Attributes:
        label: The series.
        x: Epoch or rank, from 1.
        mean: Over the runs that measured there.
        low: Lower edge of the band.
        high: Upper edge.
        n: Number of runs with such a curve.
    """

    label: str
    x: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers
    n: int


@dataclass(frozen=True)
class CurvePanel:
    """Curves with common axes; `mark` is an x to point out."""

    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    title: str = ""
    mark: float | None = None
    log: bool = False


@dataclass(frozen=True)
class CurvePicture:
    """Panels of curves.

    Attributes:
        title: What it is.
        panels: From left to right.
        labels: The series of all panels in order, each with whether it is the baseline; the first ones have a
            colour, which is the same in all panels, and the others are grey.
        notes: What the picture shows.
        mark_name: What the mark of a panel is.
    """

    title: str
    panels: tuple[CurvePanel, ...]
    labels: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...]
    mark_name: str = ""

    def chart(self) -> Chart:
        """A line a series with its band, and in grey behind them what cannot be told apart."""
        return _chart(self)


def curve_of(label: str, rows: Sequence[np.ndarray], band: str) -> Curve | None:
    """Average one array a run by position; a shorter one counts as far as it goes. None without a run."""
    if not rows:
        return None
    if len(rows) == 1:  # what most trials of a search have
        (values,) = rows
        nowhere = (math.nan,) * len(values)
        mean = tuple(np.where(np.isfinite(values), values, np.nan).tolist())
        return Curve(label, _counted(len(values)), mean, nowhere, nowhere, 1)
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return Curve(label, _counted(table.shape[1]), *mean_and_band(table, band), len(rows))


def _counted(length: int) -> Numbers:
    return tuple(map(float, range(1, length + 1)))


def assemble(
    title: str,
    panels: Sequence[CurvePanel],
    series: Sequence[Series],
    band: str,
    others: Sequence[str] = (),
    mark_name: str = "",
) -> CurvePicture:
    """Make a picture of panels, at least one, that show some of the series, and say what it shows.

    Args:
        title: Of the picture.
        panels: Of curves.
        series: What could have a curve.
        band: "sd" or "ci".
        others: Notes on what has none.
        mark_name: What the mark of a panel is.
    """
    numbers = _numbers(panels)
    shown = [one for one in series if one.label in numbers]
    labels = tuple((one.label, one.baseline) for one in shown)
    n = list(numbers.values())
    notes = [
        short_conditions([run for one in shown for run in one.runs]),
        f"Mean of {spread(n)} runs; band: {BANDS[band]}" if max(n) > 1 else "Single runs",
    ]
    if without := sum(len(one.runs) - numbers[one.label] for one in shown):
        notes.append(f"{count(without, 'complete run')} left out, without a file that can be read")
    notes += others
    if grey := list(choose_styles(labels).by_label.values()).count(GREY):
        notes.append(f"In colour: {len(labels) - grey} of {len(labels)} settings, of the trials the best")
    return CurvePicture(title, tuple(panels), labels, tuple(notes), mark_name)


def _numbers(panels: Sequence[CurvePanel]) -> dict[str, int]:
    """The number of runs of each series: the largest of all panels."""
    numbers: dict[str, int] = {}
    for panel in panels:
        for curve in panel.curves:
            numbers[curve.label] = max(curve.n, numbers.get(curve.label, 0))
    return numbers


def _chart(info: CurvePicture) -> Chart:
    styles = choose_styles(info.labels)
    numbers = _numbers(info.panels)
    names = {label: label if n == 1 else f"{label} (n={n})" for label, n in numbers.items()}
    names |= {label: "other trials and settings" for label, style in styles.by_label.items() if style is GREY}
    keys = tuple(Line((np.nan,), (np.nan,), style, name) for name, style in styles.keys)
    panels = []
    for panel in info.panels:
        behind, bands, lines = _marks(panel, styles.by_label, {} if keys else names)
        if panel.mark is not None:
            behind.append(Rule("x", panel.mark, Style(GREY.colour, dash="dot"), info.mark_name))
        last = max(curve.x[-1] for curve in panel.curves)
        x = Axis(panel.x_label, whole=True, span=(1 - 0.02 * last, last * 1.02))
        y = Axis(panel.y_label, log=panel.log)
        panels.append(Panel(x, y, (*behind, *bands, *lines, *keys), panel.title))
    return Chart(info.title, info.notes, tuple(panels))


def _marks(
    panel: CurvePanel, styles: Mapping[str, Style], names: Mapping[str, str]
) -> tuple[list[Mark], list[Mark], list[Mark]]:
    """Lines that stay behind, bands and lines in front of them."""
    behind: list[Mark] = []
    bands: list[Mark] = []
    lines: list[Mark] = []
    for curve in panel.curves:
        style, name = styles[curve.label], names.get(curve.label, "")
        if style is GREY:
            behind.append(Line(curve.x, curve.mean, PALE, name, 0.6, hover=curve.label))
            continue
        if curve.n > 1:
            bands.append(Band(curve.x, curve.low, curve.high, style, name))
        lines.append(Line(curve.x, curve.mean, style, name, hover=curve.label))
    return behind, bands, lines


def needs_log(curves: Sequence[Curve]) -> bool:
    """Whether the means span so much that only a logarithmic axis shows all of it, and no band reaches 0."""
    means = [value for curve in curves for value in curve.mean if math.isfinite(value)]
    lows = (value for curve in curves if curve.n > 1 for value in curve.low if math.isfinite(value))
    return bool(means) and min(min(lows, default=math.inf), least := min(means)) > 0 and max(means) > 30 * least
