"""Command line of the analysis: `python -m analysis table results/<name>`, and other commands."""

import argparse
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from analysis.commands import ablation, best, compare, plot, report, runs, status, table
from analysis.commands.arguments import FORMATS
from analysis.read.programs import analysis_words

__all__ = ["FORMATS", "main"]

UNWRITABLE = 1  # exit status: the output has no place to go
REFUSED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    0; 1 where the output cannot be written; 2 for what the user has to change; 130 after Ctrl-C.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # as after >&- and 2>&-; what is printed to None goes to stdout
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # open as long as the process
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may hold bytes, and a terminal may lack letters, that cannot be written; neither ends a report.
        sys.stdout.reconfigure(errors="backslashreplace")
    with _noting_interrupts() as interrupts:
        try:
            options.command(options)
            sys.stdout.flush()
            return 0
        except BrokenPipeError:
            return _drop_output()  # the reader (head, less) has seen enough
        except (Exception, KeyboardInterrupt) as error:
            # What is interrupted while it is imported may end in another error, such as scipy's ImportError.
            if interrupts or isinstance(error, KeyboardInterrupt):
                _tell("interrupted")
                return INTERRUPTED
            if isinstance(error, ValueError):
                _tell(str(error))
                return REFUSED
            if isinstance(error, OSError):  # files of results have their own messages: what is left is the output
                _tell(f"{error.filename or 'the output'} cannot be written ({error.strerror})")
                return _drop_output()
            raise


@contextmanager
def _noting_interrupts() -> Iterator[list[int]]:
    """Collect the SIGINTs that arrive, which raise KeyboardInterrupt as ever; a parent that ignores them is obeyed."""
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)
    try:
        yield arrived
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def _tell(message: str) -> None:
    from analysis.commands.output import tell

    first, *others = message.split("\n")
    tell([f"analysis: {first}", *others])


def _drop_output() -> int:
    """Let what is still buffered go nowhere: it would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNWRITABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=" ".join(analysis_words()), description="Tabulate and draw what runs left behind."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (table, ablation, runs, plot, best, status, compare, report):
        command.add(commands)
    return parser


def run() -> None:
    """Do what the command line says, as a process of its own."""
    # Nothing here is large enough for several threads, and on a busy machine they wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Ten thousand runs stay until the end: to look through them for garbage now and then is a tenth of all the work.
    gc.set_threshold(100_000, 50, 100)
    sys.exit(main())


if __name__ == "__main__":
    run()
