"""Tf-KD's two forms against hand numbers, naive loops and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import (
    check_at_rest,
    check_finite,
    check_gradient,
    check_half_precision,
    check_loss,
    normal,
    output,
)
from tffd.distill.st import soft_targets
from tffd.distill.tf_kd import TeacherFreeKD, self_targets, virtual_teacher_loss

# The numbers of classes; the loss of each case holds cross-entropy too.
GOLDEN_C = {
    "tfkd.reg.resnet18.k10": 10,
    "tfkd.reg.resnet18.k100": 100,
    "tfkd.reg.mobilenetv2.k10": 10,
    "tfkd.reg.mobilenetv2.k100": 100,
    "tfkd.self.k10": 10,
    "tfkd.self.k100": 100,
    "tfkd.kd.k10": 10,
    "tfkd.kd.k100": 100,
}


def softmax(row: list[float], temperature: float = 1) -> list[float]:
    powers = [math.exp(score / temperature) for score in row]
    return [power / sum(powers) for power in powers]


def naive_virtual_teacher(logits: Tensor, labels: Tensor, temperature: float, correct: float) -> float:
    total, classes = 0.0, logits.shape[1]
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        believed = [correct if k == label else (1 - correct) / (classes - 1) for k in range(classes)]
        pairs = zip(softmax(row), softmax(believed, temperature), strict=True)
        total += sum(q * math.log(q / p) for p, q in pairs)
    return total / logits.numel()


def test_virtual_teacher_by_hand() -> None:
    """Of two classes, sure by .99 against .01 at T = .98: the softmax of 1 against 0."""
    q = math.e / (1 + math.e)
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = virtual_teacher_loss(logits, torch.tensor([0]), temperature=0.98)
    loss.backward()
    assert loss.item() == pytest.approx((q * math.log(2 * q) + (1 - q) * math.log(2 * (1 - q))) / 2, rel=1e-5)
    torch.testing.assert_close(logits.grad, torch.tensor([[(0.5 - q) / 2, (q - 0.5) / 2]]))


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (2, 3), (5, 7)])
@pytest.mark.parametrize(("temperature", "correct"), [(20, 0.99), (1, 0.6)])
def test_virtual_teacher_equals_a_naive_loop(count: int, classes: int, temperature: float, correct: float) -> None:
    logits, labels = 3 * normal(count, classes), torch.arange(count) % classes
    loss = virtual_teacher_loss(logits, labels, temperature, correct)
    assert loss.item() == pytest.approx(naive_virtual_teacher(logits, labels, temperature, correct), rel=1e-5)


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (2, 3), (5, 7)])
def test_self_targets_are_soft_targets_averaged_over_the_classes(count: int, classes: int) -> None:
    """Which have a naive loop of their own."""
    student, teacher = 3 * normal(count, classes), 3 * normal(count, classes, seed=1)
    expected = soft_targets(student, teacher, 6) / classes
    assert self_targets(student, teacher, 6).item() == pytest.approx(expected.item(), rel=1e-6)


def test_what_every_loss_must_do() -> None:
    def by_hand(logits: Tensor, _: Tensor) -> Tensor:
        return virtual_teacher_loss(logits, torch.arange(len(logits)) % 3)

    check_gradient(by_hand, normal(4, 5), normal(4, 5))
    check_half_precision(by_hand, 1000 * normal(4, 5), normal(4, 5))
    check_finite(by_hand, torch.zeros(1, 5), normal(1, 5))

    def earlier(student: Tensor, teacher: Tensor) -> Tensor:
        return self_targets(student, teacher, 6)

    check_loss(earlier, 3 * normal(4, 5), 3 * normal(4, 5, seed=1))
    check_at_rest(earlier, normal(4, 5))
    check_finite(earlier, torch.zeros(1, 5), normal(1, 5))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Weighed with cross-entropy as there, which tests the weights of the recipes too."""
    case, classes = golden_c.Case(name, dtype), GOLDEN_C[name]
    logits, labels, hyper = case[f"s/logits{classes}"], case[f"labels{classes}"], case.hyper
    cross_entropy = F.cross_entropy(logits, labels)
    if "reg" in name:
        alpha = hyper["reg_alpha"]
        own = virtual_teacher_loss(logits, labels, hyper["reg_temperature"], hyper["correct_prob"])
    else:
        alpha = hyper["alpha"]
        own = self_targets(logits, case[f"t/logits{classes}"], hyper["temperature"])
    case.compare((1 - alpha) * cross_entropy + alpha * hyper.get("multiplier", 1) * own)


def test_what_is_not_valid_is_refused() -> None:
    for correct in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=f"above 0 and below 1; got {correct}."):
            TeacherFreeKD(correct=correct)
    for temperatures in ((0.0, 20.0), (6.0, -1.0)):
        with pytest.raises(ValueError, match="finite and above 0; got"):
            TeacherFreeKD(*temperatures)
    with pytest.raises(ValueError, match=r"at least 2; got scores of shape \(2, 1\)"):
        TeacherFreeKD().check(setting(output(classes=1), output(classes=1)))


def test_mode_in_both_forms() -> None:
    """Each alone computes itself alone, and only one needs a teacher of the same classes."""
    student, teacher = output(classes=5, count=4), output(classes=5, count=4, seed=1)
    mode = TeacherFreeKD(3.0, 10.0, 0.9)
    step = step_of(student, teacher)
    by_hand = virtual_teacher_loss(student.logits, step.labels, 10.0, 0.9)
    earlier = self_targets(student.logits, teacher.logits, 3.0)
    assert mode(step) == {"tf_kd_self": earlier, "tf_kd_reg": by_hand}
    mode.active = ("tf_kd_self",)
    assert mode(step) == {"tf_kd_self": earlier}
    with pytest.raises(ValueError, match=r"student's have shape \(2, 5\) and the teacher's \(2, 6\)"):
        mode.check(setting(output(classes=5), output(classes=6)))
    mode.active = ("tf_kd_reg",)
    mode.check(setting(student))
    assert mode(step_of(student)) == {"tf_kd_reg": by_hand}
    assert not TeacherFreeKD.needs_teacher_for(mode.active)
