"""What a search varies."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.read.values import as_number, own_type

Value = float | str


@dataclass(frozen=True)
class Dimension:
    """What a search varies.

    Attributes:
        name: The key.
        scale: linear, log or choice.
        low: The smallest value, on a log scale the smallest above 0; choices have no bounds.
        high: The largest.
        zero: Whether 0 is among the values of a log scale, which has no place for it.
    """

    name: str
    scale: str
    low: float = math.nan
    high: float = math.nan
    zero: bool = False


def typed_values(text: str, given: Iterable[str]) -> dict[str, Value]:
    """The values of a dimension by what overrides gave: numbers of an interval, choices as they were typed.

    Choices are numbers too where all of them are, and no two the same: "1_1", "007" and "1e3" beside "1000" are names.

    Args:
        text: The dimension in sweep syntax, "" if that was not recorded.
        given: The values of the overrides.
    """
    given = list(dict.fromkeys(given))
    if _is_listed(text):
        return own_type(given)
    values: dict[str, Value] = {}
    for one in given:
        number = as_number(one)
        values[one] = one if number is None else number
    mixed = len({type(value) for value in values.values()}) > 1
    return {one: one for one in given} if mixed else values


def make_dimension(key: str, text: str, values: Sequence[Value]) -> Dimension:
    """Tell a dimension's scale and bounds from its sweep syntax, "" if that was not recorded, and from its values."""
    numbers = [value for value in values if isinstance(value, float | int)]
    if _is_listed(text) or len(numbers) < len(values) or not numbers:
        return Dimension(key, "choice")
    if bounds := re.search(r"interval\(([^,()]+),([^,()]+)\)", text):
        ends = (as_number(end.strip()) for end in bounds.groups())
        numbers += [end for end in ends if end is not None]
    low, high = min(numbers), max(numbers)
    above = min((number for number in numbers if number > 0), default=math.nan)
    # Without a recorded space: what spans two decades was hardly drawn on a linear scale.
    log = bool(re.search(r"\blog\b", text)) if text else high >= 100 * above
    if log and low >= 0 and above <= high:
        return Dimension(key, "log", above, high, zero=low == 0)
    return Dimension(key, "linear", low, high)


def _is_listed(text: str) -> bool:
    return bool(text) and not re.search(r"interval\(|range\(", text)
