"""ResNets of bottleneck blocks for 32x32 pictures: four stages behind a 3x3 stem without a max pool.

Source: He et al. 2016, table 1; the stem for small pictures, and the stride in a block's 3x3 convolution, as in
RepDistiller (models/resnetv2.py at b84f547).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models.layers import conv1x1, conv3x3, global_average, init_convolutions, run_stage
from tffd.models.output import ModelOutput

_WIDTHS = (64, 128, 256, 512)  # of the 3x3 convolutions
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; returns the sum *before* its ReLU, which the stage applies."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        """Build the block; the shortcut is a projection where the shape changes, else the identity."""
        super().__init__()
        out_channels = _EXPANSION * width
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C1, H, W] to [B, C2, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        total: Tensor = self.bn3(self.conv3(out)) + shortcut
        return total


class BottleneckResNet(nn.Module):
    """A stem and four stages of bottlenecks, all but the first at stride 2."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(self, num_classes: int, *, blocks: Sequence[int], in_channels: int = 3) -> None:
        """Build and initialise the network.

        Args:
            num_classes: Number of logits.
            blocks: How many each of the four stages has.
            in_channels: Channels of the pictures.
        """
        super().__init__()
        stem, *stages = _WIDTHS[0], *(_EXPANSION * width for width in _WIDTHS)
        self.num_stages = len(stages)
        self.feature_channels = tuple(stages)
        self.conv1 = conv3x3(in_channels, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(blocks[0], stem, _WIDTHS[0], stride=1)
        self.layer2 = _stage(blocks[1], stages[0], _WIDTHS[1], stride=2)
        self.layer3 = _stage(blocks[2], stages[1], _WIDTHS[2], stride=2)
        self.layer4 = _stage(blocks[3], stages[2], _WIDTHS[3], stride=2)
        # RepDistiller leaves the linear layer at PyTorch's default, so it stays out of the initialisation.
        self.fc = nn.Linear(stages[3], num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W]; stages are HxW, and HxW divided by 2, 4 and 8, rounded up."""
        stem = F.relu(self.bn1(self.conv1(x)), inplace=True)
        stage1, preact1 = run_stage(self.layer1, stem)
        stage2, preact2 = run_stage(self.layer2, stage1)
        stage3, preact3 = run_stage(self.layer3, stage2)
        stage4, preact4 = run_stage(self.layer4, stage3)
        pooled = global_average(stage4)
        return ModelOutput(
            logits=self.fc(pooled),
            stages=(stage1, stage2, stage3, stage4),
            preacts=(preact1, preact2, preact3, preact4),
            stem=stem,
            pooled=pooled,
        )

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """Return the last batch norm of each stage, to whose output the shortcut is added."""
        return [cast(Bottleneck, stage[-1]).bn3 for stage in (self.layer1, self.layer2, self.layer3, self.layer4)]


def _stage(blocks: int, in_channels: int, width: int, stride: int) -> nn.ModuleList:
    first = Bottleneck(in_channels, width, stride)
    return nn.ModuleList([first, *(Bottleneck(_EXPANSION * width, width, 1) for _ in range(blocks - 1))])


BOTTLENECK_RESNETS: dict[str, Callable[..., nn.Module]] = {
    "resnet50": partial(BottleneckResNet, blocks=(3, 4, 6, 3)),
}
