"""What a submitit job runs."""

import os
import signal
from types import FrameType
from typing import TYPE_CHECKING

from tffd.records import read_last_metrics
from tffd.sweep.worker import Job, run_in_worker

if TYPE_CHECKING:
    import submitit

_MOST_IDLE_REQUEUES = 3


class TrialTask:
    """One run; when the cluster takes its place away, it is to be put in the queue again.

    Args:
        job: The run.
        epoch: The epoch that it had reached when it was put in the queue.
        idle: How often in a row it has brought no new one.
    """

    def __init__(self, job: Job, epoch: int = 0, idle: int = 0) -> None:
        self._job, self._epoch, self._idle = job, epoch, idle

    def __call__(self) -> None:
        import submitit

        _end_in_handler(signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"])
        if self._job.lease is not None:
            # On this machine SIGTERM stops a run. SLURM sends it along with other signals; submitit passes over it.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run_in_worker(self._job)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission | None":
        """Called by submitit in the job, on preemption and before the time limit; None gives the job up."""
        import submitit

        epoch = int(read_last_metrics(self._job.run_dir).get("epoch", 0))
        idle = self._idle + 1 if epoch <= self._epoch else 0
        if idle >= _MOST_IDLE_REQUEUES:
            return None
        return submitit.helpers.DelayedSubmission(TrialTask(self._job, max(epoch, self._epoch), idle))


def _end_in_handler(number: signal.Signals) -> None:
    """Let the handler that puts a job back into the queue end the process by itself.

    submitit's raises SystemExit wherever the run happens to be. In the middle of a checkpoint, torch makes an error of
    it, and the run would be recorded as failed.
    """
    requeue = signal.getsignal(number)
    if not callable(requeue):
        return

    def handle(received: int, frame: FrameType | None) -> None:
        try:
            requeue(received, frame)
        except SystemExit as ended:
            os._exit(int(ended.code or 0) % 256)  # the code tells submitit on this machine to start it again

    signal.signal(number, handle)
