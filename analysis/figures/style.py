"""Colours, markers and dashes that all pictures share."""

from analysis.figures.chart import Style

# Colours that the colour-blind can tell apart, without the yellow that a white page swallows.
# Source: Okabe and Ito, Color Universal Design (2008).
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("circle", "square", "triangle", "diamond", "cross", "star")
_DASHES = ("dash", "dot", "dashdot", "longdash", "solid", "dash")

BLACK = Style("#000000")
GREY = Style("#8C8C8C")
PALE = Style("#BFBFBF")
BASELINE = Style("#000000", marker="square")
MOST = len(_PALETTE)  # series that can be told apart
COLOURS = "viridis"  # its lightness rises with the value, also in grey


def numbered(index: int) -> Style:
    """The style of the series with this number; from MOST on they cannot be told apart, and are grey."""
    return Style(_PALETTE[index], _MARKERS[index], _DASHES[index]) if index < MOST else GREY
