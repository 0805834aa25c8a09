"""Attention of class scores against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests.distill.compositions import setting
from tests.distill.properties import (
    check_at_rest,
    check_constant_teacher,
    check_finite,
    check_half_precision,
    check_layout,
    normal,
    output,
)
from tests.golden_a import Pair
from tffd.distill.lwm import ScoreAttention, class_activation, class_attention_loss
from tffd.distill.sobolev import score_gradient


def naive_activation(maps: Tensor, gradients: Tensor, form: str) -> list[list[float]]:
    found = []
    for values, slopes in zip(maps.double().flatten(2).tolist(), gradients.double().flatten(2).tolist(), strict=True):
        weights = [sum(channel) / len(channel) for channel in slopes]
        weighed = values if form == "paper" else slopes
        found.append(
            [
                max(0.0, sum(w * channel[p] for w, channel in zip(weights, weighed, strict=True)))
                for p in range(len(slopes[0]))
            ]
        )
    return found


def naive_loss(student: list[list[float]], teacher: list[list[float]]) -> float:
    total, count = 0.0, 0
    for ours, theirs in zip(student, teacher, strict=True):
        norms = [math.sqrt(sum(value**2 for value in row)) for row in (ours, theirs)]
        total += sum(abs(x / norms[0] - y / norms[1]) for x, y in zip(ours, theirs, strict=True))
        count += len(ours)
    return total / count


def test_by_hand() -> None:
    """The channels' mean slopes are 2 and -1."""
    gradients = torch.tensor([[[[1.0, 3.0]], [[-2.0, 0.0]]]])
    maps = torch.tensor([[[[1.0, 0.0]], [[1.0, 5.0]]]])
    torch.testing.assert_close(class_activation(maps, gradients, "kdzoo"), torch.tensor([[[[4.0, 6.0]]]]))
    torch.testing.assert_close(class_activation(maps, gradients, "paper"), torch.tensor([[[[1.0, 0.0]]]]))
    loss = class_attention_loss(torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[[[2.0, 0.0]]]]))
    assert loss.item() == pytest.approx((0.4 + 0.8) / 2)


@pytest.mark.parametrize("form", ["kdzoo", "paper"])
@pytest.mark.parametrize("shape", [(3, 4, 4, 4), (1, 5, 3, 6)])
def test_equals_a_naive_loop(shape: tuple[int, ...], form: str) -> None:
    each = [(normal(*shape, seed=seed).relu(), normal(*shape, seed=seed + 1)) for seed in (0, 2)]
    activations = [class_activation(*maps, form) for maps in each]  # type: ignore[arg-type]
    expected = naive_loss(*(naive_activation(*maps, form) for maps in each))
    assert class_attention_loss(*activations).item() == pytest.approx(expected, rel=1e-5)


def test_what_every_loss_must_do() -> None:
    """Of other sizes, and where nothing speaks for the class."""
    student, teacher = normal(2, 1, 4, 4).relu(), normal(2, 1, 4, 4, seed=1).relu()
    check_constant_teacher(class_attention_loss, student, teacher)
    check_half_precision(class_attention_loss, student, teacher)
    check_layout(class_attention_loss, student, teacher)
    check_at_rest(class_attention_loss, student)
    check_finite(class_attention_loss, torch.zeros(1, 1, 4, 4), normal(1, 1, 8, 8).relu())


def test_golden_a(golden_pair: Pair, golden_student: tuple[object, Tensor, Tensor]) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does; the figures' rounding is that of two passes."""
    inputs, labels = golden_student[1][:16].double().requires_grad_(), golden_student[2][:16]
    activations = []
    for network in (golden_pair.network, golden_pair.teacher_network):
        found = network(inputs)
        activations.append(
            class_activation(found.stages[1], score_gradient(found.logits, labels, found.stages[1], create_graph=True))
        )
    golden_pair.compare("lwm", class_attention_loss(*activations), forward=2e-5, gradient=1e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    student = output((3, 4, 4), (3, 4, 4))
    with pytest.raises(ValueError, match="compares one pair of stages; got 2"):
        ScoreAttention(stages=None).check(setting(student, student))
    with pytest.raises(ValueError, match="form must be one of kdzoo, paper; got 'cam'"):
        ScoreAttention("cam")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Use a teacher that was trained on the same classes"):
        ScoreAttention().check(setting(student, output((3, 4, 4), (3, 4, 4), classes=4)))
    with pytest.raises(ValueError, match="compares maps of the same pictures"):
        class_attention_loss(normal(2, 1, 4, 4), normal(1, 1, 4, 4))
