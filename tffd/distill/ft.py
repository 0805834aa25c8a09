"""Factor transfer: the kd_mode, the pure functions of factors, and the two networks that make them."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from tffd.distill.base import DistillMode, Setting, Step, initialisation
from tffd.distill.fitnet import hint
from tffd.tensors import in_float32, pool_to_smaller, require_maps, require_same_batch, shape_of, unit_vectors

Form = Literal["repdistiller", "kdzoo"]
"""Whose comparison of factors; see `factor_loss`."""


class FactorTransfer(DistillMode):
    """A translation of the student's last stage becomes like a paraphrase of the teacher's; see `factor_loss`.

    Before the run proper, the paraphraser learns to give the teacher's maps back, without the student; from then on it
    stays as it is.

    Args:
        form: Whose comparison. In "kdzoo", convolutions before a batch norm have no bias.
        factor: Channels of the factors, as a share of the teacher's, > 0; rounded down.
        paraphraser_norm, translator_norm: Whether each convolution has a batch norm behind it.
        first_stage_epochs: 0 leaves the paraphraser with the weights that were drawn.
        first_stage_lr_factor, first_stage_milestones: See `initialisation`.
    """

    terms = ("ft",)
    needs_teacher = True

    def __init__(
        self,
        form: Form = "repdistiller",
        factor: float = 0.5,
        paraphraser_norm: bool = False,
        translator_norm: bool = True,
        first_stage_epochs: int = 30,
        first_stage_lr_factor: float = 0.2,
        first_stage_milestones: Sequence[float] = (),
    ) -> None:
        super().__init__()
        _require_form(form)
        if not 0 < factor < math.inf:
            raise ValueError(f"factor is a share of the teacher's channels, finite and above 0; got {factor}.")
        self.form, self.factor = form, factor
        self.norms = paraphraser_norm, translator_norm
        stage = initialisation(first_stage_epochs, first_stage_lr_factor, first_stage_milestones, "keep")
        self.first_stage = stage and dataclasses.replace(stage, student=False)
        self.paraphraser: nn.Module = nn.Identity()
        self.translator: nn.Module = nn.Identity()

    def check(self, setting: Setting) -> None:
        width = setting.teacher_output.stages[-1].shape[1]
        if int(width * self.factor) < 1:
            raise ValueError(
                f"factor={self.factor} of the teacher's {width} channels is less than one channel. Choose at least "
                f"{1 / width:g}."
            )

    def build(self, setting: Setting) -> None:
        ours, theirs = setting.student.stages[-1].shape[1], setting.teacher_output.stages[-1].shape[1]
        width, (paraphraser_norm, translator_norm) = int(theirs * self.factor), self.norms
        always = self.form == "repdistiller"
        self.paraphraser = Paraphraser(theirs, width, paraphraser_norm, always or not paraphraser_norm).eval()
        self.translator = Translator(ours, width, translator_norm, always or not translator_norm)

    def train(self, mode: bool = True) -> "FactorTransfer":
        """Put all but the paraphraser into train mode, whose statistics stay those of its first stage."""
        super().train(mode)
        self.paraphraser.eval()
        return self

    def forward(self, step: Step) -> dict[str, Tensor]:
        with torch.no_grad():
            theirs = self.paraphraser(step.teacher_output.stages[-1])[0]
        return {"ft": factor_loss(self.translator(step.student.stages[-1]), theirs, self.form)}

    def first_stage_terms(self, step: Step) -> dict[str, Tensor]:
        features = step.teacher_output.stages[-1].detach()
        self.paraphraser.train()
        _, restored = self.paraphraser(features)
        self.paraphraser.eval()
        return {"ft_reconstruction": hint(restored, features)}


def factor_loss(
    student: Tensor, teacher: Tensor, form: Form = "repdistiller", power: int = 2, difference: int = 1
) -> Tensor:
    """Pull a student's factors towards a teacher's, each picture's brought to length 1.

    mean(abs(unit(s[b]) - unit(t[b])) ** difference), where a picture's vector is
        repdistiller: mean over channels of f ** power, one number for each position
        kdzoo: all numbers of f

    The larger map is averaged down to the smaller; Knowledge-Distillation-Zoo takes equal sizes alone. A vector of
    zeros stays one.

    Args:
        student: Factors, [B, C1, H1, W1].
        teacher: Factors of the same pictures, [B, C2, H2, W2], C1 = C2 for kdzoo; they receive no gradient.
        form: Whose.
        power: The power of the numbers before the mean over channels, >= 1; without effect for kdzoo.
        difference: 1 or 2, the power of the differences.
    Returns:
        Unweighted scalar, float32 for half precision.
    Raises:
        ValueError: If a tensor is not 4-D or is empty, batch sizes differ, or channels differ for kdzoo, or an option
            is not valid.
    Source: Kim et al., "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, equation
        3; distiller_zoo/FT.py of RepDistiller at b84f547, kd_losses/ft.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_maps("factor_loss", student, teacher)
    require_same_batch("factor_loss", student, teacher)
    _require_form(form)
    if power < 1 or difference not in (1, 2):
        raise ValueError(f"power must be at least 1, and difference 1 or 2; got {power} and {difference}.")
    if form == "kdzoo" and student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f"form=kdzoo compares factors channel by channel; the student's have shape {shape_of(student)} and the "
            f"teacher's {shape_of(teacher)}. Translate the student's to the teacher's channels."
        )
    maps = pool_to_smaller(in_float32(student), in_float32(teacher.detach()))
    if form == "repdistiller":
        maps = maps[0].pow(power).mean(dim=1), maps[1].pow(power).mean(dim=1)
    ours, theirs = (unit_vectors(each.flatten(1)) for each in maps)
    return (ours - theirs).abs().pow(difference).mean()


