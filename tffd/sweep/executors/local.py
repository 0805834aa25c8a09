"""Runs as processes of this machine, each new, from a fork server that has the heavy imports done."""

import multiprocessing
import signal
import time
from concurrent.futures import CancelledError

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from tffd.failures import Failure, FailureKind
from tffd.sweep.processes import start_fork_server
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
        self._pool = self._open()

    def start(self, job: Job) -> "LocalRun":
        start_fork_server()
        try:
            return self._schedule(job)
        except RuntimeError:
            # pebble gives a pool up when a spare process dies while no run is at work in it. One may be at its first
            # line by now, which pebble no longer sees: it ends here, and goes on as any that is lost.
            self._shut()
            self._pool = self._open()
            return self._schedule(job)

    def close(self, cancel: bool) -> None:
        self._shut()

    def _open(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        # One more than will ever work: a fresh process then waits for the next run when one ends.
        return ProcessPool(max_workers=self.slots + 1, max_tasks=1, context=context)

    def _shut(self) -> None:
        self._pool.stop()
        self._pool.join()

    def _schedule(self, job: Job) -> "LocalRun":
        return LocalRun(self._pool, self._pool.schedule(run_in_worker, args=(job,)))


class LocalRun:
    """A process of the pool."""

    def __init__(self, pool: ProcessPool, future: "ProcessFuture[None]") -> None:
        self._pool, self._future, self._started = pool, future, time.monotonic()

    def has_ended(self) -> bool:
        return self._future.done() or not self._pool.active  # one that was given up tells nothing any more

    def failure(self) -> Failure:
        try:
            error = self._future.exception(timeout=0)
        except CancelledError:
            return Failure(FailureKind.LOST, "it was stopped")
        except TimeoutError:
            return Failure(FailureKind.LOST, "its process was lost when another died")
        if isinstance(error, ProcessExpired):
            killed = "was killed, perhaps for its memory:" if error.exitcode == -signal.SIGKILL else "ended with"
            return Failure(FailureKind.LOST, f"the process of this trial {killed} exit code {error.exitcode}")
        return Failure.of(error) if error else Failure(FailureKind.LOST, "it ended without a record")

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def stop(self) -> None:
        self._future.cancel()
