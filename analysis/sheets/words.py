"""Words and short texts that pictures, tables and the report share."""

import math
import re
from collections.abc import Sequence
from typing import Any

_MOST = 10  # values that a caption lists


def short(value: object) -> str:
    """A value for people to read: 8e-4, 0.05, 128, tfd."""
    if not isinstance(value, float | int):
        return "-" if value is None else str(value)
    if not math.isfinite(value) or (value == round(value) and abs(value) < 1e6):
        return f"{value:.0f}"
    if 0.01 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def tick(value: float) -> str:
    """A value on a logarithmic axis: 1e-2, 0.5, 20."""
    exponent = round(math.log10(value)) if value > 0 else 0
    is_power = value > 0 and math.isclose(value, 10.0**exponent)
    return f"1e{exponent}" if is_power and not -1 <= exponent <= 4 else short(value)


def count(number: int, noun: str) -> str:
    """As in "1 run", "2 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def are(number: int) -> str:
    """The verb of a count: "is" of one, "are" of others."""
    return "is" if number == 1 else "are"


def there_are(number: int) -> str:
    """As in "there is 1", "there are 2"."""
    return f"there {are(number)} {number}"


def spread(numbers: Sequence[int]) -> str:
    """The range of some numbers: "3", or "1 to 3"."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def ranges(numbers: Sequence[int]) -> str:
    """Sorted whole numbers, three and more in a row as a range: "0, 1, 5 to 9"; too many parts are counted."""
    rows: list[list[int]] = []
    for number in numbers:
        if rows and number == rows[-1][-1] + 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    parts = [f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows]
    return ", ".join(parts) if len(parts) <= _MOST else f"({len(numbers)} different)"


def capital(sentence: str) -> str:
    """A sentence with its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


def as_text(value: Any) -> str:
    """A value of a column for people to read."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def exact_text(value: Any) -> str:
    """A value as it can be typed: with all digits where the few that people read stand for another one."""
    text = as_text(value)
    return repr(value) if isinstance(value, float) and float(text) != value else text


def list_values(values: Sequence[Any]) -> str:
    """Values as people read them; many are counted."""
    texts = [_short_commit(as_text(value)) for value in values]
    return ", ".join(texts) if len(texts) <= _MOST else f"({len(texts)} different)"


def _short_commit(commit: str) -> str:
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", commit)  # keeps a suffix such as +
