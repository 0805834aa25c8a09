"""What every network returns."""

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """The logits of a network together with the feature maps that distillation works on.

    Attributes:
        logits: Class scores before the softmax, [B, K].
        stages: One map per stage, shallow to deep, each [B, C, H, W]: after the stage's last ReLU, or the
            block output itself in a pre-activation network (wide_resnet.py) and where blocks end without a ReLU
            (mobilenet.py).
        preacts: Maps of the same shapes whose ReLU is taken next: relu(preact) is the stage, but for the order of
            its channels in shufflenet_v2.py; in a pre-activation network the preact is the next batch norm's output
            of the stage; where blocks end without a ReLU it is the stage.
        stem: The map that enters the first stage, [B, C, H, W]; VGG max-pools it on the way.
        pooled: The classifier's input, [B, D]: the last stage averaged over its positions, in a pre-activation
            network after its ReLU, in mobilenet.py and shufflenet_v2.py after another 1x1 convolution.
    """

    logits: Tensor
    stages: tuple[Tensor, ...]
    preacts: tuple[Tensor, ...]
    stem: Tensor
    pooled: Tensor
