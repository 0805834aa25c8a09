"""Pictures for the page: plotly's figures as plain data, small enough for hundreds of runs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.figures.chart import Bars, Chart, Info, Line, Panel, Points
from analysis.figures.parallel import Parallel
from analysis.figures.web import draw_parallel
from analysis.figures.words import short
from analysis.report.lines import draw_with_lines

_DIGITS = 6  # significant ones; more than a screen can show
_MARGIN = {"l": 60, "r": 20, "b": 50}
_TOP = 30
_TOP_OF_SCALES = 70  # names of parameters stand above
_IN_WORDS = 100  # points of a panel
_BRUSH = "Drag along an axis to choose trials, drag its name to move it."


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        kind: Its name.
        title: Its heading.
        notes: What it shows.
        panels: How many it has, side by side where there is room.
        figure: `data` and `layout` as plotly's script takes them.
        flat: The same for paper, and for browsers without WebGL; None if `figure` needs none.
        hint: What can be done with `figure`, and not with `flat`.
        words: What can be pointed at, for those who do not see it.
    """

    kind: str
    title: str
    notes: tuple[str, ...]
    panels: int
    figure: Mapping[str, Any]
    flat: Mapping[str, Any] | None
    hint: str
    words: tuple[str, ...]

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of a page."""
        return self.panels > 1 or self.flat is not None


def make_picture(kind: str, info: Info) -> Picture:
    """Draw an info; its title and notes are left to the page, which can break their lines."""
    chart = info.chart()
    drawn, words = _bare(draw_with_lines(chart), _TOP), tuple(_words(chart))
    if not isinstance(info, Parallel):
        return Picture(kind, chart.title, chart.notes, len(chart.panels), drawn, None, "", words)
    brushed = _bare(draw_parallel(info).to_plotly_json(), _TOP_OF_SCALES)
    return Picture(kind, chart.title, chart.notes, 1, brushed, drawn, _BRUSH, words)


def _bare(figure: Mapping[str, Any], top: int) -> dict[str, Any]:
    """Without title and colours of its own, and with short numbers."""
    layout = {key: value for key, value in figure["layout"].items() if key not in ("title", "template")}
    height = layout["height"] - layout["margin"]["t"] + top
    bare: dict[str, Any] = _compact(
        {"data": figure["data"], "layout": {**layout, "height": height, "margin": {**_MARGIN, "t": top}}}
    )
    return bare


def _compact(value: Any) -> Any:
    """Plain data with short numbers; what is not finite is null."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _compact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_compact(inner) for inner in value]
    return value


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
            ends = [(x, y) for x, y in zip(mark.x, mark.y, strict=True) if math.isfinite(y)]
            if ends:
                yield f"{mark.hover}: {short(ends[-1][1])} at {panel.x.label} {short(ends[-1][0])}"
