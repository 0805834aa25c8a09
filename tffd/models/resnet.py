"""ResNets for 32x32 pictures: three stages of basic blocks.

Source: He et al. 2016, section 4.2, with 1x1 projection shortcuts; sizes as in RepDistiller (models/resnet.py
at b84f547). resnet20 and resnet110 are also Knowledge-Distillation-Zoo's networks (network.py at 65470c8).
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models.layers import conv1x1, conv3x3, global_average, init_convolutions, run_stage
from tffd.models.output import ModelOutput


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; returns the sum *before* its ReLU, which the stage applies."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        """Build the block; the shortcut is a projection where the shape changes, else the identity."""
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            projection = conv1x1(in_channels, out_channels, stride)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C1, H, W] to [B, C2, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        # A batch norm needs its input for the backward pass, not its output: overwriting that is free.
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        total: Tensor = self.bn2(self.conv2(out)) + shortcut
        return total


class ResNet(nn.Module):
    """A stem and three stages of (depth - 2) / 6 basic blocks, the second and the third at stride 2."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(
        self, num_classes: int, *, depth: int, widths: tuple[int, int, int, int], in_channels: int = 3
    ) -> None:
        """Build and initialise the network.

        Args:
            num_classes: Number of logits.
            depth: Number of layers with weights, 6n + 2, projections not counted.
            widths: Channels of the stem and of the three stages.
            in_channels: Channels of the pictures.

        Raises:
            ValueError: If depth is not 6n + 2 with n >= 1.
        """
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"A CIFAR ResNet has depth 6n + 2 (8, 14, 20, ...); got depth {depth}.")
        stem, *stages = widths
        self.num_stages = len(stages)
        self.feature_channels = tuple(stages)
        self.conv1 = conv3x3(in_channels, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(blocks, stem, stages[0], stride=1)
        self.layer2 = _stage(blocks, stages[0], stages[1], stride=2)
        self.layer3 = _stage(blocks, stages[1], stages[2], stride=2)
        # The references leave the linear layer at PyTorch's default, so it stays out of the initialisation.
        self.fc = nn.Linear(stages[2], num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W]; stages are HxW, HxW / 2 and HxW / 4."""
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

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """Return the last batch norm of each stage, to whose output the shortcut is added."""
        return [cast(BasicBlock, stage[-1]).bn2 for stage in (self.layer1, self.layer2, self.layer3)]


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.ModuleList:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.ModuleList([first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))])


_NARROW = (16, 16, 32, 64)
_WIDE = (32, 64, 128, 256)

RESNETS: dict[str, Callable[..., nn.Module]] = {
    "resnet8": partial(ResNet, depth=8, widths=_NARROW),
    "resnet14": partial(ResNet, depth=14, widths=_NARROW),
    "resnet20": partial(ResNet, depth=20, widths=_NARROW),
    "resnet32": partial(ResNet, depth=32, widths=_NARROW),
    "resnet44": partial(ResNet, depth=44, widths=_NARROW),
    "resnet56": partial(ResNet, depth=56, widths=_NARROW),
    "resnet110": partial(ResNet, depth=110, widths=_NARROW),
    "resnet8x4": partial(ResNet, depth=8, widths=_WIDE),
    "resnet32x4": partial(ResNet, depth=32, widths=_WIDE),
}
