"""`python -m analysis runs results/<name>`: every run with all its fields."""

import argparse
from typing import TYPE_CHECKING

from analysis.commands.arguments import DIRECTORY, add_safe_csv

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    runs = commands.add_parser("runs", help="every run with all its fields, for other programs")
    runs.add_argument("directory", help=DIRECTORY)
    runs.add_argument("--format", choices=("csv", "json"), default="csv", help="default: %(default)s")
    add_safe_csv(runs)
    runs.set_defaults(command=_runs)


def _runs(options: argparse.Namespace) -> None:
    from analysis.commands.output import as_csv, as_json, emit, tell
    from analysis.read.gather import gather
    from analysis.select.inventory import counts_line, left_out

    gathered = gather(options.directory)
    runs = [run.values() for run in gathered.flat]
    if not runs:
        raise ValueError("\n".join([f"{gathered.directory} holds no run", *left_out(gathered)]))
    emit(as_csv(runs, safe=options.safe_csv) if options.format == "csv" else as_json(runs))
    tell([counts_line(gathered), *left_out(gathered)])
