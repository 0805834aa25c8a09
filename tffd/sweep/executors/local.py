"""Runs as processes of this machine, each new, from a fork server that has the heavy imports done."""

import multiprocessing
import time
from concurrent.futures import CancelledError

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from tffd.sweep.forkserver import start_fork_server
from tffd.sweep.worker import Job, run_in_worker


class LocalExecutor:
    """A pool in which a process that dies leaves the others alone.

    Args:
        slots: Processes at a time.
        threads: CPU threads of each.
    """

    on_this_machine = True

    def __init__(self, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        context = multiprocessing.get_context("forkserver")
        # One more than will ever work: a fresh process then waits for the next run when one ends.
        self._pool = ProcessPool(max_workers=slots + 1, max_tasks=1, context=context)

    def start(self, job: Job) -> "LocalRun":
        start_fork_server()
        return LocalRun(self._pool.schedule(run_in_worker, args=(job,)))

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


class LocalRun:
    """A process of the pool."""

    def __init__(self, future: "ProcessFuture[None]") -> None:
        self._future, self._started = future, time.monotonic()

    def has_ended(self) -> bool:
        return self._future.done()

    def reason(self) -> str:
        try:
            error = self._future.exception(timeout=0)
        except CancelledError:
            return "it was stopped"
        if isinstance(error, ProcessExpired):
            return f"the process of this trial ended with exit code {error.exitcode}"
        return f"{type(error).__name__}: {error}" if error else "it ended without a record"

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def stop(self) -> None:
        self._future.cancel()
