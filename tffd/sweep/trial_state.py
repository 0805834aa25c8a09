"""Where a trial stands that a command has claimed."""

from enum import Enum


class State(Enum):
    """Where a trial stands that this command has claimed.

    CLAIMED leads to TRAINING, which comes again with each seed and try; an INTERRUPTED one begins nothing more.
    """

    CLAIMED = "no run of it was started"
    TRAINING = "a run is at work"
    GIVEN_UP = "its run was asked to end for good after its epoch"
    OVERTIME = "its run was ended because it took too long"
    INTERRUPTED = "its run was asked to end after its epoch, with a checkpoint"
    COMPLETE = "its values are recorded"
    PRUNED = "it is recorded as given up"
    FAILED = "it is recorded as failed"
    LEFT = "a later command goes on with it"

    @property
    def is_end(self) -> bool:
        """Whether this command has nothing more to do with the trial."""
        return self in (State.COMPLETE, State.PRUNED, State.FAILED, State.LEFT)
