"""Draws each mark of a chart with matplotlib, and the colours of its scale."""

from functools import singledispatch
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke

from analysis.figures.chart import Band, Bars, ColourScale, Label, Line, Points, Rule, Surface
from analysis.figures.style import COLOURS
from analysis.sheets.sheet import spelt_lines

_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "P", "star": "*", "x": "x"}
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": (0, (6, 2, 1, 2)),
    "longdash": (0, (9, 2)),
}
_SIDES = {"right": (4, 0), "left": (-4, 0), "above": (0, 7), "below": (0, -7)}  # points
_LEVELS = 13  # of a surface


def escape(text: str) -> str:
    """Show a text as it is: between two dollar signs matplotlib would read mathematics."""
    return spelt_lines(text).replace("$", r"\$")


def norm_of(scale: ColourScale) -> Normalize:
    """Where a value lies on a scale, from 0 to 1."""
    return Normalize(scale.low, scale.high if scale.high > scale.low else scale.low + 1)


def colours_of(scale: ColourScale) -> Any:
    """The colour map of a scale, its bright end at the best."""
    return LinearSegmentedColormap.from_list("scale", COLOURS[::-1] if scale.smaller_is_better else COLOURS)


@singledispatch
def add_mark(mark: Any, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    """Draw a mark; `layer` orders the marks of a panel from back to front."""
    raise TypeError(f"matplotlib draws no {type(mark).__name__}")


@add_mark.register
def _(mark: Line, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    colour = mark.style.colour if mark.value is None or not scale else _colour_of(mark.value, scale)
    axes.plot(
        mark.x,
        mark.y,
        color=colour,
        linestyle=_DASHES[mark.style.dash],
        linewidth=mark.width,
        label=_legend_name(mark.name),
        drawstyle="steps-post" if mark.steps else "default",
        zorder=layer,
    )


@add_mark.register
def _(mark: Band, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    axes.fill_between(mark.x, mark.low, mark.high, color=mark.style.colour, alpha=0.18, linewidth=0, zorder=layer)


@add_mark.register
def _(mark: Points, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    if mark.low is not None and mark.high is not None:
        centre = mark.y if mark.upright else mark.x
        error = np.abs(np.array([mark.low, mark.high]) - centre)
        x_error, y_error = (None, error) if mark.upright else (error, None)
        axes.errorbar(
            mark.x, mark.y, y_error, x_error, "none", ecolor=mark.style.colour, elinewidth=1, capsize=2, zorder=layer
        )
    colours: Any = mark.style.colour
    if mark.values is not None and scale:
        colours = [_colour_of(value, scale) for value in mark.values]
    thin = mark.style.marker == "x"  # is all edge
    axes.scatter(
        mark.x,
        mark.y,
        s=mark.size**2,
        marker=_MARKERS[mark.style.marker],
        facecolors=colours if mark.filled else "none",
        edgecolors=None if thin else "white" if mark.filled else mark.style.colour,
        linewidths=1.0 if thin else 0.5 if mark.filled else 1.2,
        label=_legend_name(mark.name),
        path_effects=None if mark.filled else [withStroke(linewidth=2.4, foreground="white")],
        zorder=layer,
    )


@add_mark.register
def _(mark: Bars, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    lengths = [end - start for start, end in zip(mark.start, mark.end, strict=True)]
    colours = [style.colour for style in mark.styles]
    axes.barh(mark.y, lengths, left=mark.start, height=0.55, color=colours, alpha=0.75, zorder=layer)


@add_mark.register
def _(mark: Surface, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    if not scale:
        return
    from scipy.ndimage import distance_transform_edt

    # Outside the hull the nearest value, so that contours reach its edge, where they are cut off.
    z = np.array(mark.z)
    nearest = distance_transform_edt(np.isnan(z), return_distances=False, return_indices=True)
    norm = norm_of(scale)
    levels = norm.inverse(np.linspace(0, 1, _LEVELS))
    filled = z[tuple(nearest)]
    areas = axes.contourf(
        mark.x, mark.y, filled, levels=levels, cmap=colours_of(scale), norm=norm, extend="both", zorder=layer
    )
    areas.set_clip_path(Polygon(mark.hull).get_path(), axes.transData)


@add_mark.register
def _(mark: Rule, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    line = axes.axvline if mark.axis == "x" else axes.axhline
    line(
        mark.at,
        color=mark.style.colour,
        linestyle=_DASHES[mark.style.dash],
        linewidth=1,
        label=_legend_name(mark.name),
        zorder=layer,
    )


@add_mark.register
def _(mark: Label, axes: Axes, scale: ColourScale | None, layer: int) -> None:
    dx, dy = _SIDES.get(mark.side, (0, 0))
    axes.annotate(
        escape(mark.text),
        (mark.x, mark.y),
        xytext=(dx, dy),
        textcoords="offset points",
        fontsize=6.5,
        ha={4: "left", -4: "right"}.get(dx, "center"),
        va={7: "bottom", -7: "top"}.get(dy, "center"),
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        zorder=layer,
    )


def _colour_of(value: float, scale: ColourScale) -> Any:
    return colours_of(scale)(norm_of(scale)(value))


def _legend_name(name: str) -> str:
    """Matplotlib leaves names that begin with an underscore out of a legend."""
    return escape(f" {name}" if name.startswith("_") else name)
