"""ShuffleNetV2 for 32x32 pictures: three stages of blocks that convolve one half of the channels.

The second half of a stage's map before its ReLU is the batch norm's output, the first half what an earlier block has
already activated, and the channels are shuffled after the ReLU: the stage is the shuffled relu(preact), as in
RepDistiller. Between the last stage and the classifier there is a 1x1 convolution.

Source: Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018, table 5
at width 1; the 1x1 stem without a max pool as in RepDistiller (models/ShuffleNetv2.py at b84f547). All weights start
as PyTorch draws them, as there.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models.layers import channel_shuffle, conv1x1, conv3x3, global_average
from tffd.models.output import ModelOutput

_STEM = 24


class DownBlock(nn.Module):
    """Two branches at stride 2 see the whole input; their outputs are put side by side and shuffled."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the block; each branch gives half of the channels."""
        super().__init__()
        half = out_channels // 2
        self.conv1 = conv3x3(in_channels, in_channels, 2, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = conv1x1(in_channels, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv1x1(in_channels, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = conv3x3(half, half, 2, groups=half)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv1x1(half, half)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C1, H, W] to [B, C2, H / 2, W / 2]."""
        left = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))), inplace=True)
        right = F.relu(self.bn3(self.conv3(x)), inplace=True)
        right = F.relu(self.bn5(self.conv5(self.bn4(self.conv4(right)))), inplace=True)
        return channel_shuffle(torch.cat([left, right], dim=1), 2)


class SplitBlock(nn.Module):
    """The second half of the channels is convolved, the first kept; returns both *before* ReLU and shuffle."""

    def __init__(self, channels: int) -> None:
        """Build the block, which keeps the shape."""
        super().__init__()
        half = channels // 2
        self.conv1 = conv1x1(half, half)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = conv3x3(half, half, groups=half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv1x1(half, half)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        kept, half = x.chunk(2, dim=1)
        out = F.relu(self.bn1(self.conv1(half)), inplace=True)
        out = self.bn3(self.conv3(self.bn2(self.conv2(out))))
        return torch.cat([kept, out], dim=1)


class ShuffleNetV2(nn.Module):
    """A 1x1 stem, three stages that begin at stride 2, a 1x1 convolution and one linear layer."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(
        self, num_classes: int, *, widths: Sequence[int], blocks: Sequence[int], head: int, in_channels: int = 3
    ) -> None:
        """Build the network.

        Args:
            num_classes: Number of logits.
            widths: Channels of the three stages, even numbers.
            blocks: How many follow the first of each stage, at least 1.
            head: Channels before the classifier.
            in_channels: Channels of the pictures.
        """
        super().__init__()
        self.num_stages = len(widths)
        self.feature_channels = tuple(widths)
        self.conv1 = conv1x1(in_channels, _STEM)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.layer1 = _stage(blocks[0], _STEM, widths[0])
        self.layer2 = _stage(blocks[1], widths[0], widths[1])
        self.layer3 = _stage(blocks[2], widths[1], widths[2])
        self.conv2 = conv1x1(widths[2], head)
        self.bn2 = nn.BatchNorm2d(head)
        self.fc = nn.Linear(head, num_classes)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W]; stages are HxW divided by 2, 4 and 8, rounded up."""
        stem = F.relu(self.bn1(self.conv1(x)), inplace=True)
        stage1, preact1 = _run_stage(self.layer1, stem)
        stage2, preact2 = _run_stage(self.layer2, stage1)
        stage3, preact3 = _run_stage(self.layer3, stage2)
        pooled = global_average(F.relu(self.bn2(self.conv2(stage3)), inplace=True))
        return ModelOutput(
            logits=self.fc(pooled),
            stages=(stage1, stage2, stage3),
            preacts=(preact1, preact2, preact3),
            stem=stem,
            pooled=pooled,
        )


def _stage(blocks: int, in_channels: int, out_channels: int) -> nn.ModuleList:
    return nn.ModuleList([DownBlock(in_channels, out_channels), *(SplitBlock(out_channels) for _ in range(blocks))])


def _run_stage(blocks: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the stage's output and the map before the last ReLU, whose channels are not shuffled."""
    first, *inner, last = blocks
    x = first(x)
    for block in inner:
        # One half is active already, which the ReLU leaves as it is.
        x = channel_shuffle(F.relu(block(x), inplace=True), 2)
    # Not in place: distillation reads the map before the ReLU too.
    preact = last(x)
    return channel_shuffle(F.relu(preact), 2), preact


SHUFFLENETS_V2: dict[str, Callable[..., nn.Module]] = {
    "shuffle_v2": partial(ShuffleNetV2, widths=(116, 232, 464), blocks=(3, 7, 3), head=1024),
}
