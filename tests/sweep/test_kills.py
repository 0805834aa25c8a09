"""Real sweeps, killed at random moments: nothing is lost, nothing done twice, nothing left running."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.support import places, results, run_py
from tests.sweep.processes import finish, pruned_search, start, study_of, trial_processes, wait_until
from tests.waiting import wait_for

SHORT = ("model=resnet8", "trainer.epochs=24", "trainer.checkpoint_every=1", "device=cpu", "sweep.n_jobs=2")


def sweep_through_kills(
    arguments: tuple[str, ...], directory: Path, kills: int, look: Callable[[], object]
) -> tuple[int, str]:
    """Run a sweep, start it again whenever it was killed, and return the number of kills and its last words.

    Kills are a random number of trained epochs apart, then a random time: how fast the machine is may not decide how
    many of them a sweep of so many epochs meets.
    """
    chance, done = random.Random(0), 0
    while True:
        process = start(*arguments)
        next_kill = _epochs(directory) + chance.randint(0, 4)
        while done < kills and process.poll() is None:
            time.sleep(chance.uniform(0, 0.2))
            workers = trial_processes(directory)
            if not workers or _epochs(directory) < next_kill or process.poll() is not None:
                continue
            victims = chance.choice(["trial", "trial", "sweep", "both"])
            if victims != "sweep":
                _kill(chance.choice(workers))
            if victims != "trial":
                process.send_signal(signal.SIGKILL)
                process.communicate()
            done += 1
            next_kill = _epochs(directory) + chance.randint(0, 4)
            look()
        if process.returncode is None:
            output = finish(process)
            return done, output
        if process.returncode >= 0:
            return done, process.communicate()[0]


def _epochs(directory: Path) -> int:
    return sum(path.read_bytes().count(b"\n") - 1 for path in directory.rglob("metrics.csv"))


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):  # it was quicker
        os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_a_grid_killed_thirty_times_gives_the_same_bits_as_one_that_was_not(tmp_path: Path) -> None:
    grid = ("-m", f"seed={','.join(map(str, range(16)))}", *SHORT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_py(*grid, *places(whole)).returncode == 0
    finished: dict[int, str] = {}

    def nothing_finished_changes() -> None:
        for result in results(killed):
            if result["status"] == "complete":
                assert finished.setdefault(result["seed"], result["finished"]) == result["finished"]

    kills, output = sweep_through_kills((*grid, *places(killed)), killed, 30, nothing_finished_changes)
    assert kills == 30, output
    assert "grid: 16 of 16 trials complete\n" in output
    nothing_finished_changes()
    trials = study_of(killed, "default.grid").trials
    assert [trial.number for trial in trials] == list(range(16))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 16
    runs = sorted((whole / "results").rglob("metrics.csv"))
    assert len(runs) == len(list((killed / "results").rglob("metrics.csv"))) == 16
    for run in runs:
        assert (killed / run.relative_to(whole)).read_bytes() == run.read_bytes()
    assert [trial.value for trial in trials] == [result["val_top1"] for result in results(killed)]


@pytest.mark.slow
def test_a_pruned_search_that_is_killed_ends_with_every_trial_accounted_for(tmp_path: Path) -> None:
    search = ("-m", "sweep=lambdas_pruned", "sweep.n_trials=12", "sweep.baseline=null", *SHORT, *places(tmp_path))
    kills, output = sweep_through_kills(search, tmp_path, 8, lambda: None)
    assert kills == 8, output
    for trial, record in pruned_search(tmp_path, 12):
        assert trial.params == {key: record[key] for key in ("lambda_intra", "lambda_inter")}
        assert max(trial.intermediate_values) == record["epochs_run"]
    again = run_py(*search)
    assert again.returncode == 0
    assert "12 trials, 12 of them done before" in again.stdout


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_sweep(tmp_path: Path) -> None:
    process: subprocess.Popen[str] = start("-m", "seed=0,1", *SHORT, "trainer.epochs=4000", *places(tmp_path))
    wait_until(lambda: len(trial_processes(tmp_path)) == 2, process)
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: not trial_processes(tmp_path))  # also of a zombie, which the killed sweep is until it is read
    process.communicate()
