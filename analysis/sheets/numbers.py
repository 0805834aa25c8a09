"""Numbers as tables and sentences show them, each form written once."""

from typing import Protocol

_LONG = 1e9  # a run that all but diverged may have a loss of 309 digits


class Estimated(Protocol):
    """A difference with the ends of its interval, None where there is none."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


def fixed(value: float, decimals: int, sign: str = "") -> str:
    """A number with so many decimals, or as 1.23e+12 where it would be too long for a cell."""
    if abs(value) >= _LONG:
        return f"{value:{sign}.2e}"
    return f"{value:{sign}z.{decimals}f}"  # z: a difference that rounds to zero has no minus


def mean_text(mean: float, sd: float | None, decimals: int) -> str:
    """As in "92.31 ± 0.24"; the mean alone where a single run has no spread."""
    return fixed(mean, decimals) + ("" if sd is None else f" ± {fixed(sd, decimals)}")


def interval_text(low: float, high: float, decimals: int, sign: str = "") -> str:
    """As in "[91.80, 92.90]"."""
    return f"[{fixed(low, decimals, sign)}, {fixed(high, decimals, sign)}]"


def difference_text(difference: Estimated, decimals: int) -> str:
    """A difference and its interval, with signs."""
    text = fixed(difference.value, decimals, "+")
    if difference.low is None or difference.high is None:
        return text
    return f"{text} {interval_text(difference.low, difference.high, decimals, '+')}"


def p_text(value: float) -> str:
    """A p-value with three decimals."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
