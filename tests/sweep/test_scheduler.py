"""What becomes of trials, with runs played from a script."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.support import CONF
from tests.sweep.fakes import (
    HANGS,
    LOST,
    Act,
    Opened,
    config,
    good,
    grid,
    job_of,
    leave_record,
    open_sweep,
    search,
    value_of,
)
from tffd.records import FAILED, PRUNE, PRUNED, RESULT, STOP, ask_to_stop, read_result, write_metrics
from tffd.sweep import scheduler as scheduler_module
from tffd.sweep.lease import Lease
from tffd.sweep.storage import StorageLost, open_storage
from tffd.sweep.study import Claim
from tffd.sweep.worker import Job

COMPLETE_STATE, PRUNED_STATE, FAIL, RUNNING = (
    TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING,
)  # fmt: skip

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1, "n_warmup_steps": 0}
WILCOXON = {"_target_": "optuna.pruners.WilcoxonPruner", "p_threshold": 0.3}


SHORT: dict[str, dict[str, Any]] = {"hyperband": {"max_resource": 12}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(scheduler_module, "_LOOK_SECONDS", 0.01)


@pytest.fixture
def signals_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the main thread may set handlers; commands that run in others here get none."""

    class NoRequests:
        count = 0

        def __enter__(self) -> "NoRequests":
            return self

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(scheduler_module, "StopRequests", NoRequests)


def states(opened: Opened) -> list[TrialState]:
    return [trial.state for trial in opened.studies[0].trials()]


def acts(*by_attempt: Act) -> Callable[[Job, int], Act]:
    return lambda job, attempt: by_attempt[min(attempt, len(by_attempt) - 1)]


def failing(error: str = "RuntimeError: broken") -> Act:
    return Act(end=FAILED, error=error)


def record_of(directory: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((directory / name / RESULT).read_text())
    return record


def test_complete_trials_have_the_values_of_their_records(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(4, 8e-4), config(), slots=2)
    assert sweep.run() == 0
    trials = sweep.studies[0].trials()
    assert states(sweep) == [COMPLETE_STATE] * 4
    assert [trial.value for trial in trials] == [
        record_of(tmp_path, f"search/{number:04d}")["val_top1"] for number in range(4)
    ]
    assert trials[0].params == {"lambda_intra": 8e-4}
    assert sweep.executor.started == [f"search/{number:04d}" for number in range(4)]
    assert sweep.executor.closed
    assert "[4/4] search/0003" in sweep.output.getvalue()


def test_the_same_command_again_starts_nothing(tmp_path: Path) -> None:
    open_sweep(tmp_path, grid(0, 1), config()).run()
    again = open_sweep(tmp_path, grid(0, 1), config())
    assert again.run() == 0
    assert again.executor.started == []


def test_a_failure_is_tried_again_and_may_succeed(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(retries=2), acts(failing(), Act((7.0,))))
    assert sweep.run() == 0
    (trial,) = sweep.studies[0].trials()
    assert (trial.state, trial.value) == (COMPLETE_STATE, 7.0)
    assert trial.user_attrs["failed_attempts"] == ["RuntimeError: broken"]
    assert sweep.executor.started == ["grid/0000"] * 2
    assert "grid/0000: RuntimeError: broken; tried again (1 of 2)" in sweep.output.getvalue()


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failure_is_final_after_its_retries(tmp_path: Path, retries: int) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(retries=retries), acts(failing()))
    assert sweep.run() == 1
    (trial,) = sweep.studies[0].trials()
    assert trial.state is FAIL
    assert trial.user_attrs["error"] == "RuntimeError: broken"
    assert sweep.executor.started == ["grid/0000"] * (1 + retries)
    assert record_of(tmp_path, "grid/0000")["status"] == FAILED
    assert "FAILED  RuntimeError: broken" in sweep.output.getvalue()


def test_a_faulty_config_is_not_tried_again_before_the_next_command(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(retries=3), acts(failing("ConfigError: no pictures")))
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"]
    again = open_sweep(tmp_path, grid(5), config(retries=3))
    assert (again.run(), again.executor.started) == (0, ["grid/0001"])


