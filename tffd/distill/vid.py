"""Variational information distillation: the kd_mode, the loss, and the regressors that predict a teacher's maps."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs
from tffd.tensors import Reduction, in_float32, pool_to_smaller, reduce, require_reduction, shape_of


class VariationalInformation(DistillMode):
    """The teacher's stages can be predicted from the student's; see `prediction_loss` and `VariationalRegressor`.

    Args:
        initial_variance: The initial variance of the predictions.
        eps: Added to every variance; RepDistiller's is 1e-5, Knowledge-Distillation-Zoo's 1e-6.
        stages: Pairs [student's, teacher's], counted from 1; None takes all in their order, "last" the last.
        reduction: Over the stages: "sum" is RepDistiller's, "mean" Knowledge-Distillation-Zoo's.
    """

    terms = ("vid",)
    needs_teacher = True

    def __init__(
        self,
        initial_variance: float = 5.0,
        eps: float = 1e-5,
        stages: Chosen = None,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__()
        require_reduction(reduction)
        _require_variance(initial_variance, eps)
        self.initial_variance, self.eps, self.chosen, self.reduction = initial_variance, eps, stages, reduction
        self.regressors: Sequence[VariationalRegressor] = ()

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)
        ours, theirs = setting.student.stages, setting.teacher_output.stages
        self.regressors = nn.ModuleList(  # type: ignore[assignment]
            VariationalRegressor(ours[a - 1].shape[1], theirs[b - 1].shape[1], self.initial_variance, self.eps)
            for a, b in self._pairs
        )

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = []
        for regressor, maps in zip(self.regressors, paired_stages(step, self._pairs), strict=True):
            ours, theirs = pool_to_smaller(*maps)
            losses.append(prediction_loss(regressor(ours), theirs, regressor.variance))
        return {"vid": reduce(losses, self.reduction)}


def prediction_loss(prediction: Tensor, teacher: Tensor, variance: Tensor) -> Tensor:
    """Make a teacher's map likely under a normal distribution around what is predicted of it.

    mean over b, c, h, w of ((teacher - prediction) ** 2 / variance[c] + log(variance[c])) / 2

    Args:
        prediction: What a regressor makes of the student's map, [B, C, H, W].
        teacher: Feature map of the same pictures, [B, C, H, W]; receives no gradient.
        variance: The variance of each channel, [C], above 0.
    Returns:
        Unweighted scalar, float32 for half-precision maps; below 0 where variances below 1 are deserved.
    Raises:
        ValueError: If the maps' shapes differ, are not 4-D or are empty, or there is not one variance a channel.
    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019;
        distiller_zoo/VID.py of RepDistiller at b84f547, kd_losses/vid.py of Knowledge-Distillation-Zoo at 65470c8.
        mdistiller (a08d46f) leaves the variance out of what is trained.
    """
    if prediction.shape != teacher.shape or prediction.ndim != 4 or prediction.numel() == 0:
        raise ValueError(
            f"prediction_loss needs non-empty maps [B, C, H, W] of one shape; the prediction's is "
            f"{shape_of(prediction)} and the teacher's {shape_of(teacher)}."
        )
    if variance.shape != prediction.shape[1:2]:
        raise ValueError(
            f"prediction_loss needs a variance for each of {prediction.shape[1]} channels; got shape "
            f"{shape_of(variance)}."
        )
    squares = (in_float32(prediction) - in_float32(teacher.detach())).square()
    per_channel = squares.mean(dim=(0, 2, 3))
    spread = in_float32(variance)
    return (per_channel / spread + spread.log()).mean() / 2


class VariationalRegressor(nn.Module):
    """Three 1x1 convolutions without bias from a student's map to a teacher's, and a variance for each channel.

    variance = softplus(log_scale) + eps

    Args:
        student, teacher: Numbers of channels; the middle of the regressor is as wide as the teacher.
        initial_variance: Above eps.
        eps: At least 0.
    Raises:
        ValueError: If the variance is not above eps, or eps is below 0.
    Source: VIDLoss (distiller_zoo/VID.py of RepDistiller at b84f547).
    """

    def __init__(self, student: int, teacher: int, initial_variance: float = 5.0, eps: float = 1e-5) -> None:
        super().__init__()
        _require_variance(initial_variance, eps)
        self.eps = eps
        self.regressor = nn.Sequential(
            nn.Conv2d(student, teacher, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher, teacher, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher, teacher, kernel_size=1, bias=False),
        )
        self.log_scale = nn.Parameter(torch.full((teacher,), math.log(math.expm1(initial_variance - eps))))

    @property
    def variance(self) -> Tensor:
        """Of each of the teacher's channels, [C]."""
        return F.softplus(self.log_scale) + self.eps

    def forward(self, features: Tensor) -> Tensor:
        """Predict the teacher's map, [B, C2, H, W], from the student's, [B, C1, H, W]."""
        return self.regressor(features)  # type: ignore[no-any-return]


def _require_variance(initial: float, eps: float) -> None:
    if not 0 <= eps < initial < math.inf:
        raise ValueError(
            f"initial_variance must be finite and above eps, and eps at least 0; got initial_variance={initial} and "
            f"eps={eps}."
        )
