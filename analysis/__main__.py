"""Command line of the analysis: `python -m analysis table results/<name>`, `python -m analysis plot results/<name>`."""

import argparse
import os
import sys
from collections.abc import Sequence

from analysis.figures import FORMATS, KINDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0, or 2 for what the user has to change."""
    options = _parser().parse_args(arguments)
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
    table = commands.add_parser("table", help="mean, spread, n and the difference to the baseline")
    table.add_argument("directory", help="directory with runs at any depth, such as results/<name>")
    table.add_argument("--by", type=_columns, metavar="COL,COL", help="default: kd_mode and what varies")
    table.add_argument("--metric", metavar="COL", help="default: the sweep's objective, or val_top1")
    table.add_argument("--baseline", metavar="NAME", help="kd_mode to compare to, default: none")
    table.add_argument("--format", choices=("md", "csv", "latex"), default="md", help="default: %(default)s")
    table.set_defaults(command=_table)
    plot = commands.add_parser("plot", help="pictures for print (png, pdf) or for a browser (html)")
    plot.add_argument("directory", help="directory with runs at any depth, such as results/<name>")
    plot.add_argument("--kind", type=_columns, metavar="KIND,KIND", help=f"all (default), or: {', '.join(KINDS)}")
    plot.add_argument("--metric", metavar="COL", help="default: the sweep's objective, or val_top1")
    plot.add_argument("--format", choices=FORMATS, default="png", help="default: %(default)s")
    plot.add_argument("--out", metavar="DIR", help="where to write the files, default: DIRECTORY/figures")
    plot.set_defaults(command=_plot)
    return parser


def _columns(text: str) -> list[str]:
    return [column.strip() for column in text.split(",") if column.strip()]


def _table(options: argparse.Namespace) -> None:
    # Imported here: pandas would make --help slow.
    from analysis.gather import gather
    from analysis.summary import summarise
    from analysis.tables import RENDERERS

    table = summarise(gather(options.directory), options.by, options.metric, options.baseline)
    sys.stdout.write(RENDERERS[options.format](table))
    if options.format == "csv":
        print(*table.notes, sep="\n", file=sys.stderr)


def _plot(options: argparse.Namespace) -> None:
    # Imported here: pandas would make --help slow, and so would matplotlib and plotly.
    from analysis.columns import check_name
    from analysis.figures.files import write_files
    from analysis.figures.kinds import make_infos, read_source

    for kind in options.kind or ():
        check_name("kind", kind, ("all", *KINDS))
    kinds = KINDS if "all" in (options.kind or ["all"]) else tuple(dict.fromkeys(options.kind))
    source = read_source(options.directory)
    infos, reasons = make_infos(source, kinds, options.metric)
    for bad in source.malformed:
        print(f"malformed, skipped: {bad.path} {bad.reason}", file=sys.stderr)
    for kind, reason in reasons.items():
        print(f"not drawn: {kind}: {reason}", file=sys.stderr)
    if not infos:
        raise ValueError(f"nothing can be drawn of {options.directory}.")
    for path in write_files(infos, options.format, options.out or os.path.join(options.directory, "figures")):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