def test_what_would_happen_again_is_not_tried_again(tmp_path: Path) -> None:
    error = "TrainingDiverged: the training loss became nan"
    sweep = open_sweep(tmp_path, grid(5), config(retries=3), acts(failing(error)))
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"]
    (trial,) = sweep.studies[0].trials()
    assert (trial.user_attrs["error"], trial.user_attrs["final"]) == (error, True)
    again = open_sweep(tmp_path, grid(5), config(retries=3))
    assert (again.run(), again.executor.started) == (0, [])


def test_a_value_that_is_no_number_fails_at_once(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(retries=3), acts(Act(result={"val_top1": None, "test_top1": None})))
    assert sweep.run() == 1
    (trial,) = sweep.studies[0].trials()
    reason = "NotFinite: val_top1 is not a finite number"
    assert trial.user_attrs["error"] == reason
    assert sweep.executor.started == ["grid/0000"]
    record = record_of(tmp_path, "grid/0000")
    assert (record["status"], record["error"], record["epochs_run"]) == (FAILED, reason, 3)


def test_a_grid_that_holds_nothing_out_is_judged_by_the_test_set(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(), acts(Act(result={"val_top1": None, "test_top1": 61.0})))
    sweep.run()
    assert sweep.studies[0].trials()[0].value == 61.0


def test_the_test_metric_that_stands_in_is_that_of_the_objective(tmp_path: Path) -> None:
    record = {"val_loss": None, "val_top1": None, "test_top1": 61.0, "test_loss": 1.5}
    settings = config(objective="val_loss", direction="minimize")
    sweep = open_sweep(tmp_path, grid(5), settings, acts(Act(result=record)))
    sweep.run()
    assert sweep.studies[0].trials()[0].value == 1.5


def test_a_lost_process_goes_on_under_its_number(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(), acts(Act((1.0, 2.0), LOST), Act((1.0, 2.0, 3.0))))
    assert sweep.run() == 0
    (trial,) = sweep.studies[0].trials()
    assert (trial.number, trial.state, trial.value) == (0, COMPLETE_STATE, 3.0)
    assert "failed_attempts" not in trial.user_attrs
    assert "grid/0000: the process was killed; it goes on from its checkpoint" in sweep.output.getvalue()


def test_five_losses_without_a_new_epoch_are_a_failure(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(retries=0), acts(Act((1.0,), LOST)))
    assert sweep.run() == 1
    # The first loss came after a new epoch, the others did not.
    assert sweep.executor.started == ["grid/0000"] * 5
    assert sweep.studies[0].trials()[0].user_attrs["error"] == "the process was killed"
    record = record_of(tmp_path, "grid/0000")
    assert (record["status"], record["error"], record["epochs_run"]) == (FAILED, "the process was killed", 1)


def test_losses_do_not_count_while_epochs_advance(tmp_path: Path) -> None:
    advancing = [Act([1.0] * epochs, LOST) for epochs in range(1, 8)]
    sweep = open_sweep(tmp_path, grid(5), config(retries=0), acts(*advancing, Act([1.0] * 8)))
    assert sweep.run() == 0
    assert len(sweep.executor.started) == 8
    assert states(sweep) == [COMPLETE_STATE]


def test_losses_are_retried_like_other_failures(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(retries=1), acts(Act((1.0,), LOST)))
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"] * 10
    assert sweep.studies[0].trials()[0].user_attrs["failed_attempts"] == ["the process was killed"]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_lack_of_memory_that_the_cluster_tells_is_a_failure_and_no_loss(tmp_path: Path, retries: int) -> None:
    reason = "OutOfMemory: job 17 was killed for its memory"
    sweep = open_sweep(tmp_path, grid(5), config(retries=retries), acts(Act((1.0,), LOST, reason=reason)))
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"] * (1 + retries)
    (trial,) = sweep.studies[0].trials()
    assert trial.user_attrs["error"] == record_of(tmp_path, "grid/0000")["error"] == reason
    assert trial.user_attrs.get("failed_attempts", []) == [reason] * retries


def test_a_run_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    slow = Act((1.0,), HANGS, seconds=61.0)
    sweep = open_sweep(tmp_path, grid(5), config(retries=1, trial_timeout=60.0), acts(slow))
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"] * 2
    reason = "Timeout: took longer than sweep.trial_timeout=60 s"
    (trial,) = sweep.studies[0].trials()
    assert (trial.user_attrs["error"], trial.user_attrs["failed_attempts"]) == (reason, [reason])
    assert record_of(tmp_path, "grid/0000")["error"] == reason


