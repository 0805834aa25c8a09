"""What a pruner learns of a trial at work. The engine reads it from files, so reports cost the trial nothing."""

import csv
import io
from pathlib import Path

from tffd.files import read_regular
from tffd.records import METRICS
from tffd.sweep.study import Claim, ResumableStudy


class EpochReports:
    """Passes the epochs of a run on to its study.

    Args:
        study: Of the trial.
        claim: The trial.
        run_dir: Where it writes its metrics.
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
    return [(epoch, max(value for _, value in values[: i + 1])) for i, (epoch, _) in enumerate(values)]
