"""One training step: both networks are shown a batch, and the losses of the run are made of what they return."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.data import Batch
from tffd.distill import Distillation, Networks, Step


@dataclass
class Learners:
    """What is trained, and what it learns from.

    Attributes:
        student: The network whose accuracy counts.
        distillation: The kd_modes, whose own parts are trained along.
        teacher: A network that is not trained; None where no mode needs one.
    """

    student: nn.Module
    distillation: Distillation
    teacher: nn.Module | None = None

    def __post_init__(self) -> None:
        if self.teacher is not None:
            self.teacher.eval().requires_grad_(False)

    @property
    def networks(self) -> Networks:
        """Both networks."""
        return Networks(self.student, self.teacher)


StepFunction = Callable[[Learners, Batch, int, int, Mapping[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]
"""Learners, batch, epoch, seed of the step and the modes' warm-up factors to the loss, and what is logged of it."""


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[object]:
    """bfloat16 autocast, or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext()


def batch_losses(
    learners: Learners, batch: Batch, epoch: int, draw: int, factors: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss to minimise, and detached scalars: batch means, and the number of correct pictures."""
    step = look(learners, batch, epoch, draw, learners.distillation.asks_teacher)
    cross_entropy = F.cross_entropy(step.student.logits, batch.labels)
    terms = learners.distillation(step)
    loss = learners.distillation.weigh(cross_entropy, terms, factors)
    parts = {"train_loss": loss, "train_ce": cross_entropy, **terms}
    correct = (step.student.logits.argmax(dim=1) == batch.labels).sum()
    return loss, {name: part.detach() for name, part in parts.items()} | {"train_top1": correct}


def first_stage_losses(
    learners: Learners, batch: Batch, epoch: int, draw: int, factors: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a first stage and its terms; cross-entropy takes no part."""
    staged = learners.distillation.staged
    assert staged is not None
    step = look(learners, batch, epoch, draw, staged.needs_teacher)
    terms = staged.first_stage_terms(step)
    loss = learners.distillation.weigh_first_stage(terms)
    if staged.first_stage is not None and staged.first_stage.decay_all:
        loss = loss + 0.0 * step.student.logits.float().sum()  # gradients of 0, on which weight decay acts
    return loss, {name: part.detach() for name, part in {"train_loss": loss, **terms}.items()}


def look(learners: Learners, batch: Batch, epoch: int, draw: int, asks_teacher: bool) -> Step:
    """Show a batch to the student, and to the teacher if it is asked."""
    distillation, inputs = learners.distillation, batch.inputs
    if distillation.input_gradient:
        inputs = inputs.detach().requires_grad_()
    student = learners.student(inputs)
    teacher = None
    if learners.teacher is not None and asks_teacher:
        with torch.set_grad_enabled(distillation.input_gradient):
            teacher = learners.teacher(inputs)
    return Step(
        inputs, batch.labels, batch.index, epoch, draw, student, teacher, batch.partner, learners.networks,
        batch.repeated,
    )  # fmt: skip
