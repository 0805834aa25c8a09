"""DIST against hand numbers, a naive loop and figures of the public code."""

import math
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tffd.distill.dist import Dist, inter_class, intra_class

LOSSES = [inter_class, intra_class]
# The number of classes; DIST_KD's own copy has no temperature, which is 1.
GOLDEN_C = {"dist.k10": 10, "dist.k100": 100, "dist.tau1": 100, "dist.tau4": 100, "dist.betagamma": 10}


def naive(student: Tensor, teacher: Tensor, temperature: float, over_pictures: bool) -> float:
    def probabilities(logits: Tensor) -> list[list[float]]:
        rows = []
        for row in logits.double().tolist():
            powers = [math.exp(score / temperature) for score in row]
            rows.append([power / sum(powers) for power in powers])
        return [list(column) for column in zip(*rows, strict=True)] if over_pictures else rows

    pairs = zip(probabilities(student), probabilities(teacher), strict=True)
    return temperature**2 * (1 - statistics.mean(statistics.correlation(ours, theirs) for ours, theirs in pairs))


def test_by_hand() -> None:
    """Of two classes one goes up as the other goes down, so correlations are 1 or -1.

    The first picture's preference is the teacher's, the second's is not; from the first to the second, both networks
    think less of the first class.
    """
    student, teacher = torch.tensor([[0.7, 0.3], [0.4, 0.6]]).log(), torch.tensor([[0.9, 0.1], [0.8, 0.2]]).log()
    assert inter_class(student, teacher, 1).item() == pytest.approx(1 - (1 - 1) / 2, rel=1e-5)
    assert intra_class(student, teacher, 1).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (5, 10), (8, 4)])
@pytest.mark.parametrize("temperature", [1, 4.0])
def test_equal_naive_loops(shape: tuple[int, int], temperature: float) -> None:
    """But for the 1e-8 beside the norms, which are above 1e-3 here: 1e-4."""
    student, teacher = 3 * normal(*shape), 3 * normal(*shape, seed=1)
    found = [loss(student, teacher, temperature).item() for loss in LOSSES]
    expected = [naive(student, teacher, temperature, over_pictures) for over_pictures in (False, True)]
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_every_loss_must_do(loss: Callable[..., Tensor]) -> None:
    def at_4(student: Tensor, teacher: Tensor) -> Tensor:
        return loss(student, teacher, 4)

    check_loss(at_4, normal(3, 5), normal(3, 5, seed=1), scale=1)
    check_finite(at_4, 1e4 * normal(3, 5), -1e4 * normal(3, 5))
    check_finite(at_4, normal(1, 5), normal(1, 5, seed=1))
    check_at_rest(at_4, normal(4, 5), zero=1e-4)  # 1e-8 beside norms whose product is 1e-2


def test_one_picture_has_no_spread() -> None:
    """Its correlation counts as 0: a constant."""
    student = normal(1, 5).requires_grad_()
    loss = intra_class(student, normal(1, 5, seed=1), 4)
    loss.backward()
    assert loss.item() == 16 and student.grad is not None and student.grad.abs().max() == 0


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Both parts where the case has them, and the gradient of their weighted sum."""
    case, classes = golden_c.Case(name, dtype), GOLDEN_C[name]
    student, teacher, temperature = case[f"s/logits{classes}"], case[f"t/logits{classes}"], case.hyper.get("tau", 1.0)
    inter, intra = (loss(student, teacher, temperature) for loss in LOSSES)
    parts = {"inter": inter, "intra": intra} if "terms" in case.expected else {}
    case.compare(case.hyper["beta"] * inter + case.hyper["gamma"] * intra, **parts)


def test_what_cannot_be_compared_is_refused() -> None:
    for loss in LOSSES:
        with pytest.raises(ValueError, match=r"student's have shape \(2, 5\) and the teacher's \(2, 6\)"):
            loss(normal(2, 5), normal(2, 6), 4)
    with pytest.raises(ValueError, match="finite and above 0; got -1."):
        Dist(temperature=-1)


def test_mode_computes_the_terms_that_count() -> None:
    student, teacher = output(classes=5, count=4), output(classes=5, count=4, seed=1)
    step, mode = step_of(student, teacher), Dist(temperature=2)
    mode.check(setting(student, teacher))
    ours, theirs = student.logits, teacher.logits
    assert mode(step) == {"dist_inter": inter_class(ours, theirs, 2), "dist_intra": intra_class(ours, theirs, 2)}
    mode.active = ("dist_intra",)
    assert list(mode(step)) == ["dist_intra"]
    with pytest.raises(ValueError, match="Use a teacher that was trained on the same classes"):
        mode.check(setting(student, output(classes=6)))
