"""Learning curves: the `metrics.csv` of every run as one tidy frame, and the files that could not be used."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.gather import Gathered, Skipped
from analysis.groups import Run, plain_runs

# What says which run a row belongs to; gathered columns, which a run that has not ended lacks.
IDENTITY = (
    "path", "status", "study", "trial", "model", "dataset", "train_size", "kd_mode",
    "lambda_intra", "lambda_inter", "seed", "protocol", "epochs", "settings_hash",
)  # fmt: skip

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Curves:
    """The learning curves of gathered runs.

    Attributes:
        frame: One row an epoch and run: the run's identity, `epoch`, and the columns that any `metrics.csv` has.
            What a run does not measure, such as `intra` without that term, is missing.
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
    rows, tables = [], []
    skipped, waiting = [], []
    for row, run in enumerate(plain_runs(gathered.runs)):
        path = os.path.join(run["path"], "metrics.csv")
        try:
            columns = read_columns(path)
            _check_epochs(columns, run)
        except FileNotFoundError:
            if run["status"] in ("complete", "pruned"):
                skipped.append(Skipped(path, f"is not there, though the run is {run['status']}"))
            else:
                waiting.append(run["path"])
        except OSError as error:
            skipped.append(Skipped(path, f"cannot be read ({error.strerror})"))
        except ValueError as error:
            skipped.append(Skipped(path, str(error)))
        else:
            rows.append(row)
            tables.append(columns)
    return Curves(_frame(gathered.runs, rows, tables), tuple(skipped), tuple(waiting))


def read_columns(path: str) -> dict[str, np.ndarray]:
    """Read a CSV file of numbers: a header, then rows of the same length; an empty field is NaN.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is anything else, or ends in the middle of a line; the message says what is wrong.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not content.strip():
        raise ValueError("is empty")
    if not content.endswith(b"\n"):
        raise ValueError("ends in the middle of a line")
    try:
        header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"is not CSV ({error})") from error
    if len(set(header)) < len(header) or "" in header:
        raise ValueError(f"has a header with empty or repeated names: {','.join(header)}")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"has {len(row)} fields in line {line}, and {len(header)} in its header")
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return {name: _numbers(texts, name) for name, texts in zip(header, columns, strict=True)}


def _numbers(texts: Sequence[str], name: str) -> np.ndarray:
    values = []
    try:
        for text in texts:
            values.append(float(text) if text else np.nan)
    except ValueError:
        line = len(values) + 2
        raise ValueError(f"has {name} = {texts[len(values)]!r} in line {line}, which is not a number") from None
    return np.array(values, dtype=float)


def _check_epochs(columns: Columns, run: Run) -> None:
    """Refuse a table whose rows are not the epochs 1 to n, n being what the run says that it did."""
    if "epoch" not in columns:
        raise ValueError("has no column epoch")
    number = len(columns["epoch"])
    if not np.array_equal(columns["epoch"], np.arange(1, number + 1)):
        raise ValueError("has epochs that do not count up from 1")
    if run["status"] in ("complete", "pruned") and number != (run["epochs_run"] or number):
        raise ValueError(f"has {number} epochs, though the run did {run['epochs_run']}")


def _frame(runs: pd.DataFrame, rows: Sequence[int], tables: Sequence[Columns]) -> pd.DataFrame:
    """Repeat the identity of each run, a row of `runs`, for the epochs of its table."""
    lengths = [len(table["epoch"]) for table in tables]
    repeated = np.repeat(np.array(rows, dtype=int), lengths)
    frame = runs[list(IDENTITY)].iloc[repeated].reset_index(drop=True)
    names = dict.fromkeys(["epoch", *(name for table in tables for name in table)])
    for name in names:
        if name in IDENTITY:
            continue  # it would say again which run this is
        parts = [table.get(name, np.full(n, np.nan)) for table, n in zip(tables, lengths, strict=True)]
        frame[name] = np.concatenate([np.empty(0), *parts])
    return frame.astype({"epoch": "int64"})
