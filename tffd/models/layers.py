"""Small pieces that the network families share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, *, groups: int = 1) -> nn.Conv2d:
    """Return a padded 3x3 convolution without bias, for use before or after a batch norm."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1, *, groups: int = 1) -> nn.Conv2d:
    """Return a 1x1 convolution without bias, such as the projection of a shortcut."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, groups=groups, bias=False)


def run_stage(blocks: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    """Apply blocks that return their map before its ReLU; return the stage's output after and before the last one."""
    *inner, last = blocks
    for block in inner:
        x = F.relu(block(x), inplace=True)
    # Not in place: distillation reads the map before the ReLU too.
    preact = last(x)
    return F.relu(preact), preact


def global_average(x: Tensor) -> Tensor:
    """Average every map over its positions, [B, C, H, W] to [B, C]; any input size will do."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave equal groups of channels: channel c of group g comes to place c * groups + g.

    Args:
        x: [B, C, H, W], C a multiple of groups.
        groups: How many.
    Returns:
        The same maps in another order, in the memory format that they came in.
    Source: Zhang et al., "ShuffleNet", CVPR 2018, section 3.1.
    """
    if x.is_contiguous(memory_format=torch.channels_last):
        # Channels lie side by side: shuffled in the order of dimensions below they would be laid out anew.
        rows: Tensor = x.permute(0, 2, 3, 1).unflatten(3, (groups, -1))
        return rows.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)
    maps: Tensor = x.unflatten(1, (groups, -1))
    return maps.transpose(1, 2).flatten(1, 2)


def init_convolutions(model: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / fan_out) and zero their biases.

    fan_out is kernel area times output channels. Batch norms keep PyTorch's weight 1 and bias 0, which is
    what the references set. Linear layers differ from family to family, so each network sets its own.

    Source: He et al. 2015, section 2.2; RepDistiller (models/ at b84f547) and train_kd.py at 3427f98.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
