"""Where runs are trained: what Hydra's launchers become, and how a job of a cluster is seen from outside."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tests.support import CONF
from tests.sweep.fakes import base_config, config
from tffd.app import register_resolvers
from tffd.config import ConfigError
from tffd.records import HEARTBEAT, write_metrics
from tffd.sweep.executors import cuda_devices, make_executor
from tffd.sweep.executors import submitit as submitit_module
from tffd.sweep.executors.choose import cores, local_slots
from tffd.sweep.executors.local import LocalExecutor
from tffd.sweep.executors.loky import LokyExecutor
from tffd.sweep.executors.submitit import SlurmQueue, SubmititExecutor, SubmititRun, TrialTask
from tffd.sweep.worker import Job


@cache
def launcher(name: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        whole = compose("config", overrides=[f"hydra/launcher={name}"], return_hydra_config=True)
    return OmegaConf.create(OmegaConf.to_container(whole.hydra.launcher, resolve=False))  # type: ignore[return-value]


def base(name: str, directory: Path, **settings: Any) -> DictConfig:
    node = {"launcher": launcher(name), "sweep": {"dir": str(directory)}, "job": {"name": "run"}}
    whole: DictConfig = OmegaConf.create({"hydra": node})
    for key, value in settings.items():
        OmegaConf.update(whole, f"hydra.launcher.{key}", value)
    return whole


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
    executor.close()


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
def test_joblibs_launcher_is_loky_processes(
    tmp_path: Path, eight_cores: None, n_jobs: int | None, jobs: int, inner: int | None, slots: int, threads: int
) -> None:
    settings = {"n_jobs": jobs, "inner_max_num_threads": inner}
    executor = make_executor(base("joblib", tmp_path, **settings), config(n_jobs=n_jobs))
    assert isinstance(executor, LokyExecutor)
    assert (executor.slots, executor.threads, executor.on_this_machine) == (slots, threads, True)
    executor.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "threading"}, "hydra.launcher.backend=threading: a sweep needs loky processes"),
        ({"backend": "multiprocessing"}, "hydra.launcher.backend=multiprocessing: a sweep needs loky processes"),
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


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An srun that does nothing: submitit looks whether there is one."""
    (tmp_path / "bin").mkdir()
    for name in ("srun", "sbatch", "squeue", "scancel"):
        path = tmp_path / "bin" / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


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
    on_cpu = config(n_jobs=None).model_copy(update={"device": "cpu"})
    assert cuda_devices(on_cpu) == []
    assert local_slots(on_cpu) == min(cores(), 8)


class FakeJob:
    """submitit's view of a job."""

    job_id = "17"

    def __init__(self, directory: Path) -> None:
        self.paths = SimpleNamespace(result_pickle=directory / "17_result.pkl", stderr=directory / "17.err")
        self.is_done = self.cancelled = False

    def done(self) -> bool:
        return self.is_done

    def cancel(self, check: bool = True) -> None:
        self.cancelled = True


