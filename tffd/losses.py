"""The two terms of Teacher-free Feature Distillation and their weighted sum, as pure functions of feature maps.

Source: Li, "Self-Regulated Feature Learning via Teacher-free Feature Distillation", ECCV 2022, and the released
training script (train_kd.py at 3427f98), whose behaviour decides wherever the paper is silent.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.passes import PairedError, map_sums
from tffd.tensors import (
    Reduction,
    in_float32,
    pool_to_smaller,
    pooled_pairs,
    reduce,
    require_maps,
    require_reduction,
    require_same_batch,
    shape_of,
)

_EPS = 1e-12  # the reference's guard of a channel that is zero everywhere


def channel_saliency(features: Tensor) -> Tensor:
    """Score each channel by the mean of its maps after dividing every map by its L2 norm.

    s_c = mean over b, h, w of f[b, c, h, w] / max(||f[b, c]||_2, 1e-12)

    The division is carried out on the per-map sums, so no normalised copy of the feature map is made, and in float32
    where the map is in half precision.

    Args:
        features: Feature map, [B, C, H, W].
    Returns:
        Saliency, [C], without gradient; float32 for half-precision maps.
    Raises:
        ValueError: If the map is not 4-D or is empty.
    Source: Tf-FD, intra-layer distillation (train_kd.py at 3427f98).
    """
    require_maps("channel_saliency", features)
    maps = features.detach()
    sums, norms = map_sums(maps)
    height, width = maps.shape[2:]
    saliency: Tensor = (sums / norms.clamp_min(_EPS)).mean(dim=0) / (height * width)
    return saliency


def intra_fd(features: Tensor) -> Tensor:
    """Pull the redundant channels of a stage and its salient ones together, paired in order of saliency.

    mean((f[:, order[:k]] - f[:, order[k:2k]]) ** 2), k = C // 2, order = channels by descending saliency

    The order carries no gradient; both halves do, as in every reference implementation (the paper speaks of salient
    channels teaching redundant ones). With an odd number of channels the least salient one has no partner.

    Args:
        features: Stage output after its last ReLU, [B, C, H, W], C >= 2.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If the map is not 4-D, is empty or has fewer than 2 channels.
    Source: Tf-FD, intra-layer distillation (train_kd.py at 3427f98).
    """
    require_maps("intra_fd", features)
    channels = features.shape[1]
    if channels < 2:
        raise ValueError(
            f"intra_fd pairs channels, so it needs at least 2; got a map with {channels}, shape {shape_of(features)}. "
            "Choose other stages with kd_mode.stages."
        )
    order = channel_saliency(features).argsort(descending=True, stable=True)
    if features.stride(1) == 1:  # channels_last: as a matrix with a row a pixel, for which index_select is fast
        features = features.permute(0, 2, 3, 1).flatten(0, 2)
    error: Tensor = PairedError.apply(features, order)
    return error


def inter_fd(shallow: Tensor, deep: Tensor) -> Tensor:
    """Pull a shallow feature map towards a detached deeper one.

    mean((pool(shallow)[:, :c] - stopgrad(pool(deep)[:, :c])) ** 2), c = min(C1, C2)

    `pool` averages the map with more rows or columns down to the size of the other, whichever of the two that is.

    Args:
        shallow: Earlier stage, [B, C1, H1, W1].
        deep: Later stage, [B, C2, H2, W2]; receives no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If an input is not 4-D or is empty, or the batch sizes differ.
    Source: Tf-FD, inter-layer distillation (train_kd.py at 3427f98).
    """
    require_maps("inter_fd", shallow, deep)
    require_same_batch("inter_fd", shallow, deep)
    channels = min(shallow.shape[1], deep.shape[1])
    student, target = in_float32(shallow[:, :channels]), in_float32(deep[:, :channels].detach())
    student, target = pool_to_smaller(student, target)
    if student.stride(1) == 1:  # channels_last: F.mse_loss would return its gradient in another layout
        student, target = student.movedim(1, -1), target.movedim(1, -1)
    return F.mse_loss(student, target)


def tfd_terms(
    stages: Sequence[Tensor], reduction: Reduction = "mean", *, intra: bool = True, inter: bool = True
) -> dict[str, Tensor]:
    """Reduce the intra term over the stages and the inter term over all pairs of a shallower and a deeper stage.

    Args:
        stages: Stage outputs after the last ReLU, shallow to deep, each [B, C, H, W]; at least 2, or 1 for the intra
            term alone.
        reduction: "mean" is the normalisation of the released script, which produced the published results; "sum" is
            the README's. With three stages they differ by a factor 3.
        intra: Whether to compute the intra term.
        inter: Whether to compute the inter term.
    Returns:
        The computed ones of {"intra", "inter"}: unweighted scalars.
    Raises:
        ValueError: If there are too few stages, or the reduction is unknown.
    Source: Tf-FD (train_kd.py and README.md at 3427f98).
    """
    required = 2 if inter else 1
    if len(stages) < required:
        needed = "2 stages, for the inter term compares two" if inter else "1 stage"
        raise ValueError(f"Tf-FD needs at least {needed}; got {len(stages)}. Choose more stages with kd_mode.stages.")
    require_reduction(reduction)
    terms: dict[str, Tensor] = {}
    if intra:
        terms["intra"] = reduce([intra_fd(stage) for stage in stages], reduction)
    if inter:
        require_maps("inter_fd", *stages)  # before they are pooled
        terms["inter"] = reduce([inter_fd(shallow, deep) for shallow, deep in pooled_pairs(stages)], reduction)
    return terms


class TfFD(nn.Module):
    """The weighted Tf-FD loss, lambda_intra * intra + lambda_inter * inter.

    Call it with two or more stages, `TfFD(8e-4, 5e-4)(f1, f2, f3)`. A term whose weight is 0 is not computed.

    Args:
        lambda_intra: Weight of the intra term, >= 0.
        lambda_inter: Weight of the inter term, >= 0.
        reduction: "mean" (the script's normalisation) or "sum" (the README's); see `tfd_terms`.
    Raises:
        ValueError: If a weight is negative or not finite, or the reduction is unknown.
    """

    def __init__(self, lambda_intra: float, lambda_inter: float, reduction: Reduction = "mean") -> None:
        super().__init__()
        for name, value in (("lambda_intra", lambda_intra), ("lambda_inter", lambda_inter)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} weighs a loss, so it must be finite and at least 0; got {value}.")
        require_reduction(reduction)
        self.lambda_intra = lambda_intra
        self.lambda_inter = lambda_inter
        self.reduction: Reduction = reduction

    def terms(self, *stages: Tensor) -> dict[str, Tensor]:
        """Return the unweighted scalars {"intra", "inter"} of stages [B, C, H, W], shallow to deep."""
        return tfd_terms(stages, self.reduction)

    def active_terms(self, *stages: Tensor) -> dict[str, Tensor]:
        """Return the unweighted scalars of those terms whose weight is not 0."""
        return tfd_terms(stages, self.reduction, intra=self.lambda_intra > 0, inter=self.lambda_inter > 0)

    def weigh(self, terms: dict[str, Tensor]) -> Tensor | float:
        """Sum unweighted terms with their weights; 0.0 if there are none."""
        weights = {"intra": self.lambda_intra, "inter": self.lambda_inter}
        return sum((weights[name] * term for name, term in terms.items()), start=0.0)

    def forward(self, *stages: Tensor) -> Tensor:
        """Return the weighted scalar of two or more stages [B, C, H, W], shallow to deep."""
        loss = self.weigh(self.active_terms(*stages))
        return loss if isinstance(loss, Tensor) else stages[0].new_zeros((), dtype=torch.float32)

    def extra_repr(self) -> str:
        return f"lambda_intra={self.lambda_intra}, lambda_inter={self.lambda_inter}, reduction={self.reduction!r}"
