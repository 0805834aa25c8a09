"""The remarks below a table: what its numbers rest on, and what to be careful about."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from analysis.means.cost import other_costs
from analysis.means.published import cautions
from analysis.read.gather import Gathered
from analysis.read.results import is_measured
from analysis.select.conditions import condition_notes
from analysis.select.doubts import doubtful_numbers
from analysis.select.groups import Run, as_text, group_runs, plain_runs
from analysis.select.inventory import counts_line
from analysis.select.searches import searched_settings, split_searches
from analysis.select.unequal import unequal_search
from analysis.sheets.words import are, count, spread
from analysis.statistics.paired import ALPHA, EXACT_UP_TO, holm, smallest_p

if TYPE_CHECKING:
    from analysis.means.table import Cell, Table
    from analysis.statistics.differences import Difference

COST = "cost: "  # begins what is said of the columns of cost
_MOST = 10  # cells that a line names


def remarks(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[str]:
    """Everything that a reader of the numbers has to know, a line each; it belongs beside them in a paper too."""
    yield counts_line(gathered)
    there = int((gathered.runs["status"] == "complete").sum())
    if len(complete) < there:
        rest = there - len(complete)
        yield f"a selection: {count(rest, 'other complete run')} {are(rest)} not in this table"
    yield from _baseline_notes(table)
    differences = [cell.difference for cell in table.cells if cell.difference]
    yield from comparison_notes(differences)
    compared = [(named(cell, table), cell.difference) for cell in table.cells if cell.difference]
    if not differences:  # what is bold compares all the same
        compared = [(named(cell, table), cell.to_best) for cell in table.cells if cell.to_best]
        yield from _untested([difference for _, difference in compared])
    yield from confounding_notes(compared)
    yield from _interval_notes(table)
    yield from _best_note(table)
    yield from _group_notes(table, gathered, complete)
    yield from _search_note(table, gathered, complete)
    yield from _unequal_notes(table, gathered, complete)
    yield from _epoch_notes(table)
    if table.costs and (others := other_costs(plain_runs(gathered.runs))):
        yield f"{COST}not counted in it, of all runs below the directory: {'; '.join(others)}"
    published = [cell.published.top1 for cell in table.published]
    yield from doubtful_numbers(complete, table.metrics, published)
    yield from condition_notes(table.conditions, table.by)
    yield from cautions(table.published, table.metrics, table.conditions)


def _baseline_notes(table: "Table") -> Iterator[str]:
    others = [cell for cell in table.cells if not cell.is_baseline]
    if not others:
        return
    if "kd_mode" not in table.by and table.baseline is None:
        yield "no differences: kd_mode is not one of the columns, so no row is the baseline"
    elif len(others) == len(table.cells):
        yield "no differences: no complete run has kd_mode=none; --baseline NAME chooses another baseline"
    else:
        alone = (cell for cell in others if cell.n and cell.difference is None)
        names = (named(cell, table) for cell in alone)
        yield from _named_cells("no difference, as no measured baseline matches: ", dict.fromkeys(names))


def comparison_notes(differences: Sequence["Difference"]) -> Iterator[str]:
    """How differences, intervals and p-values were made, and whether there are enough seeds for them."""
    methods = {difference.method for difference in differences}
    if methods & {"t", "exact", "bootstrap"}:
        intervals = f"95 % interval of each, uncorrected, {_how(methods)}"
        yield f"paired seeds: mean difference over the seeds that both have; {intervals}"
    if tested := [difference for difference in differences if difference.p is not None]:
        tests = {"bootstrap" if difference.method == "bootstrap" else "exact" for difference in tested}
        how = {"exact": "exact paired permutation test", "bootstrap": "bootstrap of t, 9999 resamples, seed 0"}
        names = " or, from 13 pairs on, ".join(how[test] for test in ("exact", "bootstrap") if test in tests)
        correction = f"corrected (Holm) for {len(tested)} comparisons" if len(tested) > 1 else "one comparison"
        yield f"p: two-sided, {names}; {correction}"
    yield from _too_few(tested)
    yield from _untested(differences)
    if "welch" in methods:
        yield "means (Welch): difference of the means, fewer than 2 shared seeds; Welch's t interval, no p-value"
    if "means" in methods:
        yield "means: difference of the means; a single run on one side allows no interval and no p-value"


def confounding_notes(named_differences: Iterable[tuple[str, "Difference"]], flag: str = "--mix") -> Iterator[str]:
    """Name what differs besides what is compared, and whether it was compared all the same."""
    untested: list[str] = []
    tested: list[str] = []
    for name, difference in named_differences:
        if difference.differs:
            lines = untested if difference.is_confounded else tested
            lines.append(f"{name} ({', '.join(difference.differs)})")
    lead = f"caution: neither interval nor p, as more differs than what is compared ({flag} tests it all the same): "
    yield from _named_cells(lead, untested)
    yield from _named_cells("caution: tested as was asked for, though more differs than what is compared: ", tested)


def _how(methods: set[str]) -> str:
    how = {
        "t": "by paired t, which takes the differences to be normal (exact intervals need 6 pairs)",
        "exact": "exact, by inverting the permutation test",
        "bootstrap": "by bootstrap of t",
    }
    return "; ".join(text for method, text in how.items() if method in methods)


def _too_few(tested: Sequence["Difference"]) -> Iterator[str]:
    """Warn where no p-value can be below 0.05, whatever the differences."""
    possible = holm([smallest_p(difference.pairs) for difference in tested])
    hopeless = [(d.pairs, least) for d, least in zip(tested, possible, strict=True) if least >= ALPHA]
    if not hopeless:
        return
    enough = (pairs for pairs in range(2, EXACT_UP_TO + 2) if len(tested) * smallest_p(pairs) < ALPHA)
    advice = "; ".join(f"{needed} shared seeds would do" for needed in list(enough)[:1])
    pairs = ", ".join(str(number) for number in sorted({number for number, _ in hopeless}))
    if len(hopeless) == len(tested):
        comparisons = f" and {len(tested)} comparisons" if len(tested) > 1 else ""
        least = min(p for _, p in hopeless)
        problem = f"With {pairs} pairs{comparisons} no p below {least:.3g} is possible, so nothing can be told apart"
    else:
        problem = f"In {len(hopeless)} of {len(tested)} comparisons ({pairs} pairs) no p below 0.05 is possible"
    yield f"warning: too few seeds. {problem}" + (f"; {advice}" if advice else "")


def _untested(differences: Sequence["Difference"]) -> Iterator[str]:
    """Warn of what no test can tell apart."""
    if without := sum(difference.p is None and not difference.is_confounded for difference in differences):
        have = "has" if len(differences) == 1 else "have"
        of_all = f"{without} of {count(len(differences), 'comparison')} {have} fewer than 2 shared seeds"
        yield f"warning: too few seeds. {of_all}, so no p tells them apart"


def _interval_notes(table: "Table") -> Iterator[str]:
    """Name the intervals that seem to say more than their p-values."""
    doubtful = (
        f"{named(cell, table)} (uncorrected p {cell.difference.p:.3g})"
        for cell in table.cells
        if cell.difference and _seems_clear(cell.difference)
    )
    yield from _named_cells("the interval leaves out zero, but p does not support a difference: ", doubtful)
    endless = (named(cell, table) for cell in table.cells if cell.difference and cell.difference.is_endless)
    yield from _named_cells("no 95 % interval, as nearly all paired differences are equal: ", endless)
    partial = (
        f"{named(cell, table)} ({cell.difference.pairs} of {cell.n} runs)"
        for cell in table.cells
        if cell.difference and cell.difference.pairs and cell.difference.pairs < cell.n and cell.settings <= 1
    )
    yield from _named_cells("seeds that the baseline lacks do not count in the difference: ", partial)


def _seems_clear(difference: "Difference") -> bool:
    if difference.low is None or difference.high is None or difference.p_holm is None:
        return False
    return not difference.low <= 0 <= difference.high and difference.p_holm >= ALPHA


def _best_note(table: "Table") -> Iterator[str]:
    if not any(cell.is_best for cell in table.cells):
        return
    competing = sum(cell.mean is not None for cell in table.cells)
    everything = sum(cell.is_best for cell in table.cells) == competing
    yield (
        "bold: the best, and all that cannot be told from it (p against it, corrected for all pairs, not below "
        f"0.05){'; here that is everything' if everything else ''}"
    )


def _group_notes(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[str]:
    first = [cell for cell in table.cells if cell.metric == table.metrics[0].name]
    groups = group_runs(complete, table.by) if any(cell.settings > 1 for cell in first) else {}
    mixed = []
    for cell in (cell for cell in first if cell.settings > 1):
        keys = list(gathered.settings.varying(groups[cell.key])) if gathered.settings else []
        what = [*keys[:_MOST], *([f"{len(keys) - _MOST} more"] if len(keys) > _MOST else [])]
        mixed.append(f"{named(cell, table)} ({cell.settings} settings{': ' if what else ''}{', '.join(what)})")
    yield from _named_cells("mixes runs that differ in more than the seed, so its sd is not that of seeds: ", mixed)
    if "protocol" not in table.by and len(table.conditions.get("protocol", ())) > 1:
        yield "caution: runs of several protocols are mixed in a cell, as was asked for"
    for metric in table.metrics:
        cells = (cell for cell in table.cells if cell.metric == metric.name and cell.n < cell.runs)
        partly = (f"{named(cell, table)} ({cell.n} of {cell.runs})" for cell in cells)
        yield from _named_cells(f"not all complete runs have a value for {metric.name}: ", partly)
    empty = len(table.row_keys) * len(table.col_keys) - len({cell.key for cell in table.cells})
    if empty:
        yield f"{count(empty, 'cell')} without a complete run; --missing lists them"


def _search_note(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[str]:
    """A search's best trial was picked by the very numbers that the table shows."""
    searches = [(sweep, study) for sweep in gathered.plan for study in sweep.studies if study.kind == "search"]
    for metric in table.metrics:
        numbers = []
        for sweep, study in searches:
            of_study = (run for run in complete if run["study"] == study.name and is_measured(run[metric.name]))
            own = [run for run in of_study if run["path"].startswith(f"{sweep.path}/")]
            rows = {tuple(run[column] for column in table.by) for run in own}
            if len(rows) > 1:
                numbers.append(max(len(rows), len({run["trial"] for run in own})))  # trials may have tried the same
        if numbers:
            each = f"each of {len(numbers)} searches" if len(numbers) > 1 else "a search"
            yield (
                f"the best of {spread(numbers)} trials of {each} is chosen by its score, so it looks better here than "
                "it is on fresh seeds"
            )
            return


