"""Activation boundaries against hand numbers, a naive loop and figures of the public code."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_finite, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.ab import ActivationBoundaries, Connector, Form, boundary_loss, boundary_loss_stages
from tffd.distill.base import FirstStage

# The teacher's pyramid, and whose form.
GOLDEN_C: dict[str, tuple[str, Form]] = {
    "rep.ab.t_eq": ("t_eq", "repdistiller"),
    "rep.ab.t_df": ("t_df", "repdistiller"),
    "rep.ab.t_sz": ("t_sz", "repdistiller"),
    "kdzoo.ab": ("t_eq", "kdzoo"),
}


def naive(student: Tensor, teacher: Tensor, margin: float) -> float:
    total = 0.0
    for s, t in zip(student.double().flatten().tolist(), teacher.double().flatten().tolist(), strict=True):
        if t <= 0 and s > -margin:
            total += (s + margin) ** 2
        elif t > 0 and s <= margin:
            total += (s - margin) ** 2
    return total / student.numel()


def test_by_hand() -> None:
    """On the right side and far enough, too near, on the wrong side; a teacher's 0 is inactive."""
    student = torch.tensor([[[[3.0, 1.0, -1.0, -3.0, 0.5]]]]).requires_grad_()
    loss = boundary_loss(student, torch.tensor([[[[0.1, 5.0, 2.0, -1.0, 0.0]]]]), 2)
    assert loss.item() == pytest.approx((0 + 1 + 9 + 0 + 2.5**2) / 5)
    loss.backward()
    torch.testing.assert_close(student.grad, torch.tensor([[[[0.0, -0.4, -1.2, 0.0, 1.0]]]]))


@pytest.mark.parametrize("margin", [1.0, 2.0, 0.3])
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 3, 2), (4, 2, 1, 1)])
def test_equals_a_naive_loop(shape: tuple[int, ...], margin: float) -> None:
    student, teacher = normal(*shape), normal(*shape, seed=1)
    assert boundary_loss(student, teacher, margin).item() == pytest.approx(naive(student, teacher, margin), rel=1e-5)


def test_both_reductions() -> None:
    """The deepest of two stages counts twice, each the sum over a picture, times 2 / 1000; or their mean."""
    student = [normal(2, 3, 4, 4), normal(2, 5, 2, 2, seed=1)]
    teacher = [normal(2, 3, 4, 4, seed=2), normal(2, 5, 2, 2, seed=3)]
    first, second = (naive(ours, theirs, 1) for ours, theirs in zip(student, teacher, strict=True))
    assert boundary_loss_stages(student, teacher).item() == pytest.approx(
        2 / 1000 * (0.5 * 48 * first + 20 * second), rel=1e-5
    )
    assert boundary_loss_stages(student, teacher, form="kdzoo").item() == pytest.approx((first + second) / 2, rel=1e-5)


@pytest.mark.parametrize("form", get_args(Form))
def test_what_every_loss_must_do(form: Form) -> None:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return boundary_loss_stages([student], [teacher], 1, form)

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1))
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 4, 4))
    check_finite(loss, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))


def test_a_teacher_is_equalled_beyond_the_margin() -> None:
    """Only signs count: an equal map is at rest where it is farther than the margin from 0."""
    teacher = normal(2, 3, 4, 4)
    assert boundary_loss(10 * teacher.sign(), teacher, 2).item() == 0


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Values, the student's gradients, and those of connectors where shapes differ. The Zoo's figure is a sum."""
    case, (pyramid, form) = golden_c.Case(name, dtype), GOLDEN_C[name]
    ours, theirs = ([case[f"{group}/p{stage}"] for stage in (1, 2, 3)] for group in ("s", pyramid))
    holder = nn.Module()
    holder.connectors = nn.ModuleList(
        nn.Identity() if our.shape == their.shape else Connector(our.shape[1:], their.shape[1:])
        for our, their in zip(ours, theirs, strict=True)
    )
    if pyramid != "t_eq":
        case.load(holder, f"w/{name}")
    made = [connector(our) for connector, our in zip(holder.connectors, ours, strict=True)]
    margin = case.hyper["margin"]
    loss = boundary_loss_stages(made, theirs, margin, form)
    case.compare(3 * loss if form == "kdzoo" else loss)


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does, before its weight."""
    ours, theirs = golden_pair.student.preacts, golden_pair.teacher.preacts
    golden_pair.compare("ab", boundary_loss_stages(ours, theirs, 2, "kdzoo"))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"student's is \(2, 3, 4, 4\) and the teacher's \(2, 3, 2, 2\)"):
        boundary_loss(normal(2, 3, 4, 4), normal(2, 3, 2, 2), 1)
    with pytest.raises(ValueError, match="the student has 1 and the teacher 0"):
        boundary_loss_stages([normal(2, 3, 4, 4)], [])
    for margin in (0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"finite and above 0; got {margin}."):
            ActivationBoundaries(margin)
    with pytest.raises(ValueError, match="form must be one of repdistiller, kdzoo; got 'paper'"):
        ActivationBoundaries(form="paper")  # type: ignore[arg-type]


def test_mode_has_connectors_where_shapes_differ() -> None:
    """In its first stage, which is all of it unless it is kept; every connector learns."""
    student, teacher = output((3, 8, 8), (4, 4, 4)), output((3, 8, 8), (6, 8, 8), seed=1)
    mode = ActivationBoundaries()
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    assert isinstance(mode.connectors[0], nn.Identity) and isinstance(mode.connectors[1], Connector)
    made = [connector(maps) for connector, maps in zip(mode.connectors, student.preacts, strict=True)]
    loss = mode.first_stage_terms(step_of(student, teacher))["ab"]
    assert loss.item() == pytest.approx(boundary_loss_stages(made, teacher.preacts).item(), rel=1e-6)
    loss.backward()
    assert all(weight.grad is not None for weight in mode.parameters())
    assert mode.first_stage == FirstStage(30, 0.2, student=True, only=True)
    assert ActivationBoundaries(first_stage_epochs=0, after="keep").first_stage is None
    with pytest.raises(ValueError, match=r"the student's is \(4, 4, 4\) and the teacher's \(6, 8, 8\). Set connector"):
        ActivationBoundaries(connector=False).check(setting(student, teacher))
    with pytest.raises(ValueError, match="Choose another pair of stages"):
        ActivationBoundaries(stages=[[2, 1]]).check(setting(student, output((3, 6, 6), (6, 8, 8))))
