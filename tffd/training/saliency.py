"""A look inside a trained network: how much of a stage each of its channels carries."""

import torch
from torch import nn

from tffd.data import Pictures
from tffd.losses import channel_saliency
from tffd.training.step import autocast

_PICTURES = 512


@torch.no_grad()
def saliency_by_rank(model: nn.Module, pictures: Pictures, bf16: bool = False) -> list[list[float]]:
    """Return each stage's channel saliencies, largest first, over the first pictures of a split as they are."""
    model.eval()
    inputs, _ = next(pictures.first(_PICTURES).in_order())
    with autocast(inputs.device, bf16):
        stages = model(inputs).stages
    return [channel_saliency(stage.float()).sort(descending=True).values.tolist() for stage in stages]
