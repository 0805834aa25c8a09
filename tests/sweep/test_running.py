"""What becomes of one trial, with runs played from a script."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.support import CONF
from tests.sweep.fakes import (
    COMPLETE_STATE,
    FAIL,
    HANGS,
    LOST,
    MEDIAN,
    PRUNED_STATE,
    WILCOXON,
    Act,
    acts,
    config,
    failing,
    good,
    grid,
    open_sweep,
    record_of,
    search,
    states,
)
from tffd.failures import FailureKind
from tffd.records import FAILED, PRUNED, STOP
from tffd.sweep.worker import Job

pytestmark = pytest.mark.usefixtures("no_waiting")

SHORT: dict[str, dict[str, Any]] = {"hyperband": {"max_resource": 12}}


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
    sweep = open_sweep(
        tmp_path, grid(5), config(retries=3), acts(failing("ConfigError: no pictures", FailureKind.UNTIL_MENDED))
    )
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"]
    again = open_sweep(tmp_path, grid(5), config(retries=3))
    assert (again.run(), again.executor.started) == (0, ["grid/0001"])


def test_what_would_happen_again_is_not_tried_again(tmp_path: Path) -> None:
    error = "TrainingDiverged: the training loss became nan"
    sweep = open_sweep(tmp_path, grid(5), config(retries=3), acts(failing(error, FailureKind.SAME_AGAIN)))
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
    killed = Act((1.0,), LOST, reason=reason, kind=FailureKind.OUT_OF_MEMORY)
    sweep = open_sweep(tmp_path, grid(5), config(retries=retries), acts(killed))
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


def test_several_objectives(tmp_path: Path) -> None:
    settings = config(objective=["val_top1", "train_seconds"], direction=["maximize", "minimize"])

    def script(job: Job, attempt: int) -> Act:
        return Act((float(job.number % 2),), result={"train_seconds": float(job.number)})

    sweep = open_sweep(tmp_path, search(3), settings, script)
    assert sweep.run() == 0
    assert [trial.values for trial in sweep.studies[0].trials()] == [[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]]
    assert {trial.number for trial in sweep.studies[0].best()} == {0, 1}
    assert "val_top1 1.00  train_seconds 1.00" in sweep.output.getvalue()
