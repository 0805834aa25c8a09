"""Means, spreads and intervals against numbers by hand and scipy's tests."""

import pytest
from scipy.stats import ttest_ind, ttest_rel

from analysis.statistics.differences import Sample, compare, compare_each, corrected, difference_of, mean_and_sd


def _sample(values: list[float], first_seed: int = 0) -> Sample:
    return list(enumerate(values, start=first_seed))


def test_mean_and_sample_sd() -> None:
    # Deviations -1, 0, 1: sum of squares 2, divided by n - 1 = 2.
    assert mean_and_sd([60.0, 61.0, 62.0]) == (61.0, 1.0)
    assert mean_and_sd([60.0]) == (60.0, None)
    assert mean_and_sd([]) == (None, None)


def test_paired_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, sd 1; t(0.975, 2) = 4.302653, half width t / sqrt(3) = 2.484138.
    difference = compare(_sample([61.0, 63.0, 65.0]), _sample([60.0, 61.0, 62.0]))
    assert (difference.value, difference.method, difference.pairs, difference.p) == (2.0, "t", 3, 0.25)
    assert difference.low == pytest.approx(2.0 - 2.484138, abs=1e-6)
    assert difference.high == pytest.approx(2.0 + 2.484138, abs=1e-6)
    assert str(difference) == "3 paired seeds, t"


def test_paired_agrees_with_scipy() -> None:
    a, b = [61.2, 60.7, 62.9, 61.1], [60.1, 60.9, 61.5, 60.0]
    interval = ttest_rel(a, b).confidence_interval(0.95)
    difference = compare(_sample(a), _sample(b))
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_each_comparison_is_the_one_made_alone() -> None:
    baseline = _sample([60.0, 60.0, 61.0])
    groups = [_sample([61.0, 62.0, 61.5]), _sample([70.0]), _sample([61.0, 63.0, 62.0], first_seed=9)]
    assert compare_each([(group, baseline) for group in groups]) == [compare(group, baseline) for group in groups]
    assert compare_each([]) == []


def test_six_shared_seeds_allow_an_exact_interval() -> None:
    difference = compare(_sample([61.0, 62.0, 63.0, 64.0, 65.0, 66.0]), _sample([60.0] * 6))
    assert (difference.low, difference.high, difference.p) == (1.0, 6.0, 2 / 64)
    assert str(difference) == "6 paired seeds, exact"


def test_correction_skips_what_has_no_p() -> None:
    clear, unclear = difference_of([1.0] * 8), difference_of([1.0, -1.0, 2.0])
    single = compare(_sample([62.0]), _sample([60.0]))
    corrections = [difference.p_holm for difference in corrected([clear, single, unclear])]
    assert corrections == [2 * 2 / 256, None, unclear.p]


def test_pairs_are_the_shared_seeds_alone() -> None:
    # Seeds 1 and 2 are shared: differences 62 - 60 and 64 - 60; seeds 0 and 3 would make it another number.
    difference = compare(_sample([0.0, 62.0, 64.0]), _sample([60.0, 60.0, 99.0], first_seed=1))
    assert (difference.value, difference.pairs) == (3.0, 2)


def test_several_runs_of_a_seed_count_as_their_mean() -> None:
    group = [(0, 61.0), (0, 63.0), (1, 63.0)]
    difference = compare(group, _sample([60.0, 60.0]))
    assert (difference.value, difference.pairs) == (2.5, 2)


@pytest.mark.parametrize("seeds", [(7, 8, 9), (None, None, None), (2, 8, 9)])
def test_fewer_than_two_shared_seeds_compare_means(seeds: tuple[int | None, ...]) -> None:
    a, b = [61.2, 60.7, 62.9], [60.1, 60.9, 61.5, 60.0]
    interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    difference = compare(list(zip(seeds, a, strict=True)), _sample(b))
    assert (difference.method, difference.pairs, str(difference)) == ("welch", 0, "means (Welch)")
    assert difference.p is None
    assert difference.value == pytest.approx(61.6 - 60.625)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_a_single_run_has_no_interval() -> None:
    for group, baseline in (([62.0], [60.0, 61.0]), ([62.0, 61.0], [60.0]), ([62.0], [60.0])):
        difference = compare(_sample(group), _sample(baseline))
        assert (difference.low, difference.high, str(difference)) == (None, None, "means")
    assert compare(_sample([62.0]), _sample([60.0, 61.0])).value == 1.5


def test_no_spread_is_an_interval_without_width() -> None:
    paired = compare(_sample([61.0, 61.0]), _sample([60.0, 60.0]))
    means = compare(_sample([61.0, 61.0]), _sample([60.0, 60.0], first_seed=5))
    assert (paired.low, paired.high) == (means.low, means.high) == (1.0, 1.0)
