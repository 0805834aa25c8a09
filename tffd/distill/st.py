"""Soft targets, the distillation of Hinton et al.: the kd_mode, and the pure functions of class scores."""

from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits, require_temperature, shape_of

_STANDARD_DEVIATION_EPS = 1e-7  # the reference's guard of a picture whose scores are all equal


class SoftTargets(DistillMode):
    """The student's softened probabilities follow the teacher's; see `soft_targets`.

    Args:
        temperature: T > 0.
        standardise: Whether both networks' scores are standardised first.
    """

    terms = ("st",)
    needs_teacher = True

    def __init__(self, temperature: float = 4.0, standardise: bool = False) -> None:
        super().__init__()
        self.temperature, self.standardise = temperature, standardise

    def check(self, setting: Setting) -> None:
        soft_targets(setting.student.logits, setting.teacher_output.logits, self.temperature, self.standardise)

    def forward(self, step: Step) -> dict[str, Tensor]:
        loss = soft_targets(step.student.logits, step.teacher_output.logits, self.temperature, self.standardise)
        return {"st": loss}


def soft_targets(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, standardise: bool = False
) -> Tensor:
    """Pull the student's softened class probabilities towards the teacher's.

    T^2 * mean over b of sum over k of q[b, k] * (log q[b, k] - log p[b, k]),
    p = softmax(student / T), q = softmax(teacher / T)

    Args:
        student_logits: Class scores before the softmax, [B, K].
        teacher_logits: The teacher's for the same pictures, [B, K]; they receive no gradient.
        temperature: T > 0; the published settings are 4, and 2 with standardised scores.
        standardise: Whether both networks' scores pass through `standardise_logits` first.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of one shape, or the temperature is not finite and above 0.
    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; distiller_zoo/KD.py of RepDistiller at
        b84f547, which Knowledge-Distillation-Zoo (65470c8) and mdistiller (a08d46f) equal.
    """
    require_logits("soft_targets", student_logits, teacher_logits)
    require_temperature(temperature)
    student, teacher = in_float32(student_logits), in_float32(teacher_logits.detach())
    if standardise:
        student, teacher = standardise_logits(student), standardise_logits(teacher)
    log_p, log_q = F.log_softmax(student / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * temperature**2


def standardise_logits(logits: Tensor) -> Tensor:
    """Shift and scale the class scores of each picture to mean 0 and standard deviation 1.

    (z - mean(z)) / (std(z) + 1e-7), both over the classes; std has K - 1 in its denominator

    Args:
        logits: Class scores before the softmax, [B, K], K >= 2.
    Returns:
        Standardised scores, [B, K], float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K], or there are fewer than 2 classes.
    Source: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024 (mdistiller/distillers/KD.py of
        logit-standardization-KD at f6e5aa5).
    """
    require_logits("standardise_logits", logits)
    if logits.shape[1] < 2:
        raise ValueError(
            f"standardise_logits needs the spread of at least 2 classes; got shape {shape_of(logits)}. "
            "Train on more classes, or leave the scores as they are."
        )
    scores = in_float32(logits)
    centred = scores - scores.mean(dim=1, keepdim=True)
    return centred / (scores.std(dim=1, keepdim=True) + _STANDARD_DEVIATION_EPS)
