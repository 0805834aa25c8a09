"""What the engine asks of the place where runs are trained."""

from typing import Protocol

from tffd.failures import Failure
from tffd.sweep.worker import Job


class Handle(Protocol):
    """One run that was started."""

    def has_ended(self) -> bool:
        """Tell whether its process is gone; what became of the run is in its directory."""

    def failure(self) -> Failure:
        """Say how the process of an ended run ended, for runs that left no record."""

    def seconds(self) -> float:
        """How long it has been at work; waiting in a queue does not count."""

    def stop(self) -> None:
        """End it at once."""


class Executor(Protocol):
    """A place where runs are trained.

    Attributes:
        slots: How many runs at a time.
        threads: CPU threads for each, where the config leaves them open.
        on_this_machine: Whether runs share its GPUs, and end when the sweep does.
    """

    threads: int
    on_this_machine: bool

    @property
    def slots(self) -> int:
        """May become fewer."""

    def start(self, job: Job) -> Handle:
        """Start a run; it may have to wait for its turn.

        Raises:
            ClusterError: If no run can be started any more.
        """

    def close(self, cancel: bool) -> None:
        """End what is still at work, at once.

        Args:
            cancel: Whether jobs on other machines are to end too. Else they go on, and the next command finds them.
        """
