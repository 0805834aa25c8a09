"""Learning curves: the `metrics.csv` of every run as one tidy frame, and the files that could not be used."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.read.bounds import out_of_bounds
from analysis.read.faults import ANY_FAULT, Fault, Skipped, Unreadable, as_skipped
from analysis.read.gather import Gathered
from analysis.read.number_files import Columns, read_each
from analysis.read.results import COLUMNS, Run
from analysis.sheets.words import count

# What says which run a row belongs to; gathered columns, which a run that has not ended lacks.
IDENTITY = (
    "path", "status", "study", "trial", "model", "dataset", "train_size", "kd_mode",
    "lambda_intra", "lambda_inter", "seed", "protocol", "epochs", "settings_hash",
)  # fmt: skip


@dataclass(frozen=True)
class Curves:
    """The learning curves of gathered runs.

    Attributes:
        frame: One row an epoch and run: the run's identity (texts as categories), `epoch`, and the columns that any
            `metrics.csv` has. What a run does not measure, such as `intra` without that term, is missing.
        skipped: Files that could not be used, with the reason.
        waiting: Directories of runs that have no `metrics.csv` yet, as their first epoch is not over.
    """

    frame: pd.DataFrame
    skipped: tuple[Skipped, ...]
    waiting: tuple[str, ...]

    def metrics(self) -> tuple[str, ...]:
        """The columns that hold measurements."""
        return tuple(name for name in self.frame.columns if name not in (*IDENTITY, "epoch"))

    def of_run(self, path: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs and values of one run, without the epochs at which it was not measured."""
        rows = self.frame[self.frame["path"] == path]
        if metric not in rows:
            return np.array([]), np.array([])
        values = rows[metric].to_numpy(float)
        measured = ~np.isnan(values)
        return rows["epoch"].to_numpy(float)[measured], values[measured]


def read_curves(gathered: Gathered) -> Curves:
    """Read the `metrics.csv` of every gathered run, which may still be growing."""
    gathered = gathered.whole()  # a trial has its curve, whatever else has its configuration
    rows, tables = [], []
    unused, waiting = [], []
    runs = gathered.flat
    paths = [os.path.join(run.path, "metrics.csv") for run in runs]
    for row, (run, path, columns) in enumerate(zip(runs, paths, read_each(paths), strict=True)):
        try:
            if isinstance(columns, Exception):
                raise columns
            _check_epochs(columns, run)
        except FileNotFoundError:
            if run.status in ("complete", "pruned"):
                unused.append(Skipped(path, Fault.ABSENT, f"is not there, though the run is {run.status}"))
            else:
                waiting.append(run.path)
        except ANY_FAULT as error:
            unused.append(as_skipped(path, error))
        else:
            rows.append(row)
            tables.append(columns)
    frame, damaged = _without_damaged(_frame(gathered.runs, rows, tables))
    return Curves(frame, (*unused, *damaged), tuple(waiting))


def _check_epochs(columns: Columns, run: Run) -> None:
    """Refuse a table whose rows are not the epochs 1 to n, n being what the run says that it did."""
    if "epoch" not in columns:
        raise Unreadable(Fault.NO_COLUMN, "has no column epoch")
    number = len(columns["epoch"])
    if not np.array_equal(columns["epoch"], np.arange(1, number + 1)):
        raise Unreadable(Fault.MISCOUNTED, "has epochs that do not count up from 1")
    if run.status in ("complete", "pruned") and number != (run.epochs_run or number):
        reason = f"has {count(number, 'epoch')}, though the run did {run.epochs_run}"
        raise Unreadable(Fault.MISCOUNTED, reason)


def _without_damaged(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Skipped]]:
    """Leave out the runs with a value that none can have measured; looked for in all of them at once, as it is rare."""
    reasons: dict[str, str] = {}
    for name in frame.columns.difference([*IDENTITY, "epoch"], sort=False):
        values = frame[name].to_numpy(float)
        for row in np.flatnonzero(out_of_bounds(name, values)):
            reason = f"has {name} = {values[row]:g} in epoch {frame['epoch'].iloc[row]}, which no run can have measured"
            reasons.setdefault(frame["path"].iloc[row], reason)
    if not reasons:
        return frame, []
    damaged = [Skipped(os.path.join(path, "metrics.csv"), Fault.IMPOSSIBLE, why) for path, why in reasons.items()]
    return frame[~frame["path"].isin(list(reasons))].reset_index(drop=True), damaged


def _frame(runs: pd.DataFrame, rows: Sequence[int], tables: Sequence[Columns]) -> pd.DataFrame:
    """Repeat the identity of each run, a row of `runs`, for the epochs of its table."""
    lengths = [len(table["epoch"]) for table in tables]
    repeated = np.repeat(np.array(rows, dtype=int), lengths)
    # A text is kept once, and not for every epoch of ten thousand runs.
    identity = runs[list(IDENTITY)].astype({name: "category" for name in IDENTITY if COLUMNS.get(name, str) is str})
    frame = identity.iloc[repeated].reset_index(drop=True)
    names = dict.fromkeys(["epoch", *(name for table in tables for name in table)])
    for name in names:
        if name in IDENTITY:
            continue  # it would say again which run this is
        parts = [table[name] if name in table else np.full(n, np.nan) for table, n in zip(tables, lengths, strict=True)]
        values = np.concatenate([np.empty(0), *parts])
        frame[name] = values.astype("int64") if name == "epoch" else values
    return frame
