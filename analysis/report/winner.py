"""The best configuration, and how to train it again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.best.best import Best, find_best
from analysis.best.sheet import lay_out_best
from analysis.means.notes import named
from analysis.means.table import Cell, Table
from analysis.read.command_lines import Origin, assign
from analysis.read.gather import Gathered
from analysis.read.overrides import grid_command, kept_overrides, read_overrides, single_command
from analysis.read.places import origin_and_place
from analysis.read.plans import Sweep
from analysis.read.results import Run
from analysis.select.metrics import Metric
from analysis.sheets.numbers import mean_text
from analysis.sheets.sheet import Sheet
from analysis.sheets.words import count


@dataclass(frozen=True)
class Winner:
    """What is best so far.

    Attributes:
        sheet: The best trial of a search and its baseline; None where no search chose it.
        remarks: What to make of it.
        commands: Under what each is good for, those to type.
    """

    sheet: Sheet | None
    remarks: tuple[str, ...]
    commands: tuple[tuple[str, tuple[str, ...]], ...]


def find_winner(gathered: Gathered, complete: Sequence[Run], table: Table | None) -> Winner | None:
    """The best trial of the one search, else the best row of the table; None where there is neither.

    Args:
        gathered: The runs.
        complete: The complete ones, flat.
        table: What is shown of them.
    """
    try:
        return _of_search(find_best(gathered), gathered.plan)
    except ValueError:
        return _of_table(complete, table, gathered.plan) if table else None


def _of_search(best: Best, plans: Sequence[Sweep]) -> Winner:
    again, runs = best.retraining, best.front[0].runs
    sheet = lay_out_best(best)
    beside = ", and the baseline beside it" if again.has_baseline else ""
    seeds = ", ".join(map(str, again.seeds))
    commands = [
        (f"Train it on fresh seeds ({seeds}){beside}, and read the test set once a run", again.train),
        ("Then tabulate that", (again.tabulate,)),
    ]
    if read_overrides(runs[0].path):
        overrides, origin = _repeated(runs, ("threads",), plans)
        commands.append(("The same run again", (single_command(overrides, origin),)))
    return Winner(replace(sheet, notes=()), sheet.lines, tuple(commands))


def _of_table(complete: Sequence[Run], table: Table, plans: Sequence[Sweep]) -> Winner | None:
    metric = table.metrics[0]
    cells = [cell for cell in table.cells if cell.metric == metric.name and cell.mean is not None]
    if len(cells) < 2:
        return None
    best = min(cells, key=lambda cell: (cell.mean or 0.0) * (1 if metric.smaller_is_better else -1))
    remarks = [_described(best, table, metric)]
    if equal := [named(cell, table) for cell in cells if cell.is_best and cell is not best]:
        remarks.append(f"it cannot be told from: {'; '.join(equal)}")
    if "protocol" in table.by or "dataset" in table.by:
        remarks.append("rows of several data sets or protocols do not compare with each other")
    runs = [run for run in complete if all(run[name] == value for name, value in zip(table.by, best.key, strict=True))]
    return Winner(None, tuple(remarks), _again(runs, plans) if best.settings <= 1 else ())


def _described(cell: Cell, table: Table, metric: Metric) -> str:
    mean = mean_text(cell.mean or 0.0, cell.sd, metric.decimals)
    return f"{named(cell, table)}: {metric.label} {mean} over {count(cell.n, 'run')}"


def _again(runs: Sequence[Run], plans: Sequence[Sweep]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    if not read_overrides(runs[0].path) or not seeds:
        return ()
    overrides, origin = _repeated(runs, ("seed", "threads"), plans)
    overrides.append(f"seed={','.join(map(str, seeds))}")
    one = len(seeds) == 1
    command = single_command(overrides, origin) if one else grid_command(overrides, origin=origin)
    return (("The same runs again", (command,)),)


def _repeated(runs: Sequence[Run], replaced: Sequence[str], plans: Sequence[Sweep]) -> tuple[list[str], Origin]:
    """What repeats runs in a directory beside their own, which may hold a study that refuses these settings."""
    origin, place = origin_and_place(runs[0], plans)
    words = kept_overrides(read_overrides(runs[0].path), ("name", *replaced, *place))
    results = [assign("results_dir", place["results_dir"])] if "results_dir" in place else []
    return [f"name={place.get('name', 'default')}-again", *results, *words, *_threads(runs)], origin


def _threads(runs: Sequence[Run]) -> list[str]:
    """The number of threads, on which sums depend to the last bit."""
    found = {run.threads for run in runs}
    return [f"threads={found.pop()}"] if len(found) == 1 and None not in found else []
