"""Sweeps as a user starts them, and what is left when they are killed."""

import json
import os
import secrets
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from hydra._internal.callbacks import Callbacks
from hydra.types import HydraContext
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.support import TINY, command, places, results, run_py
from tests.sweep.fakes import MEDIAN, Act, FakeExecutor, config, failing, grid, job_maker, search
from tests.sweep.processes import (
    QUICK_THEN_SLOW,
    finish,
    interrupt_twice_in_a_slow_epoch,
    start,
    study_of,
    trial_processes,
    wait_until,
)
from tffd.sweep import engine
from tffd.sweep.engine import Engine
from tffd.sweep.plan import SweepPlan


def test_a_search_with_its_baseline_ends_in_a_summary_and_goes_on(tmp_path: Path) -> None:
    sweep = ("-m", "sweep=lambdas", "sweep.n_jobs=2", *places(tmp_path), *TINY)
    first = run_py(*sweep, "sweep.n_trials=2")
    assert first.returncode == 0, first.stdout + first.stderr
    directory = tmp_path / "results" / "lambdas"
    for line in ("baseline: 3 of 3 trials complete", "search: 2 of 2 trials complete", f"Results:  {directory}"):
        assert line in first.stdout
    assert "best trial  val_top1" in first.stdout
    assert "kd_mode=none seed=0,1,2  (n=3)" in first.stdout

    again = run_py(*sweep, "sweep.n_trials=3")
    assert again.returncode == 0
    assert "6 trials, 5 of them done before" in again.stdout

    study = study_of(tmp_path, "lambdas.search")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    records = {result["trial"]: result for result in results(directory / "search")}
    for trial in study.trials:
        record = records[trial.number]
        assert trial.value == record["val_top1"]
        assert trial.params == {key: record[key] for key in ("lambda_intra", "lambda_inter")}
        assert (record["study"], record["name"], record["test_top1"]) == ("search", "lambdas", None)
    assert [study.trials[i].params for i in (0, 1)] == [
        {"lambda_intra": 8e-4, "lambda_inter": 5e-4},
        {"lambda_intra": 4e-4, "lambda_inter": 5e-3},
    ]
    plan = json.loads((directory / "sweep.json").read_text())
    assert [(study["study"], study["n_trials"]) for study in plan["studies"]] == [("baseline", 3), ("search", 3)]


def test_a_failed_trial_is_recorded_and_the_others_run(tmp_path: Path) -> None:
    # What is run again stays failed: the exit code says so each time.
    for _ in range(2):
        sweep = run_py("-m", "trainer.lr=1e9,0.1", *places(tmp_path), *TINY)
        assert sweep.returncode == 1
        assert "grid: 1 of 2 trials complete, 1 failed" in sweep.stdout
    assert sorted(result["status"] for result in results(tmp_path)) == ["complete", "failed"]
    (failed,) = study_of(tmp_path, "default.grid").get_trials(states=(TrialState.FAIL,))
    assert "training loss became nan" in failed.user_attrs["error"]


