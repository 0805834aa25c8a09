"""Intervals and p-values of paired differences against numbers by hand and scipy."""

import math
from itertools import combinations, product
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy.stats import bootstrap, false_discovery_control, permutation_test, ttest_1samp

from analysis.statistics import paired
from analysis.statistics.paired import holm, infer_each, smallest_p, subset_mean_interval


def test_sign_flips_by_hand() -> None:
    # Differences 1, 2, 3: of the 8 signings of 6, only 6 and -6 are as extreme.
    (inference,) = infer_each([[1.0, 2.0, 3.0]])
    assert inference.p == 2 / 8
    # 3, 4, -1: sums 6, 8, 0, -2 and their negatives; |sum| >= 6 for four of the eight.
    assert infer_each([[3.0, 4.0, -1.0]])[0].p == 4 / 8
    assert infer_each([[0.0, 0.0, 0.0, 0.0]])[0].p == 1.0


@pytest.mark.parametrize("pairs", range(2, 13))
def test_p_is_the_share_of_all_signings_and_what_scipy_says(pairs: int) -> None:
    values = np.random.default_rng(pairs).normal(0.7, 1.0, pairs).round(1)  # rounded, for ties
    signed = [abs(float(np.dot(signs, values))) for signs in product((1, -1), repeat=pairs)]
    naive = sum(total >= abs(values.sum()) - 1e-9 for total in signed) / 2**pairs
    scipys = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=math.inf).pvalue
    (inference,) = infer_each([list(values)])
    assert inference.p == pytest.approx(naive, abs=1e-12)
    assert inference.p == pytest.approx(scipys, abs=1e-12)


@pytest.mark.parametrize("pairs", [6, 8, 11])
def test_ties_of_accuracies_are_those_of_their_counts(pairs: int) -> None:
    """Accuracies are counts out of 389 pictures; in whole numbers a tie is a tie."""
    rng = np.random.default_rng(pairs)
    counts = rng.integers(340, 352, (500, 2, pairs))
    differences = counts[:, 0] - counts[:, 1]
    signs = np.array(list(product((1, -1), repeat=pairs)))
    exact = (np.abs(differences @ signs.T) >= np.abs(differences.sum(axis=1, keepdims=True))).mean(axis=1)
    accuracies = 100 * counts / 389
    inferred = infer_each((accuracies[:, 0] - accuracies[:, 1]).tolist())
    assert [inference.p for inference in inferred] == exact.tolist()
    for inference in inferred:
        assert inference.low is not None and inference.high is not None and inference.p is not None
        assert (inference.p < 0.05) == (not inference.low <= 0 <= inference.high)


