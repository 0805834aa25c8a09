"""Flow of the solution procedure: the kd_mode, and the pure functions of feature maps."""

import itertools
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import After, Decay, DistillMode, Momentum, Setting, Step, initialisation
from tffd.distill.pairs import paired_stages, stage_pairs
from tffd.models import ModelOutput
from tffd.tensors import (
    Reduction,
    in_float32,
    pool_to_smaller,
    reduce,
    require_maps,
    require_reduction,
    require_same_batch,
    shape_of,
    without_autocast,
)

Maps = tuple[Tensor, Tensor]
"""A map of a network and the next deeper one, of the same pictures."""


class SolutionFlow(DistillMode):
    """Neighbouring maps of the student, from its stem on, relate to each other as the teacher's do; see `flow_loss`.

    The published forms train the student on this alone first, and on cross-entropy alone afterwards.

    Args:
        stem: Whether the stem is the first of the maps; otherwise the first stage is.
        reduction: Over the pairs of neighbours: "sum" is RepDistiller's, "mean" Knowledge-Distillation-Zoo's.
        first_stage_epochs, first_stage_lr_factor, first_stage_milestones, first_stage_decay, first_stage_momentum,
            after: See `initialisation`.
        stages: Pairs [student's, teacher's], counted from 1, shallow to deep; None takes all in their order.
    """

    terms = ("fsp",)
    needs_teacher = True

    def __init__(
        self,
        stem: bool = True,
        reduction: Reduction = "sum",
        first_stage_epochs: int = 30,
        first_stage_lr_factor: float = 0.2,
        first_stage_milestones: Sequence[float] = (),
        first_stage_decay: Decay = "reached",
        first_stage_momentum: Momentum = "new",
        after: After = "none",
        stages: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        require_reduction(reduction)
        self.stem, self.reduction, self.chosen = stem, reduction, stages
        self.first_stage = initialisation(
            first_stage_epochs, first_stage_lr_factor, first_stage_milestones, after, first_stage_decay,
            first_stage_momentum,
        )  # fmt: skip

    def check(self, setting: Setting) -> None:
        pairs = stage_pairs(setting, self.chosen)
        if self.stem + len(pairs) < 2:
            raise ValueError("fsp relates maps to the next deeper ones, and there is one alone; name more stages.")
        student, teacher = setting.student, setting.teacher_output
        widths = [(student.stages[a - 1].shape[1], teacher.stages[b - 1].shape[1]) for a, b in pairs]
        names = [f"stages {a} and {b}" for a, b in pairs]
        if self.stem:
            widths, names = [(student.stem.shape[1], teacher.stem.shape[1]), *widths], ["the stems", *names]
        for name, (ours, theirs) in zip(names, widths, strict=True):
            if ours != theirs:
                raise ValueError(
                    f"fsp compares products of channels, and {name} of student and teacher have {ours} and {theirs} "
                    "channels. Choose a teacher of the student's widths."
                )

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        maps = paired_stages(step, self._pairs)
        if self.stem:
            maps = [_stems(step.student, step.teacher_output), *maps]
        losses = [
            flow_loss((our_map, our_next), (their_map, their_next))
            for (our_map, their_map), (our_next, their_next) in itertools.pairwise(maps)
        ]
        return {"fsp": reduce(losses, self.reduction)}


def flow_matrix(shallow: Tensor, deep: Tensor) -> Tensor:
    """Say how the channels of a map go together with those of a deeper one.

    mean over positions of shallow[b, i] * deep[b, j], the larger map averaged down to the smaller

    Args:
        shallow: Feature map, [B, C1, H1, W1].
        deep: Feature map of the same pictures, [B, C2, H2, W2].
    Returns:
        Products, [B, C1, C2], float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, or the batch sizes differ.
    Source: Yim et al., "A Gift from Knowledge Distillation", CVPR 2017, equation 1; distiller_zoo/FSP.py of
        RepDistiller at b84f547, kd_losses/fsp.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_maps("flow_matrix", shallow, deep)
    require_same_batch("flow_matrix", shallow, deep)
    first, second = pool_to_smaller(in_float32(shallow), in_float32(deep))
    with without_autocast(first):
        return first.flatten(2) @ second.flatten(2).mT / (first.shape[2] * first.shape[3])


def flow_loss(student: Maps, teacher: Maps) -> Tensor:
    """Pull the flow matrix of two maps of the student towards that of the teacher's.

    mean((flow_matrix(student) - flow_matrix(teacher)) ** 2) over pictures and pairs of channels

    Args:
        student: Its two maps, [B, C1, ...] and [B, C2, ...], of any sizes.
        teacher: Those of the teacher, of as many channels and any sizes; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If `flow_matrix` refuses a map, or batch sizes or widths differ.
    Source: See `flow_matrix`.
    """
    ours, theirs = flow_matrix(*student), flow_matrix(teacher[0].detach(), teacher[1].detach())
    if ours.shape != theirs.shape:
        raise ValueError(
            f"flow_loss compares products of channels [B, C1, C2]; the student's have shape {shape_of(ours)} and the "
            f"teacher's {shape_of(theirs)}. Pass one batch, and choose a teacher of the student's widths."
        )
    return F.mse_loss(ours, theirs)


def _stems(student: ModelOutput, teacher: ModelOutput) -> Maps:
    return student.stem, teacher.stem
