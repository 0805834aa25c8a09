"""A job of submitit as it is seen from outside, from before it is submitted to its end."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tffd.failures import Failure, FailureKind
from tffd.records import HEARTBEAT
from tffd.sweep.cluster.queue import DEAD, OUT_OF_MEMORY, WAITING, JobInQueue, SlurmQueue

if TYPE_CHECKING:
    import submitit

_SECONDS_BETWEEN_LOOKS = 1.0


class PendingRun:
    """A run whose job is submitted at the first look at which the cluster takes it.

    Args:
        submit: Gives the submitted run, None as long as the cluster takes none.
    """

    def __init__(self, submit: "Callable[[], SubmititRun | None]") -> None:
        self._submit = submit
        self._run: SubmititRun | None = None
        self._was_stopped = False

    def has_ended(self) -> bool:
        if self._run is None and not self._was_stopped:
            self._run = self._submit()
        return self._was_stopped if self._run is None else self._run.has_ended()

    def failure(self) -> Failure:
        if self._run is not None:
            return self._run.failure()
        return Failure(FailureKind.LOST, "it was stopped before it was submitted")

    def seconds(self) -> float:
        return 0.0 if self._run is None else self._run.seconds()

    def stop(self) -> None:
        if self._run is None:
            self._was_stopped = True
        else:
            self._run.stop()

    def is_in_queue(self) -> bool:
        """Tell whether it has a job that waits or works."""
        return self._run is not None and not self._run.has_ended()


class SubmititRun:
    """One job, seen through the files that it writes.

    Args:
        job: submitit's.
        run_dir: The directory in which its heartbeat is.
        queue: SLURM's; None for jobs on this machine.
        timeout: Seconds without a heartbeat after which a job that does not wait counts as lost.
    """

    def __init__(self, job: "submitit.Job[None]", run_dir: Path, queue: SlurmQueue | None, timeout: float) -> None:
        self._job, self._heartbeat = job, run_dir / HEARTBEAT
        self._queue, self._timeout = queue, timeout
        self._beat = _changed(self._heartbeat)  # one that an earlier process left
        self._earlier_result = _changed(job.paths.result_pickle)  # of a cluster that counts its jobs from 1 again
        self._line: JobInQueue | None = None
        self._seen = time.monotonic()
        self._began: float | None = None
        self._next_look = 0.0
        self._ended: Failure | None = None

    def has_ended(self) -> bool:
        if self._ended is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
            self._ended = self._look()
        return self._ended is not None

    def failure(self) -> Failure:
        assert self._ended is not None  # it is only asked of a run that has ended
        return self._ended

    def seconds(self) -> float:
        return 0.0 if self._began is None else time.monotonic() - self._began

    def stop(self) -> None:
        if self.has_ended():
            return
        self._cancel()
        self._ended = _lost(f"job {self._job.job_id} was cancelled")

    def _look(self) -> Failure | None:
        """Say how the job ended, None if it has not."""
        now = time.monotonic()
        beat = _changed(self._heartbeat)
        if beat not in (None, self._beat):
            self._beat, self._seen = beat, now
            self._began = self._began or now
        if _changed(self._job.paths.result_pickle) not in (None, self._earlier_result):
            return _lost(f"job {self._job.job_id} ended without a record; see {self._job.paths.stderr}")
        if self._queue is not None:
            return self._look_in_queue(self._queue, now)
        killed = f"job {self._job.job_id} was killed, perhaps for its memory; see {self._job.paths.stderr}"
        return _lost(killed) if self._job.done() else None

    def _look_in_queue(self, queue: SlurmQueue, now: float) -> Failure | None:
        # A verdict rests on what SLURM says now: it may just have put the job in the queue again.
        jobs = queue.jobs(fresh=now - self._seen >= self._timeout)
        line = (jobs or {}).get(self._job.job_id)
        if line not in (None, self._line):
            # Put in the queue and begun anew between two queries, a job has yet to come to its first line.
            if self._line is not None and line.start != self._line.start:
                self._began = None
            self._line, self._seen = line, now
        state = line.state if line else None
        if state in WAITING:
            self._began = None  # what it will do is timed anew
        if state in WAITING or (jobs is None and self._began is None):
            self._seen = now  # it is not supposed to be at work
        if state == OUT_OF_MEMORY:
            reason = f"OutOfMemory: job {self._job.job_id} was killed for its memory; see hydra.launcher.mem_gb"
            return Failure(FailureKind.OUT_OF_MEMORY, reason)
        if state in DEAD:
            return _lost(f"job {self._job.job_id} ended as {state}")
        if now - self._seen < self._timeout:
            return None
        self._cancel()
        where = state or "not in the queue"
        return _lost(f"job {self._job.job_id} gave no sign of life for {self._timeout:g} s ({where})")

    def _cancel(self) -> None:
        if self._queue is None:
            # submitit would send SIGINT, which jobs on this machine have blocked; see SubmititExecutor.
            self._job._process.terminate()  # type: ignore[attr-defined]
        else:
            self._job.cancel(check=False)


def _lost(reason: str) -> Failure:
    return Failure(FailureKind.LOST, reason)


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
