"""What SLURM says of this user's jobs."""

import subprocess
import time

WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")
DEAD = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "TIMEOUT")
OUT_OF_MEMORY = "OUT_OF_MEMORY"

_SECONDS_BETWEEN_QUERIES = 10.0


class SlurmQueue:
    """Asks squeue for all jobs at once and not too often."""

    def __init__(self) -> None:
        self._states: dict[str, str] | None = None
        self._asked = -_SECONDS_BETWEEN_QUERIES

    def states(self, fresh: bool = False) -> dict[str, str] | None:
        """Job number to state, None if SLURM does not answer.

        Args:
            fresh: Ask now.
        """
        if fresh or time.monotonic() - self._asked >= _SECONDS_BETWEEN_QUERIES:
            self._asked = time.monotonic()
            try:
                command = ["squeue", "--me", "--states=all", "--noheader", "--format=%i %T"]
                answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
                words = (line.split() for line in answer.splitlines())
                self._states = {word[0]: word[1] for word in words if len(word) == 2 and word[0][0].isdigit()}
            except (OSError, subprocess.SubprocessError):
                self._states = None
        return self._states