class FakeQueue:
    answer: dict[str, str] | None

    def __init__(self, answer: dict[str, str] | None) -> None:
        self.answer = answer

    def states(self, fresh: bool = False) -> dict[str, str] | None:
        return self.answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for the executor alone."""
    moved = [0.0]
    fake = SimpleNamespace(monotonic=lambda: 1000.0 + moved[0])
    monkeypatch.setattr(submitit_module, "time", fake)

    def pass_time(seconds: float) -> None:
        moved[0] += seconds

    return pass_time


Clock = Callable[[float], None]


def beat(directory: Path, nanoseconds: int) -> None:
    path = directory / HEARTBEAT
    path.touch()
    os.utime(path, ns=(nanoseconds, nanoseconds))


def make_run(directory: Path, answer: dict[str, str] | None) -> tuple[SubmititRun, FakeJob, FakeQueue]:
    job, queue = FakeJob(directory), FakeQueue(answer)
    return SubmititRun(job, directory, queue, timeout=120), job, queue  # type: ignore[arg-type]


def test_a_job_in_the_queue_waits_for_ever(tmp_path: Path, clock: Clock) -> None:
    run, job, queue = make_run(tmp_path, {"17": "PENDING"})
    for _ in range(100):
        clock(3600)
        assert not run.has_ended()
    assert (run.seconds(), job.cancelled) == (0.0, False)
    queue.answer = {"17": "RUNNING"}
    clock(119)
    assert not run.has_ended()
    clock(2)
    assert run.has_ended()  # it never came to its first line
    assert job.cancelled


def test_the_time_of_a_job_counts_from_its_first_heartbeat(tmp_path: Path, clock: Clock) -> None:
    beat(tmp_path, 1)  # of an earlier process
    run, _, _ = make_run(tmp_path, {"17": "RUNNING"})
    clock(100)
    assert (run.has_ended(), run.seconds()) == (False, 0.0)
    beat(tmp_path, 2)
    clock(2)
    assert not run.has_ended()
    clock(50)
    assert run.seconds() == 50.0


def test_a_job_lives_while_its_heart_beats(tmp_path: Path, clock: Clock) -> None:
    run, job, _ = make_run(tmp_path, {"17": "RUNNING"})
    for i in range(20):
        beat(tmp_path, i + 1)
        clock(100)
        assert not run.has_ended()
    clock(119)
    assert not run.has_ended()
    clock(2)
    assert run.has_ended()
    assert run.reason() == "job 17 gave no sign of life for 120 s (RUNNING)"
    assert job.cancelled


def test_a_job_that_vanished_from_the_queue_is_lost(tmp_path: Path, clock: Clock) -> None:
    run, _, queue = make_run(tmp_path, {"17": "RUNNING"})
    beat(tmp_path, 1)
    clock(2)
    assert not run.has_ended()
    queue.answer = {}
    clock(121)
    assert run.has_ended()
    assert run.reason() == "job 17 gave no sign of life for 120 s (not in the queue)"


def test_a_waiting_job_outlives_a_slurm_that_does_not_answer(tmp_path: Path, clock: Clock) -> None:
    run, job, queue = make_run(tmp_path, {"17": "PENDING"})
    clock(2)
    assert not run.has_ended()
    queue.answer = None
    clock(600)
    assert not run.has_ended()
    assert not job.cancelled


def test_the_pickle_of_a_job_ends_it(tmp_path: Path, clock: Clock) -> None:
    run, job, _ = make_run(tmp_path, {"17": "RUNNING"})
    clock(2)
    assert not run.has_ended()
    job.paths.result_pickle.touch()
    clock(2)
    assert run.has_ended()
    assert run.reason() == f"job 17 ended without a record; see {tmp_path / '17.err'}"


def test_a_job_of_this_machine_ends_with_its_process(tmp_path: Path, clock: Clock) -> None:
    job = FakeJob(tmp_path)
    run = SubmititRun(job, tmp_path, None, timeout=120)  # type: ignore[arg-type]
    clock(3600)
    assert not run.has_ended()
    job.is_done = True
    clock(2)
    assert (run.has_ended(), run.reason()) == (True, "job 17 was killed")


def test_a_job_that_is_stopped_is_cancelled(tmp_path: Path, clock: Clock) -> None:
    run, job, _ = make_run(tmp_path, {"17": "PENDING"})
    run.stop()
    assert (job.cancelled, run.has_ended(), run.reason()) == (True, True, "job 17 was cancelled")


def job_in(directory: Path) -> Job:
    return Job(base_config(), "hash", directory, (None, None), "search", 0, None)


def epochs(directory: Path, count: int) -> None:
    write_metrics(directory, [{"epoch": epoch, "val_top1": 1.0} for epoch in range(1, count + 1)])


def checkpoints(task: TrialTask, directory: Path, reached: list[int]) -> list[bool]:
    """Tell after each place that is taken away whether the job is put in the queue again."""
    requeued = []
    for count in reached:
        epochs(directory, count)
        delayed = task.checkpoint()
        requeued.append(delayed is not None)
        if delayed is None:
            break
        assert isinstance(delayed.function, TrialTask)
        task = delayed.function
    return requeued


@pytest.mark.parametrize(
    ("reached", "requeued"),
    [
        ([0, 0, 0], [True, True, False]),
        ([5, 5, 5, 5], [True, True, True, False]),
        ([1, 2, 3, 4, 5, 6], [True] * 6),
        ([0, 0, 1, 1, 1, 1], [True, True, True, True, True, False]),
        pytest.param([15, 12, 14, 11, 13, 12, 14], [True, True, True, False]),
    ],
)
def test_a_job_is_put_in_the_queue_again_while_it_gets_on(
    tmp_path: Path, reached: list[int], requeued: list[bool]
) -> None:
    assert checkpoints(TrialTask(job_in(tmp_path)), tmp_path, reached) == requeued


def answering(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> list[list[str]]:
    asked: list[list[str]] = []

    def run(command: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(command, 0, stdout=answer)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_squeue_is_asked_for_all_jobs_and_not_too_often(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    asked = answering(monkeypatch, "17 RUNNING\n18 PENDING\n19_[0-3] PENDING\n")
    queue = SlurmQueue()
    for _ in range(5):
        assert queue.states() == {"17": "RUNNING", "18": "PENDING", "19_[0-3]": "PENDING"}
    assert asked == [["squeue", "--me", "--states=all", "--noheader", "--format=%i %T"]]
    queue.states(fresh=True)
    assert len(asked) == 2
    clock(10)
    queue.states()
    assert len(asked) == 3


def test_an_empty_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "")
    assert SlurmQueue().states() == {}


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("squeue"),
        subprocess.TimeoutExpired("squeue", 30),
        subprocess.CalledProcessError(1, "squeue", stderr="slurm_load_jobs error: Unable to contact slurm controller"),
    ],
)
def test_a_slurm_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    answering(monkeypatch, error)
    assert SlurmQueue().states() is None


@pytest.mark.parametrize("line", ["", "squeue: error: a word of warning"])
def test_lines_of_squeue_that_are_no_jobs_are_passed_over(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    answering(monkeypatch, f"17 RUNNING\n{line}\n")
    assert SlurmQueue().states() == {"17": "RUNNING"}


def test_a_job_that_an_earlier_command_submitted_is_followed(
    tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make_executor(base("submitit_slurm", tmp_path), config())
    assert isinstance(executor, SubmititExecutor)
    job, submitted = job_in(tmp_path / "run"), []

    def submit(task: TrialTask) -> FakeJob:
        submitted.append(task)
        fake = FakeJob(tmp_path)
        fake.paths.folder = tmp_path / "jobs"
        return fake

    monkeypatch.setattr(executor._executor(), "submit", submit)
    answering(monkeypatch, "")
    executor.start(job)
    assert len(submitted) == 1
    assert (tmp_path / "run" / "job.json").exists()
    executor.start(job)  # it has left the queue
    assert len(submitted) == 2
    answering(monkeypatch, "17 PENDING\n")
    followed = executor.start(job)
    assert len(submitted) == 2
    assert followed._job.job_id == "17"


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED"])
def test_a_job_that_is_about_to_vanish_is_not_followed(
    tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    executor = make_executor(base("submitit_slurm", tmp_path), config())
    assert isinstance(executor, SubmititExecutor)
    job = job_in(tmp_path / "run")
    job.run_dir.mkdir()
    (job.run_dir / "job.json").write_text(json.dumps({"job_id": "17", "folder": str(tmp_path)}))
    answering(monkeypatch, f"17 {state}\n")
    assert executor._left_behind(job) is None


def test_a_run_of_loky_is_seen_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tffd.sweep.executors import loky

    monkeypatch.setattr(loky, "run_in_worker", os._exit)  # takes the job for an exit code, and fails
    run = loky.LokyRun(job_in(tmp_path))
    deadline = time.monotonic() + 60
    while not run.has_ended():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run.reason()
    run.stop()