def test_a_run_within_its_time_is_not_stopped(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(5), config(trial_timeout=60.0), acts(Act(seconds=59.0)))
    assert sweep.run() == 0


def test_too_many_failures_stop_the_sweep(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(*range(10)), config(retries=0, max_failure_rate=0.2), acts(failing()))
    assert sweep.run() == 3
    assert states(sweep) == [FAIL] * 3 + [TrialState.WAITING] * 7
    assert "Stopping: 3 of 10 trials failed, more than sweep.max_failure_rate=0.2 allows" in sweep.output.getvalue()


def test_what_runs_may_end_when_too_many_failed(tmp_path: Path) -> None:
    def script(job: Job, attempt: int) -> Act:
        return failing() if job.number < 2 else Act([4.0] * 9)

    sweep = open_sweep(tmp_path, grid(*range(10)), config(retries=0, max_failure_rate=0.1), script, slots=3)
    assert sweep.run() == 2
    assert [trial.state for trial in sweep.studies[0].trials()[:4]] == [FAIL, FAIL, COMPLETE_STATE, TrialState.WAITING]


def test_a_trial_that_is_behind_is_pruned(tmp_path: Path) -> None:
    def script(job: Job, attempt: int) -> Act:
        return Act([50.0] * 6 if job.number == 0 else [60.0 - 20 * job.number] * 6)

    sweep = open_sweep(tmp_path, search(3), config(pruner=MEDIAN), script)
    assert sweep.run() == 0
    assert states(sweep) == [COMPLETE_STATE, PRUNED_STATE, PRUNED_STATE]
    second = sweep.studies[0].trials()[1]
    record = record_of(tmp_path, "search/0001")
    assert record["status"] == PRUNED
    assert second.user_attrs["epochs_run"] == record["epochs_run"] == len(second.intermediate_values) < 6
    assert second.value == second.intermediate_values[record["epochs_run"]] == 40.0
    assert not (tmp_path / "search" / "0001" / STOP).exists()
    assert "search/0001  lambda_intra=" in sweep.output.getvalue()
    assert f"pruned  after {record['epochs_run']} of 3 epochs" in sweep.output.getvalue()


@pytest.mark.parametrize("name", ["halving", "hyperband", "median", "percentile"])
def test_every_pruner_gives_up_trials_that_are_behind(tmp_path: Path, name: str) -> None:
    def script(job: Job, attempt: int) -> Act:
        return Act([90.0 - 5 * job.number + epoch / 10 for epoch in range(12)])

    pruner = OmegaConf.to_container(OmegaConf.load(CONF / "sweep" / "pruner" / f"{name}.yaml"))
    assert isinstance(pruner, dict)
    sweep = open_sweep(tmp_path, search(12), config(pruner={**pruner, **SHORT.get(name, {})}), script, slots=2)
    assert sweep.run() == 0
    assert states(sweep)[0] is COMPLETE_STATE
    assert set(states(sweep)) == {COMPLETE_STATE, PRUNED_STATE}
    for trial in sweep.studies[0].trials():
        epochs = 12 if trial.state is COMPLETE_STATE else trial.user_attrs["epochs_run"]
        assert list(trial.intermediate_values) == list(range(1, epochs + 1))
        assert trial.value == record_of(tmp_path, f"search/{trial.number:04d}")["val_top1"]


def test_every_epoch_of_every_trial_is_reported_where_trials_are_pruned(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(2), config(pruner=MEDIAN), acts(Act((1.0, 5.0, 3.0))))
    sweep.run()
    assert [trial.intermediate_values for trial in sweep.studies[0].trials()] == [{1: 1.0, 2: 5.0, 3: 3.0}] * 2


def test_the_best_epoch_so_far_is_judged_where_that_is_the_objective(tmp_path: Path) -> None:
    settings = config(pruner=MEDIAN, objective="best_val_top1")
    sweep = open_sweep(tmp_path, search(1), settings, acts(Act((1.0, 5.0, 3.0), result={"best_val_top1": 5.0})))
    sweep.run()
    (trial,) = sweep.studies[0].trials()
    assert trial.intermediate_values == {1: 1.0, 2: 5.0, 3: 5.0}
    assert trial.value == 5.0


