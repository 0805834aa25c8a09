"""Similarity preservation: the kd_mode, and the pure function of feature maps."""

from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs
from tffd.tensors import (
    Reduction,
    in_float32,
    reduce,
    require_maps,
    require_reduction,
    require_same_batch,
    unit_vectors,
    without_autocast,
)


class SimilarityPreserving(DistillMode):
    """Pictures are as similar in the student's stages as in the teacher's; see `similarity_preserving`.

    Args:
        stages: "last" is RepDistiller's choice; None, all in their order, Knowledge-Distillation-Zoo's; or pairs
            [student's, teacher's], counted from 1.
        reduction: Over the stages; Knowledge-Distillation-Zoo takes the mean.
    """

    terms = ("sp",)
    needs_teacher = True

    def __init__(self, stages: Chosen = "last", reduction: Reduction = "sum") -> None:
        super().__init__()
        require_reduction(reduction)
        self.chosen, self.reduction = stages, reduction

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = [similarity_preserving(*maps) for maps in paired_stages(step, self._pairs)]
        return {"sp": reduce(losses, self.reduction)}


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the similarities between a student's maps of different pictures towards the teacher's.

    mean over a, b of (g[a, b] / ||g[a]||_2 - the teacher's) ** 2, g[a, b] = sum over c, h, w of f[a] * f[b]

    The networks may differ in width and size. A picture whose map is 0 everywhere is similar to none.

    Args:
        student: Feature map, [B, C1, H1, W1].
        teacher: Feature map of the same pictures, [B, C2, H2, W2]; receives no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps; 0 for one picture.
    Raises:
        ValueError: If a map is not 4-D or is empty, or the batch sizes differ.
    Source: Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019; distiller_zoo/SP.py of
        RepDistiller at b84f547, which Knowledge-Distillation-Zoo (65470c8) and mdistiller (a08d46f) equal.
    """
    require_maps("similarity_preserving", student, teacher)
    require_same_batch("similarity_preserving", student, teacher)
    return F.mse_loss(_similarities(student), _similarities(teacher.detach()))


def _similarities(maps: Tensor) -> Tensor:
    """Return how similar each picture is to each, [B, B]: rows of norm 1."""
    rows = in_float32(maps).flatten(1)
    with without_autocast(rows):
        return unit_vectors(rows @ rows.mT)
