"""The baseline."""

from torch import Tensor

from tffd.distill.base import DistillMode
from tffd.models import ModelOutput


class NoDistillation(DistillMode):
    """Cross-entropy alone."""

    def forward(self, output: ModelOutput, labels: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        return None, {}