def test_a_trials_value_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(2), config(seeds=[3, 1, 2]))
    assert sweep.run() == 0
    assert sweep.executor.started == [f"search/000{number}/seed{seed}" for number in (0, 1) for seed in (3, 1, 2)]
    for trial in sweep.studies[0].trials():
        records = [record_of(tmp_path, f"search/{trial.number:04d}/seed{seed}") for seed in (3, 1, 2)]
        values = [record["val_top1"] for record in records]
        assert len(set(values)) == 3
        assert trial.value == sum(values) / 3


def test_a_trial_is_pruned_between_its_seeds(tmp_path: Path) -> None:
    def script(job: Job, attempt: int) -> Act:
        return Act([50.0 - 10 * job.number] * 3)

    sweep = open_sweep(tmp_path, search(2), config(seeds=[1, 2, 3, 4, 5], pruner=WILCOXON), script)
    assert sweep.run() == 0
    first, second = sweep.studies[0].trials()
    assert first.intermediate_values == dict.fromkeys(range(1, 6), 50.0)
    # Two seeds, both worse: p = 0.25.
    assert (second.state, second.intermediate_values) == (PRUNED_STATE, {1: 40.0, 2: 40.0})
    assert (second.value, second.user_attrs["epochs_run"]) == (40.0, 6)
    assert sweep.executor.started[5:] == ["search/0001/seed1", "search/0001/seed2"]
    assert "pruned  after 6 of 15 epochs" in sweep.output.getvalue()


def test_seeds_that_are_not_behind_are_all_trained(tmp_path: Path) -> None:
    def script(job: Job, attempt: int) -> Act:
        return Act([50.0 + job.number] * 3)

    sweep = open_sweep(tmp_path, search(3), config(seeds=[1, 2, 3, 4, 5], pruner=WILCOXON), script)
    sweep.run()
    assert states(sweep) == [COMPLETE_STATE] * 3
    assert len(sweep.executor.started) == 15


def test_a_failing_seed_fails_its_trial(tmp_path: Path) -> None:
    def script(job: Job, attempt: int) -> Act:
        return failing() if job.run_dir.name == "seed2" else good(job, attempt)

    sweep = open_sweep(tmp_path, search(1), config(seeds=[1, 2, 3], retries=1), script)
    assert sweep.run() == 1
    assert sweep.executor.started == ["search/0000/seed1", "search/0000/seed2", "search/0000/seed2"]


@pytest.mark.parametrize("error", [optuna.exceptions.StorageInternalError("gone"), OSError(28, "No space left")])
def test_a_study_that_is_lost_leaves_checkpoints_and_the_next_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    script = acts(Act([1.0] * 50, after_epoch=lambda epoch: lose() if epoch == 2 else None))
    sweep = open_sweep(tmp_path, search(3), config(pruner=MEDIAN), script, slots=2)

    def lose() -> None:
        def lost(*arguments: object) -> None:
            raise error

        monkeypatch.setattr(sweep.studies[0], "report", lost)

    with pytest.raises(StorageLost, match=r"gone|No space left"):
        sweep.run()
    assert sweep.executor.closed
    assert [(tmp_path / "search" / f"{number:04d}" / RESULT).exists() for number in range(2)] == [False] * 2
    monkeypatch.undo()
    again = open_sweep(tmp_path, search(3), config(), good)
    assert again.run() == 0
    assert again.executor.started == [f"search/{number:04d}" for number in range(3)]
    assert states(again) == [COMPLETE_STATE] * 3


def test_a_command_that_waits_for_another_says_so_once(tmp_path: Path, signals_in_threads: None) -> None:
    first = open_sweep(tmp_path, grid(0), config())
    with first.lease:
        claim = first.studies[0].claim(first.lease)
        assert claim is not None
        second = open_sweep(tmp_path, grid(0), config())
        waiting = threading.Thread(target=second.run)
        waiting.start()
        deadline = time.monotonic() + 30
        while "Waiting: what is left (1) is at work for another command." not in second.output.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        first.studies[0].succeed(claim.trial, [1.0])
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert second.output.getvalue().count("at work for another command.") == 1
    assert second.executor.started == []


def test_several_objectives(tmp_path: Path) -> None:
    settings = config(objective=["val_top1", "train_seconds"], direction=["maximize", "minimize"])

    def script(job: Job, attempt: int) -> Act:
        return Act((float(job.number % 2),), result={"train_seconds": float(job.number)})

    sweep = open_sweep(tmp_path, search(3), settings, script)
    assert sweep.run() == 0
    assert [trial.values for trial in sweep.studies[0].trials()] == [[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]]
    assert {trial.number for trial in sweep.studies[0].best()} == {0, 1}
    assert "val_top1 1.00  train_seconds 1.00" in sweep.output.getvalue()


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


