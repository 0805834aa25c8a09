"""Short texts that pictures, tables and the report share."""

import math
from collections.abc import Sequence

from analysis.select.groups import Run


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


def conditions(runs: Sequence[Run]) -> str:
    """Under which conditions runs were made, as in "resnet20 on digits, protocol validation, 6 epochs, seed 0"."""

    def values(column: str) -> str:
        found = sorted({str(run[column]) for run in runs if run[column] is not None})
        return ", ".join(found) if len(found) <= 3 else f"({len(found)} different)"

    seeds = {run["seed"] for run in runs if run["seed"] is not None}
    seed = f"seed {seeds.copy().pop()}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    epochs = values("epochs")
    duration = f"{epochs} {'epoch' if epochs == '1' else 'epochs'}"
    return f"{values('model')} on {values('dataset')}, protocol {values('protocol')}, {duration}, {seed}"
