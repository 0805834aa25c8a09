"""A logarithmic axis that has a place for 0, below a gap: a lambda of 0 is a setting, and would leave the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.figures.chart import Axis
from analysis.sheets.words import tick

_GAP = 0.2  # of the width of the values above 0
_LEAST = 0.15  # decades
_MOST = 8  # ticks


@dataclass(frozen=True)
class LogAxis:
    """Where values lie: at their log10, and 0 below them.

    Attributes:
        low: The smallest value above 0.
        high: The largest.
        zero: Whether 0 has a place.
    """

    low: float
    high: float
    zero: bool = False

    def place(self, value: float) -> float:
        """The place of a value, as an exponent of 10."""
        if value > 0:
            return math.log10(value)
        low, high = math.log10(self.low), math.log10(self.high)
        return low - max(_LEAST, _GAP * (high - low))

    def drawn(self, value: float) -> float:
        """What stands for a value on an axis that takes the logarithm itself."""
        return value if value > 0 else math.pow(10.0, self.place(value))

    @property
    def ends(self) -> tuple[float, float]:
        """The places of the smallest and the largest value."""
        return self.place(0.0 if self.zero else self.low), self.place(self.high)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places of the whole powers of ten, of the ends where fewer than two lie between them, and of 0."""
        low, high = math.log10(self.low), math.log10(self.high)
        powers = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
        step = max(1, -(-len(powers) // _MOST))
        marked = list(map(float, powers[::step])) if len(powers) > 1 else [low, high]
        at_zero = [(self.place(0.0), "0")] if self.zero else []
        return (*at_zero, *((at, tick(10.0**at)) for at in dict.fromkeys(marked)))

    def axis(self, label: str) -> Axis:
        """The axis of a chart, with room for markers at its ends; without 0 the chart finds its ticks itself."""
        low, high = self.ends
        room = 0.06 * (high - low) or 0.01
        span = (10.0 ** (low - room), 10.0 ** (high + room))
        ticks = tuple((10.0**at, text) for at, text in self.ticks) if self.zero else None
        return Axis(label, log=True, ticks=ticks, span=span)


def log_axis(values: Sequence[float]) -> LogAxis:
    """The axis of values that are 0 or above, of which one is above."""
    above = [value for value in values if value > 0]
    return LogAxis(min(above), max(above), zero=len(above) < len(values))