def interrupt(*numbers: int) -> Callable[[int], None]:
    """Send signals to this process after the first epoch."""

    def after_epoch(epoch: int) -> None:
        if epoch == 1:
            for number in numbers:
                os.kill(os.getpid(), number)

    return after_epoch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_runs_end_after_their_epoch_and_keeps_them(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    long = Act([float(epoch) for epoch in range(9)], after_epoch=interrupt(number))
    sweep = open_sweep(tmp_path, grid(0, 1, 2), config(), acts(long), slots=2)
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING, RUNNING, TrialState.WAITING]
    assert sweep.executor.closed
    assert "Interrupted: 2 trials write a checkpoint after this epoch" in sweep.output.getvalue()
    assert [read_result(tmp_path / "grid" / f"{i:04d}") for i in (0, 1)] == [None, None]
    assert signal.getsignal(signal.SIGINT) is before

    again = open_sweep(tmp_path, grid(0, 1, 2), config(), acts(Act([2.0] * 9)), slots=2)
    assert again.run() == 0
    assert states(again) == [COMPLETE_STATE] * 3
    assert sorted(again.executor.started) == ["grid/0000", "grid/0001", "grid/0002"]


def test_a_run_that_ends_at_the_interrupt_is_recorded(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(0, 1), config(), acts(Act((6.0, 7.0), after_epoch=interrupt(signal.SIGINT))))
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [COMPLETE_STATE, TrialState.WAITING]
    assert sweep.executor.started == ["grid/0000"]


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    endless = Act((1.0,), HANGS, after_epoch=interrupt(signal.SIGINT, signal.SIGTERM))
    sweep = open_sweep(tmp_path, grid(0, 1), config(), acts(endless))
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING, TrialState.WAITING]
    assert sweep.executor.cancelled


def test_only_a_second_interrupt_cancels_jobs(tmp_path: Path) -> None:
    """What goes on elsewhere is found by the next command, whatever went wrong in this one."""
    for name in ("once", "surprised"):
        (tmp_path / name).mkdir()
    act = Act((6.0, 7.0), after_epoch=interrupt(signal.SIGINT))
    once = open_sweep(tmp_path / "once", grid(0), config(), acts(act))
    with pytest.raises(KeyboardInterrupt):
        once.run()

    def broken(job: Job, attempt: int) -> Act:
        raise RuntimeError("a bug")

    surprised = open_sweep(tmp_path / "surprised", grid(0), config(), broken)
    with pytest.raises(RuntimeError, match="a bug"):
        surprised.run()
    for sweep in (once, surprised):
        assert (sweep.executor.closed, sweep.executor.cancelled) == (True, False)
    assert states(surprised) == [RUNNING]


def test_a_failure_at_the_interrupt_is_left_to_the_next_command(tmp_path: Path) -> None:
    act = Act((1.0, 2.0), FAILED, after_epoch=interrupt(signal.SIGINT))
    sweep = open_sweep(tmp_path, grid(0), config(retries=1), acts(act))
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING]
    again = open_sweep(tmp_path, grid(0), config(retries=1))
    assert again.run() == 0, again.output.getvalue()
    assert again.studies[0].trials()[0].user_attrs["failed_attempts"] == ["RuntimeError: broken"]


def test_an_interrupt_begins_no_further_seed(tmp_path: Path) -> None:
    act = Act((6.0, 7.0), after_epoch=interrupt(signal.SIGINT))
    sweep = open_sweep(tmp_path, search(1), config(seeds=[1, 2, 3]), lambda job, attempt: act)
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert sweep.executor.started == ["search/0000/seed1"]
    assert states(sweep) == [RUNNING]
    again = open_sweep(tmp_path, search(1), config(seeds=[1, 2, 3]))
    assert again.run() == 0
    assert again.executor.started == ["search/0000/seed2", "search/0000/seed3"]


