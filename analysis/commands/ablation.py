"""`python -m analysis ablation results/<name>`: the 2 x 2 of the two terms."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.commands.arguments import add_mix, add_names, add_selection, conditions
from analysis.sheets.notes import Kind, Note

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add the command to the command line."""
    ablation = commands.add_parser("ablation", help="the 2 x 2 of intra and inter: effects, and what the data support")
    add_selection(ablation)
    add_names(ablation, "--modes", metavar="A,B,C,D", help="kd_modes, if several have the same terms")
    add_mix(ablation)
    ablation.set_defaults(command=_ablation)


def _ablation(options: argparse.Namespace) -> None:
    from analysis.ablation.ablation import analyse
    from analysis.ablation.sheet import factorial_content, factorial_records, lay_out_factorial
    from analysis.commands.output import write
    from analysis.read.gather import gather
    from analysis.select.inventory import counts_line, left_out

    gathered = gather(options.directory)
    analysed = analyse(gathered, options.metric, options.modes, conditions(options.where), options.mix)
    counts, others = counts_line(gathered), tuple(left_out(gathered))
    reasons = tuple(f"no 2 x 2: {reason}" for reason in analysed.reasons)
    sheets = [sheet for factorial in analysed.found for sheet in lay_out_factorial(factorial, counts)]
    last = sheets[-1]  # what belongs to none stands once, not with each
    no_ablation = (Note(Kind.NO_ABLATION, reason) for reason in reasons)
    sheets[-1] = replace(last, notes=(*last.notes, *no_ablation), left_out=others)
    records = [record for factorial in analysed.found for record in factorial_records(factorial)]
    content = [factorial_content(factorial, (counts, *reasons, *others)) for factorial in analysed.found]
    write(options.format, options.directory, sheets, records, content, safe=options.safe_csv, width=options.width)
