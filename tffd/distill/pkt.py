"""Probabilistic knowledge transfer: the kd_mode, and the pure functions of feature vectors."""

import math

import torch
from torch import Tensor

from tffd.distill.base import DistillMode, Step
from tffd.tensors import in_float32, require_vectors


class ProbabilisticTransfer(DistillMode):
    """Pictures are neighbours in the student's pooled features as they are in the teacher's; see `pkt`.

    Args:
        eps: Beside norms and inside logarithms; RepDistiller's is 1e-7, Knowledge-Distillation-Zoo's 1e-6.
    """

    terms = ("pkt",)
    needs_teacher = True

    def __init__(self, eps: float = 1e-7) -> None:
        super().__init__()
        _require_eps(eps)
        self.eps = eps

    def forward(self, step: Step) -> dict[str, Tensor]:
        return {"pkt": pkt(step.student.pooled, step.teacher_output.pooled, self.eps)}


def pkt(student: Tensor, teacher: Tensor, eps: float = 1e-7) -> Tensor:
    """Pull the probabilities with which a student's vectors choose each other towards the teacher's.

    mean over a, b of q[a, b] * log((q[a, b] + eps) / (p[a, b] + eps)),
    p and q = `neighbours` of the student and of the teacher

    The mean is over the B * B pairs, as in both sources, where the paper has the sum. Values of q * log(q / p) of both
    signs cancel down to 1e-5 in all, less than float32 resolves once the networks are alike, so it is computed in
    float64: that costs little, since there are only B * B of them. A batch of one picture gives 0.

    Args:
        student: Feature vectors, [B, D1].
        teacher: Those of the same pictures, [B, D2]; they receive no gradient.
        eps: Beside norms and inside the logarithm.
    Returns:
        Unweighted scalar, float32 for half-precision vectors.
    Raises:
        ValueError: If an input is not [B, D], the batch sizes differ, or eps is not finite and above 0.
    Source: Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018;
        distiller_zoo/PKT.py of RepDistiller at b84f547, which mdistiller (a08d46f) equals, kd_losses/pkt.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """
    require_vectors("pkt", student, teacher)
    _require_eps(eps)
    ours, theirs = neighbours(student, eps), neighbours(teacher.detach(), eps)
    loss = (theirs * ((theirs + eps) / (ours + eps)).log()).mean()
    return loss.to(in_float32(student).dtype)


def neighbours(vectors: Tensor, eps: float = 1e-7) -> Tensor:
    """Return with which probability each vector chooses each, itself included, by cosine similarity.

    s[a, b] / sum over b of s[a, b], s[a, b] = (1 + cos(a, b)) / 2, cosines with ||x||_2 + eps for the norms

    Args:
        vectors: [B, D]; a vector of zeros is at right angles to all.
    Returns:
        Rows that sum to 1, [B, B], float64.
    """
    wide = vectors.double()
    unit = wide / (torch.linalg.vector_norm(wide, dim=1, keepdim=True) + eps)
    similarity = (unit @ unit.mT + 1) / 2
    probabilities: Tensor = similarity / similarity.sum(dim=1, keepdim=True)
    return probabilities


def _require_eps(eps: float) -> None:
    if not 0 < eps < math.inf:
        raise ValueError(f"eps keeps norms and logarithms from 0, so it must be finite and above 0; got {eps}.")
