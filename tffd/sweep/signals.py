"""Requests to end that leave time to end well."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class StopRequests:
    """Counts the requests to end, Ctrl-C and SIGTERM, while a sweep runs."""

    def __init__(self) -> None:
        self.count = 0
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        self._earlier = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
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
    """Have the processes that are started meanwhile never see Ctrl-C; this one sees what came as soon as it is over."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
