"""What every network returns."""

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """The logits of a network together with the feature maps that distillation works on.

    Attributes:
        logits: Class scores before the softmax, [B, K].
        stages: One map per stage, shallow to deep, each [B, C, H, W]: after the stage's last ReLU, or the
            block output itself in a pre-activation network (wide_resnet.py).
        preacts: Maps of the same shapes whose ReLU is taken next: relu(preact) is the stage, or in a
            pre-activation network the preact is the next batch norm's output of the stage.
        stem: The map that enters the first stage, [B, C, H, W]; VGG max-pools it on the way.
        pooled: The last stage averaged over its positions, the classifier's input, [B, D].
    """

    logits: Tensor
    stages: tuple[Tensor, ...]
    preacts: tuple[Tensor, ...]
    stem: Tensor
    pooled: Tensor
