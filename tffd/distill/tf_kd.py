"""Teacher-free knowledge distillation (Tf-KD) in its two forms: the kd_mode, and the pure functions of class scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits, require_temperature, shape_of


class TeacherFreeKD(DistillMode):
    """The student follows itself as it was after an earlier training, or a teacher made by hand.

    The first needs that earlier self as the teacher: a checkpoint of the same network. Any other teacher will do as
    well, which the source calls its normal distillation.

    Args:
        temperature: The temperature of `self_targets`.
        reg_temperature: The temperature of `virtual_teacher_loss`, which softens the teacher alone.
        correct: What the teacher made by hand believes of the right class.
    """

    terms = ("tf_kd_self", "tf_kd_reg")
    needs_teacher = True
    free_terms = ("tf_kd_reg",)

    def __init__(self, temperature: float = 6.0, reg_temperature: float = 20.0, correct: float = 0.99) -> None:
        super().__init__()
        require_temperature(temperature)
        require_temperature(reg_temperature)
        _require_share(correct)
        self.temperature, self.reg_temperature, self.correct = temperature, reg_temperature, correct

    def check(self, setting: Setting) -> None:
        if "tf_kd_self" in self.active:
            self_targets(setting.student.logits, setting.teacher_output.logits, self.temperature)
        if "tf_kd_reg" in self.active:
            _require_classes(setting.student.logits)

    def forward(self, step: Step) -> dict[str, Tensor]:
        logits = step.student.logits
        terms = {}
        if "tf_kd_self" in self.active:
            terms["tf_kd_self"] = self_targets(logits, step.teacher_output.logits, self.temperature)
        if "tf_kd_reg" in self.active:
            terms["tf_kd_reg"] = virtual_teacher_loss(logits, step.labels, self.reg_temperature, self.correct)
        return terms


def self_targets(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Pull the student's softened class probabilities towards those of its earlier self.

    T^2 * mean over b and k of q[b, k] * (log q[b, k] - log p[b, k]),
    p = softmax(student / T), q = softmax(teacher / T)

    This is `tffd.distill.st.soft_targets` divided by the number of classes, as the source averages over them too.

    Args:
        student_logits: Class scores before the softmax, [B, K].
        teacher_logits: The earlier self's for the same pictures, [B, K]; they receive no gradient.
        temperature: T > 0.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of one shape, or the temperature is not finite and above 0.
    Source: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020; loss_kd_self
        and loss_kd (my_loss_function.py of Teacher-free-Knowledge-Distillation at d000ab3).
    """
    require_logits("self_targets", student_logits, teacher_logits)
    require_temperature(temperature)
    log_p = F.log_softmax(in_float32(student_logits) / temperature, dim=1)
    log_q = F.log_softmax(in_float32(teacher_logits.detach()) / temperature, dim=1)
    # reduction="mean" warns that this is not the divergence; here it is meant.
    divergence = F.kl_div(log_p, log_q, reduction="sum", log_target=True) / log_p.numel()
    return divergence * temperature**2


def virtual_teacher_loss(logits: Tensor, labels: Tensor, temperature: float = 20.0, correct: float = 0.99) -> Tensor:
    """Pull the student's class probabilities towards a teacher made by hand, which is right with great certainty.

    mean over b and k of q[b, k] * (log q[b, k] - log p[b, k]), p = softmax(logits), q = softmax(v / T),
    v = c for the right class, (1 - c) / (K - 1) for the others

    As in the source, v is a vector of probabilities that passes through a softmax all the same, the student is not
    divided by T, and there is no factor T^2. The paper has T on both sides.

    Args:
        logits: Class scores before the softmax, [B, K], K >= 2.
        labels: Classes, [B].
        temperature: T > 0.
        correct: c, above 0 and below 1.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of at least 2 classes, or an option is not valid.
    Source: As of `self_targets`, section 5; loss_kd_regularization of the same file.
    """
    require_logits("virtual_teacher_loss", logits)
    require_temperature(temperature)
    _require_share(correct)
    _require_classes(logits)
    log_p = F.log_softmax(in_float32(logits), dim=1)
    believed = torch.full_like(log_p, (1 - correct) / (log_p.shape[1] - 1)).scatter(1, labels[:, None], correct)
    log_q = F.log_softmax(believed / temperature, dim=1)
    return F.kl_div(log_p, log_q, reduction="sum", log_target=True) / log_p.numel()


def _require_share(correct: float) -> None:
    if not 0 < correct < 1:
        raise ValueError(f"correct is a probability, above 0 and below 1; got {correct}.")


def _require_classes(logits: Tensor) -> None:
    if logits.shape[1] < 2:
        raise ValueError(
            f"the teacher made by hand is sure of one class against others, so there must be at least 2; got scores "
            f"of shape {shape_of(logits)}. Train on more classes."
        )
