"""`python -m analysis compare results/a results/b`: what moved between two commits or machines, and what differs."""

import argparse
from typing import TYPE_CHECKING

from analysis.commands.arguments import DIRECTORY, add_choice, add_mix, add_names, conditions

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    compare = commands.add_parser("compare", help="two directories: what moved beyond noise, and what differs")
    compare.add_argument("a", help=DIRECTORY)
    compare.add_argument("b", help="another one, which is compared to the first")
    add_choice(compare)
    add_names(compare, "--rows", "--by", metavar="COL,COL", help="default: kd_mode and what varies in one")
    add_mix(compare)
    compare.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> None:
    from analysis.commands.output import write
    from analysis.compare.compare import compare_trees
    from analysis.compare.sheet import compared_content, compared_records, lay_out_compared, lay_out_numbers
    from analysis.read.gather import gather
    from analysis.select.request import Request

    request = Request(
        rows=options.rows,
        metrics=options.metric,
        where=conditions(options.where),
        mix=options.mix,
    )
    compared = compare_trees(gather(options.a), gather(options.b), request)
    title = f"{options.a} and {options.b}"
    lay_out = lay_out_numbers if options.format == "csv" else lay_out_compared
    records, content = compared_records(compared), compared_content(compared)
    sheets = lay_out(compared)
    write(options.format, title, sheets, records, content, safe=options.safe_csv, width=options.width)
