"""Runs as processes of this machine, each new, from a fork server that has the heavy imports done."""

import functools
import multiprocessing
import os
import time
from concurrent.futures import CancelledError
from multiprocessing import forkserver

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from tffd.sweep.worker import Job, run_in_worker

# The last two are imported late, by the first optimiser and the first split: two seconds each of every fresh process.
_PRELOADED = ["tffd.sweep.worker", "tffd.trial", "torch._dynamo", "sklearn.model_selection"]


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
        _start_fork_server()
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


@functools.cache
def _start_fork_server() -> None:
    """Start it without a standard error: a spare process that the end of a sweep surprises would print a traceback.

    A run has its own log from its first line on, and a process that dies before that is known by its exit code.
    """
    multiprocessing.set_forkserver_preload(_PRELOADED)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        forkserver.ensure_running()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
