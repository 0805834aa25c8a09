"""Overhaul of feature distillation: the kd_mode, its margins, and the pure functions of maps before their ReLU."""

import math
from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, stage_pairs
from tffd.tensors import in_float32, pool_to_smaller, require_maps, shape_of

Form = Literal["overhaul", "kdzoo"]
"""Whose sum over the stages; see `partial_loss_stages`."""

Margin = Literal["batch_norm", "batch"]
"""Whether margins follow from a batch norm's weights or from the maps of a batch; see `batch_norm_margin` and
`batch_margin`."""

_RARE = 0.001  # below this probability of a negative value the sources take three standard deviations
_COUNT_EPS = 1e-6  # Knowledge-Distillation-Zoo's guard of a channel without negative values


class FeatureOverhaul(DistillMode):
    """The student's maps before the ReLU become like what a margin leaves of the teacher's; see `partial_loss`.

    A `connector`, trained along, gives each of the student's maps the teacher's channels. Of maps of different sizes
    the larger is averaged down to the smaller. mdistiller resizes the teacher's, which is the same where that is the
    larger; the other sources take equal sizes alone.

    Args:
        margin: Where the margins come from. Those of the teacher's batch norms need a network that names them; see
            `norms_before_relu`.
        form: Whose sum over the stages.
        stages: Pairs [student's, teacher's], counted from 1; None takes all in their order, "last" the last.
    """

    terms = ("ofd",)
    needs_teacher = True

    def __init__(self, margin: Margin = "batch_norm", form: Form = "overhaul", stages: Chosen = None) -> None:
        super().__init__()
        if margin not in get_args(Margin):
            raise ValueError(f"margin must be one of {', '.join(get_args(Margin))}; got {margin!r}.")
        _require_form(form)
        self.margin, self.form, self.chosen = margin, form, stages
        self.connectors = nn.ModuleList()

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)
        if self.margin == "batch_norm" and setting.teacher_network is not None:
            norms_before_relu(setting.teacher_network)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)
        ours, theirs = setting.student.preacts, setting.teacher_output.preacts
        self.connectors = nn.ModuleList(connector(ours[a - 1].shape[1], theirs[b - 1].shape[1]) for a, b in self._pairs)

    def forward(self, step: Step) -> dict[str, Tensor]:
        maps = [
            pool_to_smaller(made(step.student.preacts[a - 1]), step.teacher_output.preacts[b - 1])
            for made, (a, b) in zip(self.connectors, self._pairs, strict=True)
        ]
        ours, theirs = [ours for ours, _ in maps], [theirs for _, theirs in maps]
        return {"ofd": partial_loss_stages(ours, theirs, self._margins(step, theirs), self.form)}

    def _margins(self, step: Step, theirs: Sequence[Tensor]) -> list[Tensor]:
        if self.margin == "batch":
            return [batch_margin(maps) for maps in theirs]
        norms = norms_before_relu(cast(nn.Module, step.networks.teacher))
        chosen = [norms[stage - 1] for _, stage in self._pairs]
        return [batch_norm_margin(norm.weight, norm.bias) for norm in chosen]


