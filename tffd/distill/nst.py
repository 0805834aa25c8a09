"""Neuron selectivity transfer: the kd_mode, and the pure function of feature maps."""

from torch import Tensor

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
    unit_vectors,
    without_autocast,
)


class NeuronSelectivity(DistillMode):
    """A stage's channels are distributed over the positions as the teacher's are; see `neuron_selectivity`.

    Args:
        stages: None, all in their order, is RepDistiller's choice; "last" Knowledge-Distillation-Zoo's; or pairs
            [student's, teacher's], counted from 1.
        reduction: Over the stages; RepDistiller takes the sum.
    """

    terms = ("nst",)
    needs_teacher = True

    def __init__(self, stages: Chosen = None, reduction: Reduction = "sum") -> None:
        super().__init__()
        require_reduction(reduction)
        self.chosen, self.reduction = stages, reduction

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = [neuron_selectivity(*maps) for maps in paired_stages(step, self._pairs)]
        return {"nst": reduce(losses, self.reduction)}


def neuron_selectivity(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the distribution of a student's channels towards that of a teacher's: their maximum mean discrepancy.

    mean k(t, t') + mean k(s, s') - 2 mean k(s, t), k(x, y) = (x . y) ** 2, means over the pictures and over the pairs
    of channels of each; a channel is its map, divided by its L2 norm over the positions

    The networks may differ in the number of channels, and in the size of the maps: whichever has more rows or columns
    is averaged down to the other's, as RepDistiller does. Both sources multiply all pairs of channels position by
    position, C1 * C2 * H * W numbers a picture; the products of matrices here keep C1 * C2.

    Args:
        student: Feature map, [B, C1, H1, W1].
        teacher: Feature map of the same pictures, [B, C2, H2, W2]; receives no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, or the batch sizes differ.
    Source: Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017;
        distiller_zoo/NST.py of RepDistiller at b84f547, which mdistiller (a08d46f) equals, and at equal sizes
        kd_losses/nst.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_maps("neuron_selectivity", student, teacher)
    require_same_batch("neuron_selectivity", student, teacher)
    pooled = pool_to_smaller(in_float32(student), in_float32(teacher.detach()))
    ours, theirs = (unit_vectors(maps.flatten(2)) for maps in pooled)
    return _kernel(theirs, theirs) + _kernel(ours, ours) - 2 * _kernel(ours, theirs)


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean of the polynomial kernel over pictures and pairs of channels, [B, C, H * W] each."""
    with without_autocast(first):
        return (first @ second.mT).square().mean()
