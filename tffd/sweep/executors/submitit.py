"""Runs as jobs of submitit, which hydra/launcher=submitit_slurm and submitit_local ask for: one job each."""

import functools
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tffd.config import ConfigError
from tffd.files import replacing
from tffd.records import HEARTBEAT, read_last_metrics
from tffd.sweep.worker import Job, run_in_worker

if TYPE_CHECKING:
    import submitit

_JOB = "job.json"  # in a run's directory: the cluster's number for it

_OF_THE_EXECUTOR = ("max_num_timeout", "python")  # the other settings are of the jobs
_OF_EVERY_CLUSTER = (
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout",
)  # fmt: skip

_MOST_REQUEUES = 1000  # of one run: those that bring no new epoch are counted by the run itself
_MOST_IDLE_REQUEUES = 3
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STOPPED")
_DEAD = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_QUERIES = 10.0


class SubmititExecutor:
    """One job a run, asynchronously.

    Whether a job lives is told by its heartbeat. SLURM without accounting forgets a dead job within minutes, and may
    list one as running that has nothing left behind it.

    Args:
        cluster: "slurm" or "local".
        slots: Jobs at a time, those that wait in the queue included.
        threads: CPU threads of each.
        settings: Of Hydra's submitit launcher.
        heartbeat_timeout: Seconds without a sign of life after which a job that does not wait counts as lost.
    Raises:
        ConfigError: If the cluster is not there, or a setting is none of its.
    """

    def __init__(
        self, cluster: str, slots: int, threads: int, settings: dict[str, Any], heartbeat_timeout: float
    ) -> None:
        import submitit

        self.slots, self.threads = slots, threads
        self.on_this_machine = cluster == "local"
        self._timeout = heartbeat_timeout
        self._runs: list[SubmititRun] = []
        self._queue = None if cluster == "local" else SlurmQueue()
        own = {f"{cluster}_{key}": settings[key] for key in _OF_THE_EXECUTOR if settings.get(key) is not None}
        if cluster == "slurm":
            # Our runs go on from their checkpoints, so a time limit ends none of them.
            own["slurm_max_num_timeout"] = max(_MOST_REQUEUES, own.get("slurm_max_num_timeout", 0))
        parameters = {
            key if key in _OF_EVERY_CLUSTER else f"{cluster}_{key}": value
            for key, value in settings.items()
            if key not in (*_OF_THE_EXECUTOR, "submitit_folder", "array_parallelism")
        }

        def make(folder: str) -> "submitit.AutoExecutor":
            executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **own)
            executor.update_parameters(**parameters)
            return executor

        try:
            with tempfile.TemporaryDirectory() as folder:  # it makes its folder, and nothing is to be written yet
                make(folder)
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise ConfigError([f"hydra/launcher=submitit_{cluster}: {str(error).splitlines()[0]}"]) from error
        self._executor = functools.cache(lambda: make(settings["submitit_folder"]))

    def start(self, job: Job) -> "SubmititRun":
        submitted = self._left_behind(job) or self._executor().submit(TrialTask(job))
        job.run_dir.mkdir(parents=True, exist_ok=True)
        with replacing(job.run_dir / _JOB) as file:
            file.write(json.dumps({"job_id": submitted.job_id, "folder": str(submitted.paths.folder)}).encode())
        self._runs = [run for run in self._runs if not run.has_ended()]
        self._runs.append(SubmititRun(submitted, job.run_dir, self._queue, self._timeout))
        return self._runs[-1]

    def close(self) -> None:
        for run in self._runs:
            if not run.has_ended():
                run.stop()

    def _left_behind(self, job: Job) -> "submitit.Job[None] | None":
        """The job that an earlier command submitted for this run, if it still waits or works."""
        if self._queue is None:
            return None
        try:
            content = json.loads((job.run_dir / _JOB).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        import submitit

        state = (self._queue.states(fresh=True) or {}).get(content["job_id"])
        if state not in (*_WAITING, "RUNNING"):
            return None
        return submitit.SlurmJob(folder=content["folder"], job_id=content["job_id"])


class TrialTask:
    """What a job runs; when the cluster takes its place away, it is to be put in the queue again.

    Args:
        job: The run.
        epoch: That it had reached when it was put in the queue.
        idle: How often in a row it has brought no new one.
    """

    def __init__(self, job: Job, epoch: int = 0, idle: int = 0) -> None:
        self._job, self._epoch, self._idle = job, epoch, idle

    def __call__(self) -> None:
        run_in_worker(self._job)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission | None":
        """Called by submitit in the job, on preemption and before the time limit; None gives the job up."""
        import submitit

        epoch = int(read_last_metrics(self._job.run_dir).get("epoch", 0))
        idle = self._idle + 1 if epoch <= self._epoch else 0
        if idle >= _MOST_IDLE_REQUEUES:
            return None
        return submitit.helpers.DelayedSubmission(TrialTask(self._job, max(epoch, self._epoch), idle))


class SubmititRun:
    """One job, seen through the files that it writes.

    Args:
        job: submitit's.
        run_dir: Where its heartbeat is.
        queue: SLURM's; None for jobs on this machine.
        timeout: Seconds without a heartbeat after which a job that does not wait counts as lost.
    """

    def __init__(self, job: "submitit.Job[None]", run_dir: Path, queue: "SlurmQueue | None", timeout: float) -> None:
        self._job, self._heartbeat = job, run_dir / HEARTBEAT
        self._queue, self._timeout = queue, timeout
        self._beat = _changed(self._heartbeat)  # one that an earlier process left
        self._earlier_result = _changed(job.paths.result_pickle)  # of a cluster that counts its jobs from 1 again
        self._seen = time.monotonic()
        self._began: float | None = None
        self._next_look = 0.0
        self._ended: str | None = None

    def has_ended(self) -> bool:
        if self._ended is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
            self._ended = self._look()
        return self._ended is not None

    def reason(self) -> str:
        return self._ended or ""

    def seconds(self) -> float:
        return 0.0 if self._began is None else time.monotonic() - self._began

    def stop(self) -> None:
        self._job.cancel(check=False)
        self._ended = f"job {self._job.job_id} was cancelled"

    def _look(self) -> str | None:
        """Say how the job ended, None if it has not."""
        now = time.monotonic()
        beat = _changed(self._heartbeat)
        if beat not in (None, self._beat):
            self._beat, self._seen = beat, now
            self._began = self._began or now
        if _changed(self._job.paths.result_pickle) not in (None, self._earlier_result):
            return f"job {self._job.job_id} ended without a record; see {self._job.paths.stderr}"
        if self._queue is None:
            return f"job {self._job.job_id} was killed" if self._job.done() else None
        states = self._queue.states()
        state = (states or {}).get(self._job.job_id)
        if state in _WAITING or (states is None and self._began is None):
            self._seen = now  # it is not supposed to be at work
        if state in _DEAD:
            return f"job {self._job.job_id} ended as {state}"
        if now - self._seen < self._timeout:
            return None
        self._job.cancel(check=False)
        return f"job {self._job.job_id} gave no sign of life for {self._timeout:g} s ({state or 'not in the queue'})"


class SlurmQueue:
    """What squeue says of this user's jobs, asked for all of them at once and not too often."""

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


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
