"""What the losses share: precision, map sizes, reductions over stages, and the refusal of shapes that do not fit."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["mean", "sum"]


def in_float32(tensor: Tensor) -> Tensor:
    """Widen half precision before anything is averaged or squared: it would be rounded, or overflow."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def pool_to_smaller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Average whichever of two maps has more rows or columns down to the size of the other.

    Args:
        first: [B, C1, H1, W1].
        second: [B, C2, H2, W2].
    Returns:
        Both as [B, C, min(H1, H2), min(W1, W2)].
    """
    size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return _pool(first, size), _pool(second, size)


def _pool(maps: Tensor, size: tuple[int, int]) -> Tensor:
    (height, width), (rows, columns) = maps.shape[2:], size
    if (height, width) == size:
        return maps
    if height % rows == 0 and width % columns == 0:
        # The same windows as adaptive pooling, whose backward pass takes twice as long on a CPU.
        return F.avg_pool2d(maps, (height // rows, width // columns))
    return F.adaptive_avg_pool2d(maps, size)


def reduce(values: Sequence[Tensor], reduction: Reduction) -> Tensor:
    """Return the mean or the sum of scalars, one for each stage or pair of stages."""
    total = torch.stack(list(values))
    return total.mean() if reduction == "mean" else total.sum()


def require_reduction(reduction: str) -> None:
    """Raise ValueError if there is no such reduction."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {', '.join(get_args(Reduction))}; got {reduction!r}.")


def require_maps(function: str, *maps: Tensor) -> None:
    """Raise ValueError, in the name of a function, if a tensor is not a feature map or is empty."""
    for features in maps:
        if features.ndim != 4 or features.numel() == 0:
            raise ValueError(f"{function} needs non-empty feature maps [B, C, H, W]; got shape {shape_of(features)}.")


def require_same_batch(function: str, first: Tensor, second: Tensor) -> None:
    """Raise ValueError, in the name of a function, if two maps are not of the same number of pictures."""
    if first.shape[0] != second.shape[0]:
        raise ValueError(
            f"{function} compares maps of the same pictures; the batch sizes are {first.shape[0]} and "
            f"{second.shape[0]}. Pass maps of one batch."
        )


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's shape as a plain tuple, as messages print it."""
    return tuple(tensor.shape)
