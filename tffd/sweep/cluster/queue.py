"""The queue of a cluster: handing jobs to it, which it may not take just now, and asking what became of them."""

import io
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, NamedTuple

from tffd.texts import printable

if TYPE_CHECKING:
    import submitit

_SECONDS_BETWEEN_TRIES = 5.0

Submit = Callable[[], "submitit.Job[None]"]


class ClusterError(Exception):
    """A cluster takes no jobs any more. That is no trial's fault: they stay open, and the same command goes on."""


class Submitter:
    """Submits jobs, and bears with a cluster that refuses them for a while: it restarts, or a limit is reached.

    After a refusal all runs wait: one of them tries again now and then.

    Args:
        launcher: Hydra's name for it.
        patience: Seconds of refusals, without any job of this command in the queue, after which it counts as lost.
        is_idle: Tells whether this command has no job in the queue. While it has some, a limit may be due to them.
    """

    def __init__(self, launcher: str, patience: float, is_idle: Callable[[], bool]) -> None:
        self._launcher, self._patience, self._is_idle = launcher, patience, is_idle
        self._has_accepted = False
        self._next_try = self._since = 0.0
        self._reason = ""

    def try_to(self, submit: Submit) -> "submitit.Job[None] | None":
        """Return the submitted job, or None if there is none yet.

        Raises:
            ClusterError: If the cluster refuses the first of this command's jobs, as the settings may be wrong, or has
                refused all of them for too long.
        """
        from submitit.core.utils import FailedSubmissionError, UncompletedJobError

        if time.monotonic() < self._next_try:
            return None
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what is in the error
                job = submit()
        except (FailedSubmissionError, UncompletedJobError, OSError, subprocess.SubprocessError) as error:
            self._bear(str(error).strip() or type(error).__name__)
            return None
        self._has_accepted, self._next_try, self._reason = True, 0.0, ""
        return job

    def _bear(self, reason: str) -> None:
        reason, now = " ".join(reason.split()), time.monotonic()
        if not self._has_accepted:
            raise ClusterError(
                f"hydra/launcher={self._launcher}: {reason}\nNo job was started. The same command goes on once that is "
                "mended."
            )
        if not self._reason or not self._is_idle():
            self._since = now
        if now - self._since >= self._patience:
            raise ClusterError(
                f"hydra/launcher={self._launcher} has taken no job for {now - self._since:.0f} s: {reason}\n"
                "What has ended is recorded. The same command goes on."
            )
        if reason != self._reason:
            print(printable(f"No job is taken at present ({reason}); it is tried again."), file=sys.stderr)
        self._reason, self._next_try = reason, now + _SECONDS_BETWEEN_TRIES


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
