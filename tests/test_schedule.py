"""Learning rate and warm-up at every epoch where they change."""

import pytest

from tffd.schedule import kd_factor, learning_rate

PUBLISHED = (0.625, 0.75, 0.875)


def rates(epochs: int, milestones: tuple[float, ...] = PUBLISHED) -> list[float]:
    return [learning_rate(epoch, epochs, 0.1, milestones, 0.1) for epoch in range(1, epochs + 1)]


def test_published_schedule() -> None:
    """150 epochs at 0.1, then 30 each at 0.01, 0.001, 0.0001."""
    expected = [0.1] * 150 + [0.01] * 30 + [0.001] * 30 + [0.0001] * 30
    assert rates(240) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("epoch", "rate"), [(1, 0.1), (150, 0.1), (151, 0.01), (180, 0.01), (181, 0.001), (210, 0.001), (211, 0.0001)]
)
def test_published_boundaries(epoch: int, rate: float) -> None:
    """The rate drops after the milestone."""
    assert learning_rate(epoch, 240, 0.1, PUBLISHED, 0.1) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("epochs", "lengths"),
    [
        (8, (5, 1, 1, 1)),
        (40, (25, 5, 5, 5)),
        (100, (62, 13, 13, 12)),  # after epochs 62.5, 75, 87.5, rounded to even
        (2, (1, 1, 0, 0)),  # both later milestones fall on the last epoch
        (1, (1, 0, 0, 0)),
    ],
)
def test_other_lengths(epochs: int, lengths: tuple[int, ...]) -> None:
    """One recipe serves runs of any length."""
    expected = [0.1 * 0.1**drop for drop, length in enumerate(lengths) for _ in range(length)]
    assert rates(epochs) == pytest.approx(expected, rel=1e-12)


def test_no_milestones() -> None:
    """A constant rate."""
    assert rates(3, ()) == [0.1] * 3


def test_gamma_is_the_factor() -> None:
    """Not always a tenth."""
    assert learning_rate(9, 10, 1.0, (0.2, 0.5), 0.5) == 0.25


def test_warm_up() -> None:
    """min(1, epoch / 20), counted from 1."""
    assert [kd_factor(epoch, 20) for epoch in (1, 2, 10, 19, 20, 21, 240)] == [0.05, 0.1, 0.5, 0.95, 1, 1, 1]
    assert kd_factor(1, 1) == 1


def test_no_warm_up() -> None:
    """Full weight from the first epoch."""
    assert [kd_factor(epoch, 0) for epoch in (1, 2)] == [1, 1]
