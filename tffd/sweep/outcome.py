"""What a run's directory tells of it while it is at work and when it has ended, and what that means for its trial."""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tffd.failures import Failure, FailureKind
from tffd.files import read_regular
from tffd.records import FAILED, METRICS, read_last_metrics, read_result
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.worker import Job


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        status: COMPLETE, PRUNED or FAILED.
        record: The content of its result.json; empty where that cannot be used.
        failure: Why it failed; None where it did not.
    """

    status: str
    record: dict[str, Any]
    failure: Failure | None = None


def read_outcome(job: Job) -> Outcome | None:
    """Return what became of a run; a record that cannot be used is a failure. None if it has not ended."""
    try:
        record = read_result(job.run_dir)
    except ValueError as error:
        return Outcome(FAILED, {}, Failure(FailureKind.UNTIL_MENDED, f"DamagedRecord: {error}"))
    if record is None:
        return None
    if record.get("config_hash") != job.config_hash:
        reason = f"{job.run_dir} already holds a run of another configuration; choose another name=..."
        return Outcome(FAILED, {}, Failure(FailureKind.UNTIL_MENDED, f"OtherConfiguration: {reason}"))
    return outcome_of(record)


def outcome_of(record: dict[str, Any]) -> Outcome:
    """Return what a result.json says became of its run."""
    status = record["status"]
    return Outcome(status, record, Failure.in_record(record) if status == FAILED else None)


def last_epoch(run_dir: Path) -> int:
    """The last epoch in a run's metrics; 0 before the first."""
    return int(read_last_metrics(run_dir).get("epoch", 0))


class Losses:
    """Counts how often the process of a run was lost in a row, without a new epoch in between.

    Args:
        run_dir: The directory of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir, self._epoch, self._count = run_dir, last_epoch(run_dir), 0

    def count(self) -> int:
        """Count one more, and return how many there were."""
        epoch = last_epoch(self._run_dir)
        self._count = 1 if epoch > self._epoch else self._count + 1
        self._epoch = max(epoch, self._epoch)
        return self._count

    def forget(self) -> None:
        """Begin to count anew, as the run is tried again."""
        self._count = 0


def values_of(result: dict[str, Any], objectives: Sequence[str], in_grid: bool) -> list[float] | None:
    """Return the objectives of a complete run; None if one was not measured or is no finite number.

    Args:
        in_grid: Whether the run may have read the test set, which stands in where nothing was held out.
    """
    values = [result.get(objective) for objective in objectives]
    if in_grid:
        names = [objective.replace("best_", "").replace("val", "test") for objective in objectives]
        values = [result.get(name) if value is None else value for name, value in zip(names, values, strict=True)]
    return None if None in values else [float(value) for value in values if value is not None]


class EpochReports:
    """Passes the epochs of a run on to its study.

    Args:
        study: The study of the trial.
        claim: The trial.
        run_dir: The directory in which it writes its metrics.
        objective: Column that is judged; best_val_top1 is the best val_top1 so far.
    """

    def __init__(self, study: ResumableStudy, claim: Claim, run_dir: Path, objective: str) -> None:
        self._study, self._trial, self._path = study, claim.trial, run_dir / METRICS
        self._objective = objective
        self._reported = max(study.intermediate_values(claim.trial), default=0)
        self._changed = 0

    def should_prune(self) -> bool:
        """Report the epochs that are new, one by one, until the pruner gives the trial up."""
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if changed == self._changed:
            return False
        self._changed = changed
        for epoch, value in self._new():
            self._reported = epoch
            if self._study.report(self._trial, value, epoch):
                return True
        return False

    def flush(self) -> None:
        """Report the epochs that are left, of a trial that has ended."""
        for epoch, value in self._new():
            self._reported = epoch
            self._study.report(self._trial, value, epoch)

    def _new(self) -> list[tuple[int, float]]:
        values = _read(self._path, self._objective)
        return [(epoch, value) for epoch, value in values if epoch > self._reported]


def _read(path: Path, objective: str) -> list[tuple[int, float]]:
    column = objective.removeprefix("best_")
    try:
        rows = csv.DictReader(io.StringIO(read_regular(path).decode(), newline=""))
        values = [(int(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
    except (OSError, ValueError, TypeError, KeyError, csv.Error):  # not there yet, or no table of epochs
        return []
    if column == objective:
        return values
    best = itertools.accumulate((value for _, value in values), max)
    return [(epoch, value) for (epoch, _), value in zip(values, best, strict=True)]
