"""Sweeps as a user starts them, and what is left when they are killed."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.support import TINY, command, places, results, run_py


def study_of(directory: Path, name: str) -> optuna.Study:
    (database,) = directory.rglob("study.db")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{database}")


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start run.py in a session of its own, with Ctrl-C enabled as on a terminal."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "nothing happened for two minutes"
        time.sleep(0.05)


def test_a_search_with_its_baseline_ends_in_a_summary_and_goes_on(tmp_path: Path) -> None:
    sweep = ("-m", "sweep=lambdas", "sweep.n_jobs=2", *places(tmp_path), *TINY)
    first = run_py(*sweep, "sweep.n_trials=3")
    assert first.returncode == 0, first.stdout + first.stderr
    directory = tmp_path / "results" / "lambdas"
    for line in ("baseline: 3 of 3 trials complete", "search: 3 of 3 trials complete", f"Results:  {directory}"):
        assert line in first.stdout
    assert "best trial  val_top1" in first.stdout
    assert "kd_mode=none seed=0,1,2  (n=3)" in first.stdout

    again = run_py(*sweep, "sweep.n_trials=3")
    assert again.returncode == 0
    assert "6 trials, 6 of them done before" in again.stdout
    assert again.stdout.split("\n\n")[1] == first.stdout.split("\n\n")[1]
    assert run_py(*sweep, "sweep.n_trials=5").returncode == 0

    study = study_of(tmp_path, "lambdas.search")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 5
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
    assert [(study["study"], study["n_trials"]) for study in plan["studies"]] == [("baseline", 3), ("search", 5)]


def test_a_failed_trial_is_recorded_and_the_others_run(tmp_path: Path) -> None:
    sweep = run_py("-m", "trainer.lr=1e9,0.1", *places(tmp_path), *TINY)
    assert sweep.returncode == 1
    assert "grid: 1 of 2 trials complete, 1 failed" in sweep.stdout
    assert sorted(result["status"] for result in results(tmp_path)) == ["complete", "failed"]
    (failed,) = study_of(tmp_path, "default.grid").get_trials(states=(TrialState.FAIL,))
    assert "training loss became nan" in failed.user_attrs["error"]


@pytest.mark.slow
def test_other_settings_under_the_same_name_are_refused(tmp_path: Path) -> None:
    assert run_py("-m", "seed=0,1", *places(tmp_path), *TINY).returncode == 0
    refused = run_py("-m", "seed=0,1", *places(tmp_path), *TINY, "trainer.epochs=3")
    assert refused.returncode == 2
    assert "trainer.epochs: was 2, is 3" in refused.stderr
    assert len(results(tmp_path)) == 2


@pytest.mark.slow
def test_a_search_with_another_mode_keeps_its_baseline(tmp_path: Path) -> None:
    arguments = ("sweep=lambdas", "kd_mode=intra", "lambda_inter=0", "seed=7", "sweep.n_trials=1")
    sweep = run_py("-m", *arguments, *places(tmp_path), *TINY)
    assert sweep.returncode == 0, sweep.stderr
    ran = [(result["study"], result["kd_mode"], result["seed"]) for result in results(tmp_path)]
    assert ran == [*(("baseline", "none", seed) for seed in range(3)), ("search", "intra", 7)]


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_fails_alone_and_is_recorded(tmp_path: Path) -> None:
    arguments = ("-m", "seed=0,1", "model=resnet8", "trainer.epochs=12", "device=cpu", "sweep.n_jobs=1")
    process = start(*arguments, *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until(lambda: (first / "metrics.csv").exists(), process)
    worker = next(
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(first) in _open_files(entry)
    )
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "grid: 1 of 2 trials complete, 1 failed" in output
    assert [result["status"] for result in results(tmp_path)] == ["failed", "complete"]
    assert "exit code -9" in results(tmp_path)[0]["error"]


def _open_files(process: Path) -> str:
    try:
        return " ".join(os.readlink(link) for link in (process / "fd").iterdir())
    except OSError:  # it has ended meanwhile
        return ""


LONG = ("-m", "seed=0,1,2,3", "trainer.checkpoint_every=1", "model=resnet8", "trainer.epochs=12", "device=cpu")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = (*LONG, "sweep.n_jobs=1", *places(tmp_path))
    process = start(*arguments)
    wait_until(lambda: len(results(tmp_path)) >= 1, process)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 4 trials done. Go on with: python run.py -m seed=0,1,2,3" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_what_is_killed_goes_on_and_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    arguments = (*LONG, "sweep.n_jobs=2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_py(*arguments, *places(whole)).returncode == 0
    chance = random.Random(0)
    for _ in range(4):
        before = len(list(killed.rglob("checkpoint.pt")) + list(killed.rglob("result.json")))
        process = start(*arguments, *places(killed))
        wait_until(
            lambda before=before: len([*killed.rglob("checkpoint.pt"), *killed.rglob("result.json")]) > before, process
        )
        time.sleep(chance.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)  # the sweep alone: its workers must end by themselves
        process.communicate()
        if len(results(killed)) >= 3:
            break
    done_before = {result["seed"]: result["finished"] for result in results(killed)}
    assert run_py(*arguments, *places(killed)).returncode == 0

    after = results(killed)
    assert [result["status"] for result in after] == ["complete"] * 4
    assert all(result["finished"] == done_before.get(result["seed"], result["finished"]) for result in after)
    assert [result["val_loss"] for result in after] == [result["val_loss"] for result in results(whole)]
    trials = study_of(killed, "default.grid").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len(list((killed / "results" / "default" / "grid").iterdir())) == 4
    for run in sorted((whole / "results").rglob("metrics.csv")):
        other = killed / run.relative_to(whole)
        assert other.read_bytes() == run.read_bytes()
