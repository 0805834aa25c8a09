"""Mean, spread, and the difference of two groups of runs with its confidence interval and p-value."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev, variance

from analysis.statistics.paired import Inference, holm, infer_each, interval_around

# One run: its seed (None if unknown) and its value.
Sample = Sequence[tuple[int | None, float]]


@dataclass(frozen=True)
class Difference:
    """A group minus the baseline.

    Attributes:
        value: The difference, in the metric's unit.
        low: Lower end of the 95 % confidence interval; None where n does not allow one.
        high: Upper end.
        p: Two-sided p-value, uncorrected; None without paired seeds.
        method: "t", "exact" or "bootstrap" (paired by seed, see `paired`), "welch" (means, unequal variances),
            "means" (too few runs for an interval) or "confounded" (neither interval nor p-value, see `differs`).
        pairs: Number of seeds that were paired; 0 where means were compared.
        p_holm: The p-value corrected for the number of comparisons in the table.
        differs: In what the runs differ besides what is compared; only where that was asked for there is a p-value.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    method: str
    pairs: int = 0
    p_holm: float | None = None
    differs: tuple[str, ...] = ()

    @property
    def is_confounded(self) -> bool:
        """Whether it was left untested, as more differs than what is compared."""
        return self.method == "confounded"

    @property
    def is_endless(self) -> bool:
        """Whether it has no interval because nearly all paired differences are equal."""
        return self.pairs > 0 and self.low is None and not self.is_confounded

    def __str__(self) -> str:
        """How the comparison was made, in words."""
        unpaired = {"welch": "means (Welch)", "means": "means"}
        if self.is_confounded and not self.pairs:
            return "means, confounded"
        return unpaired.get(self.method, f"{self.pairs} paired seeds, {self.method}")


def mean_and_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1); None for what n does not allow."""
    if not values:
        return None, None
    return fmean(values), stdev(values) if len(values) > 1 else None


def compare_each(pairs: Sequence[tuple[Sample, Sample]]) -> list[Difference]:
    """Difference of each first sample to its second, the baseline; all non-empty.

    Two runs with one seed share their split and the order of their pictures; pairing takes this part of the
    spread out, and needs two seeds that both sides have. Otherwise: the means, with Welch's interval and without a
    p-value.
    """
    differences = [paired_differences(group, baseline) for group, baseline in pairs]
    inferred = iter(infer_each([paired for paired in differences if len(paired) >= 2]))
    return [
        _paired(paired, next(inferred)) if len(paired) >= 2 else _unpaired(group, baseline)
        for paired, (group, baseline) in zip(differences, pairs, strict=True)
    ]


def compare(group: Sample, baseline: Sample) -> Difference:
    """Difference of one group to its baseline; see `compare_each`."""
    return compare_each([(group, baseline)])[0]


def difference_of(differences: Sequence[float]) -> Difference:
    """A mean of differences that were taken seed by seed, at least 2 of them."""
    return _paired(differences, infer_each([differences])[0])


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Add Holm's p-values, for one family of all the differences that have a p-value."""
    corrections = iter(holm([difference.p for difference in differences if difference.p is not None]))
    return [
        difference if difference.p is None else replace(difference, p_holm=next(corrections))
        for difference in differences
    ]


def paired_differences(group: Sample, baseline: Sample) -> list[float]:
    """Group minus baseline for each seed that both have, in the order of the seeds."""
    ours, theirs = by_seed(group), by_seed(baseline)
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def by_seed(sample: Sample) -> dict[int, float]:
    """One value a seed: the mean, for a group that mixes settings and so has several runs of a seed."""
    values: dict[int, list[float]] = {}
    for seed, value in sample:
        if seed is not None:
            values.setdefault(seed, []).append(value)
    return {seed: fmean(of_seed) for seed, of_seed in values.items()}


def _paired(differences: Sequence[float], inferred: Inference) -> Difference:
    low, high, p, method = inferred.low, inferred.high, inferred.p, inferred.method
    return Difference(fmean(differences), low, high, p, method, len(differences))


def _unpaired(group: Sample, baseline: Sample) -> Difference:
    a, b = [value for _, value in group], [value for _, value in baseline]
    difference = fmean(a) - fmean(b)
    if min(len(a), len(b)) < 2:
        return Difference(difference, None, None, None, "means")
    return Difference(difference, *_welch(a, b), None, "welch")


def _welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Source: B. L. Welch, The generalization of Student's problem, Biometrika 34 (1947)."""
    va, vb = variance(a) / len(a), variance(b) / len(b)
    if va + vb == 0:
        freedom = 1.0  # any: the interval has no width
    else:
        freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return interval_around(fmean(a) - fmean(b), math.sqrt(va + vb), freedom)
