"""Command line of the analysis: `python -m analysis table results/<name>`, and other commands."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.commands import best, compare, plot, report, status
from analysis.commands.arguments import DIRECTORY, FORMATS, add_selection, names

__all__ = ["FORMATS", "main"]

if TYPE_CHECKING:
    from analysis.gather import Gathered
    from analysis.table import Request

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


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
    for add in (_add_table, _add_ablation, _add_runs, plot.add, best.add, status.add, compare.add, report.add):
        add(commands)
    return parser


# Each command imports what it needs when it runs: pandas would make --help slow.


def _add_table(commands: "Commands") -> None:
    table = commands.add_parser("table", help="mean, spread, n and the difference to the baseline")
    add_selection(table)
    rows_help = "what makes a row: fields of result.json or keys of the config; default: kd_mode and what varies"
    table.add_argument("--rows", "--by", type=names, metavar="COL,COL", help=rows_help)
    table.add_argument("--cols", type=names, default=[], metavar="COL,COL", help="what makes a column: model,dataset")
    table.add_argument("--baseline", metavar="NAME", help="kd_mode to compare to, or COL=VALUE; default: none")
    table.add_argument("--show", type=names, metavar="PART,PART", help="of mean,n,difference,p,pairs; default: all")
    table.add_argument("--cost", action="store_true", help="add hours, epochs, memory and time against the baseline")
    table.add_argument("--no-published", dest="published", action="store_false", help="leave out published numbers")
    table.add_argument("--mix-protocols", action="store_true", help="let runs of several protocols share a cell")
    table.add_argument("--missing", action="store_true", help="list the cells that lack runs, and what fills them")
    table.set_defaults(command=_table)


def _table(options: argparse.Namespace) -> None:
    from analysis.gather import gather
    from analysis.layout import lay_out
    from analysis.output import write
    from analysis.records import table_content, table_records
    from analysis.summary import summarise

    gathered = gather(options.directory)
    if options.missing:
        _list_missing(gathered, options)
        return
    table = summarise(gathered, _request(options))
    write(
        options.format,
        options.directory,
        [lay_out(table, options.show)],
        list(table_records(table)),
        table_content(table),
    )


def _request(options: argparse.Namespace) -> "Request":
    from analysis.table import Request

    return Request(
        rows=options.rows,
        cols=options.cols,
        metrics=options.metric,
        baseline=options.baseline,
        where=dict(options.where),
        mix_protocols=options.mix_protocols,
        published=options.published,
        cost=options.cost,
    )


def _list_missing(gathered: "Gathered", options: argparse.Namespace) -> None:
    from analysis.lacking import lacking_cells, lay_out_lacking
    from analysis.output import write

    lacking = lacking_cells(gathered, _request(options))
    records = [vars(cell) for cell in lacking]
    write(options.format, options.directory, [lay_out_lacking(lacking, gathered)], records, records)


def _add_ablation(commands: "Commands") -> None:
    ablation = commands.add_parser("ablation", help="the 2 x 2 of intra and inter: effects, and what the data support")
    add_selection(ablation)
    ablation.add_argument("--modes", type=names, metavar="A,B,C,D", help="kd_modes, if several have the same terms")
    ablation.set_defaults(command=_ablation)


def _ablation(options: argparse.Namespace) -> None:
    from analysis.factorial import analyse
    from analysis.factorial_layout import factorial_content, factorial_records, lay_out_factorial
    from analysis.gather import gather
    from analysis.inventory import counts_line, left_out
    from analysis.output import write

    gathered = gather(options.directory)
    found = analyse(gathered, options.metric, options.modes, dict(options.where))
    counts, others = counts_line(gathered), tuple(left_out(gathered))
    sheets = [sheet for factorial in found for sheet in lay_out_factorial(factorial, counts)]
    sheets[-1] = replace(sheets[-1], left_out=others)  # once, not with each
    records = [record for factorial in found for record in factorial_records(factorial)]
    content = [factorial_content(factorial, (counts, *others)) for factorial in found]
    write(options.format, options.directory, sheets, records, content)


def _add_runs(commands: "Commands") -> None:
    runs = commands.add_parser("runs", help="every run with all its fields, for other programs")
    runs.add_argument("directory", help=DIRECTORY)
    runs.add_argument("--format", choices=("csv", "json"), default="csv", help="default: %(default)s")
    runs.set_defaults(command=_runs)


def _runs(options: argparse.Namespace) -> None:
    from analysis.gather import gather
    from analysis.groups import plain_runs
    from analysis.inventory import counts_line, left_out
    from analysis.output import as_csv, as_json

    gathered = gather(options.directory)
    runs = plain_runs(gathered.runs)
    if not runs:
        raise ValueError("\n".join([f"{gathered.directory} holds no run", *left_out(gathered)]))
    sys.stdout.write({"csv": as_csv, "json": as_json}[options.format](runs))
    print(counts_line(gathered), *left_out(gathered), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    # Nothing here is large enough for several threads, and on a busy machine they wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
