"""The networks, made by name."""

import difflib
from collections.abc import Callable
from pathlib import Path

from torch import nn

from tffd.checkpoints import load_weights
from tffd.models.bottleneck import BOTTLENECK_RESNETS
from tffd.models.mobilenet import MOBILENETS
from tffd.models.output import ModelOutput
from tffd.models.resnet import RESNETS
from tffd.models.shufflenet_v1 import SHUFFLENETS_V1
from tffd.models.shufflenet_v2 import SHUFFLENETS_V2
from tffd.models.vgg import VGGS
from tffd.models.wide_resnet import WIDE_RESNETS

__all__ = ["MODEL_NAMES", "ModelOutput", "create_model"]

_MODELS: dict[str, Callable[..., nn.Module]] = {
    **RESNETS,
    **WIDE_RESNETS,
    **VGGS,
    **BOTTLENECK_RESNETS,
    **MOBILENETS,
    **SHUFFLENETS_V1,
    **SHUFFLENETS_V2,
}

MODEL_NAMES: tuple[str, ...] = tuple(_MODELS)


def create_model(name: str, num_classes: int, *, in_channels: int = 3, weights: str | Path | None = None) -> nn.Module:
    """Build a network with fresh weights, or with those of a checkpoint.

    Calling it on pictures [B, in_channels, H, W], 8x8 to 64x64, gives a ModelOutput. Besides that it has
    `num_stages` and `feature_channels`, the channels of each stage, shallow to deep, and where they are known
    `norms_before_relu()`, the batch norms that the stages' maps before their ReLU come from.

    Args:
        name: One of MODEL_NAMES.
        num_classes: Number of logits.
        in_channels: Channels of the pictures.
        weights: A checkpoint for load_weights; None keeps the random initialisation.

    Returns:
        The network, on PyTorch's default device and in train mode.

    Raises:
        ValueError: If the name is unknown, a number is below 1, or load_weights refuses the checkpoint.
    """
    if name not in _MODELS:
        close = difflib.get_close_matches(str(name).lower().replace("-", "_"), MODEL_NAMES)
        hint = f"Did you mean {', '.join(close)}?" if close else f"Choose one of {', '.join(MODEL_NAMES)}."
        raise ValueError(f"There is no model {name!r}. {hint}")
    for label, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if value < 1:
            raise ValueError(f"A model needs {label} >= 1; got {value}.")
    model = _MODELS[name](num_classes, in_channels=in_channels)
    if weights is not None:
        load_weights(model, weights)
    return model
