"""Pictures for the page: plotly's figures as plain data, small enough for hundreds of runs."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from types import NoneType
from typing import Any

import numpy as np

from analysis.figures.chart import Bars, Chart, Info, Line, Panel, Points
from analysis.figures.parallel import Parallel
from analysis.figures.web_marks import escape
from analysis.report.lines import draw_with_lines
from analysis.sheets.words import short

_LINE = 36  # letters of a name
_DIGITS = 6  # significant ones; more than a screen can show
_MARGIN = {"t": 30, "l": 60, "r": 20, "b": 50}
_BELOW = 120  # pixels for the title of an axis and the legend
_IN_WORDS = 100  # points of a panel
_SHORT = {str, int, bool, NoneType}  # types of what is as short as it can be
_POWERS = np.array([float(f"1e{power}") for power in range(23)])  # of ten, those that are exact

Figure = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        kind: Its name.
        title: Its heading.
        notes: What it shows.
        panels: How many it has, side by side where there is room.
        figure: `data` and `layout` as plotly's script takes them.
        words: What can be pointed at, for those who do not see it.
    """

    kind: str
    title: str
    notes: tuple[str, ...]
    panels: int
    wide: bool
    figure: Figure
    words: tuple[str, ...]


def make_pictures(infos: Mapping[str, Info]) -> tuple[Picture, ...]:
    """Draw infos by kind; their titles and notes are left to the page, which can break their lines."""
    with _no_template():
        return tuple(make_picture(kind, info) for kind, info in infos.items())


def make_picture(kind: str, info: Info) -> Picture:
    """Draw one."""
    chart = info.chart()
    figure = _bare(draw_with_lines(chart))
    wide = len(chart.panels) > 1 or isinstance(info, Parallel)
    return Picture(kind, chart.title, chart.notes, len(chart.panels), wide, figure, tuple(_words(chart)))


@contextmanager
def _no_template() -> Iterator[None]:
    """Keep plotly from copying its template, which the page replaces, into every figure."""
    import plotly.io

    default = plotly.io.templates.default
    plotly.io.templates.default = None
    try:
        yield
    finally:
        plotly.io.templates.default = default


def _bare(figure: Figure) -> Figure:
    """Without title and colours of its own, and with short numbers."""
    layout = {key: value for key, value in figure["layout"].items() if key not in ("title", "template")}
    height = layout["height"]
    layout["margin"] = _MARGIN
    layout["height"] = height + _MARGIN["t"] + _BELOW
    layout["legend"] = {"orientation": "h", "yanchor": "top", "y": -70 / height}
    layout |= {"font": {"size": 13}, "hovermode": "closest"}
    axes = {key: _with_short_ticks(axis) for key, axis in layout.items() if "axis" in key and "ticktext" in axis}
    data = [{**trace, "name": _lines(trace["name"])} if trace.get("name") else trace for trace in figure["data"]]
    bare: Figure = _compact({"data": data, "layout": layout | axes})
    return bare


def _with_short_ticks(axis: Mapping[str, Any]) -> dict[str, Any]:
    return {**axis, "ticktext": [_lines(text) for text in axis["ticktext"]]}


def _lines(name: str) -> str:
    """A name, which plotly sets in one line, broken where it would leave the picture."""
    return "<br>".join(escape(line) for line in textwrap.wrap(unescape(name), _LINE)) if len(name) > _LINE else name


def _compact(value: Any) -> Any:
    """Plain data with short numbers; what is not finite is null."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        kinds = set(map(type, value))
        if kinds <= _SHORT:
            return list(value)
        return _compact_numbers(value) if kinds <= {float, NoneType} else list(map(_compact, value))
    if isinstance(value, dict):
        return {key: _compact(inner) for key, inner in value.items()}
    return value


def _compact_numbers(values: Sequence[float | None]) -> list[float | None]:
    """The same for many numbers at once; what no power of ten makes six digits of exactly is left to `_compact`."""
    numbers = np.array(values, dtype=float)  # None is NaN
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = _DIGITS - 1 - np.floor(np.log10(np.abs(numbers)))
    plain = (exponents >= 0) & (exponents < len(_POWERS))
    powers = _POWERS[np.where(plain, exponents, 0).astype(int)]
    short: list[float | None] = (np.round(numbers * powers) / powers).tolist()
    for place in np.flatnonzero(~plain):
        short[place] = _compact(numbers[place].item())
    return short


def _words(chart: Chart) -> Iterator[str]:
    """What the marks say when they are pointed at, and where lines end."""
    for panel in chart.panels:
        found = list(dict.fromkeys(_of_marks(panel)))
        lead = f"{panel.title or panel.y.label}: " if len(chart.panels) > 1 else ""
        yield from (lead + text for text in found[:_IN_WORDS])
        if len(found) > _IN_WORDS:
            yield f"{lead}and {len(found) - _IN_WORDS} more; the table of runs has them"


def _of_marks(panel: Panel) -> Iterator[str]:
    for mark in panel.marks:
        if isinstance(mark, Points | Bars):
            yield from mark.hover
        elif isinstance(mark, Line) and mark.hover and mark.value is not None:
            yield mark.hover
        elif isinstance(mark, Line) and mark.hover:
            ends = zip(reversed(mark.x), reversed(mark.y), strict=True)
            if end := next(((x, y) for x, y in ends if math.isfinite(y)), None):
                yield f"{mark.hover}: {short(end[1])} at {panel.x.label} {short(end[0])}"
