"""Sobolev training: the kd_mode, and the pure function of gradients with respect to the pictures."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits, shape_of, unit_vectors


class Sobolev(DistillMode):
    """The score of the right class rises in the same direction of the picture as the teacher's; see `jacobian_loss`."""

    terms = ("sobolev",)
    needs_teacher = True
    input_gradient = True
    compiles = False  # it differentiates twice

    def check(self, setting: Setting) -> None:
        require_logits("sobolev", setting.student.logits, setting.teacher_output.logits)

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours = score_gradient(step.student.logits, step.labels, step.inputs, create_graph=True)
        theirs = score_gradient(step.teacher_output.logits, step.labels, step.inputs)
        return {"sobolev": jacobian_loss(ours, theirs)}


def score_gradient(logits: Tensor, labels: Tensor, of: Tensor, create_graph: bool = False) -> Tensor:
    """Differentiate each picture's score of its own class.

    Args:
        logits: Class scores, [B, K], of a network that does not mix the pictures of a batch, or mixes them by batch
            norm alone, whose share is kept as the sources keep it.
        labels: Classes, [B].
        of: What they were computed from, [B, ...].
        create_graph: Whether the gradient is differentiated in its turn.
    Returns:
        Gradients, [B, ...].
    """
    scores = logits.gather(1, labels[:, None]).sum()
    return torch.autograd.grad(scores, of, create_graph=create_graph, retain_graph=True)[0]


def jacobian_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the direction of a student's gradients towards that of a teacher's.

    mean((s[b] / ||s[b]||_2 - t[b] / ||t[b]||_2) ** 2) over all elements; a gradient of zeros stays one

    Args:
        student: Gradients of scores, [B, ...].
        teacher: Those of the teacher, of the same shape; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half precision.
    Raises:
        ValueError: If the shapes differ, or the gradients are empty or without a dimension beside the batch.
    Source: Czarnecki et al., "Sobolev Training for Neural Networks", NIPS 2017, and Srinivas and Fleuret, "Knowledge
        Transfer with Jacobian Matching", ICML 2018; kd_losses/sobolev.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    if student.shape != teacher.shape or student.ndim < 2 or student.numel() == 0:
        raise ValueError(
            f"jacobian_loss needs non-empty gradients [B, ...] of one shape; the student's is {shape_of(student)} and "
            f"the teacher's {shape_of(teacher)}."
        )
    ours, theirs = (unit_vectors(in_float32(each).flatten(1)) for each in (student, teacher.detach()))
    return F.mse_loss(ours, theirs)
