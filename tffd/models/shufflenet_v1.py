"""ShuffleNetV1 for 32x32 pictures: three stages of blocks with grouped 1x1 convolutions.

Source: Zhang et al., "ShuffleNet", CVPR 2018, table 1 with 3 groups; the 1x1 stem without a max pool as in
RepDistiller (models/ShuffleNetv1.py at b84f547). All weights start as PyTorch draws them, as there.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models.layers import channel_shuffle, conv1x1, conv3x3, global_average, run_stage
from tffd.models.output import ModelOutput

_STEM = 24


class ShuffleBlock(nn.Module):
    """Grouped 1x1, shuffle, 3x3 of each channel, grouped 1x1; returns the map *before* its ReLU.

    With stride 1 the input is added to what the convolutions give. With stride 2 the averaged input is appended, so
    that the convolutions give the channels that are missing.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, groups: int) -> None:
        """Build the block; on the stem's few channels the first convolution is not grouped."""
        super().__init__()
        made = out_channels - in_channels if stride == 2 else out_channels
        middle = made // 4
        self.stride = stride
        self.groups = 1 if in_channels == _STEM else groups
        self.conv1 = conv1x1(in_channels, middle, groups=self.groups)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = conv3x3(middle, middle, stride, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = conv1x1(middle, made, groups=groups)
        self.bn3 = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C1, H, W] to [B, C2, H / stride, W / stride]."""
        out: Tensor = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = channel_shuffle(out, self.groups)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        if self.stride == 1:
            return out + x
        return torch.cat([out, F.avg_pool2d(x, kernel_size=3, stride=2, padding=1)], dim=1)


class ShuffleNetV1(nn.Module):
    """A 1x1 stem and three stages, each with its first block at stride 2."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(
        self, num_classes: int, *, widths: Sequence[int], blocks: Sequence[int], groups: int, in_channels: int = 3
    ) -> None:
        """Build the network.

        Args:
            num_classes: Number of logits.
            widths: Channels of the three stages.
            blocks: How many each stage has, at least 2.
            groups: Of the 1x1 convolutions.
            in_channels: Channels of the pictures.
        """
        super().__init__()
        self.num_stages = len(widths)
        self.feature_channels = tuple(widths)
        self.conv1 = conv1x1(in_channels, _STEM)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.layer1 = _stage(blocks[0], _STEM, widths[0], groups)
        self.layer2 = _stage(blocks[1], widths[0], widths[1], groups)
        self.layer3 = _stage(blocks[2], widths[1], widths[2], groups)
        self.fc = nn.Linear(widths[2], num_classes)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W]; stages are HxW divided by 2, 4 and 8, rounded up."""
        stem = F.relu(self.bn1(self.conv1(x)), inplace=True)
        stage1, preact1 = run_stage(self.layer1, stem)
        stage2, preact2 = run_stage(self.layer2, stage1)
        stage3, preact3 = run_stage(self.layer3, stage2)
        pooled = global_average(stage3)
        return ModelOutput(
            logits=self.fc(pooled),
            stages=(stage1, stage2, stage3),
            preacts=(preact1, preact2, preact3),
            stem=stem,
            pooled=pooled,
        )


def _stage(blocks: int, in_channels: int, out_channels: int, groups: int) -> nn.ModuleList:
    first = ShuffleBlock(in_channels, out_channels, stride=2, groups=groups)
    others = (ShuffleBlock(out_channels, out_channels, stride=1, groups=groups) for _ in range(blocks - 1))
    return nn.ModuleList([first, *others])


SHUFFLENETS_V1: dict[str, Callable[..., nn.Module]] = {
    "shuffle_v1": partial(ShuffleNetV1, widths=(240, 480, 960), blocks=(4, 8, 4), groups=3),
}
