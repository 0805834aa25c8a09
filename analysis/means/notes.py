"""The remarks below a table: what its numbers rest on, and what to be careful about."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analysis.means.cost import other_costs
from analysis.means.published import published_notes
from analysis.read.gather import Gathered
from analysis.read.results import Run, is_measured
from analysis.select.budgets import budget_notes
from analysis.select.conditions import condition_notes
from analysis.select.doubts import doubtful_numbers
from analysis.select.fairness import unequal_search
from analysis.select.groups import group_runs
from analysis.select.inventory import counts_line
from analysis.select.remarks import comparison_notes, confounding_notes, untested
from analysis.select.searches import searched_settings, split_searches
from analysis.select.settings import varying_settings
from analysis.sheets.notes import Kind, Note, caution, naming
from analysis.sheets.words import are, as_text, count, spread
from analysis.statistics.paired import ALPHA

if TYPE_CHECKING:
    from analysis.means.table import Cell, Table
    from analysis.statistics.differences import Difference

_MOST = 10  # settings that a line names


def remarks(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[Note]:
    """Everything that a reader of the numbers has to know; it belongs beside them in a paper too."""
    yield Note(Kind.COUNTS, counts_line(gathered))
    there = int((gathered.runs["status"] == "complete").sum())
    if len(complete) < there:
        rest = there - len(complete)
        yield Note(Kind.SELECTION, f"a selection: {count(rest, 'other complete run')} {are(rest)} not in this table")
    yield from _baseline_notes(table)
    differences = [cell.difference for cell in table.cells if cell.difference]
    yield from comparison_notes(differences)
    compared = [(named(cell, table), cell.difference) for cell in table.cells if cell.difference]
    if not differences:  # what is bold compares all the same
        compared = [(named(cell, table), cell.to_best) for cell in table.cells if cell.to_best]
        yield from untested([difference for _, difference in compared])
    yield from confounding_notes(compared)
    yield from _interval_notes(table)
    yield from _best_note(table)
    yield from _group_notes(table, gathered, complete)
    yield from _search_note(table, gathered, complete)
    yield from _unequal_notes(table, gathered, complete)
    yield from budget_notes(gathered)
    yield from _epoch_notes(table)
    if table.costs and (others := other_costs(gathered.flat)):
        text = f"cost: not counted in it, of all runs below the directory: {'; '.join(others)}"
        yield Note(Kind.COST, text)
    published = [cell.published.top1 for cell in table.published]
    yield from doubtful_numbers(complete, table.metrics, published)
    yield from condition_notes(table.conditions, table.by)
    yield from published_notes(table.published, table.metrics, table.conditions)


def _baseline_notes(table: "Table") -> Iterator[Note]:
    others = [cell for cell in table.cells if not cell.is_baseline]
    if not others:
        return
    if "kd_mode" not in table.by and table.baseline is None:
        yield Note(Kind.NO_BASELINE, "no differences: kd_mode is not one of the columns, so no row is the baseline")
    elif len(others) == len(table.cells):
        text = "no differences: no complete run has kd_mode=none; --baseline NAME chooses another baseline"
        yield Note(Kind.NO_BASELINE, text)
    else:
        alone = (cell for cell in others if cell.n and cell.difference is None)
        names = (named(cell, table) for cell in alone)
        yield from naming(Kind.NO_BASELINE, "no difference, as no measured baseline matches: ", dict.fromkeys(names))


def _interval_notes(table: "Table") -> Iterator[Note]:
    """Name the intervals that seem to say more than their p-values."""
    doubtful = (
        f"{named(cell, table)} (uncorrected p {cell.difference.p:.3g})"
        for cell in table.cells
        if cell.difference and _seems_clear(cell.difference)
    )
    lead = "the interval leaves out zero, but p does not support a difference: "
    yield from naming(Kind.UNSUPPORTED, lead, doubtful)
    endless = (named(cell, table) for cell in table.cells if cell.difference and cell.difference.is_endless)
    yield from naming(Kind.NO_INTERVAL, "no 95 % interval, as nearly all paired differences are equal: ", endless)
    partial = (
        f"{named(cell, table)} ({cell.difference.pairs} of {cell.n} runs)"
        for cell in table.cells
        if cell.difference and cell.difference.pairs and cell.difference.pairs < cell.n and cell.settings <= 1
    )
    yield from naming(Kind.UNSHARED_SEEDS, "seeds that the baseline lacks do not count in the difference: ", partial)


def _seems_clear(difference: "Difference") -> bool:
    if difference.low is None or difference.high is None or difference.p_holm is None:
        return False
    return not difference.low <= 0 <= difference.high and difference.p_holm >= ALPHA


def _best_note(table: "Table") -> Iterator[Note]:
    if not any(cell.is_best for cell in table.cells):
        return
    competing = sum(cell.mean is not None for cell in table.cells)
    everything = sum(cell.is_best for cell in table.cells) == competing
    text = (
        "bold: the best, and all that cannot be told from it (p against it, corrected for all pairs, not below "
        f"0.05){'; here that is everything' if everything else ''}"
    )
    yield Note(Kind.BOLD, text)


def _group_notes(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[Note]:
    first = [cell for cell in table.cells if cell.metric == table.metrics[0].name]
    groups = group_runs(complete, table.by) if any(cell.settings > 1 for cell in first) else {}
    mixed = []
    for cell in (cell for cell in first if cell.settings > 1):
        keys = list(varying_settings(gathered.settings, groups[cell.key]))
        what = [*keys[:_MOST], *([f"{len(keys) - _MOST} more"] if len(keys) > _MOST else [])]
        mixed.append(f"{named(cell, table)} ({cell.settings} settings{': ' if what else ''}{', '.join(what)})")
    lead = "mixes runs that differ in more than the seed, so its sd is not that of seeds: "
    yield from naming(Kind.SEVERAL_SETTINGS, lead, mixed)
    if "protocol" not in table.by and len(table.conditions.get("protocol", ())) > 1:
        yield caution(Kind.SEVERAL_PROTOCOLS, "runs of several protocols are mixed in a cell, as was asked for")
    for metric in table.metrics:
        cells = (cell for cell in table.cells if cell.metric == metric.name and cell.n < cell.runs)
        partly = (f"{named(cell, table)} ({cell.n} of {cell.runs})" for cell in cells)
        yield from naming(Kind.NOT_MEASURED, f"not all complete runs have a value for {metric.name}: ", partly)
    empty = len(table.row_keys) * len(table.col_keys) - len({cell.key for cell in table.cells})
    if empty:
        yield Note(Kind.EMPTY_CELLS, f"{count(empty, 'cell')} without a complete run; --missing lists them")


def _search_note(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[Note]:
    """A search's best trial was picked by the very numbers that the table shows."""
    searches = [(sweep, study) for sweep in gathered.plan for study in sweep.studies if study.kind == "search"]
    for metric in table.metrics:
        numbers = []
        for sweep, study in searches:
            of_study = (run for run in complete if run.study == study.name and is_measured(run[metric.name]))
            own = [run for run in of_study if run.path.startswith(f"{sweep.path}/")]
            rows = {tuple(run[column] for column in table.by) for run in own}
            if len(rows) > 1:
                numbers.append(max(len(rows), len({run.trial for run in own})))  # trials may have tried the same
        if numbers:
            each = f"each of {len(numbers)} searches" if len(numbers) > 1 else "a search"
            text = (
                f"the best of {spread(numbers)} trials of {each} is chosen by its score, so it looks better here than "
                "it is on fresh seeds"
            )
            yield Note(Kind.PICKED, text)
            return


def _unequal_notes(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[Note]:
    """A caution for each search that varied more than the method, where its trials are compared to a baseline."""
    spaces = searched_settings(gathered)
    if not spaces or table.baseline is None:
        return
    baselines = {cell.key for cell in table.cells if cell.is_baseline}
    beside = [run for run in complete if tuple(run[column] for column in table.by) in baselines]
    for directory, runs in split_searches(complete).items():
        yield from unequal_search(spaces.get(directory, ()), runs, beside, gathered.settings)


def _epoch_notes(table: "Table") -> Iterator[Note]:
    for metric in table.metrics:
        if metric.epoch not in (None, "last"):
            text = f"{metric.label}: the epoch is chosen by the very numbers it is judged by, which flatters"
            yield caution(Kind.CHOSEN_EPOCH, text)


def named(cell: "Cell", table: "Table") -> str:
    """A cell by the values of its columns, and by its metric where there are several."""
    values = " ".join(f"{column}={as_text(value)}" for column, value in zip(table.by, cell.key, strict=True))
    return values if len(table.metrics) == 1 else f"{values}, {cell.metric}"
