"""MobileNetV2 for 32x32 pictures: seven groups of inverted bottlenecks, four of which end a stage.

A block ends without a ReLU, and so does a stage: the map before the next ReLU is the stage itself, and `preacts`
holds the same tensors. Between the last stage and the classifier there is a 1x1 convolution.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2; strides, stages
and initialisation as in RepDistiller (models/mobilenetv2.py at b84f547). Unlike torchvision's, its first block has the
1x1 convolution that expands channels, though it expands them by 1.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn

from tffd.models.layers import conv1x1, conv3x3, global_average, init_convolutions
from tffd.models.output import ModelOutput

# Of each group: expansion, channels at width 1, blocks, stride of the first.
_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STAGE_ENDS = (1, 2, 4, 6)  # the groups whose outputs are the stages
_STEM, _HEAD = 32, 1280  # channels at width 1


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a 3x3 one of each channel, a 1x1 one back, without a ReLU at the end."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, expansion: int) -> None:
        """Build the block; it has a shortcut, the identity, where the shape stays."""
        super().__init__()
        wide = in_channels * expansion
        self.conv = nn.Sequential(
            conv1x1(in_channels, wide),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            conv3x3(wide, wide, stride, groups=wide),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            conv1x1(wide, out_channels),
            nn.BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C1, H, W] to [B, C2, H / stride, W / stride]."""
        out: Tensor = self.conv(x)
        return x + out if self.has_shortcut else out


class MobileNetV2(nn.Module):
    """A stem at stride 2, seven groups of blocks, a 1x1 convolution to 1280 channels and one linear layer."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(self, num_classes: int, *, width: float, in_channels: int = 3) -> None:
        """Build and initialise the network.

        Args:
            num_classes: Number of logits.
            width: Multiplies all channels but those before the classifier, which it multiplies only above 1.
            in_channels: Channels of the pictures.

        Raises:
            ValueError: If the width leaves a layer without channels.
        """
        super().__init__()
        stem, *widths = (int(width * channels) for channels in (_STEM, *(group[1] for group in _GROUPS)))
        if min(stem, *widths) < 1:
            raise ValueError(f"MobileNetV2 needs a width of at least {1 / _GROUPS[0][1]}; got {width}.")
        head = int(_HEAD * max(width, 1.0))
        self.num_stages = len(_STAGE_ENDS)
        self.feature_channels = tuple(widths[group] for group in _STAGE_ENDS)
        self.conv1 = _layer(conv3x3(in_channels, stem, 2))
        self.blocks = nn.ModuleList()
        inputs = stem
        for (expansion, _, count, stride), outputs in zip(_GROUPS, widths, strict=True):
            first = InvertedResidual(inputs, outputs, stride=stride, expansion=expansion)
            others = (InvertedResidual(outputs, outputs, stride=1, expansion=expansion) for _ in range(count - 1))
            self.blocks.append(nn.Sequential(first, *others))
            inputs = outputs
        self.conv2 = _layer(conv1x1(inputs, head))
        self.fc = nn.Linear(head, num_classes)
        init_convolutions(self)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W]; stages are HxW divided by 2, 4, 8 and 16, rounded up."""
        stem = self.conv1(x)
        maps, stages = stem, []
        for group, blocks in enumerate(self.blocks):
            maps = blocks(maps)
            if group in _STAGE_ENDS:
                stages.append(maps)
        pooled = global_average(self.conv2(maps))
        return ModelOutput(
            logits=self.fc(pooled),
            stages=tuple(stages),
            preacts=tuple(stages),
            stem=stem,
            pooled=pooled,
        )

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """Return the last batch norm of each stage, to whose output the shortcut, if there is one, is added."""
        ends = [cast(nn.Sequential, self.blocks[group])[-1] for group in _STAGE_ENDS]
        return [cast(nn.BatchNorm2d, cast(InvertedResidual, block).conv[-1]) for block in ends]


def _layer(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))


MOBILENETS: dict[str, Callable[..., nn.Module]] = {"mobilenet_v2": partial(MobileNetV2, width=0.5)}