def test_an_interrupt_before_a_run_has_made_its_directory(tmp_path: Path) -> None:
    class Slow:
        """A process that has not come to its first line."""

        def __init__(self) -> None:
            self.looks = 0

        def has_ended(self) -> bool:
            self.looks += 1
            if self.looks == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return self.looks > 3

        def reason(self) -> str:
            return "it was stopped"

        def seconds(self) -> float:
            return 0.1

        def stop(self) -> None:
            pass

    sweep = open_sweep(tmp_path, grid(0), config())
    sweep.executor.start = lambda job: Slow()  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING]


def test_jobs_that_wait_in_a_queue_are_taken_out_of_it_by_an_interrupt(tmp_path: Path) -> None:
    class Waiting:
        stopped = False

        def has_ended(self) -> bool:
            if not self.stopped:
                os.kill(os.getpid(), signal.SIGINT)
            return self.stopped

        def reason(self) -> str:
            return "it was cancelled"

        def seconds(self) -> float:
            return 0.0

        def stop(self) -> None:
            self.stopped = True

    sweep = open_sweep(tmp_path, grid(0), config())
    waiting = Waiting()
    sweep.executor.start = lambda job: waiting  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert waiting.stopped
    assert states(sweep) == [RUNNING]


def test_a_job_that_is_back_in_the_queue_is_taken_out_of_it_after_an_interrupt(tmp_path: Path) -> None:
    class Requeued:
        looks = 0
        stopped = False

        def has_ended(self) -> bool:
            self.looks += 1
            if self.looks == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return self.stopped

        def reason(self) -> str:
            return "it was cancelled"

        def seconds(self) -> float:
            return 5.0 if self.looks < 4 else 0.0

        def stop(self) -> None:
            self.stopped = True

    sweep = open_sweep(tmp_path, grid(0), config())
    requeued = Requeued()
    sweep.executor.start = lambda job: requeued  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert (requeued.stopped, requeued.looks >= 4) == (True, True)
    assert states(sweep) == [RUNNING]


def meeting() -> Callable[[Job, int], Act]:
    """Every run waits in its first epoch until two commands have one, but for the last one that is left alone."""
    both = threading.Barrier(2)

    def wait(epoch: int) -> None:
        if not both.broken:
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=10)
                both.abort()

    return lambda job, attempt: Act(after_epoch=wait)


@pytest.mark.parametrize("address", [None, "journal"])
def test_two_commands_make_the_trials_of_a_search_together(
    tmp_path: Path, signals_in_threads: None, address: str | None
) -> None:
    script = meeting()
    sweeps = [
        open_sweep(tmp_path, search(9), config(), script, slots=2, storage=open_storage(address, tmp_path))
        for _ in range(2)
    ]
    run_together(sweeps)
    check_shared(sweeps, "search", 9)
    points = [str(trial.params) for trial in sweeps[0].studies[0].trials()]
    assert len(set(points)) == 9


def test_two_commands_make_the_cells_of_a_grid_together(tmp_path: Path, signals_in_threads: None) -> None:
    script = meeting()
    sweeps = [open_sweep(tmp_path, grid(*range(9)), config(), script, slots=2) for _ in range(2)]
    run_together(sweeps)
    check_shared(sweeps, "grid", 9)


def run_together(sweeps: list[Opened]) -> None:
    errors: list[BaseException] = []

    def run(sweep: Opened) -> None:
        try:
            assert sweep.run() == 0
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(sweep,)) for sweep in sweeps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []


def check_shared(sweeps: list[Opened], key: str, n_trials: int) -> None:
    started = [name for sweep in sweeps for name in sweep.executor.started]
    assert sorted(started) == [f"{key}/{number:04d}" for number in range(n_trials)]
    assert [trial.state for trial in sweeps[0].studies[0].trials()] == [COMPLETE_STATE] * n_trials
    assert all(sweep.executor.started for sweep in sweeps)


def test_a_command_waits_for_trials_of_another_and_takes_up_what_it_leaves(
    tmp_path: Path, signals_in_threads: None
) -> None:
    first, second = (open_sweep(tmp_path, search(1), config()) for _ in range(2))
    with first.lease:
        claim = first.studies[0].claim(first.lease)
        thread = threading.Thread(target=second.run)
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        assert second.executor.started == []
    thread.join(timeout=30)  # the first has ended without a word
    assert not thread.is_alive()
    assert claim is not None
    assert second.executor.started == ["search/0000"]
    assert second.studies[0].trials()[0].params == dict(claim.values)
