"""Draws a chart with matplotlib, for print."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import style as mpl_style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from analysis.figures.chart import Axis, Chart, ColourScale, Line, Panel, Points, Rule
from analysis.figures.mpl_marks import add_mark, colours_of, escape, norm_of
from analysis.sheets.words import tick

COLUMN, PAGE = 3.5, 7.0  # inches: a column of a paper, and the width of its text
_ACROSS = 3  # panels in a row
_LONGEST = 40  # letters of a name in a line
_NOTE, _TITLE = 6.5, 9.0  # points
_LINE = 1.35 / 72  # inches a point of text
_RC = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # TrueType: journals refuse the bitmap-like type 3
    "savefig.dpi": 300,
}


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's own defaults and ours on top, whatever a user's matplotlibrc says; also needed to save."""
    with mpl_style.context(["default", _RC]):
        yield


def draw_chart(chart: Chart) -> Figure:
    """Draw a chart on a figure of its own, outside of pyplot."""
    with settings():
        across = min(len(chart.panels), _ACROSS)
        down = -(-len(chart.panels) // across)
        width = PAGE if across > 1 or chart.wide else COLUMN
        title = _wrap(chart.title, width, _TITLE)
        notes = "\n".join(_wrap(note, width, _NOTE) for note in chart.notes)
        head = _LINE * (_TITLE * (title.count("\n") + 1) + _NOTE * (notes.count("\n") + 1)) + 0.08
        body = down * chart.height
        foot = 0.17 * _legend_rows(chart, width)
        figure = Figure(figsize=(width, head + body + foot))
        rect = (0, 0, 1, 1 - head / (head + body + foot))
        figure.set_layout_engine("constrained", rect=rect, w_pad=0.08)
        grid = figure.subplots(down, across, squeeze=False)
        axes = list(grid.flat)
        for panel, one in zip(chart.panels, axes, strict=False):
            _draw_panel(panel, one, chart.scale)
        for one in axes[len(chart.panels) :]:
            one.remove()
        _head(figure, title, notes)
        _legend(figure, axes[: len(chart.panels)], width)
        if chart.scale:
            _colour_bar(figure, chart.scale, axes)
    return figure


def _draw_panel(panel: Panel, axes: Axes, scale: ColourScale | None) -> None:
    for layer, mark in enumerate(panel.marks, start=2):
        add_mark(mark, axes, scale, layer)
    axes.set_title(escape(panel.title))
    axes.grid(True, color="#E6E6E6", linewidth=0.5)
    axes.set_axisbelow(True)
    _set_axis(axes, "x", panel.x)
    _set_axis(axes, "y", panel.y)


def _set_axis(axes: Axes, name: str, axis: Axis) -> None:
    own = axes.xaxis if name == "x" else axes.yaxis
    own.set_label_text(escape(axis.label))
    if axis.log:
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        own.set_major_locator(LogLocator(numticks=8))
        own.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        own.set_minor_formatter(NullFormatter())
    elif axis.whole:
        own.set_major_locator(MaxNLocator("auto", integer=True))
    if axis.ticks is not None:
        own.set_ticks([at for at, _ in axis.ticks], labels=[escape(_short_lines(text)) for _, text in axis.ticks])
    if axis.ticks is not None and axis.log:
        own.set_minor_locator(NullLocator())  # between 0 and the gap there is nothing to count
    elif axis.ticks is not None:  # names
        own.set_tick_params(length=0)
        own.grid(False)
        axes.spines["bottom" if name == "x" else "left"].set_visible(False)
    if axis.span:
        (axes.set_xlim if name == "x" else axes.set_ylim)(*axis.span)


def _head(figure: Figure, title: str, notes: str) -> None:
    top = 1 - 0.05 / figure.get_figheight()
    figure.text(0.02, top, escape(title), fontsize=_TITLE, fontweight="bold", va="top")
    below = top - _LINE * _TITLE * (title.count("\n") + 1) / figure.get_figheight()
    figure.text(0.02, below, escape(notes), fontsize=_NOTE, color="#404040", va="top", linespacing=1.25)


def _legend(figure: Figure, axes: list[Axes], width: float) -> None:
    handles: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        columns = _legend_columns(list(handles), width)
        figure.legend(
            handles.values(),
            [_short_lines(label) for label in handles],
            loc="outside lower center",
            ncols=columns,
            handlelength=2.6,
            columnspacing=1.2,
            handletextpad=0.5,
            labelspacing=0.5,
            markerscale=0.8,
        )


def _legend_columns(labels: list[str], width: float) -> int:
    longest = max(map(len, labels)) * 0.055 + 0.55  # inches at 7 points, with the handle
    return max(1, min(len(labels), int((width - 0.2) / longest)))


def _legend_rows(chart: Chart, width: float) -> int:
    marks = [mark for panel in chart.panels for mark in panel.marks]
    names = {mark.name: None for mark in marks if isinstance(mark, Line | Points | Rule) and mark.name}
    return -(-len(names) // _legend_columns(list(names), width)) if names else 0


def _colour_bar(figure: Figure, scale: ColourScale, axes: list[Axes]) -> None:
    mappable = ScalarMappable(norm_of(scale), colours_of(scale))
    bar = figure.colorbar(mappable, ax=axes, label=escape(scale.label), fraction=0.06, pad=0.03, aspect=30)
    bar.outline.set_visible(False)


def _short_lines(text: str) -> str:
    """A name that leaves room for the picture."""
    return "\n".join(textwrap.wrap(text, _LONGEST))


def _wrap(text: str, width: float, points: float) -> str:
    """Break a text into lines that fit a figure's width; a letter is about half as wide as it is high."""
    return textwrap.fill(" ".join(text.split()), int((width - 0.1) * 72 / (0.53 * points)))