def test_up_to_five_pairs_the_interval_is_students() -> None:
    # Differences 1, 2, 3: mean 2, sd 1; t(0.975, 2) = 4.302653, half width t / sqrt(3) = 2.484138.
    (inference,) = infer_each([[1.0, 2.0, 3.0]])
    assert (inference.low, inference.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    five = [1.0, 2.0, 2.5, 3.0, 1.5]
    interval = ttest_1samp(five, 0).confidence_interval(0.95)
    (inference,) = infer_each([five])
    assert (inference.low, inference.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (inference.method, inference.p) == ("t", 2 / 32)


def test_six_pairs_by_hand() -> None:
    # floor(64 * 0.025) = 1: from the smallest subset mean, which is the smallest value, to the largest.
    (inference,) = infer_each([[3.0, 1.0, 2.0, 5.0, 4.0, 9.0]])
    assert (inference.low, inference.high, inference.p, inference.method) == (1.0, 9.0, 2 / 64, "exact")


def test_seven_pairs_by_hand() -> None:
    # floor(128 * 0.025) = 3: third of 1, (1 + 2) / 2, 2, ... and of 64, (64 + 32) / 2, (64 + 16) / 2, ...
    assert subset_mean_interval([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]) == (2.0, 40.0)


@pytest.mark.parametrize("pairs", [6, 7, 9, 12, 13, 20])
def test_the_interval_leaves_out_zero_exactly_if_p_is_below_5_percent(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    samples = [list(rng.normal(0.6, 1.0, pairs).round(1)) for _ in range(60)]
    verdicts = set()
    for inference in infer_each(samples):
        assert inference.low is not None and inference.high is not None and inference.p is not None
        assert (inference.p < 0.05) == (not inference.low <= 0 <= inference.high)
        verdicts.add(inference.p < 0.05)
    assert verdicts == {True, False}


@pytest.mark.parametrize("pairs", [6, 9, 12])
def test_the_ends_of_an_exact_interval_are_where_the_test_begins_to_reject(pairs: int) -> None:
    values = list(np.random.default_rng(pairs).normal(0.0, 1.0, pairs))
    low, high = subset_mean_interval(values)
    inside, outside = infer_each([[v - low - 1e-6 for v in values], [v - low + 1e-6 for v in values]])
    assert inside.p is not None and outside.p is not None
    assert inside.p >= 0.05 > outside.p
    inside, outside = infer_each([[v - high + 1e-6 for v in values], [v - high - 1e-6 for v in values]])
    assert inside.p is not None and outside.p is not None
    assert inside.p >= 0.05 > outside.p


def test_exact_intervals_cover_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    inferences = infer_each([list(rng.laplace(0.0, 1.0, 8)) for _ in range(1000)])
    covered = fmean(float((i.low or 0.0) <= 0 <= (i.high or 0.0)) for i in inferences)
    assert covered >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1000)  # three standard errors of a share of 1000


def test_beyond_twelve_pairs_t_is_bootstrapped() -> None:
    values = np.random.default_rng(5).normal(0.5, 1.0, 15)
    error = values.std(ddof=1) / math.sqrt(15)

    def t(sample: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(sample.mean(axis=axis)) / (sample.std(axis=axis, ddof=1) / math.sqrt(15))

    null = bootstrap((values - values.mean(),), t, n_resamples=9999, rng=0, method="percentile").bootstrap_distribution
    (inference,) = infer_each([list(values)])
    assert inference.method == "bootstrap"
    assert inference.p == pytest.approx((1 + (null >= abs(values.mean()) / error).sum()) / 10_000)
    assert inference.high == pytest.approx(
        values.mean() + np.quantile(null, 0.95) * error, rel=0.01
    )  # of order statistics
    assert infer_each([list(values)]) == [inference]  # the seed is fixed
    # On normal differences it is close to Student's.
    assert inference.p == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.03)


@pytest.mark.parametrize("pairs", [12, 13, 2500])
def test_resamples_are_the_same_in_blocks_that_a_processor_keeps_at_hand(
    pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = np.random.default_rng(1).normal(0.1, 1.0, pairs).tolist()
    sizes, studentised = [], paired._studentised

    def measured(resamples: np.ndarray, axis: int, tie: float) -> np.ndarray:
        sizes.append(resamples.size)
        blocks: np.ndarray = studentised(resamples, axis, tie)
        return blocks

    monkeypatch.setattr(paired, "_studentised", measured)
    in_blocks = infer_each([sample])
    assert max(sizes, default=0) <= paired._NUMBERS_AT_ONCE
    monkeypatch.setattr(paired, "_NUMBERS_AT_ONCE", 10**9)
    assert infer_each([sample]) == in_blocks


def test_no_spread() -> None:
    for pairs in (3, 8, 12):
        (inference,) = infer_each([[1.0] * pairs])
        assert (inference.low, inference.high, inference.p) == (1.0, 1.0, 2 / 2**pairs)
    (inference,) = infer_each([[0.3] * 13])
    assert (inference.low, inference.high, inference.p) == (pytest.approx(0.3), pytest.approx(0.3), 1 / 10_000)
    assert infer_each([[0.0] * 13])[0].p == 1.0


def test_nearly_no_spread_has_no_bootstrap_interval() -> None:
    (inference,) = infer_each([[0.0] * 12 + [1.0]])
    assert (inference.low, inference.high) == (None, None)
    assert inference.p is not None and inference.p > 0.3


@pytest.mark.parametrize("unit", [1.0, 100 / 389])  # in accuracies the sums of resamples cancel up to rounding alone
def test_many_equal_differences_are_bootstrapped_as_by_hand(unit: float) -> None:
    """Fourteen of which twelve are zero: a resample of zeros alone, one in nine, has the statistic 0 and no 0 / 0."""
    counts = [0] * 12 + [1, -1]
    drawn = np.random.default_rng(0).integers(0, 14, (9999, 14))
    null = []
    for resample in np.array(counts)[drawn].tolist():
        mean, spread = fmean(resample), stdev(resample)
        null.append(abs(mean) / spread * math.sqrt(14) if mean else 0.0)  # no resample is all 1, or all -1
    widest = sorted(null)[-499]  # of 9999, (1 + 499) / 10000 is not below 0.05
    half = widest * stdev(counts) / math.sqrt(14)
    (inference,) = infer_each([[(350 + count) * unit - 350 * unit for count in counts]])
    assert (inference.p, inference.method) == (1.0, "bootstrap")
    assert (inference.low, inference.high) == pytest.approx((-half * unit, half * unit), rel=1e-9)
    assert 0 < half < 1


def test_samples_of_all_sizes_come_back_in_order() -> None:
    samples = [[1.0, 2.0], [5.0], [0.5] * 6, [3.0, 4.0]]
    together = infer_each(samples)
    assert together == [infer_each([sample])[0] for sample in samples]
    assert (together[1].p, together[1].method) == (None, "none")
    assert infer_each([]) == []


def test_holm_by_hand() -> None:
    # Ascending 0.01, 0.02, 0.04 times 3, 2, 1 is 0.03, 0.04, 0.04.
    assert holm([0.02, 0.01, 0.04]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.01], comparisons=6) == pytest.approx([0.06])
    assert holm([]) == []


def test_holm_lies_between_bonferroni_and_a_weaker_correction() -> None:
    p_values = np.random.default_rng(0).uniform(0, 0.2, 20)
    corrected = np.array(holm(list(p_values)))
    assert (corrected <= np.minimum(1, p_values * 20)).all()
    assert (corrected >= false_discovery_control(p_values, method="bh") - 1e-12).all()


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """Naively: p of one comparison is the largest Bonferroni p of all sets of comparisons that it belongs to."""
    rng = np.random.default_rng(0)
    for number in range(1, 8):
        p_values = rng.uniform(0, 0.4, number).round(2).tolist()  # rounded, for ties
        sets = [chosen for size in range(1, number + 1) for chosen in combinations(range(number), size)]
        bonferroni = {chosen: min(1.0, len(chosen) * min(p_values[place] for place in chosen)) for chosen in sets}
        closed = [max(p for chosen, p in bonferroni.items() if place in chosen) for place in range(number)]
        assert holm(p_values) == pytest.approx(closed)


def test_the_smallest_p_values() -> None:
    assert [smallest_p(pairs) for pairs in (1, 2, 5, 6, 12, 13)] == [1.0, 0.5, 2 / 32, 2 / 64, 2 / 4096, 1 / 10_000]
