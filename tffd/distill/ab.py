"""Activation boundaries: the kd_mode, and the pure functions of maps before their ReLU."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import After, Decay, DistillMode, Momentum, Setting, Step, initialisation
from tffd.distill.fitnet import Regressor
from tffd.distill.pairs import Chosen, stage_pairs
from tffd.tensors import in_float32, require_maps, shape_of

Form = Literal["repdistiller", "kdzoo"]
"""Whose sum over the stages; see `boundary_loss_stages`."""


class ActivationBoundaries(DistillMode):
    """The student's neurons are active where the teacher's are; see `boundary_loss_stages`.

    The published forms train the student on this alone first, and on cross-entropy alone afterwards.

    Args:
        margin: Which a neuron should be away from its boundary, > 0.
        form: Whose.
        connector: Whether a `Connector` stands between stages of different shapes; those of one shape need none.
        first_stage_epochs, first_stage_lr_factor, first_stage_milestones, first_stage_decay, first_stage_momentum,
            after: See `initialisation`.
        stages: Pairs [student's, teacher's], counted from 1; None takes all in their order, "last" the last.
    """

    terms = ("ab",)
    needs_teacher = True

    def __init__(
        self,
        margin: float = 1.0,
        form: Form = "repdistiller",
        connector: bool = True,
        first_stage_epochs: int = 30,
        first_stage_lr_factor: float = 0.2,
        first_stage_milestones: Sequence[float] = (),
        first_stage_decay: Decay = "reached",
        first_stage_momentum: Momentum = "new",
        after: After = "none",
        stages: Chosen = None,
    ) -> None:
        super().__init__()
        _require_margin(margin)
        _require_form(form)
        self.margin, self.form, self.has_connector, self.chosen = margin, form, connector, stages
        self.first_stage = initialisation(
            first_stage_epochs, first_stage_lr_factor, first_stage_milestones, after, first_stage_decay,
            first_stage_momentum,
        )  # fmt: skip
        self.connectors = nn.ModuleList()

    def check(self, setting: Setting) -> None:
        for ours, theirs in self._shapes(setting):
            if self.has_connector:
                _between(ours, theirs)
            elif ours != theirs:
                raise ValueError(
                    f"without a connector both maps must have one shape; the student's is {ours} and the teacher's "
                    f"{theirs}. Set connector=true."
                )

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)
        self.connectors = nn.ModuleList(_between(*shapes) for shapes in self._shapes(setting))

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours = [
            connector(step.student.preacts[stage - 1])
            for connector, (stage, _) in zip(self.connectors, self._pairs, strict=True)
        ]
        theirs = [step.teacher_output.preacts[stage - 1] for _, stage in self._pairs]
        return {"ab": boundary_loss_stages(ours, theirs, self.margin, self.form)}

    def _shapes(self, setting: Setting) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return (C, H, W) of the student's and the teacher's map of each pair."""
        ours, theirs = setting.student.preacts, setting.teacher_output.preacts
        pairs = stage_pairs(setting, self.chosen)
        return [(shape_of(ours[a - 1])[1:], shape_of(theirs[b - 1])[1:]) for a, b in pairs]


def boundary_loss(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """Push a student's neurons to the side of 0 where the teacher's are.

    mean over all elements of max(s + margin, 0) ** 2 where t <= 0, and of max(margin - s, 0) ** 2 where t > 0

    Args:
        student: Map before its ReLU, or what a connector made of it, [B, C, H, W].
        teacher: Map before its ReLU of the same shape, of the same pictures; receives no gradient.
        margin: > 0.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, the shapes differ, or the margin is not finite and above 0.
    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons", AAAI
        2019, equation 6; kd_losses/ab.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_maps("boundary_loss", student, teacher)
    _require_margin(margin)
    if student.shape != teacher.shape:
        raise ValueError(
            f"boundary_loss compares neuron by neuron, so both maps must have one shape; the student's is "
            f"{shape_of(student)} and the teacher's {shape_of(teacher)}. Pass one batch, and put a Connector between "
            "networks of different shapes."
        )
    side = torch.where(teacher.detach() > 0, -1.0, 1.0)
    return F.relu(side * in_float32(student) + margin).square().mean()


def boundary_loss_stages(
    student: Sequence[Tensor], teacher: Sequence[Tensor], margin: float = 1.0, form: Form = "repdistiller"
) -> Tensor:
    """Reduce `boundary_loss` over n pairs of stages, the first with the first and so on.

    repdistiller: n / 1000 * sum over i = 1 to n of 2 ** (i - n) * C * H * W * boundary_loss
    kdzoo: mean over the stages

    Args:
        student: Maps before their ReLU, shallow to deep, each [B, C, H, W].
        teacher: As many, of the same shapes; they receive no gradient.
        margin: > 0; RepDistiller's is 1, Knowledge-Distillation-Zoo's 2.
        form: Whose.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If the numbers of stages differ or are 0, the form is unknown, or `boundary_loss` refuses a pair.
    Source: distiller_zoo/AB.py of RepDistiller at b84f547 (which writes the three stages as a factor 3), train_kd.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """
    _require_form(form)
    if len(student) != len(teacher) or not student:
        raise ValueError(
            f"boundary_loss_stages pairs the stages of two networks; the student has {len(student)} and the teacher "
            f"{len(teacher)}. Pass as many of each, and at least one."
        )
    each = [boundary_loss(ours, theirs, margin) for ours, theirs in zip(student, teacher, strict=True)]
    if form == "kdzoo":
        return torch.stack(each).mean()
    count = len(each)
    factors = [2.0 ** (i + 1 - count) * maps[0].numel() for i, maps in enumerate(student)]
    weighted = [factor * loss for factor, loss in zip(factors, each, strict=True)]
    return count / 1000 * torch.stack(weighted).sum()


class Connector(Regressor):
    """A `Regressor` without its ReLU, since what it makes is compared with a map before one."""

    def forward(self, features: Tensor) -> Tensor:
        """Turn the student's map [B, C1, H1, W1] into one of the teacher's shape, [B, C2, H2, W2]."""
        return self.bn(self.conv(features))  # type: ignore[no-any-return]


def _between(student: Sequence[int], teacher: Sequence[int]) -> nn.Module:
    return nn.Identity() if student == teacher else Connector(student, teacher)


def _require_margin(margin: float) -> None:
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be finite and above 0; got {margin}.")


def _require_form(form: str) -> None:
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
