"""Attention transfer: the kd_mode, and the pure functions of feature maps."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import stage_pairs
from tffd.tensors import (
    Reduction,
    in_float32,
    pool_to_smaller,
    reduce,
    require_maps,
    require_reduction,
    require_same_batch,
)

Form = Literal["repdistiller", "kdzoo"]
"""The two published forms, which differ in how a map of zeros is kept from dividing by zero; see `attention_map`."""


class AttentionTransfer(DistillMode):
    """Each stage of the student attends to the positions to which the teacher's attends; see `attention_transfer`.

    Args:
        p: Power of the attention.
        form: Whose normalisation.
        reduction: Over the stages: "sum" is RepDistiller's, "mean" Knowledge-Distillation-Zoo's.
        stages: Pairs [student's, teacher's], counted from 1; None takes all in their order.
    """

    terms = ("at",)
    needs_teacher = True

    def __init__(
        self,
        p: float = 2,
        form: Form = "repdistiller",
        reduction: Reduction = "sum",
        stages: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        _require_options(p, form)
        require_reduction(reduction)
        self.p, self.form, self.reduction, self.chosen = p, form, reduction, stages

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours = [step.student.stages[stage - 1] for stage, _ in self._pairs]
        theirs = [step.teacher_output.stages[stage - 1] for _, stage in self._pairs]
        return {"at": attention_transfer_stages(ours, theirs, self.p, self.form, self.reduction)}


def attention_map(features: Tensor, p: float = 2, form: Form = "repdistiller") -> Tensor:
    """Say how much each position of a feature map matters, by the strength of all channels there.

    repdistiller: a / max(||a||_2, 1e-12), a = mean over c of |f[b, c]|^p
    kdzoo: a / (||a||_2 + 1e-6), a = sum over c of |f[b, c]|^p

    The norm is taken over the positions of each picture. RepDistiller's code has f^p; |f|^p, as in the paper and in
    Knowledge-Distillation-Zoo, is the same for p = 2, and for any p where the map comes out of a ReLU.

    Args:
        features: Feature map, [B, C, H, W].
        p: Power >= 1; below that the gradient at 0, where a ReLU leaves many values, is infinite.
        form: The published form.
    Returns:
        Attention, [B, H * W], float32 for half-precision maps.
    Raises:
        ValueError: If the map is not 4-D or is empty, the power is below 1 or not finite, or the form is unknown.
    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, section 3.1; distiller_zoo/AT.py
        of RepDistiller at b84f547, kd_losses/at.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_maps("attention_map", features)
    _require_options(p, form)
    maps = in_float32(features)
    powers = maps.square() if p == 2 else maps.abs().pow(p)
    if form == "repdistiller":
        return F.normalize(powers.mean(dim=1).flatten(1), dim=1, eps=1e-12)
    attention = powers.sum(dim=1).flatten(1)
    norm: Tensor = torch.linalg.vector_norm(attention, dim=1, keepdim=True)
    return attention / (norm + 1e-6)


def attention_transfer(student: Tensor, teacher: Tensor, p: float = 2, form: Form = "repdistiller") -> Tensor:
    """Pull the attention of a student's stage towards that of a teacher's.

    mean((attention(student) - attention(teacher)) ** 2) over pictures and positions

    The networks may differ in the number of channels, and in the size of the maps: whichever has more rows or columns
    is averaged down to the other's before the attention is taken. RepDistiller does so; Knowledge-Distillation-Zoo,
    which works at equal sizes alone, is extended in the same way.

    Args:
        student: Feature map, [B, C1, H1, W1].
        teacher: Feature map of the same pictures, [B, C2, H2, W2]; receives no gradient.
        p, form: See `attention_map`.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, the batch sizes differ, or an option is not valid.
    Source: See `attention_map`; mdistiller (a08d46f) equals RepDistiller.
    """
    require_maps("attention_transfer", student, teacher)
    require_same_batch("attention_transfer", student, teacher)
    ours, theirs = pool_to_smaller(in_float32(student), in_float32(teacher.detach()))
    return F.mse_loss(attention_map(ours, p, form), attention_map(theirs, p, form))


def attention_transfer_stages(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    p: float = 2,
    form: Form = "repdistiller",
    reduction: Reduction = "sum",
) -> Tensor:
    """Reduce attention transfer over pairs of stages, the first with the first and so on.

    Args:
        student: Stage outputs, shallow to deep, each [B, C, H, W].
        teacher: As many, of the same pictures; they receive no gradient.
        p, form: See `attention_map`.
        reduction: "sum" is RepDistiller's and mdistiller's, "mean" Knowledge-Distillation-Zoo's. With three stages
            they differ by a factor 3, and so do the weights published with them.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If the numbers of stages differ or are 0, the reduction is unknown, or `attention_transfer` refuses
            a pair.
    Source: train_student.py of RepDistiller at b84f547, train_kd.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_reduction(reduction)
    if len(student) != len(teacher) or not student:
        raise ValueError(
            f"attention_transfer_stages pairs the stages of two networks; the student has {len(student)} and the "
            f"teacher {len(teacher)}. Pass as many of each, and at least one."
        )
    pairs = zip(student, teacher, strict=True)
    return reduce([attention_transfer(ours, theirs, p, form) for ours, theirs in pairs], reduction)


def _require_options(p: float, form: str) -> None:
    if not 1 <= p < math.inf:
        raise ValueError(f"p is the power of attention, so it must be finite and at least 1; got {p}.")
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
