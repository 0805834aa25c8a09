"""`python -m analysis report results/<name>`: one page with everything."""

import argparse
from typing import TYPE_CHECKING

from analysis.commands.arguments import DIRECTORY

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    report = commands.add_parser("report", help="one HTML page with everything; it works without a network")
    report.add_argument("directory", help=f"{DIRECTORY}; it may be at work")
    report.add_argument("--out", metavar="FILE", help="default: DIRECTORY/report.html")
    report.add_argument(
        "--watch", action="store_true", help="write it again whenever runs change, until all have ended"
    )
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> None:
    from analysis.report.write import watch_report, write_report

    if not options.watch:
        _say(write_report(options.directory, options.out))
        return
    try:
        watch_report(options.directory, options.out, tell=_say)
    except KeyboardInterrupt:
        _say("stopped watching; the page stays as it is")


def _say(line: str) -> None:
    from analysis.sheets.sheet import one_line

    print(one_line(line), flush=True)
