"""`python -m analysis plot results/<name>`: pictures."""

import argparse
import os
from typing import TYPE_CHECKING

from analysis.commands.arguments import DIRECTORY, add_names
from analysis.figures import FORMATS, KINDS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    plot = commands.add_parser("plot", help="pictures for print (png, pdf) or for a browser (html)")
    plot.add_argument("directory", help=DIRECTORY)
    add_names(plot, "--kind", metavar="KIND,KIND", help=f"all (default), or: {', '.join(KINDS)}")
    plot.add_argument("--metric", metavar="COL", help="default: the sweep's objective, or val_top1")
    plot.add_argument("--format", choices=FORMATS, default="png", help="default: %(default)s")
    plot.add_argument("--out", metavar="DIR", help="where to write the files, default: DIRECTORY/figures")
    plot.set_defaults(command=_plot)


def _plot(options: argparse.Namespace) -> None:
    from analysis.commands.output import tell
    from analysis.figures.files import write_files
    from analysis.figures.kinds import make_infos, read_source, with_metric
    from analysis.select.columns import check_name
    from analysis.select.inventory import complete_runs
    from analysis.sheets.sheet import one_line

    for kind in options.kind or ():
        check_name("kind", kind, ("all", *KINDS))
    kinds = KINDS if "all" in (options.kind or ["all"]) else tuple(dict.fromkeys(options.kind))
    source = read_source(options.directory)
    complete_runs(source.gathered)  # or else one message for all kinds
    if options.metric:
        source = with_metric(source, options.metric)
    infos, reasons = make_infos(source, kinds, options.metric)
    tell(f"skipped: {bad}" for bad in source.skipped)
    tell(f"not drawn: {kind}: {reason}" for kind, reason in reasons.items())
    if not infos:
        raise ValueError(f"nothing can be drawn of {options.directory}.")
    for path in write_files(infos, options.format, options.out or os.path.join(options.directory, "figures")):
        print(one_line(path))
