"""Between which bounds a number of a record can lie. What lies outside was measured by no run, and is not averaged."""

import math
import re
from functools import cache
from typing import TYPE_CHECKING

from analysis.read.faults import Fault, Unreadable

if TYPE_CHECKING:
    import numpy as np

# Far beyond what float32 holds (3.4e38). The square of a variance of such numbers still is a finite float64.
LARGEST = 1e50
_PERCENT = re.compile(r"(best_)?(train|val|test)_top\d+")
_LOSS = re.compile(r"(best_)?(train|val|test)_(loss|ce)")
_NEVER_NEGATIVE = {
    "trial", "train_size", "epochs", "epochs_run", "best_val_epoch", "lambda_intra", "lambda_inter",
    "train_seconds", "images_per_second", "peak_memory_mb", "parameters", "threads",
}  # fmt: skip


@cache
def bounds(name: str) -> tuple[float, float]:
    """The smallest and the largest value that a field or column can have."""
    if _PERCENT.fullmatch(name):
        return 0.0, 100.0
    return (0.0 if name in _NEVER_NEGATIVE or _LOSS.fullmatch(name) else -LARGEST), LARGEST


def check_number(name: str, value: float, may_diverge: bool = False) -> None:
    """Refuse a number that no run can have measured.

    Args:
        name: Of the field or column.
        value: Of it.
        may_diverge: Whether NaN and infinity are said of what was not measured and of a loss that diverged, as in
            `metrics.csv`; a record has null for these.
    Raises:
        Unreadable: If the value is out of bounds.
    """
    low, high = bounds(name)
    finite = not isinstance(value, float) or math.isfinite(value)
    if low <= value <= high or (may_diverge and not finite and (math.isnan(value) or high >= LARGEST)):
        return
    if not finite:
        reason = "is not finite"
    elif high < LARGEST:
        reason = f"is not between {low:g} and {high:g}"
    else:
        reason = "is below 0" if value < low == 0 else f"is beyond {LARGEST:g}, so that no mean can be taken"
    raise Unreadable(Fault.IMPOSSIBLE, f"has {name} = {_shown(value)}, which {reason}")


def out_of_bounds(name: str, values: "np.ndarray") -> "np.ndarray":
    """Which values of a column of `metrics.csv` no run can have measured; see `check_number`."""
    import numpy as np

    low, high = bounds(name)
    outside: np.ndarray = ~((values >= low) & (values <= high)) & ~np.isnan(values)
    if high >= LARGEST:
        outside &= np.isfinite(values)
    return outside


def _shown(value: float) -> str:
    text = repr(value)
    return text if len(text) < 25 else f"{text[:12]}... ({len(text)} digits)"
