"""Hundreds of lines in a picture: few traces, few points, and no object for each."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from analysis.figures.chart import Chart, Line, Panel
from analysis.figures.style import BLACK
from analysis.figures.web import draw_panels
from analysis.figures.web_marks import colours_of, escape, places_of

_POINTS = 60  # of a line that lies behind others

# Holds the place of what becomes data: in a panel without a trace plotly would draw no rules.
_NOTHING = Line((math.nan,), (math.nan,), BLACK)

Trace = dict[str, Any]


def draw_with_lines(chart: Chart) -> dict[str, Any]:
    """Draw a chart as plain data.

    What all lines of one name and style say is only where the others lie, so that they become one trace, interrupted
    and thinned out; lines with a value keep a trace each, with its place on the
    scale, as the page has other colours at night.
    """
    panels: list[Panel] = []
    traces: list[Trace] = []
    for number, panel in enumerate(chart.panels):
        behind = _lines_behind(panel)
        valued = [mark for mark in panel.marks if isinstance(mark, Line) and mark.value is not None]
        suffix = str(number + 1) if number else ""
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        if behind:
            first = not any(trace.get("showlegend") for trace in traces)
            traces.append(_together(behind) | axes | {"showlegend": first})
        if chart.scale:
            values = [line.value or 0.0 for line in valued]
            coloured = zip(valued, colours_of(values, chart.scale), places_of(values, chart.scale), strict=True)
            traces += [_alone(line, colour) | axes | {"meta": place} for line, colour, place in coloured]
        gone = {id(line) for line in (*behind, *valued)}
        kept = tuple(mark for mark in panel.marks if id(mark) not in gone)
        panels.append(replace(panel, marks=(*([_NOTHING] if gone else []), *kept)))
    figure: dict[str, Any] = draw_panels(replace(chart, panels=tuple(panels))).to_plotly_json()
    return figure | {"data": [*traces, *figure["data"]]}


def _lines_behind(panel: Panel) -> list[Line]:
    """The lines that share their name and style with most others; [] if none share them."""
    by_style: dict[Any, list[Line]] = {}
    for mark in panel.marks:
        if isinstance(mark, Line) and mark.value is None and mark.name:
            by_style.setdefault((mark.name, mark.style, mark.width), []).append(mark)
    most = max(by_style.values(), key=len, default=[])
    return most if len(most) > 1 else []


def _together(lines: Sequence[Line]) -> Trace:
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for line in lines:
        last = len(line.x) - 1
        places = sorted({*range(0, last, math.ceil((last + 1) / _POINTS)), last})
        x += [*(line.x[place] for place in places), None]
        y += [*(line.y[place] for place in places), None]
        text += [escape(line.hover)] * len(places) + [""]
    one, name = lines[0], escape(lines[0].name)
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": y, "text": text, "name": name, "legendgroup": name,
        "line": {"color": one.style.colour, "width": one.width * 1.4, "dash": one.style.dash},
        "hovertemplate": "%{text}: %{y:.4g} at %{x}<extra></extra>",
    }  # fmt: skip


def _alone(line: Line, colour: str) -> Trace:
    style = {"color": colour, "width": line.width * 1.4}
    return {
        "type": "scatter", "mode": "lines", "x": line.x, "y": line.y, "line": style,
        "hoverinfo": "text", "hovertext": escape(line.hover), "showlegend": False,
    }  # fmt: skip
