"""Sweeps whose trials are jobs of a real SLURM, which `.ci/slurm` starts; skipped where none answers."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.support import places, results, run_py
from tests.sweep.processes import finish, pruned_search, start, study_of, trial_processes, wait_until
from tests.waiting import PATIENCE, wait_for


def _answers() -> bool:
    if shutil.which("sbatch") is None:
        return False
    asked = subprocess.run(["sinfo", "--noheader"], capture_output=True, check=False, timeout=PATIENCE)
    return asked.returncode == 0 and bool(asked.stdout.strip())


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not _answers(), reason="no SLURM answers here; `.ci/slurm start DIR` starts one"),
]

ON_SLURM = ("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10", "sweep.heartbeat_timeout=25")
SMALL = ("model=resnet8", "device=cpu", "trainer.checkpoint_every=1")
LONG = (*SMALL, "trainer.epochs=150")  # ten to twenty seconds
ENDLESS = (*SMALL, "trainer.epochs=100000")


def jobs(directory: Path) -> list[str]:
    """The job of each run, in the order of their paths."""
    return [json.loads(path.read_text())["job_id"] for path in sorted(directory.rglob("job.json"))]


def test_a_pruned_search_runs_as_jobs_and_goes_on_to_a_larger_total(tmp_path: Path) -> None:
    search = (*ON_SLURM, "sweep=lambdas_pruned", "sweep.n_jobs=2", "sweep.baseline=null", *SMALL, *places(tmp_path))
    first = run_py(*search, "trainer.epochs=60", "sweep.n_trials=5")
    assert first.returncode == 0, first.stdout + first.stderr
    assert run_py(*search, "trainer.epochs=60", "sweep.n_trials=7").returncode == 0
    pruned_search(tmp_path, 7)
    assert len(set(jobs(tmp_path))) == 7  # one job a trial


def test_a_requeued_job_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    process = start(*ON_SLURM, "seed=0,1", "sweep.n_jobs=1", *LONG, *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    before = jobs(tmp_path)
    subprocess.run(["scontrol", "requeue", before[0]], check=True)  # what a preemption does
    output = finish(process)
    assert process.returncode == 0, output
    assert "going on after epoch" in (first / "run.log").read_text()
    assert jobs(tmp_path)[0] == before[0]
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2
    assert [trial.state for trial in study_of(tmp_path, "default.grid").trials] == [TrialState.COMPLETE] * 2


def test_a_job_that_is_warned_of_its_end_is_requeued(tmp_path: Path) -> None:
    process = start(*ON_SLURM, "seed=0,1", "sweep.n_jobs=1", *LONG, *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    before = jobs(tmp_path)
    # SLURM sends this before the time limit, and so does a preemption that leaves time.
    subprocess.run(["scancel", "--signal=USR2", before[0]], check=True)
    output = finish(process)
    assert process.returncode == 0, output
    assert "going on after epoch" in (first / "run.log").read_text()
    assert jobs(tmp_path)[0] == before[0]
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2


def test_a_job_at_its_time_limit_is_requeued(tmp_path: Path) -> None:
    """With SLURM's own warning, which it gives up to 30 s early: 20 to 50 s after the job's beginning."""
    limit = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=10")
    process = start(*ON_SLURM, *limit, "seed=0,1", "sweep.n_jobs=1", *ENDLESS, *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    before = jobs(tmp_path)
    wait_until(lambda: "going on after epoch" in (first / "run.log").read_text(), process)
    assert jobs(tmp_path) == before
    assert "this job is timed-out" in (first / "run.log").read_text()
    os.killpg(process.pid, signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130, output
    assert "it goes on from its checkpoint" not in output  # it was never lost
    assert results(tmp_path) == []


def test_ctrl_c_takes_a_job_that_was_requeued_out_of_the_queue(tmp_path: Path) -> None:
    process = start(*ON_SLURM, "seed=0,1", "sweep.n_jobs=1", *ENDLESS, *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    (job,) = jobs(tmp_path)
    subprocess.run(["scontrol", "requeuehold", job], check=True)  # a preemption, and no place for hours
    os.killpg(process.pid, signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130, output
    wait_until_gone({job})
    assert (first / "checkpoint.pt").exists()


def test_a_cluster_that_refuses_a_job_is_asked_again(tmp_path: Path) -> None:
    refuses = tmp_path / "refuses"
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(f'#!/bin/sh\n[ -e {refuses} ] && echo full >&2 && exit 1\nexec {shutil.which("sbatch")} "$@"\n')
    sbatch.chmod(0o755)
    path = {"PATH": f"{sbatch.parent}:{os.environ['PATH']}"}
    process = start(*ON_SLURM, "seed=0,1", "sweep.n_jobs=1", *LONG, *places(tmp_path), environment=path)
    wait_until(lambda: jobs(tmp_path), process)
    refuses.touch()
    assert process.stdout is not None
    words = iter(process.stdout.readline, "")
    assert any("No job is taken at present (full); it is tried again." in line for line in words)
    refuses.unlink()
    output = finish(process)
    assert process.returncode == 0, output
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2
    assert len(jobs(tmp_path)) == 2


def test_a_partition_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    sweep = run_py(*ON_SLURM, "hydra.launcher.partition=nowhere", "seed=0,1", *SMALL, *places(tmp_path))
    assert sweep.returncode == 1
    assert "hydra/launcher=submitit_slurm: sbatch: error: invalid partition specified: nowhere" in sweep.stderr
    assert "Traceback" not in sweep.stdout + sweep.stderr
    assert results(tmp_path) == []


def test_a_job_that_vanishes_is_noticed_and_its_trial_goes_on(tmp_path: Path) -> None:
    process = start(*ON_SLURM, "seed=0,1", "sweep.n_jobs=1", *LONG, *places(tmp_path))
    first = tmp_path / "results" / "default" / "grid" / "0000"
    wait_until((first / "checkpoint.pt").exists, process)
    (before,) = jobs(tmp_path)
    subprocess.run(["scancel", "--full", "--signal=KILL", before], check=True)
    output = finish(process)
    assert process.returncode == 0, output
    assert f"job {before}" in output
    assert "it goes on from its checkpoint" in output
    assert "going on after epoch" in (first / "run.log").read_text()
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 2
    assert jobs(tmp_path)[0] != before


def test_jobs_outlive_a_killed_sweep_and_the_next_command_waits_for_them(tmp_path: Path) -> None:
    sweep = (*ON_SLURM, "seed=0,1,2", "sweep.n_jobs=2", *LONG, *places(tmp_path))
    process = start(*sweep)
    wait_until(lambda: len(list(tmp_path.rglob("checkpoint.pt"))) == 2, process)
    before = jobs(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(trial_processes(tmp_path)) == 2
    again = run_py(*sweep)
    assert again.returncode == 0, again.stdout + again.stderr
    assert jobs(tmp_path)[:2] == before  # the same jobs: nothing was trained twice
    assert all("going on" not in path.read_text() for path in tmp_path.rglob("run.log"))
    assert [trial.state for trial in study_of(tmp_path, "default.grid").trials] == [TrialState.COMPLETE] * 3
    assert [result["status"] for result in results(tmp_path)] == ["complete"] * 3


def test_ctrl_c_lets_jobs_write_checkpoints_and_leaves_none_in_the_queue(tmp_path: Path) -> None:
    process = start(*ON_SLURM, "seed=0,1,2,3", "sweep.n_jobs=4", *ENDLESS, *places(tmp_path))
    wait_until(lambda: len(list(tmp_path.rglob("checkpoint.pt"))) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130, output
    assert "Go on with: python run.py -m hydra/launcher=submitit_slurm" in output
    wait_until_gone(set(jobs(tmp_path)))
    assert len(list(tmp_path.rglob("checkpoint.pt"))) >= 2
    assert results(tmp_path) == []


def wait_until_gone(numbers: set[str]) -> None:
    """SLURM lists a job for a moment after its process has ended."""
    wait_for(lambda: not _queued() & numbers)


def _queued() -> set[str]:
    command = ["squeue", "--me", "--noheader", "--format=%i"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
