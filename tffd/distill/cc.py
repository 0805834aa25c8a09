"""Correlation congruence in its two published forms: the kd_mode, and the pure functions of feature vectors."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_vectors, shape_of, unit_vectors, without_autocast

Form = Literal["kdzoo", "repdistiller"]
"""kdzoo is the paper's, see `correlation_congruence`; repdistiller compares embeddings, see `neighbour_products`."""


class CorrelationCongruence(DistillMode):
    """Pictures correlate in the student's pooled features as they do in the teacher's.

    Args:
        form: Whose.
        gamma, order: Those of the kernel of `correlation_congruence`; of no effect in the other form.
        width: Of the embeddings that `neighbour_products` compares, both trained; of no effect in the other form.
    """

    terms = ("cc",)
    needs_teacher = True

    def __init__(self, form: Form = "kdzoo", gamma: float = 0.4, order: int = 2, width: int = 128) -> None:
        super().__init__()
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
        _require_kernel(gamma, order)
        if width < 1:
            raise ValueError(f"width is the length of an embedding, at least 1; got {width}.")
        self.form, self.gamma, self.order, self.width = form, gamma, order, width
        self.embeddings = nn.ModuleList()

    def build(self, setting: Setting) -> None:
        if self.form == "repdistiller":
            vectors = (setting.student.pooled, setting.teacher_output.pooled)
            self.embeddings = nn.ModuleList(LinearEmbedding(each.shape[1], self.width) for each in vectors)

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = step.student.pooled, step.teacher_output.pooled
        if self.form == "kdzoo":
            return {"cc": correlation_congruence(ours, theirs, self.gamma, self.order)}
        embed_student, embed_teacher = self.embeddings
        return {"cc": neighbour_products(embed_student(ours), embed_teacher(theirs))}


def correlation_congruence(student: Tensor, teacher: Tensor, gamma: float = 0.4, order: int = 2) -> Tensor:
    """Pull the correlations between a student's vectors towards those between the teacher's.

    mean over a, b of (k(s[a], s[b]) - k(t[a], t[b])) ** 2,
    k(x, y) = exp(-2 gamma) * sum over p = 0 to order of (2 gamma cos(x, y)) ** p / p!

    which is the Taylor series of the Gaussian kernel exp(-gamma ||x - y||^2) of vectors of length 1. A vector of zeros
    is at right angles to all.

    Args:
        student: Feature vectors, [B, D1].
        teacher: Those of the same pictures, [B, D2]; they receive no gradient.
        gamma: > 0.
        order: The order of the series, at least 1.
    Returns:
        Unweighted scalar, float32 for half-precision vectors; 0 for one picture.
    Raises:
        ValueError: If an input is not [B, D], the batch sizes differ, or an option is not valid.
    Source: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019; kd_losses/cc.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """
    require_vectors("correlation_congruence", student, teacher)
    _require_kernel(gamma, order)
    return F.mse_loss(_kernel(student, gamma, order), _kernel(teacher.detach(), gamma, order))


def neighbour_products(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull embeddings of both networks together, each picture weighed by how far the next of the batch is off.

    mean over b of sum over d of |s[b, d] - t[b, d]| * |s[b + 1, d] - t[b + 1, d]|

    This is what RepDistiller computes under the paper's name.

    Args:
        student: Embeddings, [B, D].
        teacher: Embeddings of the same pictures, [B, D]; they receive gradients too, since their layer is trained.
    Returns:
        Unweighted scalar, float32 for half-precision embeddings; 0 for one picture, which has no next one.
    Raises:
        ValueError: If the inputs are not [B, D] of one shape.
    Source: distiller_zoo/CC.py of RepDistiller at b84f547.
    """
    require_vectors("neighbour_products", student, teacher)
    if student.shape != teacher.shape:
        raise ValueError(
            f"neighbour_products compares embeddings of one width; got shapes {shape_of(student)} and "
            f"{shape_of(teacher)}."
        )
    distances = (in_float32(student) - in_float32(teacher)).abs()
    return (distances[:-1] * distances[1:]).sum() / max(len(distances) - 1, 1)


class LinearEmbedding(nn.Module):
    """A linear layer to the width in which networks of different widths are compared.

    Source: LinearEmbed (models/util.py of RepDistiller at b84f547).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn [B, inputs] into [B, outputs]."""
        return self.linear(vectors)  # type: ignore[no-any-return]


def _kernel(vectors: Tensor, gamma: float, order: int) -> Tensor:
    unit = unit_vectors(in_float32(vectors))
    with without_autocast(unit):
        scaled = 2 * gamma * (unit @ unit.mT)
    powers = torch.stack([scaled.pow(p) / math.factorial(p) for p in range(order + 1)])
    return math.exp(-2 * gamma) * powers.sum(dim=0)


def _require_kernel(gamma: float, order: int) -> None:
    if not 0 < gamma < math.inf or order < 1:
        raise ValueError(
            f"gamma must be finite and above 0, and order at least 1; got gamma={gamma} and order={order}."
        )
