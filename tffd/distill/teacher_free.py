"""Tf-FD and its two terms alone."""

from collections.abc import Sequence

from torch import Tensor

from tffd.distill.base import DistillMode, Setting, Step
from tffd.losses import Reduction, require_reduction, tfd_terms


class TeacherFree(DistillMode):
    """Tf-FD on a choice of the network's stages; intra or inter alone are the same with the other weight at 0.

    Args:
        reduction: See `tffd.losses.tfd_terms`.
        stages: Which stages, counted from 1, shallow to deep; None takes all.
    Raises:
        ValueError: If the reduction or the choice of stages is not valid.
    """

    terms = ("intra", "inter")

    def __init__(self, reduction: Reduction = "mean", stages: Sequence[int] | None = None) -> None:
        super().__init__()
        require_reduction(reduction)
        self.reduction: Reduction = reduction
        self.stages = None if stages is None else tuple(stages)
        if self.stages is not None and (list(self.stages) != sorted(set(self.stages)) or not self.stages):
            raise ValueError(f"stages={list(self.stages)} must name each stage once, shallow to deep, such as [1,2,3].")

    def check(self, setting: Setting) -> None:
        """Raise ValueError if a chosen stage does not exist, or too few are chosen for the inter term."""
        count = len(setting.student.stages)
        chosen = self.stages if self.stages is not None else tuple(range(1, count + 1))
        absent = [stage for stage in chosen if not 1 <= stage <= count]
        if absent:
            raise ValueError(f"stages={list(chosen)} names stage {absent[0]}, but the network has stages 1 to {count}.")
        if len(chosen) < 2 and "inter" in self.active:
            raise ValueError(
                f"stages={list(chosen)} leaves the inter term nothing to compare; name at least two stages."
            )

    def forward(self, step: Step) -> dict[str, Tensor]:
        every = step.student.stages
        stages = every if self.stages is None else [every[stage - 1] for stage in self.stages]
        return tfd_terms(stages, self.reduction, intra="intra" in self.active, inter="inter" in self.active)
