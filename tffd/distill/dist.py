"""DIST, correlation instead of divergence of probabilities: the kd_mode, and the pure functions of class scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits, require_temperature


class Dist(DistillMode):
    """Probabilities go up and down as the teacher's do, over classes and over pictures.

    See `inter_class` and `intra_class`.

    Args:
        temperature: T > 0.
    """

    terms = ("dist_inter", "dist_intra")
    needs_teacher = True

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        require_temperature(temperature)
        self.temperature = temperature

    def check(self, setting: Setting) -> None:
        require_logits("dist", setting.student.logits, setting.teacher_output.logits)

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = {"dist_inter": inter_class, "dist_intra": intra_class}
        ours, theirs = step.student.logits, step.teacher_output.logits
        return {term: losses[term](ours, theirs, self.temperature) for term in self.active}


def inter_class(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Correlate the probabilities of each picture's classes with the teacher's.

    T^2 * (1 - mean over b of r(p[b], q[b])), p = softmax(student / T), q = softmax(teacher / T), r Pearson's
    correlation: the product of the centred vectors by (the product of their norms + 1e-8)

    Args:
        student_logits: Class scores before the softmax, [B, K].
        teacher_logits: The teacher's for the same pictures, [B, K]; they receive no gradient.
        temperature: T > 0; the published ones are 4 on CIFAR and 1 on ImageNet.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of one shape, or the temperature is not finite and above 0.
    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022; lib/models/losses/dist_kd.py
        of image_classification_sota at 6f7a70a, which DIST_KD (2418f18) equals at T = 1.
    """
    require_logits("inter_class", student_logits, teacher_logits)
    require_temperature(temperature)
    ours, theirs = (_softened(logits, temperature) for logits in (student_logits, teacher_logits.detach()))
    return temperature**2 * (1 - _correlations(ours, theirs).mean())


def intra_class(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Correlate the probabilities that a class has in the pictures of the batch with the teacher's.

    T^2 * (1 - mean over k of r(p[:, k], q[:, k])), as in `inter_class`

    One picture has no spread: its correlation is 0, so that the loss is T^2, without a gradient.

    Args, Returns, Raises, Source: See `inter_class`.
    """
    require_logits("intra_class", student_logits, teacher_logits)
    require_temperature(temperature)
    ours, theirs = (_softened(logits, temperature) for logits in (student_logits, teacher_logits.detach()))
    return temperature**2 * (1 - _correlations(ours.mT, theirs.mT).mean())


def _softened(logits: Tensor, temperature: float) -> Tensor:
    return F.softmax(in_float32(logits) / temperature, dim=1)


def _correlations(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation of each row with the same row of the other."""
    a, b = (rows - rows.mean(dim=1, keepdim=True) for rows in (first, second))
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    correlations: Tensor = (a * b).sum(dim=1) / (norms + 1e-8)
    return correlations
