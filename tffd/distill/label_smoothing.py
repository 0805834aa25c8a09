"""Label smoothing in its two published forms: the kd_mode, which replaces cross-entropy, and the pure function."""

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits, shape_of

Form = Literal["torch", "tfkd"]
"""Over which classes the smoothed share is spread: torch, over all; tfkd, over all but the right one."""


class LabelSmoothing(DistillMode):
    """The student learns labels of which a share is spread over all classes; see `smoothed_cross_entropy`.

    Args:
        smoothing: The share.
        form: Whose.
    """

    terms = ("label_smoothing",)

    def __init__(self, smoothing: float = 0.1, form: Form = "torch") -> None:
        super().__init__()
        _require_options(smoothing, form)
        self.smoothing: float = smoothing
        self.form: Form = form

    def check(self, setting: Setting) -> None:
        _require_classes(setting.student.logits, self.form)

    def forward(self, step: Step) -> dict[str, Tensor]:
        loss = smoothed_cross_entropy(step.student.logits, step.labels, self.smoothing, self.form)
        return {"label_smoothing": loss}


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, form: Form = "torch") -> Tensor:
    """Return cross-entropy with smoothed labels.

    mean over b of sum over k of -q[b, k] * log softmax(logits)[b, k]

    torch: q = 1 - a + a / K for the right class, a / K for the others
    tfkd: q = 1 - a for the right class, a / (K - 1) for the others

    The second is the first with a * K / (K - 1) for a.

    Args:
        logits: Class scores before the softmax, [B, K].
        labels: Classes, [B].
        smoothing: a, from 0 to below 1.
        form: The published form.
    Returns:
        Scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K], an option is not valid, or the others are spread over no class.
    Source: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7, which is PyTorch's; and
        loss_label_smoothing (my_loss_function.py of Teacher-free-Knowledge-Distillation at d000ab3).
    """
    require_logits("smoothed_cross_entropy", logits)
    _require_options(smoothing, form)
    _require_classes(logits, form)
    classes = logits.shape[1]
    share = smoothing if form == "torch" else smoothing * classes / (classes - 1)
    scores = F.log_softmax(in_float32(logits), dim=1)
    right, all_classes = -scores.gather(1, labels[:, None]).mean(), -scores.mean()
    return (1 - share) * right + share * all_classes


def _require_options(smoothing: float, form: str) -> None:
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is a share of the label, at least 0 and below 1; got {smoothing}.")
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")


def _require_classes(logits: Tensor, form: str) -> None:
    if form == "tfkd" and logits.shape[1] < 2:
        raise ValueError(
            f"form=tfkd spreads a share over the other classes, and there are none in scores of shape "
            f"{shape_of(logits)}; use form=torch."
        )
