"""What a sweep planned and has no complete run of."""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.read.method import DEFAULT_BY
from analysis.read.overrides import as_pairs, cell_overrides, key_of, read_overrides
from analysis.read.plans import Cell, Study, Sweep
from analysis.read.results import COLUMNS, Run
from analysis.read.values import as_number, number_or_text, unquoted

Form = Callable[[Any], Any]

# The columns of a run that an override can set under the same name.
_SETTINGS = (*DEFAULT_BY, "seed")
# Of several runs of a cell the one that got furthest tells its state.
_ORDER = ("broken", "failed", "stale", "running", "pruned", "complete")


@dataclass(frozen=True)
class Unfinished:
    """A planned run that is not complete: running, stale, failed, or with a broken result.

    Attributes:
        cell: What the plan says of it; of a trial, what the search chose.
        status: Which of these.
        path: Its directory.
        again: Whether the sweep's command makes it again: not what is at work, nor the failed trial of a search.
    """

    cell: Cell
    status: str
    path: str
    again: bool


@dataclass(frozen=True)
class Gap:
    """The planned runs of one study that have no directory, and those that have one and no complete run.

    Attributes:
        sweep: The plan.
        study: The study's name.
        count: How many runs are missing.
        cells: The cells without a run (grids). More than `count` where the cell of some run is unknown.
        unfinished: What has a run that is not complete; pruned ones are done.
    """

    sweep: Sweep
    study: str
    count: int
    cells: tuple[Cell, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the sweep's command has something to do."""
        return self.count > 0 or any(unfinished.again for unfinished in self.unfinished)


def find_gaps(sweep: Sweep, runs_by_parent: Mapping[str, Sequence[Run]], given_up: Container[str] = ()) -> list[Gap]:
    """Compare a plan with the runs that exist.

    Args:
        sweep: The plan.
        runs_by_parent: The flat rows of all runs, listed by the directory that holds the run's directory.
        given_up: Directories of trials that were pruned between their seeds.
    """
    found = [
        _open_cells(sweep, study, runs_by_parent)
        if study.cells
        else _open_trials(sweep, study, runs_by_parent, given_up)
        for study in sweep.studies
    ]
    return [missing for missing in found if missing.count > 0 or missing.unfinished]


def _open_trials(
    sweep: Sweep, study: Study, runs_by_parent: Mapping[str, Sequence[Run]], given_up: Container[str]
) -> Gap:
    """The runs that a search has not begun or not ended; with `sweep.seeds` every trial is a run a seed."""
    directory = os.path.join(sweep.path, study.name)
    single = runs_by_parent.get(directory, ())
    trials = {parent: runs for parent, runs in runs_by_parent.items() if os.path.dirname(parent) == directory}
    unfinished = tuple(
        Unfinished(_chosen(sweep, run), run.status, run.path, again=run.status in ("stale", "broken"))
        for run in (*single, *(run for runs in trials.values() for run in runs))
        if run.status not in ("pruned", "complete")
    )
    if sweep.seeds is None:
        return Gap(sweep, study.name, max(0, study.n_trials - len(single)), unfinished=unfinished)
    # A trial that failed or was pruned on one seed, or between two, is not run on the others.
    going = [
        runs
        for parent, runs in trials.items()
        if parent not in given_up and not any(run.status in ("pruned", "failed") for run in runs)
    ]
    rest = sum(max(0, len(sweep.seeds) - len(runs)) for runs in going)
    to_begin = max(0, study.n_trials - len(single) - len(trials)) * len(sweep.seeds)
    return Gap(sweep, study.name, rest + to_begin, unfinished=unfinished)


def _chosen(sweep: Sweep, run: Run) -> Cell:
    """What a search chose for a run."""
    pairs = as_pairs(read_overrides(run.path))
    return {key: pairs[key] for key in sweep.space if key in pairs}


def _open_cells(sweep: Sweep, study: Study, runs_by_parent: Mapping[str, Sequence[Run]]) -> Gap:
    runs = runs_by_parent.get(os.path.join(sweep.path, study.name), ())
    matched, unknown = _match(study.cells, runs)
    alone = {_settings(read_overrides(run.path)): run for run in runs_by_parent.get(sweep.path, ())}
    without, unfinished = [], []
    for cell, run in matched:
        overrides = cell_overrides(sweep, cell)
        if overrides and (run is None or run.status != "complete"):
            run = alone.get(_settings(overrides), run)  # a single run that was started for this cell
        if run is None:
            without.append(cell)
        elif run.status not in ("pruned", "complete"):
            unfinished.append(Unfinished(cell, run.status, run.path, again=run.status != "running"))
    return Gap(sweep, study.name, len(without) - unknown, tuple(without), tuple(unfinished))


def _settings(overrides: Sequence[str]) -> frozenset[str]:
    """Without the place, which may have been another when the run was started."""
    return frozenset(word for word in overrides if key_of(word) not in ("name", "results_dir"))


def _match(cells: Sequence[Cell], runs: Sequence[Run]) -> tuple[list[tuple[Cell, Run | None]], int]:
    """Return every cell with the run that belongs to it, and the number of runs whose cell cannot be told."""
    runs = sorted(runs, key=lambda run: _ORDER.index(run.status))  # of several runs of a cell, the last is its own
    settings = [_described(run) for run in runs]
    # A key that no run says anything about cannot tell cells apart.
    named = {key for cell in cells for key in cell}
    keys = {key for key in named if any(_value(of_run, key) is not None for of_run in settings)}
    forms = {key: form_of(key, cells) for key in keys}
    free = dict(enumerate(settings))  # what belongs to no cell yet
    found: dict[int, Run] = {}
    for shape, places in _by_shape(cells, keys).items():
        fitting: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, of_run in free.items():
            fitting[tuple(_in_form(_value(of_run, key), forms[key]) for key in shape)].append(number)
        for place in places:
            if numbers := fitting[tuple(forms[key](cells[place][key]) for key in shape)]:
                number = numbers.pop()
                found[place] = runs[number]
                del free[number]
    unknown = sum(all(_value(of_run, key) is None for key in keys) for of_run in settings)
    return [(cell, found.get(place)) for place, cell in enumerate(cells)], unknown


def _by_shape(cells: Sequence[Cell], keys: Collection[str]) -> dict[tuple[str, ...], list[int]]:
    """The places of the cells by those of some keys that they set, the most specific first.

    A vague cell would take the runs of a specific one. Cells that set none of the keys are left out.
    """
    shapes: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, cell in enumerate(cells):
        shapes[tuple(sorted(key for key in cell if key in keys))].append(place)
    return {shape: shapes[shape] for shape in sorted(shapes, key=len, reverse=True) if shape}


def _in_form(value: Any, form: Form) -> Any:
    return None if value is None else form(value)


def _described(run: Run) -> dict[str, Any]:
    """What a run's command line set, and below that its settings, which a run without a result lacks."""
    settings = {key: run[key] for key in _SETTINGS if run.get(key) is not None}
    return settings | as_pairs(read_overrides(run.path))


def _value(settings: Mapping[str, Any], key: str) -> Any:
    return settings.get(key, settings.get(key.rpartition(".")[2]))


def form_of(key: str, cells: Iterable[Cell]) -> Form:
    """How the values of a key are compared: as numbers, unless it holds text or cells have two texts for one number."""
    texts = {unquoted(cell[key]) for cell in cells if key in cell}
    numbers = [number for text in texts if (number := as_number(text)) is not None]
    is_text = COLUMNS.get(key) is str or len(set(numbers)) < len(numbers)
    return (lambda value: unquoted(str(value))) if is_text else number_or_text
