"""Draws a chart with plotly, to look at with a mouse."""

import math
import textwrap
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.chart import Axis, Chart, ColourScale, Panel, Rule
from analysis.figures.parallel import Parallel, Scale
from analysis.figures.style import COLOURS
from analysis.figures.web_marks import escape, traces_of
from analysis.sheets.sheet import spelt_lines

_ACROSS = 3
_PIXELS = 140  # for each inch of a printed panel
_ROW_GAP = 110  # pixels
_NOTE_LENGTH = 120


def draw_chart(chart: Chart) -> go.Figure:
    """Draw a chart: the same marks as in print, and what is at a point when the mouse is there."""
    figure = draw_panels(chart)
    return _lay_out(figure, chart.title, chart.notes, figure.layout.height)


def draw_panels(chart: Chart) -> go.Figure:
    """Draw a chart without its title and notes, as high as its panels are."""
    across = min(len(chart.panels), _ACROSS)
    down = -(-len(chart.panels) // across)
    titles = [escape(panel.title) for panel in chart.panels]
    height = int(down * chart.height * _PIXELS)
    gap = min(_ROW_GAP / height, 0.3) if down > 1 else 0
    figure = make_subplots(down, across, subplot_titles=titles if any(titles) else None, vertical_spacing=gap)
    shown: set[str] = set()
    for i, panel in enumerate(chart.panels):
        row, column = i // across + 1, i % across + 1
        for mark in panel.marks:
            for trace in traces_of(mark, chart.scale):
                trace.showlegend = bool(trace.name) and trace.name not in shown
                shown.add(trace.name or "")
                figure.add_trace(trace, row=row, col=column)
            if isinstance(mark, Rule):
                _rule(figure, mark, row, column)
        _set_axes(figure, panel, row, column)
    if chart.scale:
        figure.update_layout(coloraxis=_colour_axis(chart.scale))
    figure.layout.height = height
    return figure


def draw_parallel(info: Parallel) -> go.Figure:
    """Parallel coordinates whose axes can be brushed and moved, which lines in a chart cannot."""
    chart = info.chart()
    line = {"color": list(info.values), "coloraxis": "coloraxis"}
    figure = go.Figure(go.Parcoords(dimensions=[_dimension(scale) for scale in info.scales], line=line))
    if chart.scale:
        figure.update_layout(coloraxis=_colour_axis(chart.scale))
    notes = (*chart.notes, "Drag along an axis to choose trials, drag its name to move it")
    _lay_out(figure, chart.title, notes, 380)
    names = 40  # pixels: the axes' names stand above them
    layout = figure.layout
    return figure.update_layout(margin={"t": layout.margin.t + names, "l": 90}, height=layout.height + names)


def _dimension(scale: Scale) -> dict[str, Any]:
    ends = [(end, "") for end in (0.0, 1.0) if all(at != end for at, _ in scale.ticks)]  # plotly draws tick to tick
    ticks = sorted([*scale.ticks, *ends])
    return {
        "label": escape(scale.name),
        "values": list(scale.positions),
        "range": [0, 1],
        "tickvals": [at for at, _ in ticks],
        "ticktext": [spelt_lines(text) for _, text in ticks],  # the one place where plotly takes a text as it is
    }


def _rule(figure: go.Figure, mark: Rule, row: int, column: int) -> None:
    line = {"color": mark.style.colour, "dash": mark.style.dash, "width": 1.5}
    if mark.axis == "x":
        figure.add_vline(mark.at, line=line, row=row, col=column)
    else:
        figure.add_hline(mark.at, line=line, row=row, col=column)


def _set_axes(figure: go.Figure, panel: Panel, row: int, column: int) -> None:
    figure.update_xaxes(_axis(panel.x), row=row, col=column)
    figure.update_yaxes(_axis(panel.y), row=row, col=column)


def _axis(axis: Axis) -> dict[str, Any]:
    settings: dict[str, Any] = {"title": {"text": escape(axis.label)}, "zeroline": False}
    if axis.log:
        settings |= {"type": "log", "dtick": 1, "exponentformat": "e"}
    if axis.ticks is not None:
        texts = [escape(text) for _, text in axis.ticks]
        settings |= {"tickvals": [at for at, _ in axis.ticks], "ticktext": texts, "showgrid": axis.log}
    if axis.span:
        settings |= {"range": [math.log10(end) if axis.log else end for end in axis.span]}
    return settings


def _lay_out(figure: go.Figure, title: str, notes: tuple[str, ...], height: int) -> go.Figure:
    lines = [escape(line) for note in notes for line in textwrap.wrap(note, _NOTE_LENGTH)]
    top = 60 + 17 * len(lines)
    return figure.update_layout(
        template="plotly_white",
        title={
            "text": f"<b>{escape(title)}</b>", "subtitle": {"text": "<br>".join(lines), "font": {"size": 12}},
            "x": 0.01, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14},
        },
        margin={"t": top, "l": 70, "r": 30, "b": 60},
        height=height + top + 120,
        legend={"orientation": "h", "yanchor": "top", "y": -70 / height},
        font={"size": 13},
        hovermode="closest",
    )  # fmt: skip


def _colour_axis(scale: ColourScale) -> dict[str, Any]:
    bar = {"title": {"text": escape(scale.label), "side": "right"}, "thickness": 14}
    return {
        "colorscale": list(COLOURS), "reversescale": scale.smaller_is_better, "cmin": scale.low,
        "cmax": scale.high if scale.high > scale.low else scale.low + 1, "colorbar": bar,
    }  # fmt: skip
