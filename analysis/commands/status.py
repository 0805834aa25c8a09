"""`python -m analysis status results/<name>`: done, running, failed, to do."""

import argparse
from typing import TYPE_CHECKING

from analysis.commands.arguments import DIRECTORY

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    status = commands.add_parser("status", help="what is done, at work and for how long still, failed, and to do")
    status.add_argument("directory", help=DIRECTORY)
    status.add_argument("--format", choices=("md", "json"), default="md", help="default: %(default)s")
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> None:
    from analysis.commands.output import as_json, emit
    from analysis.read.gather import gather
    from analysis.status.sheet import render_status, status_content
    from analysis.status.status import find_status

    status = find_status(gather(options.directory))
    emit(as_json(status_content(status)) if options.format == "json" else render_status(status))