def _unequal_notes(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[str]:
    """A caution for each search that varied more than the method, where its trials are compared to a baseline."""
    spaces = searched_settings(gathered)
    if not spaces or table.baseline is None or gathered.settings is None:
        return
    baselines = {cell.key for cell in table.cells if cell.is_baseline}
    beside = [run for run in complete if tuple(run[column] for column in table.by) in baselines]
    for directory, runs in split_searches(complete).items():
        for text in unequal_search(spaces.get(directory, ()), runs, beside, gathered.settings):
            yield f"caution: {text}"


def _epoch_notes(table: "Table") -> Iterator[str]:
    for metric in table.metrics:
        if metric.epoch not in (None, "last"):
            yield f"caution: {metric.label}: the epoch is chosen by the very numbers it is judged by, which flatters"


def _named_cells(lead: str, names: Iterable[str]) -> Iterator[str]:
    """One line that names cells, if there are any; those beyond the first ten are counted."""
    names = list(names)
    if names:
        more = f"; and {len(names) - _MOST} more" if len(names) > _MOST else ""
        yield f"{lead}{'; '.join(names[:_MOST])}{more}"


def named(cell: "Cell", table: "Table") -> str:
    """A cell by the values of its columns, and by its metric where there are several."""
    values = " ".join(f"{column}={as_text(value)}" for column, value in zip(table.by, cell.key, strict=True))
    return values if len(table.metrics) == 1 else f"{values}, {cell.metric}"
