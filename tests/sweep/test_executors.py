"""Where runs are trained: what Hydra's launchers become, and processes of this machine."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from omegaconf import OmegaConf

from tests.support import in_a_process
from tests.sweep.fakes import config
from tests.sweep.launchers import base, launcher
from tests.waiting import wait_for
from tffd import identity
from tffd.machine import cores
from tffd.refusal import ConfigError
from tffd.sweep.cluster.executor import SubmititExecutor
from tffd.sweep.executors import Handle, cuda_devices, local, make_executor
from tffd.sweep.executors.choose import local_slots
from tffd.sweep.executors.local import LocalExecutor
from tffd.texts import counted


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(("n_jobs", "slots", "threads"), [(None, 8, 1), (2, 2, 4), (3, 3, 2), (20, 20, 1)])
def test_hydras_own_launcher_is_a_pool_of_processes(
    tmp_path: Path, eight_cores: None, n_jobs: int | None, slots: int, threads: int
) -> None:
    executor = make_executor(base("basic", tmp_path), config(n_jobs=n_jobs))
    assert isinstance(executor, LocalExecutor)
    assert (executor.slots, executor.threads, executor.on_this_machine) == (slots, threads, True)
    executor.close(cancel=False)


@pytest.mark.parametrize(
    ("n_jobs", "jobs", "inner", "slots", "threads"),
    [
        (None, -1, None, 8, 1),
        (None, -2, None, 7, 1),
        (None, -20, None, 1, 8),
        (None, 2, None, 2, 4),
        (None, 2, 3, 2, 3),
        (4, -1, None, 4, 2),
    ],
)
def test_joblibs_launcher_is_the_same_pool(
    tmp_path: Path, eight_cores: None, n_jobs: int | None, jobs: int, inner: int | None, slots: int, threads: int
) -> None:
    settings = {"n_jobs": jobs, "inner_max_num_threads": inner}
    executor = make_executor(base("joblib", tmp_path, **settings), config(n_jobs=n_jobs))
    assert isinstance(executor, LocalExecutor)
    assert (executor.slots, executor.threads, executor.on_this_machine) == (slots, threads, True)
    executor.close(cancel=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "threading"}, "hydra.launcher.backend=threading: a sweep's runs are processes"),
        ({"backend": "multiprocessing"}, "hydra.launcher.backend=multiprocessing: a sweep's runs are processes"),
        ({"timeout": 60}, "hydra.launcher.timeout=60: use sweep.trial_timeout, in seconds"),
        ({"n_jobs": None}, "hydra.launcher.n_jobs=None"),
        ({"n_jobs": 0}, "hydra.launcher.n_jobs=0"),
    ],
)
def test_settings_of_joblib_that_do_not_go_with_single_runs_are_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_executor(base("joblib", tmp_path, **settings), config())
    assert caught.value.faults[0].startswith(message)


def test_submitits_local_launcher(tmp_path: Path, eight_cores: None) -> None:
    executor = make_executor(base("submitit_local", tmp_path, cpus_per_task=2), config(n_jobs=3))
    assert isinstance(executor, SubmititExecutor)
    assert (executor.slots, executor.threads, executor.on_this_machine) == (3, 2, True)
    open_ended = make_executor(base("submitit_local", tmp_path, cpus_per_task=None), config(n_jobs=2))
    assert (open_ended.slots, open_ended.threads) == (2, 4)


def test_an_executor_that_starts_nothing_writes_nothing(tmp_path: Path) -> None:
    make_executor(base("submitit_local", tmp_path), config(n_jobs=1))
    assert list(tmp_path.iterdir()) == []


def test_slurm_is_refused_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        make_executor(base("submitit_slurm", tmp_path), config())
    assert caught.value.faults[0].startswith("hydra/launcher=submitit_slurm: ")


def test_slurm_takes_as_many_jobs_as_an_array_may(tmp_path: Path, slurm: None) -> None:
    executor = make_executor(
        base("submitit_slurm", tmp_path, cpus_per_task=6, array_parallelism=32, partition="gpu", timeout_min=90),
        config(n_jobs=None),
    )
    assert (executor.slots, executor.threads, executor.on_this_machine) == (32, 6, False)
    assert isinstance(executor, SubmititExecutor)
    assert executor._executor().parameters["partition"] == "gpu"
    assert executor._executor().parameters["time"] == 90
    assert executor._executor()._executor.max_num_timeout == 1000  # type: ignore[attr-defined]
    assert make_executor(base("submitit_slurm", tmp_path), config(n_jobs=5)).slots == 5


def test_a_setting_that_slurm_does_not_have_is_refused(tmp_path: Path, slurm: None) -> None:
    OmegaConf.set_struct(launcher("submitit_slurm"), False)
    with pytest.raises(ConfigError, match="hydra/launcher=submitit_slurm: .*nonsense"):
        make_executor(base("submitit_slurm", tmp_path, nonsense=3), config())


def test_other_launchers_are_refused(tmp_path: Path) -> None:
    other = OmegaConf.create({"hydra": {"launcher": {"_target_": "hydra_plugins.ray.RayLauncher"}}})
    with pytest.raises(ConfigError) as caught:
        make_executor(other, config())
    assert caught.value.faults[0].startswith(
        "hydra/launcher: hydra_plugins.ray.RayLauncher is not one that a sweep can"
    )


def test_one_run_a_gpu_or_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cuda_devices(config()) == ["0", "1"]
    assert local_slots(config(n_jobs=None)) == 2
    assert local_slots(config(n_jobs=None, trials_per_device=3)) == 6
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5e1d")
    assert cuda_devices(config()) == ["3", "GPU-5e1d"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1, MIG-2,MIG-3")  # of which a process sees one
    assert cuda_devices(config()) == ["MIG-1", "MIG-2", "MIG-3"]
    on_cpu = config(n_jobs=None).model_copy(update={"device": "cpu"})
    assert cuda_devices(on_cpu) == []
    assert local_slots(on_cpu) == min(cores(), 8)


@pytest.mark.parametrize("names", ["0,1,2,3", "0,1,0", "1"])
def test_devices_that_are_not_there_are_refused(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
    number = counted(len(names.split(",")), "device")
    with pytest.raises(ConfigError, match=f"CUDA_VISIBLE_DEVICES={names}: names {number}, but PyTorch sees 2"):
        local_slots(config(n_jobs=None))


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


@pytest.mark.parametrize("name", ["basic", "joblib", "submitit_local"])
@pytest.mark.parametrize(("n_jobs", "each", "enough"), [(3, 1, 2), (5, 2, 3)])
def test_devices_are_shared_only_among_as_many_trials_as_was_asked_for(
    tmp_path: Path, two_devices: None, name: str, n_jobs: int, each: int, enough: int
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_executor(base(name, tmp_path), config(n_jobs=n_jobs, trials_per_device=each))
    assert caught.value.faults == [
        f"sweep.n_jobs: {n_jobs} trials at a time are too many for sweep.trials_per_device={each} on 2 CUDA devices; "
        f"use sweep.n_jobs={2 * each}, or sweep.trials_per_device={enough}"
    ]
    for settings in ({"n_jobs": 2 * each, "trials_per_device": each}, {"n_jobs": n_jobs, "trials_per_device": enough}):
        executor = make_executor(base(name, tmp_path), config(**settings))
        assert executor.slots == settings["n_jobs"]
        executor.close(cancel=False)


def ends(run: Handle) -> str:
    """Wait for the end of a run, and return its reason."""
    wait_for(run.has_ended)
    return run.failure().reason


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], LocalExecutor]:
    """Make a pool of two processes, one of which is a spare, that call a function in place of a run."""
    monkeypatch.setattr(local, "start_fork_server", lambda: None)  # its imports would take seconds

    def make(function: Callable[..., Any]) -> LocalExecutor:
        monkeypatch.setattr(local, "run_in_worker", function)
        return LocalExecutor(1, 1)

    return make


def processes() -> list[int]:
    children = multiprocessing.active_children()
    return [process.pid for process in children if process.name == "pebble_pool_worker" and process.pid]


def kill_processes() -> None:
    for process in processes():
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(process, signal.SIGKILL)


def start(executor: LocalExecutor, argument: object) -> local.LocalRun:
    return executor.start(argument)  # type: ignore[arg-type]  # in place of a job


def test_spare_processes_that_die_between_two_runs_are_replaced(
    pool: Callable[[Callable[..., Any]], LocalExecutor],
) -> None:
    executor = pool(abs)
    for _ in range(3):
        assert ends(start(executor, -1)) == "it ended without a record"
        kill_processes()
        wait_for(lambda: not executor._pool.active)
    executor.close(cancel=False)
    assert not processes()


def test_a_run_that_is_given_to_dying_processes_is_seen_to_end(
    pool: Callable[[Callable[..., Any]], LocalExecutor],
) -> None:
    executor = pool(abs)
    for _ in range(5):
        assert ends(start(executor, -1))
        kill_processes()
        assert ends(start(executor, -1))  # whether one of them has begun it or not
    executor.close(cancel=False)


def test_the_end_of_a_process_of_the_pool_is_told(pool: Callable[[Callable[..., Any]], LocalExecutor]) -> None:
    executor = pool(time.sleep)
    stopped = start(executor, 3600)
    stopped.stop()
    assert ends(stopped) == "it was stopped"
    assert ends(start(executor, "soon")).startswith("TypeError: ")
    executor.close(cancel=False)
    executor = pool(os._exit)
    assert ends(start(executor, 7)) == "the process of this trial ended with exit code 7"
    executor.close(cancel=False)
    executor = pool(signal.raise_signal)
    reason = "the process of this trial was killed, perhaps for its memory: exit code -9"
    assert ends(start(executor, signal.SIGKILL)) == reason
    executor.close(cancel=False)


def test_runs_record_the_commit_and_the_versions_that_they_were_forked_with() -> None:
    """What is committed or installed while a sweep runs is not what its later runs have loaded."""
    assert in_a_process(_recorded_after_a_commit) == (identity.git_commit(), identity.version("torch"))


def _recorded_after_a_commit() -> tuple[str | None, str]:
    import_module("tffd.sweep.preloaded")  # as the server does
    with mock.patch.multiple(identity, git_commit=lambda: "later", version=lambda _: "later"):
        return identity.loaded_commit(), identity.loaded_versions()["torch"]
