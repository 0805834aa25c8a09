"""Command line of the analysis: `python -m analysis table results/<name>`, and other commands."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from analysis.commands import ablation, best, compare, plot, report, runs, status, table
from analysis.commands.arguments import FORMATS

__all__ = ["FORMATS", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0, or 2 for what the user has to change."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may hold bytes, and a terminal may lack letters, that cannot be written; neither ends a report.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options.command(options)
        sys.stdout.flush()
    except ValueError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough; what is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description="Tabulate and draw what runs left behind.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (table, ablation, runs, plot, best, status, compare, report):
        command.add(commands)
    return parser


if __name__ == "__main__":
    # Nothing here is large enough for several threads, and on a busy machine they wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
