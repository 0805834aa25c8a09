"""What a picture consists of, whichever library draws it: panels with two axes each, and marks in them.

Texts are plain: whatever the renderers would take for markup, they escape.
"""

from dataclasses import dataclass
from typing import Protocol

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Style:
    """A colour (#rrggbb), and what tells it from others in print: a marker and a dash, by their names in `style`."""

    colour: str
    marker: str = "circle"
    dash: str = "solid"


@dataclass(frozen=True)
class Axis:
    """An axis; `ticks` (position and text) and `span` are found automatically where they are None."""

    label: str = ""
    log: bool = False
    whole: bool = False  # automatic ticks at whole numbers alone
    ticks: tuple[tuple[float, str], ...] | None = None
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A line through points; NaN interrupts it. With a `value` the chart's colour scale gives the colour."""

    x: Numbers
    y: Numbers
    style: Style
    name: str = ""
    width: float = 1.4
    steps: bool = False
    value: float | None = None
    hover: str = ""


@dataclass(frozen=True)
class Band:
    """The area between two lines; `name` is that of the line that it belongs to."""

    x: Numbers
    low: Numbers
    high: Numbers
    style: Style
    name: str = ""


@dataclass(frozen=True)
class Points:
    """Markers, each with its hover text.

    `values` colours them by the chart's scale. `low` and `high` are the ends of intervals in x, or `upright` ones in y;
    NaN for none.
    """

    x: Numbers
    y: Numbers
    style: Style
    name: str = ""
    size: float = 5.0
    filled: bool = True
    values: Numbers | None = None
    low: Numbers | None = None
    high: Numbers | None = None
    upright: bool = False
    hover: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bars:
    """Horizontal bars at heights `y`, from `start` to `end`, each of its own style."""

    y: Numbers
    start: Numbers
    end: Numbers
    styles: tuple[Style, ...]
    hover: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surface:
    """Values `z[row of y][column of x]` by the chart's colour scale, NaN outside of a hull given by its corners."""

    x: Numbers
    y: Numbers
    z: tuple[Numbers, ...]
    hull: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Rule:
    """A straight line across the panel, at one value of the axis "x" or "y"."""

    axis: str
    at: float
    style: Style
    name: str = ""


@dataclass(frozen=True)
class Label:
    """A text beside a point: "left", "right", "above", "below" or "center" says on which side."""

    x: float
    y: float
    text: str
    side: str = "right"


Mark = Line | Band | Points | Bars | Surface | Rule | Label


@dataclass(frozen=True)
class Panel:
    """Marks, the first ones at the back, between two axes."""

    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    title: str = ""


@dataclass(frozen=True)
class ColourScale:
    """What a colour means; the brightest is always the best."""

    label: str
    low: float
    high: float
    smaller_is_better: bool = False


@dataclass(frozen=True)
class Chart:
    """A picture. `notes` say what it shows: the metric, the runs, how they were averaged."""

    title: str
    notes: tuple[str, ...]
    panels: tuple[Panel, ...]
    scale: ColourScale | None = None
    wide: bool = False  # across both columns of a paper, though it has one panel
    height: float = 2.6  # of a panel, in inches


class Info(Protocol):
    """The numbers of a picture, ready to be drawn."""

    def chart(self) -> Chart:
        """Arrange the numbers as marks."""
