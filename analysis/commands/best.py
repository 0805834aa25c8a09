"""`python -m analysis best results/<name>`: the winner of a search, and how to train it again."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    best = commands.add_parser("best", help="the winner of a search, and the commands that train it on fresh seeds")
    best.add_argument("directory", help="a search's directory, such as results/lambdas; it may be at work")
    best.add_argument("--seeds", type=int, default=5, metavar="N", help="how many fresh seeds, default: %(default)s")
    best.add_argument("--format", choices=("md", "json"), default="md", help="default: %(default)s")
    best.set_defaults(command=_best)


def _best(options: argparse.Namespace) -> None:
    from analysis.best.best import find_best
    from analysis.best.sheet import best_content, render_best
    from analysis.commands.output import as_json, emit
    from analysis.read.gather import gather

    best = find_best(gather(options.directory), options.seeds)
    emit(as_json(best_content(best)) if options.format == "json" else render_best(best))
