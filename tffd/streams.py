"""Standard streams that are not there: never, as after `>&-`, or not any more."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


def open_streams() -> None:
    """Open those that are closed, to nowhere.

    Else the next file that is opened, such as a database, takes the number of standard output, and all that is printed
    goes into it; and Python has None in the place of the stream.
    """
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115


class LastingStream:
    """A stream that outlives its reader: of a terminal that was closed, or of a pipe into a command that has ended.

    What is written from then on goes nowhere. A sweep that nobody looks at any more has still to end well.

    Args:
        stream: The stream to write to as long as that can be done.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write to the stream."""
        with suppress(OSError):
            return self._stream.write(text)
        self._leave()
        return len(text)

    def flush(self) -> None:
        """Bring what was written to its reader."""
        try:
            self._stream.flush()
        except OSError:
            self._leave()

    def _leave(self) -> None:
        """Lead to nowhere what is buffered, which Python would try to write once more at its end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
