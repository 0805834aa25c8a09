"""Label smoothing against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_finite, check_gradient, check_half_precision, normal, output
from tffd.distill.label_smoothing import Form, LabelSmoothing, smoothed_cross_entropy

# Scores and labels, and whose form.
GOLDEN_C: dict[str, tuple[str, str, Form]] = {
    "torch.ls.k10": ("s/logits10", "labels10", "torch"),
    "torch.ls.k100": ("s/logits100", "labels100", "torch"),
    "tfkd.ls.k10": ("s/logits10", "labels10", "tfkd"),
    "tfkd.ls.k100": ("s/logits100", "labels100", "tfkd"),
}
FORMS: list[Form] = ["torch", "tfkd"]


def naive(logits: Tensor, labels: Tensor, smoothing: float, form: Form) -> float:
    total, classes = 0.0, logits.shape[1]
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(score) for score in row))
        for k, score in enumerate(row):
            if form == "torch":
                target = (1 - smoothing) * (k == label) + smoothing / classes
            else:
                target = 1 - smoothing if k == label else smoothing / (classes - 1)
            total -= target * (score - log_sum)
    return total / len(labels)


def test_by_hand() -> None:
    """Two equal scores cost log 2 under any labels; the gradient is the softmax minus the labels."""
    logits = torch.zeros(1, 2, requires_grad=True)
    for form, right in (("torch", 0.9), ("tfkd", 0.8)):
        loss = smoothed_cross_entropy(logits, torch.tensor([0]), 0.2, form)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == pytest.approx(math.log(2))
        torch.testing.assert_close(gradient, torch.tensor([[0.5 - right, right - 0.5]]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("count", "classes"), [(1, 2), (2, 3), (5, 7)])
@pytest.mark.parametrize("smoothing", [0, 0.1, 0.7])
def test_equals_a_naive_loop(count: int, classes: int, smoothing: float, form: Form) -> None:
    logits, labels = 3 * normal(count, classes), torch.arange(count) % classes
    loss = smoothed_cross_entropy(logits, labels, smoothing, form)
    assert loss.item() == pytest.approx(naive(logits, labels, smoothing, form), rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_what_every_loss_must_do(form: Form) -> None:
    """The labels stand where a teacher would."""

    def loss(logits: Tensor, _: Tensor) -> Tensor:
        return smoothed_cross_entropy(logits, torch.arange(len(logits)) % 3, 0.1, form)

    check_gradient(loss, normal(4, 5), normal(4, 5))
    check_half_precision(loss, 1000 * normal(4, 5), normal(4, 5))
    check_finite(loss, torch.zeros(1, 5), normal(1, 5))


def test_no_smoothing_is_cross_entropy() -> None:
    logits, labels = normal(4, 5), torch.tensor([0, 4, 2, 2])
    for form in FORMS:
        assert smoothed_cross_entropy(logits, labels, 0, form).item() == pytest.approx(
            F.cross_entropy(logits, labels).item(), rel=1e-6
        )


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    case, (logits, labels, form) = golden_c.Case(name, dtype), GOLDEN_C[name]
    smoothing = case.hyper["label_smoothing" if form == "torch" else "alpha"]
    case.compare(smoothed_cross_entropy(case[logits], case[labels], smoothing, form))


def test_what_is_not_valid_is_refused() -> None:
    for smoothing in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=f"at least 0 and below 1; got {smoothing}."):
            LabelSmoothing(smoothing)
    with pytest.raises(ValueError, match="form must be one of torch, tfkd; got 'zoo'."):
        LabelSmoothing(form="zoo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs non-empty class scores"):
        smoothed_cross_entropy(normal(3), torch.zeros(3, dtype=torch.int64), 0.1)


def test_one_class_has_no_others() -> None:
    only = output(classes=1)
    LabelSmoothing().check(setting(only))
    with pytest.raises(ValueError, match=r"none in scores of shape \(2, 1\); use form=torch"):
        LabelSmoothing(form="tfkd").check(setting(only))


def test_mode_is_the_loss_with_its_settings() -> None:
    step = step_of(output(classes=5, count=4))
    expected = smoothed_cross_entropy(step.student.logits, step.labels, 0.3, "tfkd")
    assert LabelSmoothing(0.3, "tfkd")(step) == {"label_smoothing": expected}
