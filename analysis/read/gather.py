"""All runs below a directory as one tidy table, and everything that is not in it by name."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.read.faults import ANY_FAULT, Skipped, as_skipped
from analysis.read.gaps import Gap, find_gaps
from analysis.read.plans import Sweep, read_sweep
from analysis.read.results import COLUMNS, ENDED, Run, column_of, read_result, runs_of
from analysis.read.settings import Settings
from analysis.read.tree import has_config, scan, unfinished_status

TEACHER = "teacher"
"""Study of the runs that train a teacher."""

STATUSES = (*ENDED, "running", "stale")


@dataclass(frozen=True)
class Duplicate:
    """A run that does not count, because another one (`kept`) has the same configuration, seed included."""

    path: str
    status: str
    kept: str


@dataclass(frozen=True, eq=False)  # two are equal if they are one: what was made of one is kept by it
class Gathered:
    """What lies below a directory.

    Attributes:
        directory: The directory that was read.
        runs: One row a run that counts: `path`, `status` and the fields of `result.json`, objects flattened
            (`versions.torch`). A missing value is not measured. `status` is complete, pruned or failed as the run
            recorded it; without a record it is running, or stale where nothing has been heard for two minutes.
        plan: The sweeps whose `sweep.json` was found.
        gaps: Planned runs that have no directory, by study.
        skipped: Files that are half-written, malformed or foreign, and directories that cannot be read.
        duplicates: Runs that were left out of `runs`.
        repeated: Their rows.
        given_up: Directories of trials that were pruned between their seeds, and lack none of the others.
        teachers: Rows of the complete runs that trained a teacher for the others, and are no part of `runs`.
        settings: Of the runs, read when they are asked for.
        told_apart: Whether `runs` has a column for each setting that varies, as `with_settings` makes them.
    """

    directory: str
    runs: pd.DataFrame
    plan: tuple[Sweep, ...]
    gaps: tuple[Gap, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Duplicate, ...]
    repeated: pd.DataFrame
    given_up: frozenset[str]
    teachers: pd.DataFrame
    settings: Settings = field(default_factory=Settings)
    told_apart: bool = False

    @cached_property
    def flat(self) -> tuple[Run, ...]:
        """The rows of `runs`, flat."""
        return tuple(runs_of(self.runs))

    def whole(self) -> "Gathered":
        """The same with every run counted: a trial stays one of its search, whatever else has its configuration."""
        return self._whole

    @cached_property
    def _whole(self) -> "Gathered":
        if not self.duplicates:
            return self
        runs = pd.concat([self.runs, self.repeated]).sort_values("path", ignore_index=True)
        return replace(self, runs=runs, duplicates=(), repeated=self.repeated.iloc[:0])

    def counts(self) -> dict[str, int]:
        """Number of runs by status, those that are not in `runs` included."""
        by_status = self.runs["status"].value_counts()
        counts = {status: int(by_status.get(status, 0)) for status in STATUSES}
        counts["missing"] = sum(gap.count for gap in self.gaps)
        return counts | {
            "skipped": len(self.skipped), "duplicate": len(self.duplicates), "teacher": len(self.teachers)
        }  # fmt: skip


def gather(directory: str | os.PathLike[str]) -> Gathered:
    """Read every run below `directory`, which may belong to a sweep that is still running.

    Raises:
        ValueError: If `directory` is not a directory.
    """
    directory = os.path.normpath(directory)
    if not os.path.isdir(directory):
        raise ValueError(f"{directory} is not a directory; give the one that holds the runs, results/<name>.")
    found = scan(directory)
    rows, broken = _read_runs(found.ended)
    rows += [_unfinished(path) for path in found.unfinished]
    plan, broken_plans = _read_plans(found.sweeps)
    # A run with a broken result has begun all the same, so it is not missing.
    begun = [*rows, *(Run(os.path.dirname(bad.path), "broken") for bad in broken)]
    given_up = frozenset(found.given_up)
    missing = _find_missing(plan, begun, given_up)
    rows.sort(key=lambda run: run.path)
    duplicates = _find_duplicates(rows)
    left_out = {other.path for other in duplicates}
    table = _frame(rows)
    repeats = table["path"].isin(left_out)
    taught = ~repeats & (table["study"] == TEACHER) & (table["status"] == "complete")
    parts = (~repeats & ~taught, repeats, taught)
    runs, repeated, teachers = (table[part].reset_index(drop=True) for part in parts)
    unused = (*broken, *broken_plans, *found.skipped)
    return Gathered(directory, runs, plan, missing, unused, tuple(duplicates), repeated, given_up, teachers)


def _unfinished(directory: str) -> Run:
    return Run(directory, unfinished_status(directory))


def _read_runs(directories: Iterable[str]) -> tuple[list[Run], list[Skipped]]:
    rows, broken = [], []
    for directory in directories:
        path = os.path.join(directory, "result.json")
        try:
            rows.append(read_result(path))
        except FileNotFoundError:
            # It went between listing and reading: what remains is a run without a result, or nothing.
            if has_config(directory):
                rows.append(_unfinished(directory))
        except ANY_FAULT as error:
            broken.append(as_skipped(path, error))
    return rows, broken


def _read_plans(directories: Iterable[str]) -> tuple[tuple[Sweep, ...], list[Skipped]]:
    plan, broken = [], []
    for directory in directories:
        path = os.path.join(directory, "sweep.json")
        try:
            plan.append(read_sweep(path))
        except FileNotFoundError:
            continue
        except ANY_FAULT as error:
            broken.append(as_skipped(path, error))
    return tuple(plan), broken


def _find_missing(plan: Iterable[Sweep], runs: Iterable[Run], given_up: frozenset[str]) -> tuple[Gap, ...]:
    runs_by_parent = defaultdict(list)
    for run in runs:
        runs_by_parent[os.path.dirname(run.path)].append(run)
    return tuple(missing for sweep in plan for missing in find_gaps(sweep, runs_by_parent, given_up))


def _find_duplicates(runs: Iterable[Run]) -> list[Duplicate]:
    """Of the runs of one configuration the newest complete one counts, or the newest if none is complete."""
    alike: dict[Any, list[Run]] = defaultdict(list)
    for run in runs:
        if run.config_hash is not None:
            alike[run.config_hash].append(run)
        elif run.settings_hash is not None and run.seed is not None:
            alike[run.settings_hash, run.seed].append(run)
    duplicates = []
    for same in alike.values():
        counts = max(same, key=_precedence)
        duplicates += [Duplicate(run.path, run.status, counts.path) for run in same if run is not counts]
    return sorted(duplicates, key=lambda other: other.path)


def _precedence(run: Run) -> tuple[bool, float, str]:
    try:
        finished = datetime.fromisoformat(run.finished or "").timestamp()
    except ValueError:
        finished = 0.0
    return run.status == "complete", finished, run.path


def _frame(runs: Sequence[Run]) -> pd.DataFrame:
    columns = {}
    for name, kind in COLUMNS.items():
        # Whole numbers stay whole next to a null; text stays Python's own, null being None.
        dtype = {int: "Int64", float: "float64"}.get(kind, "object")
        columns[name] = pd.Series(column_of(runs, name), dtype=dtype)
    for name in dict.fromkeys(name for run in runs for name in run.more):
        values = column_of(runs, name)
        numeric = any(isinstance(value, float | int) for value in values)
        columns[name] = pd.Series(values, dtype=None if numeric else "object")
    return pd.DataFrame(columns)
