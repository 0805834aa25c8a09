"""Deep mutual learning (DML): the kd_mode; its loss is that of soft targets."""

from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.st import soft_targets
from tffd.tensors import in_float32, require_temperature


class DeepMutualLearning(DistillMode):
    """The student and a peer, another network like it, learn from each other at the same time.

    Each learns the labels and the other's softened probabilities, which are constant to it. The terms are what the
    student learns from the peer (`dml`), what the peer learns from the student (`dml_peer`), and the peer's
    cross-entropy (`dml_peer_ce`). The peer is drawn from weights of its own, sees the same pictures, is trained by the
    same optimiser and is kept in checkpoints, but it is never judged: the source reports whichever of the two does
    better on the test set. It doubles the time of a step and the memory.

    Args:
        temperature: T > 0; see `tffd.distill.st.soft_targets`.
    Source: Zhang et al., "Deep Mutual Learning", CVPR 2018; train_dml.py and kd_losses/dml.py of
        Knowledge-Distillation-Zoo at 65470c8.
    """

    terms = ("dml", "dml_peer", "dml_peer_ce")
    peer: nn.Module

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        require_temperature(temperature)
        self.temperature = temperature

    def check(self, setting: Setting) -> None:
        soft_targets(setting.student.logits, setting.student.logits, self.temperature)
        if "dml" in self.active and not {"dml_peer", "dml_peer_ce"} & set(self.active):
            raise ValueError(
                "the student would learn from a peer that learns nothing; give dml_peer or dml_peer_ce a weight."
            )

    def build(self, setting: Setting) -> None:
        self.peer = setting.new_student()

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = step.student.logits, self.peer(step.inputs).logits
        terms = {}
        if "dml" in self.active:
            terms["dml"] = soft_targets(ours, theirs, self.temperature)
        if "dml_peer" in self.active:
            terms["dml_peer"] = soft_targets(theirs, ours, self.temperature)
        if "dml_peer_ce" in self.active:
            terms["dml_peer_ce"] = F.cross_entropy(in_float32(theirs), step.labels)
        return terms
