"""Sweeps on each of Hydra's launchers for this machine, as a user starts, kills and interrupts them."""

import os
import signal
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from tests.support import places, results, run_py
from tests.sweep.processes import (
    QUICK_THEN_SLOW,
    finish,
    interrupt_twice_in_a_slow_epoch,
    pruned_search,
    start,
    study_of,
    trial_processes,
    wait_until,
)
from tests.waiting import wait_for
from tffd.sweep.outcome import last_epoch

pytestmark = pytest.mark.slow

OTHERS = ("joblib", "submitit_local")  # test_engine and test_kills have Hydra's own
SMALL = ("model=resnet8", "device=cpu", "threads=1", "dataset.train_size=200", "trainer.checkpoint_every=1")
ENDLESS = (*SMALL, "trainer.epochs=100000")


def epochs(directory: Path) -> dict[Path, int]:
    """The last epoch of each run that has one."""
    return {path.parent: last_epoch(path.parent) for path in directory.rglob("metrics.csv")}


@pytest.mark.parametrize("launcher", OTHERS)
def test_a_pruned_search_goes_on_to_a_larger_total(tmp_path: Path, launcher: str) -> None:
    search = ("-m", f"hydra/launcher={launcher}", "sweep=lambdas_pruned", "sweep.baseline=null", "sweep.n_jobs=2")
    search = (*search, *SMALL, "trainer.epochs=24", *places(tmp_path))
    first = run_py(*search, "sweep.n_trials=4")
    assert first.returncode == 0, first.stdout + first.stderr
    assert run_py(*search, "sweep.n_trials=6").returncode == 0
    pruned_search(tmp_path, 6)


@pytest.mark.parametrize("launcher", OTHERS)
def test_a_trial_whose_process_is_killed_goes_on(tmp_path: Path, launcher: str) -> None:
    grid = ("-m", f"hydra/launcher={launcher}", "seed=0,1", "sweep.n_jobs=1")
    process = start(*grid, *SMALL, "trainer.epochs=60", *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    (worker,) = trial_processes(first)
    os.kill(worker, signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 0, output
    assert "it goes on from its checkpoint" in output
    assert "going on after epoch" in (first / "run.log").read_text()
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2


@pytest.mark.parametrize("launcher", OTHERS)
def test_trials_do_not_outlive_a_killed_sweep(tmp_path: Path, launcher: str) -> None:
    grid = ("-m", f"hydra/launcher={launcher}", "seed=0,1", "sweep.n_jobs=2")
    process = start(*grid, *ENDLESS, *places(tmp_path))
    wait_until(lambda: len(list(tmp_path.rglob("checkpoint.pt"))) == 2, process)
    assert len(trial_processes(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not trial_processes(tmp_path))
    process.communicate()


@pytest.mark.parametrize("launcher", ["basic", *OTHERS])
def test_a_trial_that_takes_too_long_fails(tmp_path: Path, launcher: str) -> None:
    grid = ("-m", f"hydra/launcher={launcher}", "seed=0,1", "sweep.n_jobs=2", "sweep.retries=0")
    sweep = run_py(*grid, *ENDLESS, "sweep.trial_timeout=8", "sweep.max_failure_rate=1", *places(tmp_path))
    assert sweep.returncode == 1, sweep.stdout + sweep.stderr
    assert "Traceback" not in sweep.stdout + sweep.stderr
    reason = "Timeout: took longer than sweep.trial_timeout=8 s"
    assert [(result["status"], result["error"]) for result in results(tmp_path)] == [("failed", reason)] * 2
    for trial in study_of(tmp_path, "default.grid").trials:
        assert (trial.state, trial.user_attrs["error"]) == (TrialState.FAIL, reason)
    assert not trial_processes(tmp_path)


@pytest.mark.parametrize("launcher", OTHERS)
def test_ctrl_c_lets_trials_write_a_checkpoint_of_their_last_epoch(tmp_path: Path, launcher: str) -> None:
    grid = ("-m", f"hydra/launcher={launcher}", "seed=0,1,2", "sweep.n_jobs=2")
    process = start(*grid, *ENDLESS, "trainer.checkpoint_every=0", *places(tmp_path))
    wait_until(lambda: len(epochs(tmp_path)) == 2 and min(epochs(tmp_path).values()) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130, output
    assert "Interrupted: 2 trials write a checkpoint after this epoch" in output
    assert "Interrupted with 0 of 3 trials done. Go on with: python run.py -m" in output
    assert "Traceback" not in output
    assert not trial_processes(tmp_path)
    assert results(tmp_path) == []
    for run_dir, epoch in epochs(tmp_path).items():
        assert torch.load(run_dir / "checkpoint.pt", weights_only=True)["epoch"] == epoch


@pytest.mark.parametrize("launcher", OTHERS)
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, launcher: str) -> None:
    process = start("-m", f"hydra/launcher={launcher}", *QUICK_THEN_SLOW, *places(tmp_path))
    output = interrupt_twice_in_a_slow_epoch(process, tmp_path)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    wait_for(lambda: not trial_processes(tmp_path))
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2
