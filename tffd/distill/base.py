"""What the training loop asks of a kd_mode."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from tffd.models import ModelOutput


class DistillMode(nn.Module, ABC):
    """A loss that is added to cross-entropy, scaled by the warm-up factor of the epoch.

    Args:
        name: The kd_mode's name in configs, records and tables.
    """

    term_names: Sequence[str] = ()
    """Names of the unweighted terms that `forward` returns: columns of metrics.csv."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def check(self, num_stages: int) -> None:
        """Raise ValueError if the mode cannot work on a network with that many stages."""

    @abstractmethod
    def forward(self, output: ModelOutput, labels: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Compute the loss of one batch.

        Args:
            output: What the network returned for the batch.
            labels: Classes, [B].
        Returns:
            The weighted scalar to add to cross-entropy (None: nothing to add), and the unweighted terms by name.
        """
