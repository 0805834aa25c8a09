"""Regression of logits against hand numbers, a naive loop and figures of the public code."""

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.logits import Logits, logit_regression

GOLDEN_C = {"kdzoo.logits": ("s/logits100", "t/logits100")}


def naive(student: Tensor, teacher: Tensor) -> float:
    pairs = zip(student.double().tolist(), teacher.double().tolist(), strict=True)
    squares = [(a - b) ** 2 for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)]
    return sum(squares) / len(squares)


def test_by_hand() -> None:
    """Value and gradient, 2 (student - teacher) / 4."""
    student, teacher = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).requires_grad_(), torch.tensor([[1.0, 4.0], [2.0, 1.0]])
    loss = logit_regression(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx((2**2 + 1**2 + 3**2) / 4)
    torch.testing.assert_close(student.grad, torch.tensor([[0.0, -1.0], [0.5, 1.5]]))


@pytest.mark.parametrize("shape", [(1, 2), (2, 10), (5, 100), (3, 1)])
def test_equals_a_naive_loop(shape: tuple[int, int]) -> None:
    student, teacher = normal(*shape), normal(*shape, seed=1)
    assert logit_regression(student, teacher).item() == pytest.approx(naive(student, teacher), rel=1e-5)


def test_what_every_loss_must_do() -> None:
    check_loss(logit_regression, normal(3, 5), normal(3, 5, seed=1))
    check_at_rest(logit_regression, normal(3, 5), zero=0)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    case, (student, teacher) = golden_c.Case(name, dtype), GOLDEN_C[name]
    case.compare(logit_regression(case[student], case[teacher]))


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks."""
    golden_pair.compare("logits", logit_regression(golden_pair.student.logits, golden_pair.teacher.logits))


def test_mode_is_the_loss() -> None:
    student, teacher = output(classes=5), output(classes=5, seed=1)
    mode = Logits()
    mode.check(setting(student, teacher))
    assert mode(step_of(student, teacher)) == {"logits": logit_regression(student.logits, teacher.logits)}


def test_mode_refuses_a_teacher_of_other_classes() -> None:
    """The scores would not even broadcast."""
    expected = r"logit_regression .* the student's have shape \(2, 5\) and the teacher's \(2, 6\). Use a teacher that"
    with pytest.raises(ValueError, match=expected):
        Logits().check(setting(output(classes=5), output(classes=6)))
