"""Runs as loky processes, which hydra/launcher=joblib asks for."""

import time
from typing import Any

from tffd.refusal import ConfigError
from tffd.sweep.processes import without_interrupts
from tffd.sweep.worker import Job, run_in_worker


class LokyExecutor:
    """A loky pool for each run, so that one whose process is killed takes no other with it.

    Args:
        slots: Runs at a time; None for the launcher's n_jobs.
        settings: Of Hydra's joblib launcher.
        cores: CPU cores of this machine.
    Raises:
        ConfigError: For settings that do not go with runs taken one at a time.
    """

    on_this_machine = True

    def __init__(self, slots: int | None, settings: dict[str, Any], cores: int) -> None:
        if settings["backend"] not in ("loky", None):
            raise ConfigError([f"hydra.launcher.backend={settings['backend']}: a sweep needs loky processes"])
        if settings["timeout"] is not None:
            raise ConfigError([f"hydra.launcher.timeout={settings['timeout']}: use sweep.trial_timeout, in seconds"])
        jobs = settings["n_jobs"]
        if not slots and not jobs:
            raise ConfigError([f"hydra.launcher.n_jobs={jobs}: needs a number of processes, or -1 for one a CPU core"])
        self.slots = slots or (jobs if jobs > 0 else max(1, cores + 1 + jobs))  # joblib's -1 is all of them
        self.threads = settings["inner_max_num_threads"] or max(1, cores // self.slots)
        self._runs: list[LokyRun] = []

    def start(self, job: Job) -> "LokyRun":
        self._runs = [run for run in self._runs if not run.has_ended()]
        self._runs.append(LokyRun(job))
        return self._runs[-1]

    def close(self, cancel: bool) -> None:
        for run in self._runs:
            run.stop()


class LokyRun:
    """A pool of one process with one task."""

    def __init__(self, job: Job) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(max_workers=1)
        with without_interrupts():  # it takes seconds to come to the line that ignores them
            self._future = self._pool.submit(run_in_worker, job)
        self._started = time.monotonic()

    def has_ended(self) -> bool:
        ended: bool = self._future.done()
        if ended:
            self._pool.shutdown(wait=False)  # not before: a pool that is shut down cannot be told to kill any more
        return ended

    def reason(self) -> str:
        error = self._future.exception(timeout=0)
        return str(error).splitlines()[0] if error else "it ended without a record"

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def stop(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)
