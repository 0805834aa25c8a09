"""Progressive self-distillation (PS-KD): the kd_mode, which replaces cross-entropy, and the pure function."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits


class ProgressiveSelfKD(DistillMode):
    """The student learns labels that are mixed with what it made of the picture an epoch before.

    The share of its own past grows with the epochs: alpha * epoch / epochs. A picture that has not been seen yet has
    its label as the past, so the first epoch is plain cross-entropy. The past takes a table of 4 bytes times pictures
    times classes on the device: 20 MB for CIFAR-100, and it is kept in checkpoints.

    Args:
        alpha: The share in the last epoch, from 0 to 1.
    Source: Kim et al., "Self-Knowledge Distillation with Progressive Refinement of Targets", ICCV 2021; main.py of
        PS-KD-Pytorch at 9aa0828.
    """

    terms = ("ps_kd",)
    captures = False  # it goes by the epoch

    def __init__(self, alpha: float = 0.8) -> None:
        super().__init__()
        _require_share(alpha)
        self.alpha = alpha

    def check(self, setting: Setting) -> None:
        require_logits("ps_kd", setting.student.logits)

    def build(self, setting: Setting) -> None:
        self._epochs = setting.epochs
        self.past: Tensor
        self.register_buffer("past", torch.zeros(setting.pictures, setting.classes))

    def forward(self, step: Step) -> dict[str, Tensor]:
        logits, past = in_float32(step.student.logits), self.past[step.index]
        one_hot = F.one_hot(step.labels, logits.shape[1]).to(past)
        # Probabilities sum to 1; a row of zeros is none.
        past = torch.where(past.sum(dim=1, keepdim=True) > 0, past, one_hot)
        share = self.alpha * step.epoch / self._epochs
        loss = refined_cross_entropy(logits, step.labels, past, share)
        self.past[step.index] = logits.detach().softmax(dim=1).to(self.past)
        return {"ps_kd": loss}


def refined_cross_entropy(logits: Tensor, labels: Tensor, past: Tensor, share: float) -> Tensor:
    """Return cross-entropy with labels that are mixed with probabilities.

    mean over b of sum over k of -((1 - a) * [k is the label of b] + a * past[b, k]) * log softmax(logits)[b, k]

    Args:
        logits: Class scores before the softmax, [B, K].
        labels: Classes, [B].
        past: Probabilities, [B, K]; they receive no gradient.
        share: a, from 0 to 1.
    Returns:
        Scalar, float32 for half-precision scores.
    Raises:
        ValueError: If scores and probabilities are not [B, K] of one shape, or the share is not valid.
    Source: As of `ProgressiveSelfKD`; loss/pskd_loss.py.
    """
    require_logits("refined_cross_entropy", logits, past)
    _require_share(share)
    log_p = F.log_softmax(in_float32(logits), dim=1)
    hard = -log_p.gather(1, labels[:, None]).mean()
    soft = -(past.detach() * log_p).sum(dim=1).mean()
    return (1 - share) * hard + share * soft


def _require_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"alpha is the share of the past, from 0 to 1; got {share}.")
