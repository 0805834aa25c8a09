"""What the losses share: precision, map sizes, reductions over stages, and the refusal of shapes that do not fit."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Reduction = Literal["mean", "sum"]

_EXACT_SCALES = frozenset({1, 2, 4, 8, 16})  # whose inverses, with which PyTorch upsamples, are not rounded


def in_float32(tensor: Tensor) -> Tensor:
    """Widen half precision before anything is averaged or squared: it would be rounded, or overflow."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Return a context in which products of matrices keep their precision; autocast would round them to bfloat16."""
    return torch.autocast(tensor.device.type, enabled=False)


def unit_vectors(tensor: Tensor, dim: int = -1) -> Tensor:
    """Divide vectors by their L2 norm; those shorter than 1e-12 become 0.

    The latter have no gradient either, where that of torch.nn.functional.normalize would be 1e12 times as large as the
    one of what comes out.
    """
    norm: Tensor = torch.linalg.vector_norm(tensor, dim=dim, keepdim=True)
    return tensor / norm.masked_fill(norm <= 1e-12, math.inf)


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


def pooled_pairs(stages: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every pair of a shallower and a deeper stage, the shallower one pooled as `pool_to_smaller` would.

    Where the sizes divide each other, a map is pooled from the size of its previous pair, which gives the same means:
    so a large map is read once, and written once in the backward pass, however many stages follow.

    Args:
        stages: Shallow to deep, each [B, C, H, W].
    """
    for number, shallow in enumerate(map(in_float32, stages[:-1]), 1):
        smallest = shallow
        for deep in stages[number:]:
            size = (min(shallow.shape[2], deep.shape[2]), min(shallow.shape[3], deep.shape[3]))
            pooled = _pool(smallest if _divides(size, smallest) else shallow, size)
            yield pooled, deep
            if _divides(size, shallow):
                smallest = pooled


def _pool(maps: Tensor, size: tuple[int, int]) -> Tensor:
    (height, width), (rows, columns) = maps.shape[2:], size
    if (height, width) == size:
        return maps
    if not _divides(size, maps):
        return F.adaptive_avg_pool2d(maps, size)
    window = (height // rows, width // columns)
    if maps.device.type == "cpu" and _EXACT_SCALES.issuperset(window):
        # Sums over windows are the gradient of nearest upsampling. On a CPU they take half the time of avg_pool2d, and
        # so does their own gradient, the upsampling.
        sums: Tensor = torch.ops.aten.upsample_nearest2d_backward(maps, [height, width], [*maps.shape[:2], *size])
        return sums / (window[0] * window[1])
    if maps.device.type == "cuda" and maps.stride(1) == 1:  # a third of the time of avg_pool2d, backward above all
        pixels = maps.permute(0, 2, 3, 1).unflatten(2, (columns, -1)).unflatten(1, (rows, -1))
        means: Tensor = pixels.mean(dim=(2, 4))
        return means.permute(0, 3, 1, 2)
    # The same windows as adaptive pooling, whose backward pass takes twice as long on a CPU.
    return F.avg_pool2d(maps, window)


def _divides(size: tuple[int, int], maps: Tensor) -> bool:
    return maps.shape[2] % size[0] == 0 and maps.shape[3] % size[1] == 0


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
    """Raise ValueError, in the name of a function, if two tensors are not of the same number of pictures."""
    if first.shape[0] != second.shape[0]:
        raise ValueError(
            f"{function} compares maps of the same pictures; the batch sizes are {first.shape[0]} and "
            f"{second.shape[0]}. Pass maps of one batch."
        )


def require_vectors(function: str, student: Tensor, teacher: Tensor) -> None:
    """Raise ValueError, in the name of a function, unless both are vectors of as many pictures, of any widths."""
    for vectors in (student, teacher):
        if vectors.ndim != 2 or vectors.numel() == 0:
            raise ValueError(f"{function} needs a vector for each picture, [B, D]; got shape {shape_of(vectors)}.")
    require_same_batch(function, student, teacher)


def require_logits(function: str, *logits: Tensor) -> None:
    """Raise ValueError, in the name of a function, unless these are class scores [B, K] of one shape."""
    for scores in logits:
        if scores.ndim != 2 or scores.numel() == 0:
            raise ValueError(f"{function} needs non-empty class scores [B, K]; got shape {shape_of(scores)}.")
    if len({scores.shape for scores in logits}) > 1:
        student, teacher = (shape_of(scores) for scores in logits)
        raise ValueError(
            f"{function} compares class scores of the same pictures and classes; the student's have shape {student} "
            f"and the teacher's {teacher}. Use a teacher that was trained on the same classes, and pass one batch."
        )


def require_temperature(temperature: float) -> None:
    """Raise ValueError if class scores cannot be divided by it."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature divides the class scores, so it must be finite and above 0; got {temperature}.")


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's shape as a plain tuple, as messages print it."""
    return tuple(tensor.shape)