def partial_loss(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Pull a student's map towards a teacher's, except where both are inactive and the student's is the lower.

    mean over all elements of (s - t') ** 2 where s > t' or t' > 0, and of 0 elsewhere; t' = max(t, margin[c])

    Args:
        student: Map before its ReLU, or what a connector made of it, [B, C, H, W].
        teacher: Map before its ReLU of the same shape, of the same pictures; receives no gradient.
        margin: Of each channel, [C]: negative, or 0 where nothing negative is to be learnt; receives no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, the shapes differ, or there is not one margin a channel.
    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, equations 2 and 3;
        CIFAR-100/distiller.py of overhaul-distillation at 76344a8, kd_losses/ofd.py of Knowledge-Distillation-Zoo at
        65470c8.
    """
    require_maps("partial_loss", student, teacher)
    if student.shape != teacher.shape:
        raise ValueError(
            f"partial_loss compares neuron by neuron, so both maps must have one shape; the student's is "
            f"{shape_of(student)} and the teacher's {shape_of(teacher)}. Pass one batch, and put a connector between "
            "networks of different widths."
        )
    if margin.shape != teacher.shape[1:2]:
        raise ValueError(
            f"partial_loss needs a margin for each of {teacher.shape[1]} channels; got shape {shape_of(margin)}."
        )
    ours, theirs = in_float32(student), in_float32(teacher.detach())
    target = torch.maximum(theirs, margin.detach().to(theirs.dtype)[:, None, None])
    return (ours - target).square().masked_fill((ours <= target) & (target <= 0), 0.0).mean()


def partial_loss_stages(
    student: Sequence[Tensor], teacher: Sequence[Tensor], margins: Sequence[Tensor], form: Form = "overhaul"
) -> Tensor:
    """Reduce `partial_loss` over n pairs of stages, the first with the first and so on.

    overhaul: sum over i = 1 to n of 2 ** (i - n) * C * H * W * partial_loss
    kdzoo: mean over the stages

    Args:
        student: Maps, shallow to deep, each [B, C, H, W].
        teacher: As many, of the same shapes; they receive no gradient.
        margins: As many, each [C].
        form: Whose.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If the numbers of stages differ or are 0, the form is unknown, or `partial_loss` refuses a pair.
    Source: See `partial_loss`. overhaul-distillation divides its sum by 1000, which mdistiller (a08d46f) writes as a
        weight of 0.001, as here; train_kd.py of Knowledge-Distillation-Zoo.
    """
    _require_form(form)
    if not len(student) == len(teacher) == len(margins) or not student:
        raise ValueError(
            f"partial_loss_stages pairs the stages of two networks; the student has {len(student)}, the teacher "
            f"{len(teacher)}, and there are margins for {len(margins)}. Pass as many of each, and at least one."
        )
    triples = zip(student, teacher, margins, strict=True)
    each = [partial_loss(ours, theirs, margin) for ours, theirs, margin in triples]
    if form == "kdzoo":
        return torch.stack(each).mean()
    factors = [2.0 ** (i + 1 - len(each)) * maps[0].numel() for i, maps in enumerate(student)]
    return torch.stack([factor * loss for factor, loss in zip(factors, each, strict=True)]).sum()


def batch_norm_margin(scale: Tensor, shift: Tensor) -> Tensor:
    """Say how negative the negative outputs of a batch norm are on average, taking them to be normal.

    E[x | x < 0] of x ~ N(shift, |scale|), and -3 * |scale| where P(x < 0) is 0.001 or less

    Args:
        scale: Weight of the batch norm, [C].
        shift: Its bias, [C].
    Returns:
        Margin of each channel, [C], without gradient; float32 for half-precision weights.
    Raises:
        ValueError: If the two are not vectors of one length.
    Source: get_margin_from_BN (CIFAR-100/distiller.py of overhaul-distillation at 76344a8). It divides by a scale of 0,
        which counts as a very small one here.
    """
    if scale.shape != shift.shape or scale.ndim != 1:
        raise ValueError(
            f"batch_norm_margin needs a scale and a shift for each channel, [C]; got shapes {shape_of(scale)} and "
            f"{shape_of(shift)}."
        )
    spread, mean = in_float32(scale.detach()).abs().clamp_min(1e-12), in_float32(shift.detach())
    below = torch.special.ndtr(-mean / spread)
    density = torch.exp(-(mean / spread).square() / 2) / math.sqrt(2 * math.pi)
    return torch.where(below > _RARE, mean - spread * density / below, -3 * spread)


def batch_margin(teacher: Tensor) -> Tensor:
    """Average the negative values of each channel over a batch and all positions.

    Args:
        teacher: Map before its ReLU, [B, C, H, W].
    Returns:
        Margin of each channel, [C], without gradient; 0 for one that has no negative value, float32 for
        half-precision maps.
    Raises:
        ValueError: If the map is not 4-D or is empty.
    Source: get_margin (kd_losses/ofd.py of Knowledge-Distillation-Zoo at 65470c8), with its 1e-6 beside the count.
    """
    require_maps("batch_margin", teacher)
    maps = in_float32(teacher.detach())
    return maps.clamp_max(0).sum(dim=(0, 2, 3)) / ((maps < 0).sum(dim=(0, 2, 3)) + _COUNT_EPS)


def norms_before_relu(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the batch norm that each stage's map before its ReLU comes from, shallow to deep.

    A network says so itself, in a method of this name. In a ResNet that is the last one of the stage's last block, to
    whose output the shortcut is added. The ShuffleNets have none, as in RepDistiller: half of their map, or the
    averaged input in it, comes from elsewhere.

    Raises:
        ValueError: If the network does not say.
    Source: get_bn_before_relu (models/ of RepDistiller at b84f547).
    """
    find = getattr(network, "norms_before_relu", None)
    if find is None:
        raise ValueError(
            f"the batch norms before the ReLUs of class {type(network).__name__} are not known, so it has no margins. "
            "Set margin=batch, which takes them from the teacher's maps, or choose a ResNet, a Wide ResNet, a VGG or "
            "MobileNetV2."
        )
    return cast(list[nn.BatchNorm2d], find())


def connector(student: int, teacher: int) -> nn.Sequential:
    """Return a 1x1 convolution without bias and a batch norm, from a student's channels to a teacher's.

    Source: build_feature_connector (CIFAR-100/distiller.py of overhaul-distillation at 76344a8), with its weights drawn
        from N(0, 2 / teacher).
    """
    convolution = nn.Conv2d(student, teacher, kernel_size=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(teacher))


def _require_form(form: str) -> None:
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
