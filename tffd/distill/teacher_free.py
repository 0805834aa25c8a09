"""Tf-FD and its two terms alone."""

from collections.abc import Sequence

from torch import Tensor

from tffd.distill.base import DistillMode
from tffd.losses import Reduction, TfFD
from tffd.models import ModelOutput


class TeacherFree(DistillMode):
    """Tf-FD on a choice of the network's stages; intra or inter alone are the same with the other weight at 0.

    Args:
        name: See `DistillMode`.
        lambda_intra, lambda_inter: Weights of the terms; a term of weight 0 is not computed.
        reduction: See `tffd.losses.tfd_terms`.
        stages: Which stages, counted from 1, shallow to deep; None takes all.
    Raises:
        ValueError: If a weight or the choice of stages is not valid.
    """

    def __init__(
        self,
        name: str,
        lambda_intra: float,
        lambda_inter: float,
        reduction: Reduction = "mean",
        stages: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name)
        self.loss = TfFD(lambda_intra, lambda_inter, reduction)
        weights = {"intra": lambda_intra, "inter": lambda_inter}
        self.term_names = tuple(term for term, weight in weights.items() if weight > 0)
        self.stages = None if stages is None else tuple(stages)
        if self.stages is not None and (list(self.stages) != sorted(set(self.stages)) or not self.stages):
            raise ValueError(
                f"kd_mode.stages={list(self.stages)} must name each stage once, shallow to deep, such as [1,2,3]."
            )

    def check(self, num_stages: int) -> None:
        """Raise ValueError if a chosen stage does not exist, or too few are chosen for the inter term."""
        chosen = self.stages if self.stages is not None else tuple(range(1, num_stages + 1))
        absent = [stage for stage in chosen if not 1 <= stage <= num_stages]
        if absent:
            raise ValueError(
                f"kd_mode.stages={list(chosen)} names stage {absent[0]}, but the network has stages 1 to {num_stages}."
            )
        if len(chosen) < 2 and self.loss.lambda_inter > 0:
            raise ValueError(
                f"kd_mode.stages={list(chosen)} leaves the inter term nothing to compare; name at least two stages."
            )

    def forward(self, output: ModelOutput, labels: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        if not self.term_names:
            return None, {}
        stages = output.stages if self.stages is None else [output.stages[stage - 1] for stage in self.stages]
        terms = self.loss.active_terms(*stages)
        loss = self.loss.weigh(terms)
        return (loss if isinstance(loss, Tensor) else None), terms
