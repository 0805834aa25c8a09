"""Regression of the class scores: the kd_mode, and the loss."""

from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits


class Logits(DistillMode):
    """The student's class scores become the teacher's; see `logit_regression`."""

    terms = ("logits",)
    needs_teacher = True

    def check(self, setting: Setting) -> None:
        logit_regression(setting.student.logits, setting.teacher_output.logits)

    def forward(self, step: Step) -> dict[str, Tensor]:
        return {"logits": logit_regression(step.student.logits, step.teacher_output.logits)}


def logit_regression(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Pull the student's class scores towards the teacher's.

    mean((student - teacher) ** 2) over pictures and classes

    The paper halves the sum over the classes; its factor is part of the weight here, as in the source.

    Args:
        student_logits: Class scores before the softmax, [B, K].
        teacher_logits: The teacher's for the same pictures, [B, K]; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of one shape.
    Source: Ba and Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014; kd_losses/logits.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """
    require_logits("logit_regression", student_logits, teacher_logits)
    return F.mse_loss(in_float32(student_logits), in_float32(teacher_logits.detach()))
