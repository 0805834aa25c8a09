"""Relational knowledge distillation: the kd_mode, and the pure functions of feature vectors."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Step
from tffd.tensors import in_float32, require_vectors, unit_vectors, without_autocast


class Relational(DistillMode):
    """Distances and angles between pictures are as in the teacher's pooled features.

    See `distance_relation` and `angle_relation`.
    """

    terms = ("rkd_distance", "rkd_angle")
    needs_teacher = True

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = step.student.pooled, step.teacher_output.pooled
        losses = {"rkd_distance": distance_relation, "rkd_angle": angle_relation}
        return {term: losses[term](ours, theirs) for term in self.active}


def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the distances between a student's vectors towards those between the teacher's.

    mean over a, b of smooth_l1(d[a, b] / mean(d) - the teacher's), d[a, b] = ||x[a] - x[b]||_2;
    mean(d) is over pairs of different pictures, the outer one over all B * B; smooth_l1(x) = min(x^2, 2|x| - 1) / 2 as
    |x| is below 1 or not

    Args:
        student: Feature vectors, [B, D1].
        teacher: Those of the same pictures, [B, D2]; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision vectors; 0 for one picture.
    Raises:
        ValueError: If an input is not [B, D], or the batch sizes differ.
    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019; distiller_zoo/RKD.py of RepDistiller at
        b84f547, which Knowledge-Distillation-Zoo (65470c8) and mdistiller (a08d46f) equal.
    """
    require_vectors("distance_relation", student, teacher)
    ours, theirs = _distances(in_float32(student)), _distances(in_float32(teacher.detach()))
    return F.smooth_l1_loss(ours, theirs)


def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the angles that any three of a student's vectors make towards those of the teacher's.

    mean over a, b, c of smooth_l1(cos of the angle at a between b and c - the teacher's)

    The cosine is 0 where two of the three are one point. The mean is over all B^3, for which B * B * D and B^3 numbers
    are kept.

    Args:
        student: Feature vectors, [B, D1].
        teacher: Those of the same pictures, [B, D2]; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision vectors; 0 for one picture.
    Raises:
        ValueError: If an input is not [B, D], or the batch sizes differ.
    Source: See `distance_relation`.
    """
    require_vectors("angle_relation", student, teacher)
    return F.smooth_l1_loss(_cosines(in_float32(student)), _cosines(in_float32(teacher.detach())))


def _differences(vectors: Tensor) -> Tensor:
    """Return vectors[b] - vectors[a] at [a, b]."""
    return vectors[None] - vectors[:, None]


def _distances(vectors: Tensor) -> Tensor:
    """Return distances by their mean, [B, B]; 0 if all vectors are one."""
    count = len(vectors)
    distances: Tensor = torch.linalg.vector_norm(_differences(vectors), dim=2)
    mean = distances.sum() / max(count * (count - 1), 1)
    return distances / mean.masked_fill(mean <= 1e-6, math.inf)


def _cosines(vectors: Tensor) -> Tensor:
    """Return the cosine at a between b and c, [B, B, B]."""
    directions = unit_vectors(_differences(vectors))
    with without_autocast(vectors):
        return directions @ directions.mT
