"""Columns by the names that a user typed: those of the gathered table, keys of configs and columns of `metrics.csv`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import pandas as pd

from analysis.read.bounds import check_number
from analysis.read.configs import read_config, read_last_row
from analysis.read.faults import ANY_FAULT, Skipped, Unreadable, as_skipped
from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.read.values import sortable

_RECIPE = ("trainer.batch_size", "trainer.lr", "trainer.pad_mode", "trainer.nesterov")


def with_columns(gathered: Gathered, names: Iterable[str], kind: str = "column") -> Gathered:
    """Add the columns that are asked for and not there: `trainer.lr` from configs, `train_loss` from metrics.

    Only the complete runs get values. A file that cannot be read is listed as skipped, and the value is null.

    Args:
        gathered: The runs.
        names: What is needed.
        kind: What the names should be, for a message: "column" or "metric", which is a column of numbers.
    Raises:
        ValueError: If a name is neither a column, nor a key of a config, nor a column of `metrics.csv`; the message
            suggests the nearest ones.
    """
    wanted = [name for name in dict.fromkeys(names) if name not in gathered.runs.columns]
    if not wanted:
        return gathered
    complete = gathered.runs[gathered.runs["status"] == "complete"]
    in_config, in_metrics = _find_names(complete, wanted)
    for name in wanted:
        known = gathered.runs.select_dtypes("number") if kind == "metric" else gathered.runs
        check_name(kind, name, [*known.columns, *sorted(in_metrics), *sorted(in_config)])
    for read, names_there in ((read_config, in_config), (read_last_row, in_metrics - in_config)):
        if here := [name for name in wanted if name in names_there]:
            gathered = _with_values(gathered, here, list(complete["path"]), read)
    return gathered


def recipe_of(runs: Iterable[Run]) -> dict[str, tuple[Any, ...]]:
    """The recipe of runs, as far as published numbers tell theirs, from the config of one run of each setting."""
    one_each = {run.settings_hash or run.path: run.path for run in runs}
    configs = [_try(read_config, path)[0] for path in one_each.values()]
    found = {key: {config[key] for config in configs if key in config} for key in _RECIPE}
    return {key: tuple(sorted(values, key=sortable)) for key, values in found.items() if values}


def _find_names(complete: pd.DataFrame, wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    """The names in configs and in metrics: of a run of each kd_mode, and of others as long as they lack a wanted one.

    All have the same, as a rule, and thousands of configs take a while.
    """
    samples = list(complete.drop_duplicates("kd_mode")["path"])
    in_config: set[str] = set()
    in_metrics: set[str] = set()
    for number, path in enumerate(dict.fromkeys((*samples, *complete["path"]))):
        if number >= len(samples) and all(name in in_config or name in in_metrics for name in wanted):
            break
        in_config.update(_try(read_config, path)[0])
        in_metrics.update(_try(read_last_row, path)[0])
    return in_config, in_metrics


def _with_values(
    gathered: Gathered, names: Sequence[str], paths: Sequence[str], read: Callable[[str], dict[str, Any]]
) -> Gathered:
    values: dict[str, dict[str, Any]] = {}
    skipped = []
    for path in paths:
        of_run, problem = _try(read, path)
        values[path], others = _usable(of_run, names, path)
        skipped += problem + others
    runs = gathered.runs.copy()
    for name in names:
        runs[name] = as_column([values.get(path, {}).get(name) for path in runs["path"]])
    return replace(gathered, runs=runs, skipped=(*gathered.skipped, *skipped))


def _usable(values: Mapping[str, Any], names: Iterable[str], path: str) -> tuple[dict[str, Any], list[Skipped]]:
    """The named values but for numbers that no mean can be taken of, which are told."""
    usable, skipped = {}, []
    for name in names:
        value = values.get(name)
        try:
            if isinstance(value, int | float):
                check_number(name, value, may_diverge=True)
            usable[name] = value
        except Unreadable as error:
            skipped.append(as_skipped(path, error))
    return usable, skipped


def as_column(values: Sequence[Any]) -> pd.Series:
    """Values of a config as a column, numeric if all are numbers, None being null."""
    given = [value for value in values if value is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)
    # Whole numbers stay whole, as the epochs of a config; pandas would make floats of them next to a null.
    whole = numeric and all(isinstance(value, int) for value in given)
    return pd.Series(values, dtype="Int64" if whole else "float64" if numeric else "object")


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that does not exist.

    Args:
        kind: What the name should be, for the message: "column", "metric".
        name: What was asked for.
        known: The names that exist.
    Raises:
        ValueError: If `name` is not among `known`; it names the nearest ones, or all when none is near.
    """
    known = list(dict.fromkeys(known))
    if name in known:
        return
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"the nearest: {', '.join(near)}" if near else f"there are: {', '.join(known) or 'none'}"
    raise ValueError(f"unknown {kind} {name!r}; {hint}.")


def _try(read: Callable[[str], dict[str, Any]], path: str) -> tuple[dict[str, Any], list[Skipped]]:
    try:
        return read(path), []
    except ANY_FAULT as error:
        return {}, [as_skipped(path, error)]