@pytest.mark.usefixtures("no_waiting")
def test_a_search_that_ended_with_failures_says_so_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its next command has nothing to do. Its runs are played, and nothing is composed for them."""
    settings = config(retries=0, storage="journal").model_copy(update={"results_dir": str(tmp_path)})
    planned = SweepPlan(settings, [], [search(2)], settings.sweep.objectives)
    made = SimpleNamespace(make=job_maker(tmp_path / settings.name))
    for name, part in (
        ("make_plan", planned),
        ("implied_words", []),
        ("multirun_command", "again"),
        ("JobMaker", made),
    ):
        monkeypatch.setattr(engine, name, lambda *_, part=part: part)
    monkeypatch.setattr(engine, "pin_to_devices", lambda executor, _: executor)
    base = OmegaConf.create({"device": "cpu", "trainer": {"precision": "fp32"}})
    context = HydraContext(SimpleNamespace(get_group_options=None), Callbacks())  # type: ignore[arg-type]
    for started in (2, 0):
        played = FakeExecutor(lambda job, _: failing() if job.number == 1 else Act())
        monkeypatch.setattr(engine, "make_executor", lambda *_, played=played: played)
        assert Engine(context, base, []).run() == 1
        assert len(played.started) == started


@pytest.mark.parametrize(
    "choice",
    [
        "sweep.storage=null",
        pytest.param("sweep.storage=journal", marks=pytest.mark.slow),
        pytest.param("hydra/launcher=submitit_local", marks=pytest.mark.slow),
    ],
)
def test_a_sweep_runs_without_standard_output_and_with_relative_paths_wherever_hydra_goes(
    tmp_path: Path, choice: str
) -> None:
    here = [f"{key}={os.path.relpath(path)}" for key, path in (place.split("=") for place in places(tmp_path))]
    arguments = command("-m", "seed=0,1", *here, *TINY, "trainer.epochs=1", "hydra.job.chdir=true", choice)
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *arguments], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "results"]
    assert not list((tmp_path / "results").rglob("cache"))  # as relative to where a trial writes


@pytest.mark.slow
def test_a_study_that_was_lost_is_not_begun_anew_beside_its_records(tmp_path: Path) -> None:
    sweep = ("-m", "seed=0,1", *places(tmp_path), *TINY)
    assert run_py(*sweep).returncode == 0
    study = tmp_path / "results" / "default" / "study.db"
    study.rename(tmp_path / "kept")
    refused = run_py(*sweep)
    assert refused.returncode == 2
    assert "holds records up to trial 1, and study.db knows 0 trials of it" in refused.stderr
    assert not study.exists()
    (tmp_path / "kept").rename(study)
    assert run_py(*sweep).returncode == 0
    search = run_py("-m", "sweep=lambdas", "name=default", *places(tmp_path), *TINY)
    assert search.returncode == 2
    assert "a search would take the place of its plan" in search.stderr


@pytest.mark.slow
def test_other_settings_under_the_same_name_are_refused(tmp_path: Path) -> None:
    assert run_py("-m", "seed=0,1", *places(tmp_path), *TINY).returncode == 0
    refused = run_py("-m", "seed=0,1", *places(tmp_path), *TINY, "trainer.epochs=3")
    assert refused.returncode == 2
    assert "trainer.epochs: was 2, is 3" in refused.stderr
    elsewhere = run_py("-m", "seed=0,1", *places(tmp_path), *TINY, "sweep.storage=journal")
    assert elsewhere.returncode == 2
    assert "keeps its study in study.db, not in study.journal" in elsewhere.stderr
    assert not (tmp_path / "results" / "default" / "study.journal").exists()
    assert len(results(tmp_path)) == 2


@pytest.mark.slow
def test_a_search_with_another_mode_keeps_its_baseline(tmp_path: Path) -> None:
    arguments = ("sweep=lambdas", "kd_mode=intra", "lambda_inter=0", "seed=7", "sweep.n_trials=1")
    sweep = run_py("-m", *arguments, *places(tmp_path), *TINY)
    assert sweep.returncode == 0, sweep.stderr
    ran = [(result["study"], result["kd_mode"], result["seed"]) for result in results(tmp_path)]
    assert ran == [*(("baseline", "none", seed) for seed in range(3)), ("search", "intra", 7)]


LONG = ("-m", "seed=0,1", "sweep.n_jobs=1", "model=resnet8", "trainer.epochs=30", "device=cpu", "threads=1")


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on(tmp_path: Path) -> None:
    process = start(*LONG, "trainer.checkpoint_every=1", *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    (worker,) = trial_processes(first)
    os.kill(worker, signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 0
    assert "exit code -9; it goes on from its checkpoint" in output
    assert "going on after epoch" in (first / "run.log").read_text()
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2


@pytest.mark.slow
def test_a_terminal_that_is_closed_leaves_checkpoints_and_the_command_to_go_on(tmp_path: Path) -> None:
    process = start(*LONG, "trainer.checkpoint_every=0", *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "metrics.csv").exists, process)
    os.killpg(process.pid, signal.SIGHUP)  # as it reaches all processes of the terminal
    output = finish(process)
    assert process.returncode == 130
    assert "Interrupted with 0 of 2 trials done. Go on with: python run.py -m seed=0,1" in output
    assert (first / "checkpoint.pt").exists()
    assert not trial_processes(tmp_path)


@pytest.mark.slow
def test_ctrl_c_writes_checkpoints_and_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = (*LONG, "trainer.checkpoint_every=0", *places(tmp_path))
    process = start(*arguments)
    second = tmp_path / "results" / "default" / "grid" / "0001"
    wait_until((second / "metrics.csv").exists, process)
    os.killpg(process.pid, signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130
    assert "Interrupted: 1 trial writes a checkpoint after this epoch" in output
    assert "Interrupted with 1 of 2 trials done. Go on with: python run.py -m seed=0,1" in output
    assert "Traceback" not in output
    assert (second / "checkpoint.pt").exists()
    assert run_py(*arguments).returncode == 0
    assert "going on after epoch" in (second / "run.log").read_text()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    process = start("-m", *QUICK_THEN_SLOW, *places(tmp_path))
    output = interrupt_twice_in_a_slow_epoch(process, tmp_path)
    assert process.returncode == 130
    assert "Interrupted with 2 of 4 trials done" in output
    assert "Traceback" not in output
    assert not trial_processes(tmp_path)
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2
    trials = study_of(tmp_path, "default.grid").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING] * 2


@pytest.mark.slow
def test_two_commands_share_a_study(tmp_path: Path) -> None:
    arguments = ("-m", "sweep=lambdas", "sweep.n_trials=8", "sweep.n_jobs=1", *TINY, *places(tmp_path))
    commands = [start(*arguments) for _ in range(2)]
    outputs = [finish(process) for process in commands]
    assert [process.returncode for process in commands] == [0, 0], outputs
    trials = study_of(tmp_path, "lambdas.search").trials
    assert [trial.number for trial in trials] == list(range(8))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert len({str(trial.params) for trial in trials}) == 8
    ended = [sum(f"] {study}/{number:04d}" in output for output in outputs)
             for study, count in (("baseline", 3), ("search", 8)) for number in range(count)]  # fmt: skip
    assert ended == [1] * 11  # each was run by one of them
    assert all("search: 8 of 8 trials complete" in output for output in outputs)


@pytest.mark.postgres
@pytest.mark.skipif("TFFD_TEST_POSTGRES" not in os.environ, reason="TFFD_TEST_POSTGRES names no database")
def test_two_machines_share_a_study_and_one_takes_over_what_the_other_left(tmp_path: Path) -> None:
    """Other results directories, as on machines without a common file system: only the database tells who lives."""
    name = f"test-{secrets.token_hex(6)}"  # the database outlives this test
    search = ("-m", "sweep=lambdas", "sweep.baseline=null", "sweep.n_trials=4", "sweep.n_jobs=1", f"name={name}")
    search = (*search, f"sweep.storage={os.environ['TFFD_TEST_POSTGRES']}", "sweep.heartbeat_timeout=10")
    network = ("model=resnet8", "device=cpu", "threads=1", "trainer.epochs=60")
    machines = [tmp_path / "a", tmp_path / "b"]
    commands = [start(*search, *network, *places(machine)) for machine in machines]
    for machine, process in zip(machines, commands, strict=True):
        wait_until(lambda machine=machine: list(machine.rglob("metrics.csv")), process)
    commands[0].send_signal(signal.SIGKILL)
    commands[0].communicate()
    output = finish(commands[1])
    assert commands[1].returncode == 0, output
    storage = optuna.storages.RDBStorage(os.environ["TFFD_TEST_POSTGRES"])
    trials = optuna.load_study(study_name=f"{name}.search", storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    assert [trial.number for trial in trials] == list(range(4))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len({str(trial.params) for trial in trials}) == 4
    again = run_py(*search, *network, *places(machines[1]))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "4 trials, 4 of them done before" in again.stdout


@pytest.mark.parametrize(("cells", "pruner", "is_busy"), [(100, None, False), (101, None, True), (3, MEDIAN, True)])
def test_a_journal_is_for_many_cells_and_for_epochs_that_are_judged(
    cells: int, pruner: dict[str, object] | None, is_busy: bool
) -> None:
    settings = config(pruner=pruner)
    plan = SweepPlan(settings, [], [grid(*range(cells)), search(10_000)], settings.sweep.objectives)
    assert engine._keeps_its_storage_busy(plan) is is_busy
