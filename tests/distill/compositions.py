"""Compositions of kd_modes for tests of what is around them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tffd.distill import Distillation, DistillMode, Networks, Setting, Step, Weighing
from tffd.distill.teacher_free import TeacherFree
from tffd.models import ModelOutput


def composed(modes: Mapping[str, tuple[DistillMode, Mapping[str, float]]]) -> Distillation:
    """Put modes together, each with the weights of its terms."""
    weighing = {name: Weighing(weights) for name, (_, weights) in modes.items()}
    return Distillation({name: mode for name, (mode, _) in modes.items()}, weighing)


def baseline() -> Distillation:
    """Return cross-entropy alone."""
    return composed({})


def tfd(intra: float = 0.05, inter: float = 0.05) -> Distillation:
    """Return Tf-FD with these lambdas."""
    return composed({"tfd": (TeacherFree(), {"intra": intra, "inter": inter})})


def step_of(
    student: ModelOutput, teacher: ModelOutput | None = None, labels: Tensor | None = None, epoch: int = 1
) -> Step:
    """Return a step in which networks answered so."""
    count = len(student.logits)
    labels = torch.arange(count) % student.logits.shape[1] if labels is None else labels
    networks = Networks(nn.Identity(), nn.Identity() if teacher else None)
    return Step(torch.zeros(count, 3, 8, 8), labels, torch.arange(count), epoch, 0, student, teacher, None, networks)


def setting(student: ModelOutput, teacher: ModelOutput | None = None, pictures: int = 10) -> Setting:
    """Return a setting of networks with such outputs."""
    return Setting(student, teacher, student.logits.shape[1], pictures, 3, nn.Identity)