class Translator(nn.Module):
    """Make factors of the student's map: three times convolution 3x3, batch norm if wanted, leaky ReLU with slope 0.1.

    The weights start as PyTorch draws them, as RepDistiller's do; Knowledge-Distillation-Zoo draws those of the
    convolutions from a normal distribution instead.

    Args:
        channels: The number of channels of the map.
        factors: Channels of the factors.
        norm: Whether there are batch norms.
        bias: Whether the convolutions have a bias.
    Source: Translator in models/util.py of RepDistiller at b84f547, translator in network.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """

    def __init__(self, channels: int, factors: int, norm: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.encoder = _three_layers(nn.Conv2d, (channels, channels, factors, factors), norm, bias)

    def forward(self, features: Tensor) -> Tensor:
        """Turn a map [B, C, H, W] into factors [B, F, H, W]."""
        return self.encoder(features)  # type: ignore[no-any-return]


class Paraphraser(Translator):
    """Make factors of the teacher's map as a `Translator` does, and the map of them by transposed convolutions.

    Args:
        channels, factors, norm, bias: See `Translator`.
    Source: Paraphraser in models/util.py of RepDistiller at b84f547, paraphraser in network.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """

    def __init__(self, channels: int, factors: int, norm: bool = False, bias: bool = True) -> None:
        super().__init__(channels, factors, norm, bias)
        self.decoder = _three_layers(nn.ConvTranspose2d, (factors, factors, channels, channels), norm, bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Turn a map [B, C, H, W] into factors [B, F, H, W], and these into a map like it."""
        factors = self.encoder(features)
        return factors, self.decoder(factors)


def _three_layers(
    convolution: type[nn.Conv2d] | type[nn.ConvTranspose2d], widths: Sequence[int], norm: bool, bias: bool
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers.append(convolution(inputs, outputs, kernel_size=3, padding=1, bias=bias))
        layers.append(nn.BatchNorm2d(outputs) if norm else nn.Identity())
        layers.append(nn.LeakyReLU(0.1, inplace=True))
    return nn.Sequential(*layers)


def _require_form(form: str) -> None:
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
