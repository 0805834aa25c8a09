"""What the intra term is made of, in as few passes over a feature map as PyTorch can be brought to.

The term costs little arithmetic: it costs what it reads and writes. So a map is gone over as rarely as possible, a part
at a time where that keeps the part in the cache, and always in its own layout.
"""

from typing import Any

import torch
from torch import Tensor

from tffd.tensors import in_float32

_PART = 2**18  # numbers of a map that stay in the cache of a core: 1 MB in float32


def map_sums(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum and the L2 norm of every map of [B, C, H, W], each [B, C], computed in float32 at least."""
    dtype = torch.promote_types(maps.dtype, torch.float32)
    if not torch.compiler.is_compiling() and maps.device.type == "cpu" and maps.stride(1) == 1:
        # PyTorch's norm of a channels_last map takes one number at a time on a CPU, its sum takes several.
        parts = (part.to(dtype) for part in maps.split(max(1, _PART // maps[0].numel())))
        sums = [(part.sum(dim=(2, 3)), part.square().sum(dim=(2, 3))) for part in parts]
        return torch.cat([plain for plain, _ in sums]), torch.cat([squared for _, squared in sums]).sqrt()
    return maps.sum(dim=(2, 3), dtype=dtype), torch.linalg.vector_norm(maps, dim=(2, 3), dtype=dtype)


class PairedError(torch.autograd.Function):
    """Mean squared difference of the channels in the first half of an order and their partners in the second.

    mean((maps[:, order[:k]] - maps[:, order[k:2k]]) ** 2), k = C // 2, float32 for half-precision maps

    The backward pass writes the gradient once and in the layout of the maps, where that of `index_select` adds it to a
    map of zeros, and those of `split` and `F.mse_loss` make copies. Besides the maps it keeps the differences.

    Args:
        maps: [N, C, ...]: channels are dimension 1.
        order: A permutation of the channels; with an odd number the last one has no partner.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, order: Tensor) -> Tensor:
        """Return the error, a scalar."""
        differences = _differences(maps, order)
        ctx.save_for_backward(maps, order, differences)
        return differences.square().mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Give both channels of a pair the gradient of their difference, with opposite signs."""
        maps, order, differences = ctx.saved_tensors
        if torch.is_grad_enabled():  # to differentiate again: the saved differences would count as constants
            differences = _differences(maps, order)
        half = len(order) // 2
        place = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=order.device))
        slope = gradients[0] * (2 / differences.numel())
        slopes = torch.where(place < half, slope, -slope)
        if len(order) % 2:
            slopes = slopes.index_fill(0, order[-1], 0)
        slopes = slopes.view(-1, *[1] * (maps.ndim - 2))
        return _channels(differences, place % half).mul_(slopes).to(maps.dtype), None


def _differences(maps: Tensor, order: Tensor) -> Tensor:
    half = len(order) // 2
    first, second = (in_float32(_channels(maps, part)) for part in (order[:half], order[half : 2 * half]))
    return first.sub_(second)


def _channels(maps: Tensor, order: Tensor) -> Tensor:
    """Return maps[:, order]."""
    is_plain = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
    if is_plain and maps.ndim == 2 and (maps.device.type == "cuda" or torch.get_num_threads() > 1):
        # index_select takes one thread on a CPU, where the others wait, and twice the time on a card.
        return maps.gather(1, order.expand(len(maps), -1))
    return maps.index_select(1, order)
