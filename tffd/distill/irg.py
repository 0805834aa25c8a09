"""Instance relationship graphs: the kd_mode, and the pure functions of feature maps and vectors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.logits import logit_regression
from tffd.distill.pairs import paired_stages, stage_pairs
from tffd.tensors import (
    in_float32,
    pool_to_smaller,
    reduce,
    require_logits,
    require_maps,
    require_same_batch,
    shape_of,
    without_autocast,
)

Maps = tuple[Tensor, Tensor]
"""A stage of a network and a deeper one, of the same pictures."""


class RelationshipGraph(DistillMode):
    """Scores, distances between pictures and ways from stage to stage are as in the teacher.

    See `logit_regression` for the vertices, `edge_loss` and `transformation_loss`.

    Args:
        stages: Two pairs [student's, teacher's], counted from 1, of which the second is deeper in both networks.
    """

    terms = ("irg_vertex", "irg_edge", "irg_transformation")
    needs_teacher = True

    def __init__(self, stages: Sequence[Sequence[int]] = ((2, 2), (3, 3))) -> None:
        super().__init__()
        self.chosen = stages

    def check(self, setting: Setting) -> None:
        require_logits("irg", setting.student.logits, setting.teacher_output.logits)
        pairs = stage_pairs(setting, self.chosen)
        if len(pairs) != 2 or pairs[0][0] >= pairs[1][0] or pairs[0][1] >= pairs[1][1]:
            raise ValueError(
                f"stages={[list(each) for each in pairs]} must be two pairs [student,teacher], the second deeper in "
                "both networks, such as [[2,2],[3,3]]."
            )
        for network, maps in (("student", setting.student.stages), ("teacher", setting.teacher_output.stages)):
            shallow, deep = (maps[pair[network == "teacher"] - 1].shape[1] for pair in pairs)
            if "irg_transformation" in self.active and max(shallow, deep) % min(shallow, deep):
                raise ValueError(
                    f"the {network}'s stages have {shallow} and {deep} channels, and one must be a multiple of the "
                    "other. Choose other stages, or set weights.irg_transformation=0."
                )

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        maps = paired_stages(step, self._pairs)
        (our_shallow, their_shallow), (our_deep, their_deep) = maps
        found = {}
        if "irg_vertex" in self.active:
            found["irg_vertex"] = logit_regression(step.student.logits, step.teacher_output.logits)
        if "irg_edge" in self.active:
            layers = [(step.student.pooled, step.teacher_output.pooled), *maps]
            found["irg_edge"] = reduce([edge_loss(*layer) for layer in layers], "mean")
        if "irg_transformation" in self.active:
            found["irg_transformation"] = transformation_loss((our_shallow, our_deep), (their_shallow, their_deep))
        return found


def edge_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the distances between the pictures in a layer of the student towards those in the teacher's.

    mean over a, b of (d[a, b] / max(d) - the teacher's) ** 2, d[a, b] = ||x[a] - x[b]||_2^2

    Args:
        student: Vectors or maps, [B, ...].
        teacher: Those of the same pictures, [B, ...] of any shape; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half precision; 0 for one picture.
    Raises:
        ValueError: If an input is empty or has no dimension beside the batch, or the batch sizes differ.
    Source: Liu et al., "Knowledge Distillation via Instance Relationship Graph", CVPR 2019; kd_losses/irg.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """
    for features in (student, teacher):
        if features.ndim < 2 or features.numel() == 0:
            raise ValueError(f"edge_loss needs non-empty features [B, ...]; got shape {shape_of(features)}.")
    require_same_batch("edge_loss", student, teacher)
    return F.mse_loss(_distances(student), _distances(teacher.detach()))


def transformation_loss(student: Maps, teacher: Maps) -> Tensor:
    """Pull how far each picture moves from stage to stage of the student towards how far it does in the teacher.

    mean over b of (d[b] / max(d) - the teacher's) ** 2, d[b] = ||shallow[b] - deep[b]||_2^2

    Of the two stages of a network, the larger map is averaged down to the smaller, and the channels of the wider are
    averaged in groups of neighbours, so that there are as many. The source does so for stages of which the deeper is
    at most twice as wide.

    Args:
        student: Its two maps, [B, C1, H1, W1] and [B, C2, H2, W2]; of C1 and C2 one is a multiple of the other.
        teacher: Those of the teacher, of any sizes; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps; 0 for one picture.
    Raises:
        ValueError: If a map is not 4-D or is empty, batch sizes differ, or channels cannot be put in groups.
    Source: See `edge_loss`.
    """
    for shallow, deep in (student, teacher):
        require_maps("transformation_loss", shallow, deep)
        require_same_batch("transformation_loss", shallow, deep)
    require_same_batch("transformation_loss", student[0], teacher[0])
    return F.mse_loss(_movements(*student), _movements(teacher[0].detach(), teacher[1].detach()))


def _distances(features: Tensor) -> Tensor:
    """Return squared distances by the largest of them, [B, B]; 0 if there is but one place."""
    rows = in_float32(features).flatten(1)
    rows = rows - rows.mean(dim=0)  # moves all, changes no distance, and leaves smaller numbers to cancel
    with without_autocast(rows):
        products = rows @ rows.mT
    squares = products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp_min(0)
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return _by_largest(distances.masked_fill(itself, 0))


def _movements(shallow: Tensor, deep: Tensor) -> Tensor:
    """Return the squared distance of each picture's maps by the largest of them, [B]."""
    first, second = pool_to_smaller(in_float32(shallow), in_float32(deep))
    channels = min(first.shape[1], second.shape[1])
    moves = _in_groups(first, channels) - _in_groups(second, channels)
    return _by_largest(moves.square().sum(dim=(1, 2, 3)))


def _in_groups(maps: Tensor, groups: int) -> Tensor:
    """Average neighbouring channels, so that so many are left."""
    channels = maps.shape[1]
    if channels % groups:
        raise ValueError(f"{channels} channels cannot be put in {groups} equal groups; choose other stages.")
    return maps if channels == groups else maps.unflatten(1, (groups, channels // groups)).mean(dim=2)


def _by_largest(distances: Tensor) -> Tensor:
    largest = distances.max()
    return distances / largest.masked_fill(largest <= 1e-12, math.inf)
