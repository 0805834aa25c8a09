"""What every loss must do, whatever it compares; each test file says on what."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tffd.models import ModelOutput

Loss = Callable[[Tensor, Tensor], Tensor]
"""The student's tensor and the teacher's to a scalar."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Return random numbers with both signs."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def output(
    *stages: tuple[int, ...],
    pooled: int = 4,
    classes: int = 3,
    count: int = 2,
    seed: int = 0,
    channels_last: bool = False,
) -> ModelOutput:
    """Return what a network with such stages (C, H, W) could return: after a ReLU, and before it."""
    before = tuple(normal(count, *stage, seed=seed + number) for number, stage in enumerate(stages))
    if channels_last:
        before = tuple(maps.contiguous(memory_format=torch.channels_last) for maps in before)
    vector, scores = normal(count, pooled, seed=seed + 100).relu(), normal(count, classes, seed=seed + 101)
    after = tuple(maps.relu() for maps in before)
    return ModelOutput(scores, after, before, after[0] if after else vector, vector)


def check_loss(loss: Loss, student: Tensor, teacher: Tensor, scale: float = 300) -> None:
    """Check the right gradient, a constant teacher, precision and layout of a loss that has no parts of its own.

    Args:
        scale: Of the numbers in half precision: float16 has no square of 300, and no number above 65504.
    """
    check_gradient(loss, student, teacher)
    check_constant_teacher(loss, student, teacher)
    check_half_precision(loss, scale * student, scale * teacher)
    if student.ndim == 4:
        check_layout(loss, student, teacher)


def check_gradient(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """Finite differences in float64 give the gradient."""
    constant = teacher.double()
    assert torch.autograd.gradcheck(lambda ours: loss(ours, constant), student.double().requires_grad_())


def check_constant_teacher(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """The student receives a gradient; the teacher receives none, even if it could."""
    ours, theirs = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    value = loss(ours, theirs)
    assert value.shape == () and value.dtype == torch.float32
    value.backward()
    assert theirs.grad is None and ours.grad is not None and ours.grad.abs().sum() > 0


def check_half_precision(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """Under autocast too, the same number as for the same numbers in float32, and a finite gradient."""
    for dtype in (torch.bfloat16, torch.float16):
        ours, theirs = student.to(dtype).requires_grad_(), teacher.to(dtype)
        expected = loss(ours.float(), theirs.float())
        for autocast in (False, True):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                value = loss(ours, theirs)
            assert value.dtype == torch.float32 and value.isfinite() and value.item() == expected.item()
            (gradient,) = torch.autograd.grad(value, ours)
            assert gradient.dtype == dtype and gradient.isfinite().all()


def check_layout(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """Maps in channels_last give what contiguous ones give, but for the order of sums."""
    last = [maps.contiguous(memory_format=torch.channels_last) for maps in (student, teacher)]
    assert loss(*last).item() == pytest.approx(loss(student, teacher).item(), rel=1e-5)


def check_at_rest(loss: Loss, student: Tensor, zero: float = 1e-6) -> None:
    """Equal networks have no loss and no gradient, but for rounding."""
    ours = student.clone().requires_grad_()
    value = loss(ours, student)
    (gradient,) = torch.autograd.grad(value, ours)
    assert abs(value.item()) <= zero and gradient.abs().max().item() <= zero


def check_finite(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    """Value and gradient are finite, such as for one picture, or for maps of zeros."""
    ours = student.clone().requires_grad_()
    value = loss(ours, teacher)
    (gradient,) = torch.autograd.grad(value, ours)
    assert value.isfinite() and gradient.isfinite().all()
