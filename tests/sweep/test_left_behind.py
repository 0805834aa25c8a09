"""What the next command makes of what a killed one left, with runs played from a script."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sweep.fakes import (
    COMPLETE_STATE,
    FAIL,
    MEDIAN,
    PRUNED_STATE,
    WILCOXON,
    Act,
    Opened,
    acts,
    config,
    grid,
    job_of,
    leave_record,
    open_sweep,
    search,
    states,
    value_of,
)
from tffd.records import FAILED, PRUNE, PRUNED, RESULT, ask_to_stop, write_metrics
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.lease import Lease

pytestmark = pytest.mark.usefixtures("no_waiting")


def left_by_a_killed_command(
    directory: Path, opened: Opened, status: str, values: tuple[float, ...], error: str = "", **others: Any
) -> Claim:
    study = opened.studies[0]
    with Lease(directory, [study.optuna], timeout=60) as killed:
        claim = study.claim(killed)
    assert claim is not None
    leave_record(job_of(directory, study.plan.key, claim), status, values, error, **others)
    return claim


def test_a_complete_record_that_a_killed_command_left_is_taken(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(1), config())
    left_by_a_killed_command(tmp_path, sweep, "complete", (1.0, 9.0))
    assert sweep.run() == 0
    assert sweep.executor.started == []
    assert [(trial.state, trial.value) for trial in sweep.studies[0].trials()] == [(COMPLETE_STATE, 9.0)]


def test_a_pruned_record_that_a_killed_command_left_is_taken_with_its_epochs(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(1), config(pruner=MEDIAN))
    left_by_a_killed_command(tmp_path, sweep, PRUNED, (1.0, 9.0))
    assert sweep.run() == 0
    assert sweep.executor.started == []
    (trial,) = sweep.studies[0].trials()
    assert (trial.state, trial.value, trial.user_attrs["epochs_run"]) == (PRUNED_STATE, 9.0, 2)
    assert trial.intermediate_values == {1: 1.0, 2: 9.0}


@pytest.mark.parametrize(("retries", "failed", "starts"), [(0, 1, 0), (1, 0, 1)])
def test_a_failed_record_that_a_killed_command_left_counts_as_an_attempt(
    tmp_path: Path, retries: int, failed: int, starts: int
) -> None:
    sweep = open_sweep(tmp_path, search(1), config(retries=retries))
    left_by_a_killed_command(tmp_path, sweep, FAILED, (1.0,), "RuntimeError: broken")
    assert sweep.run() == failed
    assert len(sweep.executor.started) == starts
    assert states(sweep) == [FAIL if failed else COMPLETE_STATE]


def test_seeds_that_a_killed_command_trained_are_not_trained_again(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(1), config(seeds=[1, 2]))
    with Lease(tmp_path, [sweep.studies[0].optuna], timeout=60) as killed:
        claim = sweep.studies[0].claim(killed)
    assert claim is not None
    leave_record(job_of(tmp_path, "search", claim, seed=1), "complete", (8.0,))
    assert sweep.run() == 0
    assert sweep.executor.started == ["search/0000/seed2"]
    second = value_of(job_of(tmp_path, "search", claim, seed=2))
    assert sweep.studies[0].trials()[0].value == (8.0 + second) / 2


def test_a_record_of_another_configuration_is_left_alone(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(1), config(retries=3))
    left_by_a_killed_command(tmp_path, sweep, "complete", (1.0, 9.0), config_hash="another")
    before = (tmp_path / "search" / "0000" / RESULT).read_bytes()
    assert sweep.run() == 1
    assert sweep.executor.started == []
    assert (tmp_path / "search" / "0000" / RESULT).read_bytes() == before
    assert "already holds a run of another configuration" in sweep.studies[0].trials()[0].user_attrs["error"]


def test_a_damaged_record_is_left_alone_and_named(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(1), config(retries=3))
    left_by_a_killed_command(tmp_path, sweep, "complete", (1.0,))
    (tmp_path / "search" / "0000" / RESULT).write_text("{")
    assert sweep.run() == 1
    assert "result.json is damaged" in sweep.studies[0].trials()[0].user_attrs["error"]
    assert (tmp_path / "search" / "0000" / RESULT).read_text() == "{"


def test_a_damaged_record_that_was_removed_is_trained_anew(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(0), config())
    left_by_a_killed_command(tmp_path, sweep, "complete", (1.0,))
    (tmp_path / "grid" / "0000" / RESULT).write_text("{")
    sweep.run()
    (tmp_path / "grid" / "0000" / RESULT).unlink()  # "Remove it to start this run anew."
    again = open_sweep(tmp_path, grid(0), config())
    again.run()
    assert len(again.executor.started) == 1


def test_a_trial_that_was_behind_when_its_command_was_killed_is_pruned_between_seeds(tmp_path: Path) -> None:
    settings = config(seeds=[1, 2, 3, 4, 5], pruner=WILCOXON)
    open_sweep(tmp_path, search(1), settings, acts(Act([50.0] * 3))).run()
    sweep = open_sweep(tmp_path, search(2), settings, acts(Act([40.0] * 3)))
    study = sweep.studies[0]
    with Lease(tmp_path, [study.optuna], timeout=60) as killed:
        claim = study.claim(killed)
    assert claim is not None
    for step, seed in enumerate((1, 2), start=1):
        leave_record(job_of(tmp_path, "search", claim, seed), "complete", (40.0,))
        verdict = study.report(claim.trial, 40.0, step)
    assert verdict
    sweep.run()
    assert sweep.executor.started == []
    assert states(sweep) == [COMPLETE_STATE, PRUNED_STATE]
    written = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("trial.json")}
    assert written == {"0001": {"status": "pruned", "seeds": [1, 2], "epochs_run": 2}}


def test_a_trial_that_was_asked_to_stop_when_its_command_was_killed_is_pruned(tmp_path: Path) -> None:
    settings = config(pruner=MEDIAN)
    open_sweep(tmp_path, search(1), settings, acts(Act([50.0] * 4))).run()
    sweep = open_sweep(tmp_path, search(2), settings, acts(Act([40.0] * 4)))
    study = sweep.studies[0]
    with Lease(tmp_path, [study.optuna], timeout=60) as killed:
        claim = study.claim(killed)
    assert claim is not None
    job = job_of(tmp_path, "search", claim)
    job.run_dir.mkdir(parents=True)
    write_metrics(job.run_dir, [{"epoch": epoch, "val_top1": 40.0} for epoch in (1, 2)])
    assert study.report(claim.trial, 40.0, 2)
    ask_to_stop(job.run_dir, PRUNE)
    sweep.run()
    assert states(sweep) == [COMPLETE_STATE, PRUNED_STATE]
