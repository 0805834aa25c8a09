"""VGG networks with batch norm for 32x32 pictures: five blocks and one linear layer.

Source: Simonyan and Zisserman 2015, table 1 (A, B, D and E are vgg11, 13, 16 and 19); batch norm, the short
vgg8 and the single linear layer as in RepDistiller (models/vgg.py at b84f547).
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models.layers import global_average, init_convolutions
from tffd.models.output import ModelOutput

_WIDTHS = (64, 128, 256, 512, 512)
_SMALLEST = 8


class VGG(nn.Module):
    """Five blocks of 3x3 convolutions; the first is the stem, the other four are the stages."""

    num_stages: int
    feature_channels: tuple[int, ...]

    def __init__(self, num_classes: int, *, convolutions: tuple[int, int, int, int, int], in_channels: int = 3) -> None:
        """Build and initialise the network.

        Args:
            num_classes: Number of logits.
            convolutions: How many each of the five blocks has.
            in_channels: Channels of the pictures.
        """
        super().__init__()
        self.num_stages = len(_WIDTHS) - 1
        self.feature_channels = _WIDTHS[1:]
        self.block0 = _block(convolutions[0], in_channels, _WIDTHS[0])
        self.block1 = _block(convolutions[1], _WIDTHS[0], _WIDTHS[1])
        self.block2 = _block(convolutions[2], _WIDTHS[1], _WIDTHS[2])
        self.block3 = _block(convolutions[3], _WIDTHS[2], _WIDTHS[3])
        self.block4 = _block(convolutions[4], _WIDTHS[3], _WIDTHS[4])
        self.fc = nn.Linear(_WIDTHS[4], num_classes)
        init_convolutions(self)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> ModelOutput:
        """Classify pictures, [B, in_channels, H, W].

        The stages of a 32x32 picture are 16x16, 8x8, 4x4 and 4x4. The last block has a max pool before it
        only for pictures of height 64, as in RepDistiller, and above.

        Raises:
            ValueError: If a picture is below 8x8, which the max pools would shrink to nothing.
        """
        if min(x.shape[2:]) < _SMALLEST:
            raise ValueError(
                f"VGG halves a picture three times, so it needs at least {_SMALLEST}x{_SMALLEST} pixels; "
                f"got {x.shape[2]}x{x.shape[3]}. Choose larger pictures or a ResNet."
            )
        stem = F.relu(self.block0(x))
        preact1 = self.block1(F.max_pool2d(stem, 2))
        stage1 = F.relu(preact1)
        preact2 = self.block2(F.max_pool2d(stage1, 2))
        stage2 = F.relu(preact2)
        preact3 = self.block3(F.max_pool2d(stage2, 2))
        stage3 = F.relu(preact3)
        preact4 = self.block4(F.max_pool2d(stage3, 2) if x.shape[2] >= 64 else stage3)
        stage4 = F.relu(preact4)
        pooled = global_average(stage4)
        return ModelOutput(
            logits=self.fc(pooled),
            stages=(stage1, stage2, stage3, stage4),
            preacts=(preact1, preact2, preact3, preact4),
            stem=stem,
            pooled=pooled,
        )

    def norms_before_relu(self) -> list[nn.BatchNorm2d]:
        """Return the last batch norm of each stage, whose output is the map before the ReLU."""
        return [cast(nn.BatchNorm2d, block[-1]) for block in (self.block1, self.block2, self.block3, self.block4)]


def _block(convolutions: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Return convolutions, batch norms and ReLUs, without the last ReLU: forward keeps the map before it."""
    layers: list[nn.Module] = []
    for index in range(convolutions):
        layers.append(nn.Conv2d(in_channels if index == 0 else out_channels, out_channels, 3, padding=1))
        layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers[:-1])


VGGS: dict[str, Callable[..., nn.Module]] = {
    "vgg8": partial(VGG, convolutions=(1, 1, 1, 1, 1)),
    "vgg11": partial(VGG, convolutions=(1, 1, 2, 2, 2)),
    "vgg13": partial(VGG, convolutions=(2, 2, 2, 2, 2)),
    "vgg16": partial(VGG, convolutions=(2, 2, 3, 3, 3)),
    "vgg19": partial(VGG, convolutions=(2, 2, 4, 4, 4)),
}
