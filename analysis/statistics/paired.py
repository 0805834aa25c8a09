"""Inference on paired differences, one a seed: a 95 % interval and a p-value that go together.

| pairs   | p-value                                | interval                                                 |
|:--------|:---------------------------------------|:---------------------------------------------------------|
| 1       | none                                   | none                                                     |
| 2 to 5  | exact sign flips, never below 0.05     | Student's t: no exact interval is bounded here           |
| 6 to 12 | exact sign flips                       | the shifts that this test does not reject: subset means  |
| from 13 | bootstrap of t, 9999 resamples, seed 0 | the shifts that this test does not reject                |

From 6 pairs on the interval leaves out zero exactly if p < 0.05 (before any correction). Below, it rests on normally
distributed differences, which nobody can check on so few, and the p-value does not.
"""

import functools
import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

ALPHA = 0.05
EXACT_UP_TO = 12  # pairs
RESAMPLES = 9999
# Of a batch of permutations or resamples: 1.6 MB, which a processor keeps at hand. The whole of 2,500 pairs took nine
# times as long, for its 200 MB.
_NUMBERS_AT_ONCE = 200_000
# Of the largest difference: means that are closer are equal, and were torn apart by the rounding of the subtraction.
# Accuracies near 90 leave 1e-14 of it, which is more than scipy's own tolerance for ties.
_TIE = 1e-9


@dataclass(frozen=True)
class Inference:
    """What the differences of some seeds say about their mean.

    Attributes:
        low: Lower end of the 95 % interval; None where there is none.
        high: Upper end.
        p: Two-sided p-value of "no difference", uncorrected.
        method: How the interval was made: "t", "exact" or "bootstrap"; "none" for a single pair.
    """

    low: float | None
    high: float | None
    p: float | None
    method: str


def infer_each(samples: Sequence[Sequence[float]]) -> list[Inference]:
    """Infer for several samples of differences; those of one length are permuted together, which is what takes time."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        by_length[len(sample)].append(number)
    found: dict[int, Inference] = {}
    for length, numbers in by_length.items():
        found |= zip(numbers, _infer([samples[number] for number in numbers], length), strict=True)
    return [found[number] for number in range(len(samples))]


def _infer(samples: Sequence[Sequence[float]], pairs: int) -> list[Inference]:
    if pairs < 2:
        return [Inference(None, None, None, "none")] * len(samples)
    if pairs > EXACT_UP_TO:
        return [_bootstrap(sample) for sample in samples]
    interval, method = (subset_mean_interval, "exact") if smallest_p(pairs) < ALPHA else (t_interval, "t")
    p_values = _sign_flip_p(samples, pairs)
    return [Inference(*interval(sample), p, method) for sample, p in zip(samples, p_values, strict=True)]


def smallest_p(pairs: int) -> float:
    """The smallest p-value that a number of pairs can have, whatever the differences."""
    if pairs < 2:
        return 1.0
    return 2 / 2**pairs if pairs <= EXACT_UP_TO else 1 / (RESAMPLES + 1)


def _sign_flip_p(samples: Sequence[Sequence[float]], pairs: int) -> list[float]:
    """Exact two-sided permutation test of each row: if nothing differs, each difference could have either sign.

    p is the share of the 2^n means under all signs that are at least as large as the mean itself, ties included.
    """
    import numpy as np
    from scipy.stats import permutation_test

    test = permutation_test(
        (samples,),
        lambda differences, axis: differences.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=math.inf,
        batch=max(1, _NUMBERS_AT_ONCE // (len(samples) * pairs)),
        axis=-1,
    )
    as_large = np.abs(test.null_distribution) >= np.abs(test.statistic) - _TIE * np.abs(samples).max(axis=-1)
    return [float(p) for p in as_large.mean(axis=0)]


def subset_mean_interval(differences: Sequence[float]) -> tuple[float, float]:
    """The shifts that the sign-flip test does not reject.

    A shift d is rejected if too few of the 2^n - 1 means over non-empty subsets lie below d, or above it. With
    k = floor(2^n * 0.025), the interval goes from the k-th smallest of these means to the k-th largest.

    Source: J. A. Hartigan, Using subsample values as typical values, JASA 64 (1969).
    """
    import numpy as np

    values = np.asarray(differences)
    subsets = _subsets(len(values))
    means = subsets @ values / subsets.sum(axis=1)
    means[np.abs(means) < _TIE * np.abs(values).max()] = 0.0  # a sum that cancels
    means.sort()
    k = math.floor(2 ** len(values) * ALPHA / 2)
    return float(means[k - 1]), float(means[-k])


@functools.lru_cache
def _subsets(size: int) -> Any:
    """Indicators of the non-empty subsets, [2^size - 1, size]."""
    import numpy as np

    return (np.arange(1, 2**size)[:, None] >> np.arange(size) & 1).astype(float)


def t_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Student's t interval of the mean; without width where there is no spread."""
    return interval_around(fmean(differences), stdev(differences) / math.sqrt(len(differences)), len(differences) - 1)


def interval_around(centre: float, error: float, freedom: float) -> tuple[float, float]:
    """The interval of a t-distributed estimate with its standard error."""
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    return centre - half, centre + half


def _bootstrap(differences: Sequence[float]) -> Inference:
    """Symmetric bootstrap of t: how large |mean / standard error| gets where the true mean is zero.

    Source: P. Hall, On symmetric bootstrap confidence intervals, JRSS B 50 (1988).
    """
    import numpy as np
    from scipy.stats import DegenerateDataWarning, bootstrap

    values, pairs = np.asarray(differences), len(differences)
    tie = _TIE * float(np.abs(values).max())
    centre, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(pairs)
    centre = 0.0 if abs(centre) <= tie else centre  # a sum that cancels
    if error <= tie:  # every difference is the same
        return Inference(centre, centre, smallest_p(pairs) if centre else 1.0, "bootstrap")
    statistic = functools.partial(_studentised, tie=tie)
    # scipy's own summary of a distribution with infinities is not used here.
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        null = bootstrap(
            (values - centre,),
            statistic,
            n_resamples=RESAMPLES,
            batch=max(1, _NUMBERS_AT_ONCE // pairs),  # the same resamples, whatever it is
            vectorized=True,
            method="percentile",
            rng=0,
        ).bootstrap_distribution
    p = (1 + int((null >= abs(centre) / error).sum())) / (RESAMPLES + 1)
    # The largest |t| whose p-value, counted in the same way, is not below 0.05.
    half = float(np.sort(null)[-(math.ceil(ALPHA * (RESAMPLES + 1)) - 1)]) * error
    if not math.isfinite(half):  # nearly all differences are the same
        return Inference(None, None, p, "bootstrap")
    return Inference(centre - half, centre + half, p, "bootstrap")


def _studentised(resamples: Any, axis: int, tie: float) -> Any:
    """|mean / standard error| along an axis; of a single value it is infinite, but 0 where that value is zero."""
    import numpy as np

    means, spreads = np.abs(resamples.mean(axis=axis)), resamples.std(axis=axis, ddof=1)
    means[means <= tie] = 0.0
    spreads[spreads <= tie] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means == 0, 0.0, means / spreads * math.sqrt(resamples.shape[axis]))


def holm(p_values: Sequence[float], comparisons: int | None = None) -> list[float]:
    """Correct p-values for their number.

    Sorted ascending, the i-th is multiplied by m - i + 1, is no smaller than the one before, and at most 1.

    Args:
        p_values: Of one family of comparisons.
        comparisons: m, where the family has more than these; None for their number.
    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    count = comparisons or len(p_values)
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (count - rank)))
        corrected[place] = largest
    return corrected
