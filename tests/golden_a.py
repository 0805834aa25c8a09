"""Golden set A: what Knowledge-Distillation-Zoo's modes compute on two real networks; see golden/README.md."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tffd.models import ModelOutput


class Pair:
    """A student in train mode and a teacher in eval mode, both in float64, on the set's batch of 16 pictures.

    Args:
        student, teacher: The networks.
        inputs: Normalised pictures, [16, C, H, W].
        figures: `kd` of reference_a.json.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, inputs: Tensor, figures: dict[str, Any]) -> None:
        self.network, self.teacher_network = student.double().train(), teacher.double().eval()
        self.figures = figures
        self.student: ModelOutput = self.network(inputs.double())
        with torch.no_grad():
            self.teacher: ModelOutput = self.teacher_network(inputs.double())

    def compare(self, mode: str, loss: Tensor, forward: float = 5e-6, gradient: float = 1e-6) -> None:
        """Compare a mode's loss, and the L2 norm of its gradient over all weights of the student.

        The figures are float32's. Their rounding is 1e-7 for most, and 1e-6 for the soft targets' loss, in which terms
        of opposite signs cancel.

        Args:
            forward, gradient: Relative tolerances, where a mode's figures were rounded more.
        """
        gradients = torch.autograd.grad(loss, list(self.network.parameters()), allow_unused=True)
        norms = [each.norm() for each in gradients if each is not None]
        assert loss.item() == pytest.approx(self.figures[mode]["loss"], rel=forward)
        assert torch.stack(norms).norm().item() == pytest.approx(self.figures[mode]["grad_norm"], rel=gradient)
