"""What SLURM says of this user's jobs."""

import subprocess
import time
from typing import NamedTuple

WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")
DEAD = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "TIMEOUT")
OUT_OF_MEMORY = "OUT_OF_MEMORY"

_SECONDS_BETWEEN_QUERIES = 10.0


class JobInQueue(NamedTuple):
    """A job's line: its state, and when SLURM began it or means to, which a requeue changes."""

    state: str
    start: str


class SlurmQueue:
    """Asks squeue for all jobs at once and not too often."""

    def __init__(self) -> None:
        self._jobs: dict[str, JobInQueue] | None = None
        self._asked = -_SECONDS_BETWEEN_QUERIES

    def jobs(self, fresh: bool = False) -> dict[str, JobInQueue] | None:
        """Job number to its line, None if SLURM does not answer.

        Args:
            fresh: Ask now.
        """
        if fresh or time.monotonic() - self._asked >= _SECONDS_BETWEEN_QUERIES:
            self._asked = time.monotonic()
            try:
                command = ["squeue", "--me", "--states=all", "--noheader", "--format=%i %T %S"]
                answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
                lines = [line.split() for line in answer.splitlines()]
                jobs = (words for words in lines if len(words) == 3 and words[0][0].isdigit())
                self._jobs = {number: JobInQueue(state, start) for number, state, start in jobs}
            except (OSError, subprocess.SubprocessError):
                self._jobs = None
        return self._jobs
