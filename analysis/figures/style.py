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
# Viridis without its bright end, which a white page swallows: every colour has a contrast of 3 to 1 against white, and
# its lightness rises with the value, also in grey. The report has the other end of viridis for dark pages.
COLOURS = ("#440154", "#481B6D", "#46337F", "#3F4889", "#365D8D", "#2E6F8E", "#26818E", "#20928C", "#20A386")


def numbered(index: int) -> Style:
    """The style of the series with this number; from MOST on they cannot be told apart, and are grey."""
    return Style(_PALETTE[index], _MARKERS[index], _DASHES[index]) if index < MOST else GREY
