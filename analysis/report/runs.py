"""The table of all runs."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from analysis.read.gather import Gathered
from analysis.read.method import DEFAULT_BY, METHOD, is_setting
from analysis.read.overrides import as_pairs, read_overrides
from analysis.read.results import COLUMNS, Run, is_measured
from analysis.read.values import as_number, own_type
from analysis.select.inventory import first_line
from analysis.select.metrics import Metric
from analysis.sheets.numbers import fixed
from analysis.sheets.words import as_text


@dataclass(frozen=True)
class RunColumn:
    """A column; `number` if it is sorted as such."""

    title: str
    number: bool


@dataclass(frozen=True)
class RunRow:
    """A run: its directory, also as seen from the gathered one, its status, and a text a column."""

    path: str
    name: str
    status: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class RunTable:
    """All runs, in the order of their directories; only what was recorded and is not the same in all has a column."""

    columns: tuple[RunColumn, ...]
    rows: tuple[RunRow, ...]


Format = Callable[[Any], str]


def run_table(gathered: Gathered, runs: Sequence[Run], metrics: Iterable[Metric]) -> RunTable:
    """Lay out all runs.

    Args:
        gathered: Where they are from.
        runs: Flat.
        metrics: To show.
    """
    searched = list(dict.fromkeys(key for sweep in gathered.plan for key in sweep.space))
    full = _in_own_type([_with_overrides(run, searched) for run in runs], searched)
    formats: dict[str, Format] = {metric.name: partial(fixed, decimals=metric.decimals) for metric in metrics}
    formats |= {"train_seconds": lambda value: f"{value:.1f}", "error": first_line}
    settings = filter(is_setting, gathered.runs.columns)
    names = dict.fromkeys(("study", "trial", *DEFAULT_BY, *settings, *searched, "seed", *formats))
    kept = [name for name in names if _says_something(name, full, always=("kd_mode", "seed", *formats))]
    columns = tuple(RunColumn(name, _is_number(run.get(name) for run in full)) for name in kept)
    rows = tuple(_row(run, kept, formats, gathered.directory) for run in full)
    return RunTable(columns, rows)


def _with_overrides(run: Run, searched: Sequence[str]) -> Run:
    """Add what only the command line tells: searched keys, and the settings of a run without a result."""
    keys = [key for key in (*searched, *METHOD, "seed") if run.get(key) is None]
    if not keys or (run.finished and not any(key in searched for key in keys)):
        return run
    pairs = as_pairs(read_overrides(run.path))
    return run.having({key: _read(pairs[key], COLUMNS.get(key, str)) for key in keys if key in pairs})


def _read(text: str, kind: type) -> Any:
    number = None if kind is str else as_number(text)
    return text if number is None else kind(number)


def _in_own_type(runs: Sequence[Run], searched: Iterable[str]) -> list[Run]:
    """Make numbers of what the command line told of a searched key, where all of it are numbers."""
    types: dict[str, dict[str, float | str]] = {}
    for key in (key for key in searched if key not in COLUMNS):
        types[key] = own_type(dict.fromkeys(run[key] for run in runs if isinstance(run.get(key), str)))
    return [
        run.having({key: own.get(run[key], run[key]) for key, own in types.items() if run.get(key)}) for run in runs
    ]


def _says_something(name: str, runs: Sequence[Run], always: Sequence[str]) -> bool:
    values = {run.get(name) for run in runs} - {None}
    return bool(values) if name in always else len(values) > 1


def _is_number(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values if value is not None)


def _row(run: Run, columns: Sequence[str], formats: dict[str, Format], directory: str) -> RunRow:
    texts = []
    for column in columns:
        value = run.get(column)
        known = is_measured(value) if isinstance(value, float) else value is not None
        texts.append(formats.get(column, as_text)(value) if known else "")
    return RunRow(run.path, os.path.relpath(run.path, directory), run.status, tuple(texts))
