"""In what two sets of runs differ: settings of their configs, and what they recorded of machines and versions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from analysis.read.configs import read_config
from analysis.read.faults import ANY_FAULT, Skipped, as_skipped
from analysis.read.results import Run
from analysis.select.settings import ABSENT, listed_values

_T = TypeVar("_T")
Sides = tuple[_T, _T]

# Where results lie, and the sweep around a run: without effect on its numbers.
_IDLE = ("name", "results_dir", "seed", "sweep.", "ablation.")
_RECORDED = ("device", "precision", "threads", "git_commit", "split.")


@dataclass(frozen=True)
class Setting:
    """Something in which the sides differ.

    Attributes:
        what: A key of the config, or a field of `result.json`.
        values: On each side, as text.
        pairs: In how many pairs of runs; None for what was compared as a whole.
    """

    what: str
    values: Sides[str]
    pairs: int | None = None


def compare_configs(pairs: Sequence[Sides[Run]]) -> tuple[tuple[Setting, ...], list[Skipped]]:
    """Compare the configs of runs that belong together, key by key.

    Returns:
        What differs by key, and for each pair that could not be compared the config that cannot be read.
    """
    found: dict[str, list[Sides[Any]]] = {}
    unread = []
    for a, b in pairs:
        if isinstance(of_a := _config(a), Skipped):
            unread.append(of_a)
            continue
        if isinstance(of_b := _config(b), Skipped):
            unread.append(of_b)
            continue
        for key in dict.fromkeys((*of_a, *of_b)):
            values = of_a.get(key, ABSENT), of_b.get(key, ABSENT)
            if values[0] != values[1]:
                found.setdefault(key, []).append(values)
    settings = tuple(
        Setting(key, (listed_values(a for a, _ in values), listed_values(b for _, b in values)), len(values))
        for key, values in sorted(found.items())
    )
    return settings, unread


def compare_records(runs_a: Sequence[Run], runs_b: Sequence[Run]) -> tuple[Setting, ...]:
    """Compare devices, precisions, threads, versions, commits and held-out pictures of two sets of runs as a whole."""
    columns = dict.fromkeys(column for run in (*runs_a, *runs_b) for column in run.columns())
    found = []
    for column in columns:
        if column.startswith((*_RECORDED, "versions.")):
            values = _values(runs_a, column), _values(runs_b, column)
            if values[0] != values[1]:
                found.append(Setting(column, (listed_values(values[0]), listed_values(values[1]))))
    return tuple(found)


def _values(runs: Iterable[Run], column: str) -> set[Any]:
    return {run[column] for run in runs if run.get(column) is not None}


def _config(run: Run) -> dict[str, Any] | Skipped:
    try:
        config = read_config(run.path)
    except ANY_FAULT as error:
        return as_skipped(run.path, error)
    return {key: value for key, value in config.items() if _counts(key)}


def _counts(key: str) -> bool:
    return not any(key.startswith(idle) if idle.endswith(".") else key == idle for idle in _IDLE)
