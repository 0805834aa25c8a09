"""What a sweep planned and has no run directory for yet."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.groups import DEFAULT_BY
from analysis.plan import Cell, Sweep

# The columns of a run that an override can set under the same name.
_SETTINGS = (*DEFAULT_BY, "seed")


@dataclass(frozen=True)
class Missing:
    """The planned runs of one study that have no directory.

    Attributes:
        study: The study's name.
        count: How many runs are missing.
        cells: The cells without a run (grids). More than `count` where the cell of some run is unknown.
        command: What starts the sweep; it goes on where it stopped.
    """

    study: str
    count: int
    cells: tuple[Cell, ...]
    command: str | None


def find_missing(sweep: Sweep, runs_by_parent: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Missing]:
    """Compare a plan with the runs that exist, failed and unfinished ones included.

    Args:
        sweep: The plan.
        runs_by_parent: The flat rows of all runs, listed by the directory that holds the run's directory.
    """
    found = []
    for study in sweep.studies:
        runs = runs_by_parent.get(os.path.join(sweep.path, study.name), ())
        if study.cells:
            cells, unknown = _cells_without_run(study.cells, runs)
            count = len(cells) - unknown
        else:
            cells, count = [], study.n_trials - len(runs)
        if count > 0:
            found.append(Missing(study.name, count, tuple(cells), sweep.command))
    return found


def _cells_without_run(cells: Sequence[Cell], runs: Sequence[Mapping[str, Any]]) -> tuple[list[Cell], int]:
    """Return the cells that no run belongs to, and the number of runs whose cell cannot be told."""
    described = [_described(run) for run in runs]
    keys = {key for cell in cells for key in cell}
    # A key that no run says anything about cannot tell cells apart.
    keys = {key for key in keys if any(_value(run, key) is not None for run in described)}
    runs_by_values: dict[tuple[str, ...], dict[tuple[Any, ...], list[int]]] = {}
    taken: set[int] = set()
    without = []
    # Where cells set different keys, the most specific come first: a vague one would take their runs.
    for cell in sorted(cells, key=len, reverse=True):
        shape = tuple(sorted(keys & cell.keys()))
        if shape not in runs_by_values:
            runs_by_values[shape] = _index(described, shape)
        fitting = runs_by_values[shape].get(tuple(_canonical(cell[key]) for key in shape), [])
        while fitting and fitting[-1] in taken:
            fitting.pop()
        if fitting and shape:
            taken.add(fitting.pop())
        else:
            without.append(cell)
    unknown = sum(not any(_value(run, key) is not None for key in keys) for run in described)
    return without, unknown


def _index(runs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[tuple[Any, ...], list[int]]:
    index = defaultdict(list)
    for number, run in enumerate(runs):
        index[tuple(_canonical(_value(run, key)) for key in keys)].append(number)
    return index


def _described(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's command line set, and below that its settings, which a run without a result lacks."""
    settings = {key: run[key] for key in _SETTINGS if run.get(key) is not None}
    return settings | _read_overrides(os.path.join(run["path"], ".hydra", "overrides.yaml"))


def _read_overrides(path: str) -> dict[str, str]:
    """Read the lines `- key=value` that Hydra wrote, {} if none; a list of words needs no YAML parser."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError):
        return {}  # the columns of result.json, if any, have to do
    words = (line.removeprefix("- ").strip("'\"") for line in lines)
    pairs = (word.partition("=") for word in words if "=" in word)
    return {key.lstrip("+"): value for key, _, value in pairs}


def _value(run: Mapping[str, Any], key: str) -> Any:
    return run.get(key, run.get(key.rpartition(".")[2]))


def _canonical(value: Any) -> Any:
    """One form for an override and for what the run recorded: "1e-3" is 0.001."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None if value is None else str(value).strip("'\"")
