"""Turns each mark of a chart into traces of plotly."""

import html
import math
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from analysis.figures.chart import Band, Bars, ColourScale, Label, Line, Points, Rule, Surface
from analysis.figures.style import COLOURS
from analysis.sheets.sheet import spelt_lines
from analysis.sheets.words import short

_MARKERS = {
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "cross": "cross",
    "star": "star",
    "x": "x-thin",
}
# Where a text goes, and what keeps it off its point.
_SIDES = {
    "right": ("middle right", "  {}"),
    "left": ("middle left", "{}  "),
    "above": ("top center", "{}<br> "),
    "below": ("bottom center", " <br>{}"),
}


def escape(text: str) -> str:
    """Show a text as it is: plotly reads some HTML."""
    return html.escape(spelt_lines(text), quote=False)


@singledispatch
def traces_of(mark: Any, scale: ColourScale | None) -> list[Any]:
    """The traces of a mark; the names of those that belong into a legend are not empty."""
    raise TypeError(f"plotly draws no {type(mark).__name__}")


@traces_of.register
def _(mark: Line, scale: ColourScale | None) -> list[Any]:
    colour = mark.style.colour if mark.value is None or not scale else colours_of([mark.value], scale)[0]
    line = {"color": colour, "dash": mark.style.dash, "width": mark.width * 1.4, "shape": "hv" if mark.steps else None}
    lead = f"{mark.hover or mark.name}: "
    return [
        go.Scatter(
            x=mark.x,
            y=mark.y,
            mode="lines",
            name=escape(mark.name),
            legendgroup=escape(mark.name),
            line=line,
            hovertext=[escape(f"{lead}{short(y)} at {short(x)}") for x, y in zip(mark.x, mark.y, strict=True)],
            hoverinfo="text",
        )
    ]


@traces_of.register
def _(mark: Band, scale: ColourScale | None) -> list[Any]:
    inside = [i for i, ends in enumerate(zip(mark.low, mark.high, strict=True)) if all(map(math.isfinite, ends))]
    x = [mark.x[i] for i in inside]
    edge = [mark.high[i] for i in inside] + [mark.low[i] for i in reversed(inside)]
    colour = mark.style.colour
    return [
        go.Scatter(
            x=x + x[::-1], y=edge, fill="toself", mode="lines", line={"width": 0, "color": colour},
            fillcolor=_rgba(colour, 0.18), hoverinfo="skip", name="", legendgroup=escape(mark.name),
        )
    ]  # fmt: skip


@traces_of.register
def _(mark: Points, scale: ColourScale | None) -> list[Any]:
    marker: dict[str, Any] = {
        "symbol": _MARKERS[mark.style.marker] + ("" if mark.filled else "-open"),
        "size": mark.size * 1.7,
        "color": mark.style.colour,
        "line": {"width": 0.7 if mark.filled else 2, "color": "white" if mark.filled else mark.style.colour},
    }
    if mark.style.marker == "x":
        marker["line"] = {"width": 1.5, "color": mark.style.colour}
    if mark.values is not None:
        marker |= {"color": mark.values, "coloraxis": "coloraxis"}
    error = {}
    if mark.low is not None and mark.high is not None:
        centre = mark.y if mark.upright else mark.x
        error["error_y" if mark.upright else "error_x"] = {
            "array": [high - middle for high, middle in zip(mark.high, centre, strict=True)],
            "arrayminus": [middle - low for low, middle in zip(mark.low, centre, strict=True)],
            "thickness": 1.5,
        }
    # A ring may lie on a surface of any colour.
    wide = {
        "symbol": marker["symbol"],
        "size": marker["size"],
        "color": "white",
        "line": {"width": 5, "color": "white"},
    }
    halo = go.Scatter(
        x=mark.x, y=mark.y, mode="markers", marker=wide, name="", legendgroup=escape(mark.name), hoverinfo="skip"
    )
    return [
        *([] if mark.filled or mark.style.marker == "x" else [halo]),
        go.Scatter(
            x=mark.x,
            y=mark.y,
            mode="markers",
            name=escape(mark.name),
            legendgroup=escape(mark.name),
            marker=marker,
            hovertext=[escape(text) for text in mark.hover] or escape(mark.name),
            hoverinfo="text",
            **error,
        ),
    ]


@traces_of.register
def _(mark: Bars, scale: ColourScale | None) -> list[Any]:
    lengths = [end - start for start, end in zip(mark.start, mark.end, strict=True)]
    colours = [style.colour for style in mark.styles]
    return [
        go.Bar(
            x=lengths, y=mark.y, base=mark.start, orientation="h", width=0.55, opacity=0.75,
            marker={"color": colours}, hovertext=[escape(text) for text in mark.hover], hoverinfo="text", name="",
        )
    ]  # fmt: skip


@traces_of.register
def _(mark: Surface, scale: ColourScale | None) -> list[Any]:
    if not scale:
        return []
    rows = [[None if math.isnan(value) else value for value in row] for row in mark.z]
    # Its own copy of the scale: plotly.js 4.1 never ends where contours and points share a colour axis.
    step = (scale.high - scale.low or 1) / 12
    return [
        go.Contour(
            x=mark.x,
            y=mark.y,
            z=rows,
            colorscale=list(COLOURS),
            reversescale=scale.smaller_is_better,
            zmin=scale.low,
            zmax=scale.low + 12 * step,
            contours={"start": scale.low, "end": scale.low + 12 * step, "size": step},
            showscale=False,
            line={"width": 0},
            hoverinfo="skip",
        )
    ]


@traces_of.register
def _(mark: Rule, scale: ColourScale | None) -> list[Any]:
    line = {"color": mark.style.colour, "dash": mark.style.dash, "width": 1.5}
    named = go.Scatter(x=[None], y=[None], mode="lines", line=line, name=escape(mark.name))
    return [named] if mark.name else []  # for the legend; the line itself is a shape


@traces_of.register
def _(mark: Label, scale: ColourScale | None) -> list[Any]:
    place, around = _SIDES.get(mark.side, ("middle center", "{}"))
    font = {"size": 11, "color": "#404040"}
    text = [around.format(escape(mark.text))]
    return [
        go.Scatter(
            x=[mark.x], y=[mark.y], mode="text", text=text, textposition=place, textfont=font, hoverinfo="skip",
            cliponaxis=False,
        )
    ]  # fmt: skip


def colours_of(values: Sequence[float], scale: ColourScale) -> list[str]:
    """The colours of values."""
    colours: list[str] = sample_colorscale(list(COLOURS), places_of(values, scale))
    return colours


def places_of(values: Sequence[float], scale: ColourScale) -> list[float]:
    """Where values lie between the darkest colour of the scale, 0, and the brightest, 1."""
    places = [(value - scale.low) / (scale.high - scale.low or 1) for value in values]
    return [1 - place if scale.smaller_is_better else place for place in places]


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
