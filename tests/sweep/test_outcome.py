"""What a pruner learns of a trial at work."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep.fakes import config, search
from tffd.records import write_metrics
from tffd.sweep.outcome import EpochReports
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import open_storage
from tffd.sweep.studies.study import ResumableStudy

# The median of one earlier trial is that trial.
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1, "n_warmup_steps": 0}
NEVER = {**MEDIAN, "n_startup_trials": 99}


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Lease]:
    study = ResumableStudy(search(9), config(pruner=NEVER), open_storage("journal", tmp_path))
    with Lease(tmp_path, [study.optuna], timeout=60) as lease:
        yield lease


def begin(directory: Path, lease: Lease, pruner: dict[str, object] = NEVER) -> tuple[ResumableStudy, Claim]:
    study = ResumableStudy(search(9), config(pruner=pruner), open_storage("journal", directory))
    claim = study.claim(lease)
    assert claim is not None
    return study, claim


def write(directory: Path, *values: float | None) -> None:
    """Write the epochs of a run; each time at a time of its own."""
    rows = [
        {"epoch": epoch, "train_loss": 1.0} | ({} if value is None else {"val_top1": value})
        for epoch, value in enumerate(values, start=1)
    ]
    write_metrics(directory, rows)
    path = directory / "metrics.csv"
    os.utime(path, ns=(len(values), len(values)))


def test_epochs_are_reported_once_as_they_come(tmp_path: Path, lease: Lease) -> None:
    study, claim = begin(tmp_path, lease)
    reports = EpochReports(study, claim, tmp_path, "val_top1")
    assert not reports.should_prune()  # there is no file yet
    write(tmp_path, 1.0)
    assert not reports.should_prune()
    assert study.intermediate_values(claim.trial) == {1: 1.0}
    assert not reports.should_prune()
    write(tmp_path, 1.0, 3.0, 2.0)
    assert not reports.should_prune()
    assert study.intermediate_values(claim.trial) == {1: 1.0, 2: 3.0, 3: 2.0}


def test_a_file_that_has_not_changed_is_not_read_again(
    tmp_path: Path, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, claim = begin(tmp_path, lease)
    reports = EpochReports(study, claim, tmp_path, "val_top1")
    write(tmp_path, 1.0)
    reports.should_prune()
    monkeypatch.setattr("tffd.sweep.outcome._read", None)  # to read would fail
    assert not reports.should_prune()


def test_epochs_without_the_objective_are_passed_over(tmp_path: Path, lease: Lease) -> None:
    study, claim = begin(tmp_path, lease)
    write(tmp_path, None, 2.0, None, 4.0)
    EpochReports(study, claim, tmp_path, "val_top1").flush()
    assert study.intermediate_values(claim.trial) == {2: 2.0, 4: 4.0}


def test_the_best_so_far_is_reported_where_it_is_the_objective(tmp_path: Path, lease: Lease) -> None:
    study, claim = begin(tmp_path, lease)
    write(tmp_path, 2.0, 1.0, 5.0, 3.0)
    EpochReports(study, claim, tmp_path, "best_val_top1").flush()
    assert study.intermediate_values(claim.trial) == {1: 2.0, 2: 2.0, 3: 5.0, 4: 5.0}


def test_a_command_that_takes_a_trial_up_goes_on_with_the_reports(tmp_path: Path, lease: Lease) -> None:
    study, claim = begin(tmp_path, lease)
    write(tmp_path, 1.0, 2.0)
    EpochReports(study, claim, tmp_path, "val_top1").flush()
    write(tmp_path, 7.0, 7.0, 3.0)  # what was reported stays as it was
    EpochReports(study, claim, tmp_path, "val_top1").flush()
    assert study.intermediate_values(claim.trial) == {1: 1.0, 2: 2.0, 3: 3.0}


def test_nothing_is_reported_beyond_the_epoch_that_gives_a_trial_up(tmp_path: Path, lease: Lease) -> None:
    study, first = begin(tmp_path, lease, MEDIAN)
    for epoch in (1, 2, 3, 4):
        study.report(first.trial, 50.0, epoch)
    study.succeed(first.trial, [50.0])
    study, claim = begin(tmp_path, lease, MEDIAN)
    reports = EpochReports(study, claim, tmp_path, "val_top1")
    write(tmp_path, 60.0, 70.0)
    assert not reports.should_prune()
    write(tmp_path, 60.0, 70.0, 80.0, 90.0)
    assert not reports.should_prune()
    study.succeed(claim.trial, [90.0])

    study, claim = begin(tmp_path, lease, MEDIAN)
    reports = EpochReports(study, claim, tmp_path, "val_top1")
    write(tmp_path, 40.0, 41.0, 42.0, 43.0, 44.0)
    assert reports.should_prune()
    assert study.intermediate_values(claim.trial) == {1: 40.0}
    reports.flush()
    assert study.intermediate_values(claim.trial) == {1: 40.0, 2: 41.0, 3: 42.0, 4: 43.0, 5: 44.0}
