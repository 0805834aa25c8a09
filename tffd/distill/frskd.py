"""Feature refinement via self-distillation (FRSKD): the kd_mode, its pyramid network, and the pure function."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.at import attention_transfer_stages
from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.fitnet import hint
from tffd.distill.ofd import connector, partial_loss_stages
from tffd.distill.st import soft_targets
from tffd.models.layers import global_average
from tffd.tensors import in_float32, require_temperature, shape_of

Feature = Literal["att", "fit", "od"]
"""How maps are compared; see `refinement_loss`."""

_SUM_EPS = 1e-6  # beside the sum of the weights that mix two or three maps
_FRESH_MARGIN = -math.sqrt(2 / math.pi)  # of a batch norm with scale 1 and shift 0


class FeatureRefinement(DistillMode):
    """A pyramid network refines the student's maps, learns the labels from them, and teaches the student.

    Its terms are the pyramid's cross-entropy (`frskd_bifpn`), whose gradient reaches the student through its maps, the
    pyramid's soft targets for the student (`frskd_soft`) and the `refinement_loss` between their maps
    (`frskd_feature`). The latter two teach the student alone. The pyramid is trained along, and is no part of the
    student, which is judged without it.

    Args:
        feature: How maps are compared. "od" takes those before the ReLU.
        temperature: The temperature of the soft targets.
        width: The pyramid's channels over the student's.
        depth: How many depthwise separable convolutions each of the pyramid's blocks has.
    Source: Ji et al., "Refine Myself by Teaching Myself: Feature Refinement via Self-Knowledge Distillation", CVPR
        2021; classification/ of FRSKD at 98b87e5.
    """

    terms = ("frskd_bifpn", "frskd_soft", "frskd_feature")
    pyramid: "FeaturePyramid"

    def __init__(self, feature: Feature = "att", temperature: float = 4.0, width: int = 2, depth: int = 2) -> None:
        super().__init__()
        _require_feature(feature)
        require_temperature(temperature)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth of the pyramid must be at least 1; got {width} and {depth}.")
        self.feature, self.temperature, self.width, self.depth = feature, temperature, width, depth
        self.connectors = nn.ModuleList()

    def check(self, setting: Setting) -> None:
        maps = setting.student.stages
        if len(maps) < 2:
            raise ValueError(f"a pyramid needs at least 2 stages; the student has {len(maps)}. Choose another network.")
        for upper, lower in pairwise(maps):
            sizes = shape_of(upper)[2:], shape_of(lower)[2:]
            if sizes[1] not in (sizes[0], tuple(_halved(size) for size in sizes[0])):
                raise ValueError(
                    f"a pyramid needs stages that are each as large as the one before or half as large; the student "
                    f"has {sizes[0]} and then {sizes[1]}. Choose another network."
                )
        if "frskd_bifpn" not in self.active:
            raise ValueError("the student would learn from a pyramid that learns nothing; give frskd_bifpn a weight.")

    def build(self, setting: Setting) -> None:
        channels = [maps.shape[1] for maps in setting.student.stages]
        self.pyramid = FeaturePyramid(channels, setting.classes, self.width, self.depth)
        if self.feature != "att" and "frskd_feature" in self.active:
            made = [connector(count, self.width * count) for count in channels]
            self.connectors.extend(nn.Sequential(*each, nn.ReLU()) if self.feature == "fit" else each for each in made)

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours = list(step.student.preacts if self.feature == "od" else step.student.stages)
        refined, logits = self.pyramid(ours)
        terms = {}
        if "frskd_bifpn" in self.active:
            terms["frskd_bifpn"] = F.cross_entropy(in_float32(logits), step.labels)
        if "frskd_soft" in self.active:
            terms["frskd_soft"] = soft_targets(step.student.logits, logits, self.temperature)
        if "frskd_feature" in self.active:
            if self.feature != "att":
                ours = [made(maps) for made, maps in zip(self.connectors, ours, strict=True)]
            if self.feature != "od":
                refined = [F.relu(maps) for maps in refined]
            terms["frskd_feature"] = refinement_loss(ours, refined, self.feature)
        return terms


def refinement_loss(
    student: Sequence[Tensor],
    refined: Sequence[Tensor],
    feature: Feature = "att",
    margins: Sequence[Tensor] | None = None,
) -> Tensor:
    """Pull a student's maps towards refined ones, the first towards the first and so on.

    att: sum over the stages of `tffd.distill.at.attention_transfer`
    fit: sum over the stages of `tffd.distill.fitnet.hint`
    od: `tffd.distill.ofd.partial_loss_stages`

    Args:
        student: Maps, shallow to deep, each [B, C, H, W]; for fit and od, what a connector made of them.
        refined: As many of the same pictures, for fit and od of the same shapes; they receive no gradient.
        feature: Which; od takes maps before their ReLU.
        margins: For od, each [C]; None takes those of batch norms before training, -sqrt(2 / pi). The source computes
            them then and keeps them.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If there is no such loss, the numbers of stages differ or are 0, or the loss refuses a pair.
    Source: classification/distill_loss/ (AT.py, FitNet.py, OD.py) of FRSKD at 98b87e5.
    """
    _require_feature(feature)
    if len(student) != len(refined) or not student:
        raise ValueError(
            f"refinement_loss pairs maps of two networks; the student has {len(student)} and the other "
            f"{len(refined)}. Pass as many of each, and at least one."
        )
    if feature == "att":
        return attention_transfer_stages(student, refined)
    if feature == "fit":
        return torch.stack([hint(ours, theirs) for ours, theirs in zip(student, refined, strict=True)]).sum()
    if margins is None:
        margins = [torch.full(maps.shape[1:2], _FRESH_MARGIN, device=maps.device) for maps in refined]
    return partial_loss_stages(student, refined, margins)


class FeaturePyramid(nn.Module):
    """A bidirectional feature pyramid (BiFPN): maps are mixed from deep to shallow, then from shallow to deep.

    Each mixture is a sum of two or three maps with trained weights, max(w, 0) / (sum of max(w, 0) + 1e-6), and passes
    through a block of depthwise separable convolutions. On the way up a map is repeated, on the way down max-pooled,
    each with a 1x1 convolution to the other's channels; neither is done between maps of one size.

    The source can stack such pyramids (`repeat`), but its second takes the channels of the first one's input, so that
    it fails unless width is 1; its published setting is one.

    Args:
        channels: The numbers of channels of the stages, shallow to deep, at least 2.
        classes: Number of classes.
        width: Output channels over input channels.
        depth: Separable convolutions in a block.
    Source: BiFPNc (classification/models/bifpn.py of FRSKD at 98b87e5).
    """

    def __init__(self, channels: Sequence[int], classes: int, width: int = 2, depth: int = 2) -> None:
        super().__init__()
        wide = [width * count for count in channels]
        last = len(channels) - 1
        self.enter_up = nn.ModuleList(_pointwise(count, width * count) for count in channels)
        self.enter_down = nn.ModuleList(_pointwise(count, width * count) for count in channels[1:])
        self.from_below = nn.ModuleList(_pointwise(wide[i + 1], wide[i]) for i in range(last))
        self.from_above = nn.ModuleList(_pointwise(wide[i], wide[i + 1]) for i in range(last))
        self.up = nn.ModuleList(_separable(count, depth) for count in wide[:-1])
        self.down = nn.ModuleList(_separable(count, depth) for count in wide[1:])
        self.up_weights = nn.ParameterList(torch.ones(2) for _ in range(last))
        self.down_weights = nn.ParameterList(torch.ones(3 if i < last - 1 else 2) for i in range(last))
        self.fc = nn.Linear(wide[-1], classes)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Refine maps [B, C, H, W], before or after their ReLU.

        Returns:
            As many maps [B, width * C, H, W] before their ReLU, and class scores [B, K].
        """
        active = [F.relu(each) for each in maps]
        last = len(active) - 1
        rising = [enter(each) for enter, each in zip(self.enter_up, active, strict=True)]
        for i in reversed(range(last)):
            below = F.interpolate(F.relu(rising[i + 1]), size=rising[i].shape[2:])
            rising[i] = self.up[i](_mix(self.up_weights[i], [rising[i], self.from_below[i](below)]))
        refined = rising[:1]
        for i in range(last):
            above = self.from_above[i](_shrink(F.relu(refined[i]), active[i + 1]))
            middle = [F.relu(rising[i + 1])] if i < last - 1 else []
            mixture = _mix(self.down_weights[i], [self.enter_down[i](active[i + 1]), *middle, above])
            refined.append(self.down[i](mixture))
        return refined, self.fc(global_average(F.relu(refined[-1])))


def _mix(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    positive = F.relu(weights)
    shares = positive / (positive.sum() + _SUM_EPS)
    return torch.stack([share * each for share, each in zip(shares, maps, strict=True)]).sum(dim=0)


def _shrink(maps: Tensor, like: Tensor) -> Tensor:
    """Max-pool 3x3 windows at stride 2, with zeros around: only to the right and below where a size is even."""
    if maps.shape[2:] == like.shape[2:]:
        return maps
    rows, columns = (size % 2 for size in maps.shape[2:])
    return F.max_pool2d(F.pad(maps, [columns, 1, rows, 1]), kernel_size=3, stride=2)


def _halved(size: int) -> int:
    return (size + 1) // 2


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def _separable(channels: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False))
        layers.append(nn.Conv2d(channels, channels, 1, bias=False))
        layers.append(nn.BatchNorm2d(channels))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers[:-1])


def _require_feature(feature: str) -> None:
    if feature not in get_args(Feature):
        raise ValueError(f"feature must be one of {', '.join(get_args(Feature))}; got {feature!r}.")
