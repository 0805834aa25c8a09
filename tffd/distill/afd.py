"""Attentive feature distillation: the kd_mode, the loss, and the attention that weighs the channels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs
from tffd.tensors import (
    Reduction,
    in_float32,
    pool_to_smaller,
    reduce,
    require_maps,
    require_reduction,
    require_same_batch,
    shape_of,
)

_EPS = 1e-6  # the reference's, beside the norm of a channel


class AttentiveFeatures(DistillMode):
    """Each channel becomes like the teacher's, as far as a trained attention finds it important.

    See `attentive_loss` and `ChannelAttention`.

    Args:
        factor: Width of the attention's middle, as a fraction of the teacher's channels.
        stages: Pairs [student's, teacher's], counted from 1; None takes all in their order, "last" the last.
        reduction: Over the stages: Knowledge-Distillation-Zoo's is "mean".
    """

    terms = ("afd",)
    needs_teacher = True

    def __init__(self, factor: float = 1.0, stages: Chosen = None, reduction: Reduction = "mean") -> None:
        super().__init__()
        require_reduction(reduction)
        if factor <= 0:
            raise ValueError(f"factor must be above 0; got {factor}.")
        self.factor, self.chosen, self.reduction = factor, stages, reduction
        self.attentions: Sequence[ChannelAttention] = ()

    def check(self, setting: Setting) -> None:
        for ours, theirs in stage_pairs(setting, self.chosen):
            widths = setting.student.stages[ours - 1].shape[1], setting.teacher_output.stages[theirs - 1].shape[1]
            if widths[0] != widths[1]:
                raise ValueError(
                    f"afd compares channel by channel, and stages {ours} and {theirs} of student and teacher have "
                    f"{widths[0]} and {widths[1]} channels. Choose a teacher of the student's widths."
                )

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)
        widths = [setting.teacher_output.stages[theirs - 1].shape[1] for _, theirs in self._pairs]
        self.attentions = nn.ModuleList(  # type: ignore[assignment]
            ChannelAttention(width, self.factor) for width in widths
        )

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = [
            attentive_loss(ours, theirs, attention(theirs))
            for attention, (ours, theirs) in zip(self.attentions, paired_stages(step, self._pairs), strict=True)
        ]
        return {"afd": reduce(losses, self.reduction)}


def attentive_loss(student: Tensor, teacher: Tensor, attention: Tensor) -> Tensor:
    """Pull a student's channels towards a teacher's, each weighed by its attention.

    mean over b of sum over c of attention[b, c] * mean over positions of (n(s[b, c]) - n(t[b, c])) ** 2,
    n(x) = x / (||x||_2 + 1e-6)

    The larger map is averaged down to the smaller, an extension of the source, which works at equal sizes.

    Args:
        student: Feature map, [B, C, H1, W1].
        teacher: Feature map of the same pictures, [B, C, H2, W2]; receives no gradient.
        attention: The attention of each channel, [B, C]; it is trained too.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, batch sizes or widths differ, or the attention has another shape.
    Source: Wang et al., "Pay Attention to Features, Transfer Learn Faster CNNs", ICLR 2020; kd_losses/afd.py of
        Knowledge-Distillation-Zoo at 65470c8, which fails for one picture.
    """
    require_maps("attentive_loss", student, teacher)
    require_same_batch("attentive_loss", student, teacher)
    if student.shape[1] != teacher.shape[1] or attention.shape != student.shape[:2]:
        raise ValueError(
            f"attentive_loss needs as many channels of both, and an attention [B, C]; the student's have shape "
            f"{shape_of(student)}, the teacher's {shape_of(teacher)} and the attention {shape_of(attention)}."
        )
    ours, theirs = pool_to_smaller(in_float32(student), in_float32(teacher.detach()))
    squares = (_by_norm(ours) - _by_norm(theirs)).square().mean(dim=2)
    return (in_float32(attention) * squares).sum(dim=1).mean()


class ChannelAttention(nn.Module):
    """Two 1x1 convolutions that say from a teacher's map how much each channel matters.

    sigmoid(mlp(mean over positions)) / its sum over the channels; the weights start as Kaiming normal of fan_out.

    Args:
        channels: The number of channels of the map.
        factor: Width of the middle, as a fraction of them; there is at least one.
    Source: AFD (kd_losses/afd.py of Knowledge-Distillation-Zoo at 65470c8), in the place of the paper's attention.
    """

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        middle = max(1, int(channels * factor))
        layers = nn.Conv2d(channels, middle, kernel_size=1), nn.Conv2d(middle, channels, kernel_size=1)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]
        self.attention = nn.Sequential(layers[0], nn.ReLU(inplace=True), layers[1])

    def forward(self, teacher: Tensor) -> Tensor:
        """Return the attention, [B, C], for the teacher's map, [B, C, H, W]."""
        means = in_float32(teacher.detach()).mean(dim=(2, 3), keepdim=True)
        importance = torch.sigmoid(in_float32(self.attention(means)).flatten(1))
        return importance / importance.sum(dim=1, keepdim=True)


def _by_norm(maps: Tensor) -> Tensor:
    """Return the channels' positions, [B, C, P], divided by their norm."""
    channels = maps.flatten(2)
    norm: Tensor = torch.linalg.vector_norm(channels, dim=2, keepdim=True)
    return channels / (norm + _EPS)
