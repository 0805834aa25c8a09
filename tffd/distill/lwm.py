"""Attention of class scores, from Learning without Memorizing: the kd_mode, and the pure functions of it."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs
from tffd.distill.sobolev import score_gradient
from tffd.tensors import in_float32, pool_to_smaller, require_logits, require_maps, require_same_batch, unit_vectors

Form = Literal["kdzoo", "paper"]
"""What the weights of the channels are multiplied with; see `class_activation`."""


class ScoreAttention(DistillMode):
    """The right class's score rests on the same positions as the teacher's; see `class_attention_loss`.

    Args:
        form: Whose.
        stages: One pair [student's, teacher's], counted from 1; "last" takes the last of each.
    """

    terms = ("lwm",)
    needs_teacher = True
    input_gradient = True  # so that the teacher's scores can be differentiated
    compiles = False  # it differentiates twice

    def __init__(self, form: Form = "kdzoo", stages: Chosen = ((2, 2),)) -> None:
        super().__init__()
        _require_form(form)
        self.form, self.chosen = form, stages

    def check(self, setting: Setting) -> None:
        require_logits("lwm", setting.student.logits, setting.teacher_output.logits)
        pairs = stage_pairs(setting, self.chosen)
        if len(pairs) != 1:
            raise ValueError(f"lwm compares one pair of stages; got {len(pairs)}. Name one, such as stages=[[2,2]].")

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        ((ours, theirs),) = paired_stages(step, self._pairs)
        our_gradient = score_gradient(step.student.logits, step.labels, ours, create_graph=True)
        their_gradient = score_gradient(step.teacher_output.logits, step.labels, theirs)
        activations = (
            class_activation(ours, our_gradient, self.form),
            class_activation(theirs, their_gradient, self.form),
        )
        return {"lwm": class_attention_loss(*activations)}


def class_activation(maps: Tensor, gradients: Tensor, form: Form = "kdzoo") -> Tensor:
    """Say how much each position of a map speaks for a class.

    max(sum over c of w[b, c] * x[b, c], 0), w[b, c] = mean over positions of gradients[b, c]

    Args:
        maps: Feature map, [B, C, H, W].
        gradients: The gradients of the class's score with respect to it, of the same shape.
        form: x is the map in the paper (Grad-CAM), and the gradients in Knowledge-Distillation-Zoo.
    Returns:
        [B, 1, H, W], float32 for half precision.
    Raises:
        ValueError: If a map is not 4-D or is empty, or the form is unknown.
    Source: Selvaraju et al., "Grad-CAM", ICCV 2017; kd_losses/lwm.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_maps("class_activation", maps, gradients)
    _require_form(form)
    slopes = in_float32(gradients)
    weighed = in_float32(maps) if form == "paper" else slopes
    return F.relu((slopes.mean(dim=(2, 3), keepdim=True) * weighed).sum(dim=1, keepdim=True))


def class_attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull a student's class activation towards a teacher's, each divided by its norm.

    mean(|s[b] / ||s[b]||_2 - t[b] / ||t[b]||_2|) over pictures and positions

    The larger is averaged down to the smaller, an extension of the source, which works at equal sizes. Where no
    position speaks for the class, the activation stays 0.

    Args:
        student: Activations, [B, 1, H1, W1].
        teacher: Those of the same pictures, [B, 1, H2, W2]; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half precision.
    Raises:
        ValueError: If a map is not 4-D or is empty, or the batch sizes differ.
    Source: Dhar et al., "Learning without Memorizing", CVPR 2019; kd_losses/lwm.py of Knowledge-Distillation-Zoo at
        65470c8.
    """
    require_maps("class_attention_loss", student, teacher)
    require_same_batch("class_attention_loss", student, teacher)
    pooled: Sequence[Tensor] = pool_to_smaller(in_float32(student), in_float32(teacher.detach()))
    ours, theirs = (unit_vectors(each.flatten(1)) for each in pooled)
    return F.l1_loss(ours, theirs)


def _require_form(form: str) -> None:
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
