"""A look inside a trained network: how much of a stage each of its channels carries."""

import torch
from torch import Tensor, nn

from tffd.data import Pictures
from tffd.losses import channel_saliency
from tffd.training.step import autocast

_PICTURES = 512


@torch.no_grad()
def saliency_by_rank(model: nn.Module, pictures: Pictures, bf16: bool = False) -> list[list[float]]:
    """Return each stage's channel saliencies, largest first, over the first pictures of a split as they are."""
    model.eval()
    few = pictures.first(_PICTURES)
    sums: list[Tensor] = []
    for inputs, _ in few.in_order():
        with autocast(inputs.device, bf16):
            stages = model(inputs).stages
        found = [channel_saliency(stage.float()) * len(inputs) for stage in stages]  # means over the batch
        sums = [total + more for total, more in zip(sums, found, strict=True)] if sums else found
    return [(total / len(few)).sort(descending=True).values.tolist() for total in sums]
