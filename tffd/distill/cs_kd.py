"""Class-wise self-distillation (CS-KD): the kd_mode; its loss is that of soft targets."""

import torch
from torch import Tensor

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.st import soft_targets
from tffd.tensors import require_temperature


class ClassWiseSelfKD(DistillMode):
    """The student's softened probabilities of a picture follow its own of another picture of the class.

    The other pictures are shown to the student as it is, in train mode and without gradient: so they take a second
    forward pass, and the running statistics of its batch norms move twice a step, as in the source. Cross-entropy is
    that of the batch alone. A picture that is the only one of its class is its own partner, augmented otherwise.

    Args:
        temperature: T > 0; see `tffd.distill.st.soft_targets`.
    Source: Yun et al., "Regularizing Class-wise Predictions via Self-knowledge Distillation", CVPR 2020; train.py of
        cs-kd at b447f25.
    """

    terms = ("cs_kd",)
    partner = "same_class"

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        require_temperature(temperature)
        self.temperature = temperature

    def check(self, setting: Setting) -> None:
        soft_targets(setting.student.logits, setting.student.logits, self.temperature)

    def forward(self, step: Step) -> dict[str, Tensor]:
        if step.partner is None:
            raise ValueError("cs_kd compares pictures of one class; the step has no partners.")
        with torch.no_grad():
            partner = step.networks.student(step.partner)
        return {"cs_kd": soft_targets(step.student.logits, partner.logits, self.temperature)}
