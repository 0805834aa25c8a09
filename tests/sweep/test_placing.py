"""Where runs are put: with a share of the CPU threads, and on CUDA devices where there are some."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from optuna.trial import TrialState

from tests.support import CONF, places, results, run_py
from tests.sweep.fakes import FakeExecutor, good
from tests.sweep.processes import study_of
from tffd.app import register_resolvers
from tffd.refusal import ConfigError
from tffd.sweep import engine
from tffd.sweep.jobs import JobMaker
from tffd.sweep.planning import make_plan
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.worker import Job

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Compose the run of a trial."""
    register_resolvers()

    def make(number: int, *overrides: str, on_this_machine: bool = True) -> Job:
        def composed(more: list[str]) -> DictConfig:
            with initialize_config_dir(str(CONF)):
                return compose("config", [*places(tmp_path), *overrides, *more], return_hydra_config=True)

        executor = FakeExecutor(good)
        executor.threads, executor.on_this_machine = 5, on_this_machine
        parts: dict[str, Any] = {
            "context": SimpleNamespace(config_loader=None, execution_whitelist=None),
            "plan": make_plan(["seed=0,1"], composed([]), composed),
            "lease": SimpleNamespace(path=tmp_path / "lease"),
        }
        study: Any = SimpleNamespace(plan=parts["plan"].studies[0])
        trial = optuna.create_study().ask()
        jobs = JobMaker(executor=executor, compose=composed, **parts)
        return jobs.make(study, Claim(number, {"seed": "1"}, trial), None)

    return make


def test_the_job_of_a_cluster_outlives_the_sweep_and_has_a_whole_path(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = make_job(1, "results_dir=results", on_this_machine=False)
    assert job.lease is None
    assert job.run_dir == tmp_path / "results" / "default" / "grid" / "0001"


def test_a_run_has_its_share_of_the_threads_unless_told_otherwise(make_job: MakeJob) -> None:
    for job, threads in ((make_job(0), 5), (make_job(0, "threads=2"), 2)):
        assert (job.config.threads, job.composed.threads) == (threads, threads)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_trials_share_the_devices_of_this_machine(tmp_path: Path) -> None:
    devices = torch.cuda.device_count()
    grid = ("-m", f"seed={','.join(map(str, range(2 * devices)))}", "model=resnet8", "trainer.epochs=2", "device=cuda")
    sweep = run_py(*grid, "sweep.trials_per_device=2", *places(tmp_path))
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    assert [result["device"] for result in results(tmp_path)] == [torch.cuda.get_device_name()] * (2 * devices)
    assert [trial.state for trial in study_of(tmp_path, "default.grid").trials] == [TrialState.COMPLETE] * 2 * devices
    refused = run_py(*grid, f"sweep.n_jobs={devices + 1}", *places(tmp_path / "refused"))
    assert refused.returncode == 2
    assert f"use sweep.n_jobs={devices}, or sweep.trials_per_device=2" in refused.stderr


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (optuna.exceptions.StorageInternalError("invalid data in the commit"), "database or disk is full"),
    ],
)
def test_a_disk_that_is_full_when_a_sweep_begins_refuses_it(tmp_path: Path, error: Exception, reason: str) -> None:
    if not isinstance(error, OSError):
        error.__cause__ = sqlite3.OperationalError(reason)
    told = f"its study or its plan cannot be written .*{reason}.*; make room"
    with pytest.raises(ConfigError, match=told) as caught, engine._refusing_what_cannot_be_written(tmp_path):
        raise error
    assert caught.value.faults[0].startswith(f"{tmp_path}: ")
