"""The cells that lack complete runs, of a sweep's plan and of a table, with the commands that fill them."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from typing import Any

from analysis.means.means import summarise
from analysis.means.table import Table
from analysis.missing.commands import TYPED, CellCommands, typed
from analysis.read.command_lines import command_line
from analysis.read.gaps import Gap, form_of
from analysis.read.gather import Gathered
from analysis.read.method import as_composition, is_method, weight_of
from analysis.read.overrides import as_pairs, cell_overrides, read_overrides, single_command
from analysis.read.plans import Cell, Sweep
from analysis.read.results import Run
from analysis.read.values import is_value, listed_texts, unquoted
from analysis.select.groups import Key
from analysis.select.inventory import complete_runs
from analysis.select.request import Request, selected_runs
from analysis.select.searches import compared_runs
from analysis.sheets.words import count


@dataclass(frozen=True)
class Lacking:
    """A cell without a complete run.

    Attributes:
        cell: Its settings, as on a command line; for a search, how many runs of it are missing.
        state: missing, failed, stale, broken (a result that cannot be read) or running.
        command: What fills it; None where nothing needs to be done or it is not known.
    """

    cell: str
    state: str
    command: str | None


def lacking_cells(gathered: Gathered, request: Request, table: Table | None = None) -> list[Lacking]:
    """List the cells of all plans, and then those of the table that no plan has.

    In a table, each cell should have the seeds of those that it is compared with, and each context the same methods.

    Args:
        gathered: The runs and plans.
        request: The table.
        table: That table, where it has been made.
    Raises:
        ValueError: If there is neither a plan nor a complete run, or the table cannot be made.
    """
    planned = [cell for missing in gathered.gaps for cell in (*missing.cells, *(u.cell for u in missing.unfinished))]
    names = _compositions(gathered.whole().flat, {cell["kd_mode"] for cell in planned if "kd_mode" in cell})
    found = [lacking for missing in gathered.gaps for lacking in _of_plan(missing, request.where, names)]
    if (gathered.runs["status"] == "complete").any():
        gathered, complete = selected_runs(gathered, request)
        table = table or summarise(gathered, request)
        planned = [_as_recorded(cell, names) for cell in planned]
        found += _of_table(table, compared_runs(complete, gathered), planned, gathered.plan)
    elif not found:
        complete_runs(gathered)  # says what there is instead
    return found


def _compositions(runs: Sequence[Run], texts: Set[str]) -> dict[str, str]:
    """What texts that were typed for kd_mode stand for where that is another: "tfd_plus" is recorded as "st+tfd"."""
    recorded = {run.kd_mode for run in runs}
    if all(as_composition(unquoted(text)) in recorded for text in texts):
        return {}
    words = ((as_pairs(read_overrides(run.path)).get("kd_mode"), run.kd_mode) for run in runs)
    return {text: composition for text, composition in words if text and composition}


def _as_recorded(cell: Cell, names: Mapping[str, str]) -> Cell:
    """A cell with its kd_mode as records name it."""
    text = cell.get("kd_mode")
    return cell if text is None else {**cell, "kd_mode": names.get(text) or as_composition(unquoted(text))}


def _of_plan(missing: Gap, where: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Lacking]:
    """What a study lacks, as far as it is asked for; cells that do not say are."""
    command = missing.sweep.command
    if not missing.cells and missing.count > 0:
        yield Lacking(f"{count(missing.count, 'run')} of study {missing.study}", "missing", command)
    planned = [*missing.cells, *(unfinished.cell for unfinished in missing.unfinished)]
    for cell in (cell for cell in missing.cells if _is_selected(cell, where, planned, names)):
        overrides = cell_overrides(missing.sweep, cell)
        yield Lacking(_text(cell), "missing", single_command(overrides, missing.sweep.origin) if overrides else command)
    for unfinished in (u for u in missing.unfinished if _is_selected(u.cell, where, planned, names)):
        again = command if unfinished.again else None
        if unfinished.status == "broken" and command:
            again = f"{command_line(['rm', os.path.join(unfinished.path, 'result.json')])} && {command}"
        what = _text(unfinished.cell) or f"a trial of study {missing.study}"
        yield Lacking(f"{what} ({unfinished.path})", unfinished.status, again)


def _is_selected(cell: Cell, where: Mapping[str, str], planned: Sequence[Cell], names: Mapping[str, str]) -> bool:
    recorded = _as_recorded(cell, names)
    for column, wanted in where.items():
        key = TYPED.get(column, column)
        form = form_of(key, planned)
        texts = (_as_recorded({key: text}, names)[key] for text in listed_texts(wanted))
        if key in recorded and form(recorded[key]) not in map(form, texts):
            return False
    return True


def _text(cell: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in cell.items())


def _of_table(table: Table, runs: Sequence[Run], planned: Sequence[Cell], plans: Sequence[Sweep]) -> Iterator[Lacking]:
    if "seed" in table.by or not runs:
        return
    seeds: dict[Key, set[int | None]] = {}
    for run in runs:
        seeds.setdefault(tuple(run[column] for column in table.by), set()).add(run.seed)
    contexts = [place for place, column in enumerate(table.by) if not is_method(column)]
    of_context: dict[Key, set[int | None]] = {}
    for key, there in seeds.items():
        of_context.setdefault(tuple(key[place] for place in contexts), set()).update(there)
    everywhere = set().union(*seeds.values())
    commands = CellCommands(table.by, runs, plans)
    for key in _grid(table, list(seeds)):
        wanted = of_context.get(tuple(key[place] for place in contexts), everywhere)
        for seed in sorted(seed for seed in wanted - seeds.get(key, set()) if seed is not None):
            settings = dict(zip(table.by, key, strict=True)) | {"seed": seed}
            if not any(_is_planned(settings, cell) for cell in planned):
                text = " ".join(f"{column}={typed(value)}" for column, value in settings.items())
                yield Lacking(text, "missing", commands.for_cell(settings))


def _grid(table: Table, keys: Sequence[Key]) -> list[Key]:
    """Every method in every context, and with `cols` every row in every column."""
    methods = [column for column in table.by if is_method(column)]
    return list(dict.fromkeys((*keys, *_crossed(keys, table.by, methods), *_crossed(keys, table.by, table.rows))))


def _crossed(keys: Sequence[Key], columns: Sequence[str], some: Collection[str]) -> Iterator[Key]:
    """What there is in some columns with all that there is in the others."""
    of_some, of_others = (
        dict.fromkeys(
            tuple((column, value) for column, value in zip(columns, key, strict=True) if (column in some) == among)
            for key in keys
        )
        for among in (True, False)
    )
    for one, other in product(of_some, of_others):
        values = dict((*one, *other))
        yield tuple(values[column] for column in columns)


def _is_planned(settings: Mapping[str, Any], cell: Cell) -> bool:
    """Whether a cell of a plan is this one, as far as the two speak of the same keys."""
    typed = {TYPED.get(column, column): value for column, value in settings.items()}
    typed = {weight_of(key, cell): value for key, value in typed.items()}
    wanted = {key: unquoted(text) for key, text in cell.items()}
    shared = typed.keys() & wanted.keys()
    return "seed" in shared and all(is_value(typed[key], wanted[key]) for key in shared)
