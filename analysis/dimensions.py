"""What a search varies."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Value = float | str


@dataclass(frozen=True)
class Dimension:
    """What a search varies: `scale` is linear, log or choice; choices have no bounds."""

    name: str
    scale: str
    low: float = math.nan
    high: float = math.nan


def as_value(text: Value) -> Value:
    """An override's value: a number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def make_dimension(key: str, text: str, values: Sequence[Value]) -> Dimension:
    """Tell a dimension's scale and bounds from its sweep syntax, "" if that was not recorded, and from its values."""
    numbers = [value for value in values if isinstance(value, float | int)]
    listed = text and not re.search(r"interval\(|range\(", text)
    if listed or len(numbers) < len(values) or not numbers:
        return Dimension(key, "choice")
    low, high = min(numbers), max(numbers)
    if bounds := re.search(r"interval\(([^,()]+),([^,()]+)\)", text):
        ends = [as_value(end.strip()) for end in bounds.groups()]
        low, high = min([low, *_numbers(ends)]), max([high, *_numbers(ends)])
    # Without a recorded space: what spans two decades was hardly drawn on a linear scale.
    log = bool(re.search(r"\blog\b", text)) if text else low > 0 and high >= 100 * low
    return Dimension(key, "log" if log and low > 0 else "linear", low, high)


def _numbers(values: Iterable[Value]) -> list[float]:
    return [value for value in values if isinstance(value, float)]
