"""What a report says, before it is a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.ablation.ablation import analyse
from analysis.ablation.factorial import Factorial
from analysis.ablation.sheet import lay_out_factorial
from analysis.figures.kinds import Source, make_infos
from analysis.means.means import summarise
from analysis.means.sheet import lay_out
from analysis.means.table import Table
from analysis.missing.missing import lacking_cells
from analysis.missing.sheet import lay_out_lacking
from analysis.read.gather import Gathered
from analysis.read.results import Run, is_measured
from analysis.report.cautions import cautions
from analysis.report.facts import Fact, run_facts, sweep_facts
from analysis.report.failures import Failure, failures
from analysis.report.pictures import Picture, make_pictures
from analysis.report.runs import RunTable, run_table
from analysis.report.winner import Winner, find_winner
from analysis.select.inventory import complete_runs, counts_line
from analysis.select.metrics import Metric, choose_metrics, describe_metric
from analysis.select.request import Request
from analysis.sheets.notes import Kind
from analysis.sheets.sheet import Sheet

_TEST = ("test_top1", "best_test_top1")


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Attributes:
        directory: What it is about.
        counts: Number of runs by status, and of what is missing, skipped and duplicate.
        facts: What was run and with what: under the name of each sweep, and last of the runs.
        cautions: To be read before any number.
        winner: The best configuration; None if there is none.
        table: Settings with their means; None if there is none.
        cost: What each setting took; None likewise.
        no_table: Why there is none, "" if there is one.
        ablations: Of each 2 x 2 its cells and effects; () if the directory holds none.
        no_ablation: Why runs with and without a term are none; () where there is nothing to explain.
        pictures: Those that can be drawn; half as wide as the page first, then the wide ones.
        not_drawn: Why the other kinds cannot be drawn.
        runs: All runs.
        failures: What went wrong.
        lacking: Planned and missing cells with the commands that fill them; None if nothing is missing.
    """

    directory: str
    counts: Mapping[str, int]
    facts: tuple[tuple[str, tuple[Fact, ...]], ...]
    cautions: tuple[str, ...]
    winner: Winner | None
    table: Sheet | None
    cost: Sheet | None
    no_table: str
    ablations: tuple[Sheet, ...]
    no_ablation: tuple[str, ...]
    pictures: tuple[Picture, ...]
    not_drawn: Mapping[str, str]
    runs: RunTable
    failures: tuple[Failure, ...]
    lacking: Sheet | None


def report_content(source: Source) -> Report:
    """Work out a report.

    Raises:
        ValueError: If the directory holds neither a run nor a sweep.
    """
    gathered = replace(source.gathered, skipped=source.skipped)
    if gathered.runs.empty and not gathered.plan:
        complete_runs(gathered)  # says what there is instead
    runs = gathered.flat
    complete = [run for run in runs if run.status == "complete"]
    table, no_table = _table(gathered)
    factorials, no_ablation = _factorials(gathered, complete)
    ablations = [sheet for one in factorials for sheet in lay_out_factorial(one, counts_line(gathered))]
    pictures, not_drawn = _pictures(replace(source, gathered=gathered))  # all ask of one what has been made of it
    notes = [note for sheet in ablations for note in sheet.notes] + list(table.notes if table else ())
    return Report(
        directory=gathered.directory,
        counts=gathered.counts(),
        facts=(*((sweep.name or sweep.path, sweep_facts(sweep)) for sweep in gathered.plan), ("", run_facts(runs))),
        cautions=cautions(gathered, complete, table, notes),
        winner=find_winner(gathered, complete, table),
        table=_means(table) if table else None,
        cost=_cost(table) if table else None,
        no_table=no_table,
        ablations=tuple(ablations),
        no_ablation=no_ablation,
        pictures=pictures,
        not_drawn=not_drawn,
        runs=run_table(gathered, runs, _metrics(gathered, complete)),
        failures=failures(gathered, runs),
        lacking=_lacking(gathered, table),
    )


def _table(gathered: Gathered) -> tuple[Table | None, str]:
    try:
        return summarise(gathered, Request(cost=True)), ""
    except ValueError as error:
        return None, str(error).partition("\n")[0]  # what follows is elsewhere on the page


def _pictures(source: Source) -> tuple[tuple[Picture, ...], dict[str, str]]:
    infos, reasons = make_infos(source)
    return tuple(sorted(make_pictures(infos), key=lambda one: one.wide)), reasons


def _means(table: Table) -> Sheet:
    notes = tuple(note for note in table.notes if note.kind is not Kind.COST)
    return replace(lay_out(replace(table, costs={}, notes=notes)), left_out=())


def _cost(table: Table) -> Sheet:
    sheet = lay_out(replace(table, published=()), show=["n"])
    notes = tuple(note for note in table.notes if note.kind is Kind.COST)
    return replace(sheet, caption="All complete runs of each setting; time: of one run.", notes=notes, left_out=())


def _factorials(gathered: Gathered, complete: Sequence[Run]) -> tuple[tuple[Factorial, ...], tuple[str, ...]]:
    """The ablations, and a line for each set of runs that is none."""
    try:
        analysed = analyse(gathered)
        return analysed.found, tuple(map(str, analysed.reasons))
    except ValueError as error:
        # Runs that all have the same terms are no attempt at a 2 x 2, so there is nothing to explain.
        with_and_without = any(
            len({run[name] > 0 for run in complete if run[name] is not None}) > 1
            for name in ("lambda_intra", "lambda_inter")
        )
        return (), tuple(str(error).splitlines()) if with_and_without else ()


def _metrics(gathered: Gathered, complete: Sequence[Run]) -> list[Metric]:
    """What the table shows, and test accuracies wherever there are any."""
    try:
        chosen = list(choose_metrics(gathered.runs, gathered.plan, complete, None))
    except ValueError:
        chosen = [describe_metric("val_top1")]
    known = {metric.name for metric in chosen}
    tested = [name for name in _TEST if any(is_measured(run[name]) for run in complete)]
    return chosen + [describe_metric(name) for name in tested if name not in known]


def _lacking(gathered: Gathered, table: Table | None) -> Sheet | None:
    try:
        cells = lacking_cells(gathered, Request(), table)
    except ValueError:
        return None
    return lay_out_lacking(cells, gathered) if cells else None
