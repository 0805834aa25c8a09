"""Self-distillation from the last mini-batch (DLB): the kd_mode; its loss is that of soft targets."""

from torch import Tensor

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.st import soft_targets
from tffd.tensors import require_temperature


class LastBatch(DistillMode):
    """The student's softened probabilities of the pictures of the step before follow those that it had there.

    Each batch begins with the pictures of the one before, augmented anew; cross-entropy is the mean over all of them.
    So every picture is seen twice an epoch: a run costs twice as much as others of as many epochs. The first step of
    an epoch, which follows none, has no such term. What is remembered lasts a step and never an epoch, so that
    checkpoints, which are written between epochs, need not hold it.

    Args:
        temperature: T > 0; see `tffd.distill.st.soft_targets`.
    Source: Shen et al., "Self-Distillation from the Last Mini-Batch for Consistency Regularization", CVPR 2022; dlb.py
        of DLB at 8949a46.
    """

    terms = ("dlb",)
    partner = "previous"
    captures = False  # it remembers a step's logits by name

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        require_temperature(temperature)
        self.temperature = temperature
        self._previous: Tensor | None = None

    def check(self, setting: Setting) -> None:
        soft_targets(setting.student.logits, setting.student.logits, self.temperature)

    def forward(self, step: Step) -> dict[str, Tensor]:
        logits, previous = step.student.logits, self._previous
        again, self._previous = logits[: step.repeated], logits[step.repeated :].detach()
        if step.repeated == 0:
            return {"dlb": 0 * logits.float().sum()}
        if previous is None:
            raise ValueError("dlb compares with the step before, and this is the first that it sees.")
        return {"dlb": soft_targets(again, previous, self.temperature)}
