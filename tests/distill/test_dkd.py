"""Decoupled distillation against hand numbers, a naive loop and figures of the public code."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tffd.distill.dkd import Decoupled, other_classes_loss, target_class_loss
from tffd.distill.st import soft_targets, standardise_logits

LOSSES = [target_class_loss, other_classes_loss]
# The number of classes, and whether scores are standardised.
GOLDEN_C = {
    "mdist.dkd.k10": (10, False),
    "mdist.dkd.k100": (100, False),
    "mdist.dkd.t2": (10, False),
    "lskd.dkd.k10.t2": (10, True),
    "lskd.dkd.k100.t2": (100, True),
    "lskd.dkd.k100.t4": (100, True),
}


def naive_softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(score / temperature) for score in row]
    return [power / sum(powers) for power in powers]


def naive(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> tuple[float, float]:
    target = others = 0.0
    for ours, theirs, label in zip(student.double().tolist(), teacher.double().tolist(), labels.tolist(), strict=True):
        p, q = naive_softmax(ours, temperature), naive_softmax(theirs, temperature)
        right, wrong = (p[label], q[label]), (1 - p[label], 1 - q[label])
        target += sum(y * math.log(y / x) for x, y in (right, wrong))
        rest = [k for k in range(len(p)) if k != label]
        others += sum(q[k] / wrong[1] * math.log(q[k] / wrong[1] / (p[k] / wrong[0])) for k in rest)
    return tuple(temperature**2 * total / len(labels) for total in (target, others))  # type: ignore[return-value]


def labels_of(count: int, classes: int) -> Tensor:
    return torch.arange(count) * 2 % classes


def test_by_hand() -> None:
    """The student says 1/2 right and 1/4, 1/4; the teacher 1/4 right and 1/2, 1/4."""
    student, teacher = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()
    label = torch.tensor([0])
    target = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    others = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)
    assert target_class_loss(student, teacher, label, 1).item() == pytest.approx(target, rel=1e-5)
    assert other_classes_loss(student, teacher, label, 1).item() == pytest.approx(others, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 3), (2, 10), (5, 100)])
@pytest.mark.parametrize("temperature", [1, 4.0, 0.5])
def test_equal_naive_loops(shape: tuple[int, int], temperature: float) -> None:
    student, teacher, labels = 3 * normal(*shape), 3 * normal(*shape, seed=1), labels_of(*shape)
    found = [loss(student, teacher, labels, temperature).item() for loss in LOSSES]
    assert found == pytest.approx(naive(student, teacher, labels, temperature), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("temperature", [1, 4.0])
def test_parts_are_those_of_soft_targets(temperature: float) -> None:
    """KD = TCKD + (1 - q) NCKD for each picture, q the right class's probability: equation 7 of the paper."""
    student, teacher = 3 * normal(1, 6), 3 * normal(1, 6, seed=1)
    target, others = (loss(student, teacher, torch.tensor([2]), temperature).item() for loss in LOSSES)
    wrong = 1 - (teacher / temperature).softmax(dim=1)[0, 2].item()
    assert target + wrong * others == pytest.approx(soft_targets(student, teacher, temperature).item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_every_loss_must_do(loss: Callable[..., Tensor]) -> None:
    def of_labels(student: Tensor, teacher: Tensor) -> Tensor:
        return loss(student, teacher, labels_of(*student.shape), 4)

    check_loss(of_labels, normal(3, 5), normal(3, 5, seed=1), scale=1000)
    check_at_rest(of_labels, normal(3, 5))
    check_finite(of_labels, 1e4 * normal(1, 5), -1e4 * normal(1, 5))


def test_probabilities_that_are_no_floats_any_more() -> None:
    """The source's logarithm is -inf there; the loss is the distance of the scores."""
    student, teacher, label = (
        torch.tensor([[-200.0, 0.0, 0.0]]),
        torch.tensor([[0.0, -200.0, -200.0]]),
        torch.tensor([0]),
    )
    assert target_class_loss(student, teacher, label, 1).item() == pytest.approx(200 + math.log(2), rel=1e-6)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Both parts, and the gradient of their weighted sum."""
    case, (classes, standardise) = golden_c.Case(name, dtype), GOLDEN_C[name]
    student, teacher, labels = (case[f"{key}{classes}"] for key in ("s/logits", "t/logits", "labels"))
    if standardise:
        student, teacher = standardise_logits(student), standardise_logits(teacher)
    target, others = (loss(student, teacher, labels, case.hyper["T"]) for loss in LOSSES)
    case.compare(case.hyper["alpha"] * target + case.hyper["beta"] * others, tckd=target, nckd=others)


def test_what_cannot_be_compared_is_refused() -> None:
    label = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"student's have shape \(2, 5\) and the teacher's \(2, 6\)"):
        target_class_loss(normal(2, 5), normal(2, 6), label, 4)
    with pytest.raises(ValueError, match="finite and above 0; got 0."):
        Decoupled(temperature=0)
    for loss, classes in ((target_class_loss, 2), (other_classes_loss, 3)):
        scores = normal(2, classes - 1)
        with pytest.raises(ValueError, match=f"{loss.__name__} needs at least {classes} classes; got shape"):
            loss(scores, scores, label % (classes - 1), 4)


def test_mode_computes_the_terms_that_count() -> None:
    student, teacher = output(classes=5, count=4), output(classes=5, count=4, seed=1)
    step, mode = step_of(student, teacher), Decoupled(temperature=2, standardise=True)
    mode.check(setting(student, teacher))
    ours, theirs = standardise_logits(student.logits), standardise_logits(teacher.logits)
    expected = {
        "tckd": target_class_loss(ours, theirs, step.labels, 2),
        "nckd": other_classes_loss(ours, theirs, step.labels, 2),
    }
    assert mode(step) == expected
    mode.active = ("nckd",)
    assert mode(step) == {"nckd": expected["nckd"]}


def test_mode_refuses_two_classes() -> None:
    """There is one other class, of probability 1 in both networks."""
    two, mode = setting(output(classes=2), output(classes=2)), Decoupled()
    with pytest.raises(ValueError, match="needs at least 3 classes; there are 2. Set weights.nckd=0"):
        mode.check(two)
    mode.active = ("tckd",)
    mode.check(two)
    with pytest.raises(ValueError, match="Use a teacher that was trained on the same classes"):
        Decoupled().check(setting(output(classes=4), output(classes=5)))
