"""The processes of a sweep: requests to end that leave time to end well, and the server that runs are forked from.

Hydra's plugin imports this at every start, so it imports nothing heavy.
"""

import functools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from types import FrameType, TracebackType
from typing import Any

_REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_TERMINALS = {signal.SIGINT, signal.SIGHUP}
"""What a terminal sends to all processes that belong to it: for Ctrl-C, and when it is closed."""


class StopRequests:
    """Counts the requests to end while a sweep runs: Ctrl-C, SIGTERM and the loss of its terminal.

    Under nohup, a command goes on without its terminal. Ctrl-C and SIGTERM are heeded whatever it was started with: a
    script's `command &` passes over Ctrl-C from the beginning, and could not be asked to end.
    """

    def __init__(self) -> None:
        self.count = 0
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        is_under_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heeded = [number for number in _REQUESTS if number != signal.SIGHUP or not is_under_nohup]
        self._earlier = {number: signal.signal(number, self._receive) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Have the processes that are started meanwhile never see what terminals send to all of theirs.

    This one sees what came as soon as it is over.
    """
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_TERMINALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


@functools.cache
def start_fork_server() -> None:
    """Start it, without waiting until its imports are done; it ends with this process.

    It has no standard error: a spare process that the end of a sweep surprises would print a traceback. A run has its
    own log from its first line on, and a process that dies before that is known by its exit code.
    """
    multiprocessing.set_forkserver_preload(["tffd.sweep.preloaded"])
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with without_interrupts():  # it ends with this process, not with the terminal; so do its children
            forkserver.ensure_running()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
