"""From gathered runs to what a table says: cells, differences, what is best, and the notes below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.means.baselines import Matching, match_baselines
from analysis.means.bold import mark_best
from analysis.means.cost import Cost, cost_of
from analysis.means.notes import remarks
from analysis.means.published import published_cells
from analysis.means.table import Cell, Table
from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.read.settings import Settings
from analysis.read.values import sortable
from analysis.select.columns import recipe_of
from analysis.select.comparing import Pair, compare_runs
from analysis.select.conditions import conditions_of
from analysis.select.groups import Key, choose_by, group_runs, read_baseline, refuse_mixed_protocols
from analysis.select.inventory import left_out
from analysis.select.metrics import Metric, choose_metrics, sample_of
from analysis.select.request import Request, selected_runs
from analysis.statistics.differences import Difference, corrected, mean_and_sd


def summarise(gathered: Gathered, request: Request | None = None, **options: Any) -> Table:
    """Group the complete runs and compare each group to its baseline.

    Args:
        gathered: The runs.
        request: What to show.
        options: Fields of the request, in its place.
    Raises:
        ValueError: If there is nothing to tabulate, or if a column, a metric or the baseline cannot be had.
    """
    request = request or Request(**options)
    baseline = read_baseline(request.baseline)
    gathered, complete = selected_runs(gathered, request)
    metrics = choose_metrics(gathered.runs, gathered.plan, complete, request.metrics)
    rows, cols = _rows_and_cols(complete, request, gathered)
    by = (*rows, *cols)
    if not request.mix:
        refuse_mixed_protocols(complete, by)
    groups = group_runs(complete, by)
    matching = match_baselines(gathered, groups, by, baseline)
    compare = _comparison(groups, matching, gathered.settings, request.mix)
    cells = [_cell(key, len(rows), runs, metric) for key, runs in groups.items() for metric in metrics]
    cells = _compare(cells, matching.baselines, compare)
    cells = mark_best(cells, matching.blocks, metrics, compare)
    cells = _in_order(cells, metrics[0], cols, matching.blocks if matching.baselines else {})
    compared = baseline if any(cell.difference for cell in cells) else None
    table = Table(rows, cols, metrics, compared, tuple(cells), conditions=conditions_of(complete, metrics))
    if request.cost:
        table = replace(table, costs=_costs(groups, matching.baselines))
    if request.published:
        table = replace(table, published=published_cells(rows, cols, table.col_keys, metrics, table.conditions))
    if table.published:
        table = replace(table, conditions={**table.conditions, **recipe_of(complete)})
    notes = tuple(remarks(table, gathered, complete))
    return replace(table, notes=notes, left_out=tuple(left_out(gathered)))


def _rows_and_cols(
    complete: Sequence[Run], request: Request, gathered: Gathered
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = gathered.runs.columns
    cols = choose_by(complete, request.cols, known) if request.cols else ()
    rows = choose_by(complete, request.rows, known)
    if both := [column for column in rows if column in cols]:
        if request.rows is not None:
            raise ValueError(f"{both[0]} is in --rows and in --cols; give it once.")
        rows = tuple(column for column in rows if column not in cols)
    if not rows:
        raise ValueError(f"all that varies is in --cols {','.join(cols)}; name what makes a row: --rows seed.")
    return rows, cols


def _cell(key: Key, width: int, runs: Sequence[Run], metric: Metric) -> Cell:
    sample = sample_of(runs, metric.name)
    mean, sd = mean_and_sd([value for _, value in sample])
    settings = len({run.settings_hash for run in runs if run.settings_hash is not None})
    return Cell(key[:width], key[width:], metric.name, sample, mean, sd, len(runs), settings)


def _comparison(
    groups: Mapping[Key, Sequence[Run]], matching: Matching, settings: Settings, mix: bool
) -> Callable[[Sequence[tuple[Cell, Cell]]], list[Difference]]:
    """A function that compares the first cell of each pair to the second, by their runs."""

    def compare(pairs: Sequence[tuple[Cell, Cell]]) -> list[Difference]:
        return compare_runs(
            [Pair(groups[a.key], groups[b.key], a.metric, matching.compared_in(a.key, b.key)) for a, b in pairs],
            settings,
            mix,
        )

    return compare


def _compare(
    cells: Sequence[Cell],
    baselines: Mapping[Key, Key],
    compare: Callable[[Sequence[tuple[Cell, Cell]]], list[Difference]],
) -> list[Cell]:
    """Add the differences to the baseline, their p-values corrected for the number of all of them in the table."""
    by_key = {(cell.key, cell.metric): cell for cell in cells}
    compared, pairs = [], []
    for place, cell in enumerate(cells):
        baseline = by_key.get((baselines.get(cell.key, ()), cell.metric))
        if baseline and baseline is not cell and cell.sample and baseline.sample:
            compared.append(place)
            pairs.append((cell, baseline))
    differences = dict(zip(compared, corrected(compare(pairs)), strict=True))
    return [
        replace(cell, is_baseline=baselines.get(cell.key) == cell.key, difference=differences.get(place))
        for place, cell in enumerate(cells)
    ]


def _costs(groups: Mapping[Key, Sequence[Run]], baselines: Mapping[Key, Key]) -> dict[Key, Cost]:
    return {key: cost_of(runs, groups[baselines[key]] if key in baselines else None) for key, runs in groups.items()}


def _in_order(cells: Sequence[Cell], metric: Metric, cols: Sequence[str], blocks: Mapping[Key, Key]) -> list[Cell]:
    """Order the rows.

    Without `cols`: the baseline first, then by the first metric, best first; rows stay together with the baseline
    they have. With `cols`, where no single number orders a row: as the runs come, those of the baseline first.
    """

    def place(cell: Cell) -> tuple[Any, ...]:
        block = tuple(sortable(value) for value in blocks.get(cell.key, ()))
        score = 0.0 if cell.mean is None else cell.mean if metric.smaller_is_better else -cell.mean
        return block, not cell.is_baseline, cell.mean is None, score, [sortable(value) for value in cell.row]

    if cols:
        baselines = {cell.row for cell in cells if cell.is_baseline}
        return sorted(cells, key=lambda cell: cell.row not in baselines)
    first = sorted((cell for cell in cells if cell.metric == metric.name), key=place)
    order = {cell.row: number for number, cell in enumerate(first)}
    return sorted(cells, key=lambda cell: order[cell.row])
