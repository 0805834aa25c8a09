"""Mean, spread, and the difference of two groups of runs with its confidence interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

CONFIDENCE = 0.95

# One run: its seed (None if unknown) and its value.
Sample = Sequence[tuple[int | None, float]]


@dataclass(frozen=True)
class Difference:
    """A group minus the baseline.

    Attributes:
        value: The difference, in the metric's unit.
        low: Lower end of the 95 % confidence interval; None where n does not allow one.
        high: Upper end.
        method: "paired" (by seed), "welch" (means, unequal variances) or "means" (too few runs for a CI).
        pairs: Number of seeds that were paired; 0 for the other methods.
    """

    value: float
    low: float | None
    high: float | None
    method: str
    pairs: int = 0

    def __str__(self) -> str:
        """How the comparison was made, in words."""
        words = {"paired": f"{self.pairs} paired seeds", "welch": "means (Welch)", "means": "means"}
        return words[self.method]


def mean_and_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1); None for what n does not allow."""
    if not values:
        return None, None
    return fmean(values), stdev(values) if len(values) > 1 else None


def compare(group: Sample, baseline: Sample) -> Difference:
    """Difference of a group to its baseline, both non-empty.

    Two runs with one seed share their split and the order of their pictures; pairing takes this part of the
    spread out, and needs two seeds that both sides have. Otherwise: the means, with Welch's interval.

    Source: Student's t of the paired differences; Welch (1947) for unequal variances.
    """
    ours, theirs = _by_seed(group), _by_seed(baseline)
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) >= 2:
        differences = [ours[seed] - theirs[seed] for seed in shared]
        error = stdev(differences) / math.sqrt(len(shared))
        low, high = _interval(fmean(differences), error, len(shared) - 1)
        return Difference(fmean(differences), low, high, "paired", len(shared))
    a, b = [value for _, value in group], [value for _, value in baseline]
    difference = fmean(a) - fmean(b)
    if min(len(a), len(b)) < 2:
        return Difference(difference, None, None, "means")
    return Difference(difference, *_welch(a, b), "welch")


def _by_seed(sample: Sample) -> dict[int, float]:
    """One value a seed: the mean, for a group that mixes settings and so has several runs of a seed."""
    values: dict[int, list[float]] = {}
    for seed, value in sample:
        if seed is not None:
            values.setdefault(seed, []).append(value)
    return {seed: fmean(of_seed) for seed, of_seed in values.items()}


def _welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    va, vb = variance(a) / len(a), variance(b) / len(b)
    if va + vb == 0:
        freedom = 1.0  # any: the interval has no width
    else:
        freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return _interval(fmean(a) - fmean(b), math.sqrt(va + vb), freedom)


def _interval(centre: float, error: float, freedom: float) -> tuple[float, float]:
    from scipy.special import stdtrit  # here: half a second that a table without a difference can do without

    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    return centre - half, centre + half
