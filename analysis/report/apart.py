"""A slow part of a report, worked out on another core beside the rest."""

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")


class Apart(Generic[T]):
    """Begins a function in a copy of this process where that is safe; elsewhere it runs when its result is asked for.

    Args:
        function: Its result, or the ValueError that it raises, has to be picklable.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._ahead: Connection | None = None
        if _can_be_copied():
            import multiprocessing

            context = multiprocessing.get_context("fork")
            self._ahead, answer = context.Pipe(duplex=False)
            context.Process(target=_answer, args=(function, answer), daemon=True).start()
            answer.close()

    def result(self) -> T:
        """What the function returns, or raises."""
        if self._ahead is None:
            return self._function()
        try:
            value, error = self._ahead.recv()
        except EOFError:  # the copy was killed
            return self._function()
        finally:
            self._ahead.close()
        if error is not None:
            raise error
        result: T = value
        return result


def _can_be_copied() -> bool:
    """Whether there is another core, and no thread besides this one, which a copy would lack."""
    try:
        return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1
    except (AttributeError, OSError):  # not Linux
        return False


def _answer(function: Callable[[], object], answer: "Connection") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits, which ends this one
    try:
        answer.send((function(), None))
    except ValueError as error:
        answer.send((None, error))
