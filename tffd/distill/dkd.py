"""Decoupled knowledge distillation: the kd_mode, and the pure functions of class scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.st import standardise_logits
from tffd.tensors import in_float32, require_logits, require_temperature, shape_of


class Decoupled(DistillMode):
    """Soft targets in two parts that are weighed apart; see `target_class_loss` and `other_classes_loss`.

    Args:
        temperature: T > 0.
        standardise: Whether both networks' scores are standardised first.
    """

    terms = ("tckd", "nckd")
    needs_teacher = True

    def __init__(self, temperature: float = 4.0, standardise: bool = False) -> None:
        super().__init__()
        require_temperature(temperature)
        self.temperature, self.standardise = temperature, standardise

    def check(self, setting: Setting) -> None:
        require_logits("dkd", setting.student.logits, setting.teacher_output.logits)
        if "nckd" in self.active and setting.classes < 3:
            raise ValueError(
                f"nckd compares the probabilities of the classes other than the right one, so it needs at least 3 "
                f"classes; there are {setting.classes}. Set weights.nckd=0: tckd is all of soft targets for 2 classes."
            )

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = {"tckd": target_class_loss, "nckd": other_classes_loss}
        ours, theirs = in_float32(step.student.logits), in_float32(step.teacher_output.logits)
        if self.standardise:
            ours, theirs = standardise_logits(ours), standardise_logits(theirs)
        return {term: losses[term](ours, theirs, step.labels, self.temperature) for term in self.active}


def target_class_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Pull the probability that the student gives the right class towards the teacher's (TCKD).

    T^2 * mean over b of q * log(q / p) + (1 - q) * log((1 - q) / (1 - p)),
    p = softmax(student[b] / T)[labels[b]], q = the teacher's

    The source takes logarithms of sums of probabilities, which are -inf once p or 1 - p is no float any more; these
    are sums of exponentials of scores.

    Args:
        student_logits: Class scores before the softmax, [B, K], K >= 2.
        teacher_logits: The teacher's for the same pictures, [B, K]; they receive no gradient.
        labels: Right classes, [B].
        temperature: T > 0; the published one is 4.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of one shape, there are too few classes, or the temperature is not
            finite and above 0.
    Source: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022; mdistiller/distillers/DKD.py at a08d46f.
    """
    _require("target_class_loss", student_logits, teacher_logits, temperature, classes=2)
    log_p = _binary(in_float32(student_logits) / temperature, labels)
    log_q = _binary(in_float32(teacher_logits.detach()) / temperature, labels)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2


def other_classes_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Pull the probabilities that the student gives the wrong classes among each other towards the teacher's (NCKD).

    T^2 * mean over b of sum over k of q[b, k] * log(q[b, k] / p[b, k]),
    p = softmax(student / T) over the classes other than the right one, q = the teacher's

    The source subtracts 1000 from the right class's score; here it is left out.

    Args:
        student_logits: Class scores before the softmax, [B, K], K >= 3.
        teacher_logits: The teacher's for the same pictures, [B, K]; they receive no gradient.
        labels: Right classes, [B].
        temperature: T > 0; the published one is 4.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: See `target_class_loss`.
    Source: See `target_class_loss`.
    """
    _require("other_classes_loss", student_logits, teacher_logits, temperature, classes=3)
    log_p = F.log_softmax(_others(in_float32(student_logits), labels) / temperature, dim=1)
    log_q = F.log_softmax(_others(in_float32(teacher_logits.detach()), labels) / temperature, dim=1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2


def _binary(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logarithms of the probabilities of the right class and of all others, [B, 2]."""
    right = logits.gather(1, labels[:, None])
    both = torch.cat([right, _others(logits, labels).logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(both, dim=1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the scores of the classes other than the right one, [B, K - 1]."""
    columns = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(labels), -1)
    return logits.gather(1, columns + (columns >= labels[:, None]))


def _require(function: str, student: Tensor, teacher: Tensor, temperature: float, classes: int) -> None:
    require_logits(function, student, teacher)
    require_temperature(temperature)
    if student.shape[1] < classes:
        raise ValueError(f"{function} needs at least {classes} classes; got shape {shape_of(student)}.")
