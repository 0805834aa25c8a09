"""Which numbers a run can have measured, and how it is told that one is none of them."""

import math

import numpy as np
import pytest

from analysis.read.bounds import LARGEST, bounds, check_number, out_of_bounds
from analysis.read.faults import Fault, Unreadable


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("val_top1", 610, "has val_top1 = 610, which is not between 0 and 100"),
        ("best_test_top1", -0.5, "has best_test_top1 = -0.5, which is not between 0 and 100"),
        ("val_loss", -0.5, "has val_loss = -0.5, which is below 0"),
        ("val_loss", 1e308, "has val_loss = 1e+308, which is beyond 1e+50, so that no mean can be taken"),
        ("score", math.inf, "has score = inf, which is not finite"),
    ],
)
def test_a_number_out_of_bounds_is_told_with_its_bound(name: str, value: float, reason: str) -> None:
    with pytest.raises(Unreadable) as raised:
        check_number(name, value)
    assert (raised.value.kind, str(raised.value)) == (Fault.IMPOSSIBLE, reason)


def test_each_field_has_its_bounds() -> None:
    names = ("train_top5", "test_ce", "epochs", "score")
    assert [bounds(name) for name in names] == [(0.0, 100.0), (0.0, LARGEST), (0.0, LARGEST), (-LARGEST, LARGEST)]


def test_of_a_column_only_losses_may_diverge() -> None:
    values = np.array([50.0, 101.0, math.nan, math.inf])
    assert out_of_bounds("val_top1", values).tolist() == [False, True, False, True]
    assert out_of_bounds("val_loss", values).tolist() == [False, False, False, False]
    for name, value in (("val_loss", math.inf), ("val_loss", math.nan), ("val_top1", math.nan)):
        check_number(name, value, may_diverge=True)
