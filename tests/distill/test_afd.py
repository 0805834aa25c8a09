"""Attentive features against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tffd.distill.afd import AttentiveFeatures, ChannelAttention, attentive_loss

GOLDEN_C = {"kdzoo.afd": ("s/f2", "t_eq/f2")}


def naive(student: Tensor, teacher: Tensor, attention: Tensor) -> float:
    total = 0.0
    for ours, theirs, weights in zip(
        student.double().flatten(2).tolist(), teacher.double().flatten(2).tolist(), attention.tolist(), strict=True
    ):
        for our, their, weight in zip(ours, theirs, weights, strict=True):
            first, second = (math.sqrt(sum(x**2 for x in channel)) + 1e-6 for channel in (our, their))
            total += weight * sum((x / first - y / second) ** 2 for x, y in zip(our, their, strict=True)) / len(our)
    return total / len(student)


def test_by_hand() -> None:
    """One channel is off by (.4, .8), and the other, whose attention is 3 times as large, agrees."""
    student = torch.tensor([[[[3.0, 4.0]], [[1.0, 0.0]]]])
    teacher = torch.tensor([[[[2.0, 0.0]], [[5.0, 0.0]]]])
    loss = attentive_loss(student, teacher, torch.tensor([[0.25, 0.75]]))
    assert loss.item() == pytest.approx(0.25 * (0.4**2 + 0.8**2) / 2, rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 3, 2), (4, 2, 1, 2)])
def test_equals_a_naive_loop(shape: tuple[int, ...]) -> None:
    """Of one picture too, for which the source fails."""
    student, teacher, attention = normal(*shape), normal(*shape, seed=1), normal(*shape[:2], seed=2).softmax(1)
    expected = naive(student, teacher, attention)
    assert attentive_loss(student, teacher, attention).item() == pytest.approx(expected, rel=1e-5)


def test_what_every_loss_must_do() -> None:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return attentive_loss(student, teacher, torch.full(student.shape[:2], 0.25).to(student))

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1))
    check_at_rest(loss, normal(2, 3, 4, 4))
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 8, 8))
    check_finite(loss, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))


def test_attention_adds_up_to_1() -> None:
    """For one picture too; the middle has at least one channel."""
    attention = ChannelAttention(3, 0.1)
    assert attention.attention[0].weight.shape == (1, 3, 1, 1)
    found = attention(normal(1, 3, 4, 4))
    assert found.shape == (1, 3) and found.sum().item() == pytest.approx(1) and found.min() > 0


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Value, the student's gradient and those of the attention's weights."""
    case, (ours, theirs) = golden_c.Case(name, dtype), GOLDEN_C[name]
    attention = case.load(ChannelAttention(case[theirs].shape[1], case.hyper["att_f"]), f"w/{name}")
    case.compare(attentive_loss(case[ours], case[theirs], attention(case[theirs])))


def test_what_cannot_be_compared_is_refused() -> None:
    maps = normal(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"teacher's \(2, 5, 4, 4\) and the attention \(2, 3\)"):
        attentive_loss(maps, normal(2, 5, 4, 4), normal(2, 3))
    with pytest.raises(ValueError, match="stages 1 and 1 of student and teacher have 3 and 5 channels"):
        AttentiveFeatures().check(setting(output((3, 4, 4)), output((5, 4, 4))))
    with pytest.raises(ValueError, match="factor must be above 0; got 0"):
        AttentiveFeatures(0)


def test_mode_has_an_attention_for_each_pair() -> None:
    """Of networks of other depths and sizes; all of its weights learn."""
    student, teacher = output((3, 4, 4), (4, 4, 4)), output((3, 8, 8), (5, 8, 8), (4, 2, 2), seed=1)
    mode = AttentiveFeatures(stages=[[1, 1], [2, 3]])
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    theirs = (teacher.stages[0], teacher.stages[2])
    triples = zip(student.stages, theirs, mode.attentions, strict=True)
    each = [attentive_loss(ours, their, attention(their)) for ours, their, attention in triples]
    loss = mode(step_of(student, teacher))["afd"]
    assert loss.item() == pytest.approx(sum(each).item() / 2, rel=1e-6)  # type: ignore[union-attr]
    loss.backward()
    assert len(list(mode.parameters())) == 8
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in mode.parameters())
