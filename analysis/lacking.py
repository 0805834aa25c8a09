"""The cells that lack complete runs, of a sweep's plan and of a table, with the commands that fill them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from analysis.gather import Gathered
from analysis.groups import Key, Run, as_text, plain_runs
from analysis.inventory import complete_runs, counts_line
from analysis.method import METHOD, as_choice, as_composition, is_method, weight_of
from analysis.missing import Missing, form_of
from analysis.overrides import as_pairs, cell_overrides, read_overrides, single_command, single_overrides
from analysis.places import origin_and_place
from analysis.plan import Cell, Sweep
from analysis.searches import compared_runs
from analysis.sheets.sheet import Column, Sheet, Text
from analysis.shell import command_line
from analysis.summary import selected_runs, summarise
from analysis.table import Request, Table
from analysis.values import is_value, listed_texts, unquoted
from analysis.words import count

# What a column is called on the command line, where it has another name there.
_KEYS = {"train_size": "dataset.train_size", "epochs": "trainer.epochs"}
_SETTABLE = (*METHOD, "model", "dataset", "protocol", "seed", *_KEYS)
FIELDS = ("cell", "state", "command")  # of `Lacking`, and titles of its table


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


def lacking_cells(gathered: Gathered, request: Request) -> list[Lacking]:
    """List the cells of all plans, and then those of the table that no plan has.

    In a table, each cell should have the seeds of those that it is compared with, and each context the same methods.

    Args:
        gathered: The runs and plans.
        request: The table.
    Raises:
        ValueError: If there is neither a plan nor a complete run, or the table cannot be made.
    """
    planned = [cell for missing in gathered.missing for cell in (*missing.cells, *(u.cell for u in missing.unfinished))]
    names = _compositions(plain_runs(gathered.whole().runs))
    found = [lacking for missing in gathered.missing for lacking in _of_plan(missing, request.where, names)]
    if (gathered.runs["status"] == "complete").any():
        gathered, complete = selected_runs(gathered, request)
        table = summarise(gathered, request)
        planned = [_as_recorded(cell, names) for cell in planned]
        found += _of_table(table, compared_runs(complete, gathered), planned, gathered.plan)
    elif not found:
        complete_runs(gathered)  # says what there is instead
    return found


def _compositions(runs: Iterable[Run]) -> dict[str, str]:
    """What each text that was typed for kd_mode stands for: "tfd_plus" is recorded as "st+tfd"."""
    typed = ((as_pairs(read_overrides(run["path"])).get("kd_mode"), run["kd_mode"]) for run in runs)
    return {text: composition for text, composition in typed if text and composition}


def _as_recorded(cell: Cell, names: Mapping[str, str]) -> Cell:
    """A cell with its kd_mode as records name it."""
    text = cell.get("kd_mode")
    return cell if text is None else {**cell, "kd_mode": names.get(text) or as_composition(unquoted(text))}


def _of_plan(missing: Missing, where: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Lacking]:
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
        key = _KEYS.get(column, column)
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
    seeds: dict[Key, set[int]] = {}
    for run in runs:
        seeds.setdefault(tuple(run[column] for column in table.by), set()).add(run["seed"])
    contexts = [place for place, column in enumerate(table.by) if not is_method(column)]
    of_context: dict[Key, set[int]] = {}
    for key, there in seeds.items():
        of_context.setdefault(tuple(key[place] for place in contexts), set()).update(there)
    everywhere = set().union(*seeds.values())
    commands = _Commands(table.by, runs, plans)
    for key in _grid(table, list(seeds)):
        wanted = of_context.get(tuple(key[place] for place in contexts), everywhere)
        for seed in sorted(wanted - seeds.get(key, set()) - {None}):
            settings = dict(zip(table.by, key, strict=True)) | {"seed": seed}
            if not any(_is_planned(settings, cell) for cell in planned):
                text = " ".join(f"{column}={_exact(value)}" for column, value in settings.items())
                yield Lacking(text, "missing", commands.for_cell(settings))


def _grid(table: Table, keys: Sequence[Key]) -> list[Key]:
    """Every method in every context, and with `cols` every row in every column."""
    found = dict.fromkeys(keys)
    of_the_method = [is_method(column) for column in table.by]
    methods = dict.fromkeys(tuple(v for v, m in zip(key, of_the_method, strict=True) if m) for key in keys)
    contexts = dict.fromkeys(tuple(v for v, m in zip(key, of_the_method, strict=True) if not m) for key in keys)
    for method, context in product(methods, contexts):
        of_method, of_context = iter(method), iter(context)
        found[tuple(next(of_method if m else of_context) for m in of_the_method)] = None
    width = len(table.rows)
    rows, cols = dict.fromkeys(key[:width] for key in keys), dict.fromkeys(key[width:] for key in keys)
    found.update(dict.fromkeys((*row, *col) for row, col in product(rows, cols)))
    return list(found)


def _exact(value: Any) -> str:
    """A value as it is typed: with fewer digits, a lambda would be another one, and its cell would stay empty."""
    return repr(value) if isinstance(value, float) else as_text(value)


def _is_planned(settings: Mapping[str, Any], cell: Cell) -> bool:
    """Whether a cell of a plan is this one, as far as the two speak of the same keys."""
    typed = {_KEYS.get(column, column): value for column, value in settings.items()}
    typed = {weight_of(key, cell): value for key, value in typed.items()}
    wanted = {key: unquoted(text) for key, text in cell.items()}
    shared = typed.keys() & wanted.keys()
    return "seed" in shared and all(is_value(typed[key], wanted[key]) for key in shared)


class _Commands:
    """Writes the command of a cell from what the runs beside it were started with.

    What all runs have in common holds for the cell too; and what the runs of the cell itself have in common, or, where
    it has none, those with one of its settings: as the path that goes with a data set.
    """

    def __init__(self, by: Sequence[str], runs: Sequence[Run], plans: Sequence[Sweep]) -> None:
        self._by = by
        self._overrides = [(run, set(read_overrides(run["path"]))) for run in runs]
        self._order = list(dict.fromkeys(word for run in runs for word in read_overrides(run["path"])))
        self._shared = set.intersection(*(words for _, words in self._overrides))
        self._varying = [column for column in by if len({run[column] for run in runs}) > 1]
        self._origin, self._place = origin_and_place(runs[0], plans)
        if len({run["name"] for run in runs}) > 1:
            self._place.pop("name", None)

    def for_cell(self, settings: Mapping[str, Any]) -> str | None:
        """The command of one cell; None if one of its columns cannot be set."""
        of_cell = self._in_common({column: settings[column] for column in self._by})
        words = self._shared | of_cell
        cell: dict[str, str] = {}
        for column in (*self._varying, "seed"):
            if column not in _SETTABLE and "." not in column:
                return None
            key, value = _KEYS.get(column, column), settings[column]
            if column != "seed" and not of_cell:
                words |= {word for word in self._in_common({column: value}) if _concerns(word, key)}
            # The mode itself turns a term off: its lambda need not be 0, nor does it take another mode's argument.
            follows = is_method(column) and column != "kd_mode" and not value
            there = as_pairs(words)  # a lambda may be there as the weight of its kd_mode
            if column == "seed" or (weight_of(key, there) not in there and not follows):
                cell[key] = "null" if value is None else as_choice(value) if key == "kd_mode" else _exact(value)
        kept = [word for word in self._order if word in words]
        return single_command(single_overrides(kept, cell, self._place), self._origin)

    def _in_common(self, settings: Mapping[str, Any]) -> set[str]:
        """The overrides of all runs with some settings."""
        sets = [words for run, words in self._overrides if all(run[key] == value for key, value in settings.items())]
        return set.intersection(*sets) if sets else set()


def _concerns(word: str, key: str) -> bool:
    return word.lstrip("+").startswith((f"{key}=", f"{key}."))


def lay_out_lacking(lacking: Iterable[Lacking], gathered: Gathered) -> Sheet:
    """A row a cell; below, the commands that go on with whole sweeps."""
    columns = tuple(Column(title, head=True) for title in FIELDS)
    rows = tuple((Text(cell.cell), Text(cell.state), Text(cell.command or "")) for cell in lacking)
    commands = ((missing.sweep.command, missing.is_open) for missing in gathered.missing)
    sweeps = dict.fromkeys(command for command, is_open in commands if command and is_open)
    notes = [f"all that a sweep lacks: {command}" for command in sweeps]
    if gathered.counts()["running"]:
        notes.append("runs are at work: what is missing may be about to start")
    what = "Cells" if rows else "No cell"
    caption = f"{what} without a complete run below {gathered.directory}: {counts_line(gathered)}."
    return Sheet(caption, columns, rows, notes=tuple(notes))
