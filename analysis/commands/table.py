"""`python -m analysis table results/<name>`: means and differences; `--missing`: the cells that lack runs."""

import argparse
from typing import TYPE_CHECKING

from analysis.commands.arguments import add_mix, add_names, add_selection, conditions

if TYPE_CHECKING:
    from analysis.read.gather import Gathered
    from analysis.select.request import Request

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    table = commands.add_parser("table", help="mean, spread, n and the difference to the baseline")
    add_selection(table)
    rows_help = "what makes a row: fields of result.json or keys of the config; default: kd_mode and all that varies"
    add_names(table, "--rows", "--by", metavar="COL,COL", help=rows_help)
    add_names(table, "--cols", default=[], metavar="COL,COL", help="what makes a column: model,dataset")
    table.add_argument("--baseline", metavar="NAME", help="kd_mode to compare to, or COL=VALUE; default: none")
    add_names(table, "--show", metavar="PART,PART", help="of mean,n,difference,p,pairs; default: all")
    table.add_argument("--cost", action="store_true", help="add hours, epochs, memory and time against the baseline")
    table.add_argument("--no-published", dest="published", action="store_false", help="leave out published numbers")
    add_mix(table)
    table.add_argument("--missing", action="store_true", help="list the cells that lack runs, and what fills them")
    table.set_defaults(command=_table)


def _table(options: argparse.Namespace) -> None:
    from analysis.commands.output import write
    from analysis.means.export import table_content, table_records
    from analysis.means.means import summarise
    from analysis.means.sheet import lay_out
    from analysis.read.gather import gather

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
        safe=options.safe_csv,
        width=options.width,
    )


def _request(options: argparse.Namespace) -> "Request":
    from analysis.select.request import Request

    return Request(
        rows=options.rows,
        cols=options.cols,
        metrics=options.metric,
        baseline=options.baseline,
        where=conditions(options.where),
        mix=options.mix,
        published=options.published,
        cost=options.cost,
    )


def _list_missing(gathered: "Gathered", options: argparse.Namespace) -> None:
    from analysis.commands.output import write
    from analysis.missing.missing import lacking_cells
    from analysis.missing.sheet import FIELDS, lay_out_lacking

    lacking = lacking_cells(gathered, _request(options))
    records = [vars(cell) for cell in lacking]
    sheets = [lay_out_lacking(lacking, gathered)]
    write(options.format, options.directory, sheets, records, records, FIELDS, options.safe_csv, options.width)
