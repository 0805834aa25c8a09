"""Wide ResNets: three stages of pre-activation blocks.

In a pre-activation network batch norm and ReLU come before a convolution, so a stage does not end in a ReLU.
As in RepDistiller, the stages are the block outputs themselves, and the map before a ReLU is the next batch
norm's output of them. RepDistiller evaluates that batch norm a second time for it, which moves its running
statistics twice a step; here the next stage's first block hands out the value that it computes anyway.

Source: Zagoruyko and Komodakis 2016, section 2; RepDistiller (models/wrn.py at b84f547), without dropout.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models.layers import conv1x1, conv3x3, global_average, init_convolutions
from tffd.models.output import ModelOutput


class PreactBlock(nn.Module):
    """Batch norm, ReLU, convolution, twice; returns the sum and its first batch norm's output."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        """Build the block; the shortcut is a projection where the channels change, else the identity."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.shortcut: nn.Module | None = None
        if in_channels != out_channels:
            self.shortcut = conv1x1(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, C1, H, W] to [B, C2, H / stride, W / stride] and the normed input, [B, C1, H, W]."""
        normed = self.bn1(x)
        active = F.relu(normed)
        out = F.relu(self.bn2(self.conv1(active)), inplace=True)
        # The projection sees the activated input, the identity the raw one.
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(out) + shortcut, normed


class WideResNet(nn.Module):
    """A convolution and three stages of (depth - 4) / 6 blocks, the second and the third at stride 2."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(self, num_classes: int, *, depth: int, widen_factor: int, in_channels: int = 3) -> None:
        """Build and initialise the network.

        Args:
            num_classes: Number of logits.
            depth: 6n + 4.
            widen_factor: Multiplies the channels of the stages, 16, 32 and 64; the stem keeps 16.
            in_channels: Channels of the pictures.

        Raises:
            ValueError: If depth is not 6n + 4 with n >= 1, or widen_factor is below 1.
        """
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f"A wide ResNet has depth 6n + 4 (10, 16, 22, ...); got depth {depth}.")
        if widen_factor < 1:
            raise ValueError(f"A wide ResNet needs widen_factor >= 1; got {widen_factor}.")
        stages = [width * widen_factor for width in (16, 32, 64)]
        self.num_stages = len(stages)
        self.feature_channels = tuple(stages)
        self.conv1 = conv3x3(in_channels, 16)
        self.block1 = _stage(blocks, 16, stages[0], stride=1)
        self.block2 = _stage(blocks, stages[0], stages[1], stride=2)
        self.block3 = _stage(blocks, stages[1], stages[2], stride=2)
        self.bn1 = nn.BatchNorm2d(stages[2])
        self.fc = nn.Linear(stages[2], num_classes)
        init_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W]; stages are HxW, HxW / 2 and HxW / 4."""
        stem = self.conv1(x)
        stage1, _ = _run_stage(self.block1, stem)
        stage2, preact1 = _run_stage(self.block2, stage1)
        stage3, preact2 = _run_stage(self.block3, stage2)
        preact3 = self.bn1(stage3)
        pooled = global_average(F.relu(preact3))
        return ModelOutput(
            logits=self.fc(pooled),
            stages=(stage1, stage2, stage3),
            preacts=(preact1, preact2, preact3),
            stem=stem,
            pooled=pooled,
        )

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """Return the batch norms that read the stages: of the next stage's first block, and the last one."""
        return [*(cast(PreactBlock, stage[0]).bn1 for stage in (self.block2, self.block3)), self.bn1]


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.ModuleList:
    first = PreactBlock(in_channels, out_channels, stride)
    return nn.ModuleList([first, *(PreactBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))])


def _run_stage(blocks: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the stage's output and the first batch norm's output of its input."""
    first, *others = blocks
    x, normed = first(x)
    for block in others:
        x, _ = block(x)
    return x, normed


WIDE_RESNETS: dict[str, Callable[..., nn.Module]] = {
    "wrn_16_1": partial(WideResNet, depth=16, widen_factor=1),
    "wrn_40_1": partial(WideResNet, depth=40, widen_factor=1),
    "wrn_16_2": partial(WideResNet, depth=16, widen_factor=2),
    "wrn_40_2": partial(WideResNet, depth=40, widen_factor=2),
}
