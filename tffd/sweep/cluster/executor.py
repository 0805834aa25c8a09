"""Runs as jobs of submitit, which hydra/launcher=submitit_slurm and submitit_local ask for: one job each."""

import functools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tffd.files import read_regular, replacing
from tffd.refusal import ConfigError
from tffd.sweep.cluster.queue import WAITING, SlurmQueue, Submitter
from tffd.sweep.cluster.run import PendingRun, SubmititRun
from tffd.sweep.cluster.task import TrialTask
from tffd.sweep.processes import without_interrupts
from tffd.sweep.worker import Job

if TYPE_CHECKING:
    import submitit

_JOB = "job.json"  # in a run's directory: the cluster's number for it

_OF_THE_EXECUTOR = ("max_num_timeout", "python")  # the other settings are of the jobs
_OF_EVERY_CLUSTER = (
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name", "stderr_to_stdout",
)  # fmt: skip

_MOST_REQUEUES = 1000  # of one run: those that bring no new epoch are counted by the run itself


class SubmititExecutor:
    """One job a run, asynchronously.

    Whether a job lives is told by its heartbeat. SLURM without accounting forgets a dead job within minutes, and may
    list one as running that has nothing left behind it.

    Args:
        cluster: "slurm" or "local".
        slots: Jobs at a time, those that wait in the queue included.
        threads: CPU threads of each.
        settings: The settings of Hydra's submitit launcher.
        heartbeat_timeout: Seconds without a sign of life after which a job that does not wait, or a cluster that takes
            none, counts as lost.
    Raises:
        ConfigError: If the cluster is not there, or a setting is none of its.
    """

    def __init__(
        self, cluster: str, slots: int, threads: int, settings: dict[str, Any], heartbeat_timeout: float
    ) -> None:
        self.slots, self.threads = slots, threads
        self.on_this_machine = cluster == "local"
        self._timeout = heartbeat_timeout
        self._runs: list[PendingRun] = []
        self._followed: set[Path] = set()  # directories of runs that this command has submitted or found
        self._queue = None if cluster == "local" else SlurmQueue()
        launcher = f"submitit_{cluster}"
        self._submitter = Submitter(launcher, heartbeat_timeout, self._is_idle)
        make = functools.partial(_make, cluster, settings)
        try:
            with tempfile.TemporaryDirectory() as folder:  # it makes its folder, and nothing is to be written yet
                make(folder)
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise ConfigError([f"hydra/launcher={launcher}: {str(error).splitlines()[0]}"]) from error
        self._executor = functools.cache(lambda: make(settings["submitit_folder"]))

    def start(self, job: Job) -> PendingRun:
        run = PendingRun(functools.partial(self._try_to_start, job))
        run.has_ended()  # submits it
        self._runs = [other for other in self._runs if not other.has_ended()]
        self._runs.append(run)
        return run

    def close(self, cancel: bool) -> None:
        if cancel or self.on_this_machine:
            for run in self._runs:
                run.stop()

    def _try_to_start(self, job: Job) -> SubmititRun | None:
        submitted = self._submitter.try_to(lambda: self._left_behind(job) or self._submit(job))
        if submitted is None:
            return None
        self._followed.add(job.run_dir)
        job.run_dir.mkdir(parents=True, exist_ok=True)
        with replacing(job.run_dir / _JOB) as file:
            file.write(json.dumps({"job_id": submitted.job_id, "folder": str(submitted.paths.folder)}).encode())
        return SubmititRun(submitted, job.run_dir, self._queue, self._timeout)

    def _submit(self, job: Job) -> "submitit.Job[None]":
        # Ctrl-C on a terminal reaches all its processes, and submitit's that watches over a job here would kill it.
        with without_interrupts():
            return self._executor().submit(TrialTask(job))

    def _left_behind(self, job: Job) -> "submitit.Job[None] | None":
        """The job that an earlier command submitted for this run, if it still waits or works."""
        if self._queue is None:
            return None
        try:
            content = json.loads(read_regular(job.run_dir / _JOB))
        except (FileNotFoundError, ValueError):
            return None
        import submitit

        # Asked anew for each, a thousand jobs that wait or work would be a thousand queries when a command begins. What
        # this command has followed itself may have ended since SLURM was asked.
        jobs = self._queue.jobs(fresh=job.run_dir in self._followed)
        if jobs is not None and content["job_id"] not in jobs:
            jobs = self._queue.jobs(fresh=True)
        if jobs is None:
            raise TimeoutError("squeue does not answer")  # a second job for the same run would be in the way
        left = jobs.get(content["job_id"])
        if left is None or left.state not in (*WAITING, "RUNNING"):
            return None
        return submitit.SlurmJob(folder=content["folder"], job_id=content["job_id"])

    def _is_idle(self) -> bool:
        return not any(run.is_in_queue() for run in self._runs)


def _make(cluster: str, settings: dict[str, Any], folder: str) -> "submitit.AutoExecutor":
    import submitit

    own = {f"{cluster}_{key}": settings[key] for key in _OF_THE_EXECUTOR if settings.get(key) is not None}
    if cluster == "slurm":
        # Our runs go on from their checkpoints, so a time limit ends none of them.
        own["slurm_max_num_timeout"] = max(_MOST_REQUEUES, own.get("slurm_max_num_timeout", 0))
    parameters = {
        key if key in _OF_EVERY_CLUSTER else f"{cluster}_{key}": value
        for key, value in settings.items()
        if key not in (*_OF_THE_EXECUTOR, "submitit_folder", "array_parallelism")
    }
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **own)
    executor.update_parameters(**parameters)
    return executor
