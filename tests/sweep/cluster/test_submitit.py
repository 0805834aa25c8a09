"""How a job of a cluster is submitted, and seen from outside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from submitit.core.utils import FailedJobError

from tests.sweep.fakes import config
from tests.sweep.launchers import base, job_in
from tffd.records import HEARTBEAT, write_metrics
from tffd.sweep.cluster import queue, run, task
from tffd.sweep.cluster.executor import SubmititExecutor
from tffd.sweep.cluster.queue import JobInQueue, SlurmQueue
from tffd.sweep.cluster.run import SubmititRun
from tffd.sweep.cluster.task import TrialTask
from tffd.sweep.executors import ClusterError, make_executor


class FakeJob:
    """submitit's view of a job."""

    def __init__(self, directory: Path, number: str = "17") -> None:
        self.job_id = number
        self.paths = SimpleNamespace(
            result_pickle=directory / f"{number}_result.pkl", stderr=directory / f"{number}.err", folder=directory
        )
        self.is_done = self.cancelled = self.terminated = False
        self._process = self  # of a job on this machine

    def terminate(self) -> None:
        self.terminated = True

    def done(self) -> bool:
        return self.is_done

    def cancel(self, check: bool = True) -> None:
        self.cancelled = True


class FakeQueue:
    """SLURM's, which knows the answer of a while ago, and the present one when it is asked."""

    def __init__(self, answer: dict[str, str] | None) -> None:
        self.answer = answer
        self.present: dict[str, str] | None = None
        self.start = "12:00"

    def jobs(self, fresh: bool = False) -> dict[str, JobInQueue] | None:
        if fresh and self.present is not None:
            self.answer = self.present
        if self.answer is None:
            return None
        return {number: JobInQueue(state, self.start) for number, state in self.answer.items()}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for the executor alone."""
    moved = [0.0]
    fake = SimpleNamespace(monotonic=lambda: 1000.0 + moved[0])
    for module in (run, queue):
        monkeypatch.setattr(module, "time", fake)

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
    for seconds in (1, 119):
        clock(seconds)
        assert not run.has_ended()
    clock(1)
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
    assert run.failure().reason == "job 17 gave no sign of life for 120 s (RUNNING)"
    assert job.cancelled


def test_a_job_that_vanished_from_the_queue_is_lost(tmp_path: Path, clock: Clock) -> None:
    run, _, queue = make_run(tmp_path, {"17": "RUNNING"})
    beat(tmp_path, 1)
    clock(2)
    assert not run.has_ended()
    queue.answer = {}
    clock(121)
    assert run.has_ended()
    assert run.failure().reason == "job 17 gave no sign of life for 120 s (not in the queue)"


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
    assert run.failure().reason == f"job 17 ended without a record; see {tmp_path / '17.err'}"


def test_a_job_of_this_machine_ends_with_its_process(tmp_path: Path, clock: Clock) -> None:
    job = FakeJob(tmp_path)
    run = SubmititRun(job, tmp_path, None, timeout=120)  # type: ignore[arg-type]
    clock(3600)
    assert not run.has_ended()
    job.is_done = True
    clock(2)
    reason = f"job 17 was killed, perhaps for its memory; see {tmp_path / '17.err'}"
    assert (run.has_ended(), run.failure().reason) == (True, reason)


def test_a_job_that_is_stopped_is_cancelled(tmp_path: Path, clock: Clock) -> None:
    run, job, _ = make_run(tmp_path, {"17": "PENDING"})
    run.stop()
    assert (job.cancelled, run.has_ended(), run.failure().reason) == (True, True, "job 17 was cancelled")


def test_a_job_of_this_machine_is_stopped_in_the_way_that_it_listens_to(tmp_path: Path, clock: Clock) -> None:
    job = FakeJob(tmp_path)
    run = SubmititRun(job, tmp_path, None, timeout=120)  # type: ignore[arg-type]
    run.stop()
    assert (job.terminated, job.cancelled) == (True, False)  # submitit's cancel is SIGINT


def test_a_job_that_has_ended_is_not_cancelled(tmp_path: Path, clock: Clock) -> None:
    run, job, _ = make_run(tmp_path, {"17": "FAILED"})
    run.stop()
    assert (job.cancelled, run.failure().reason) == (False, "job 17 ended as FAILED")


@pytest.mark.parametrize("state", ["PENDING", "REQUEUED", "REQUEUE_HOLD"])
def test_the_time_of_a_job_that_is_put_in_the_queue_again_stops(tmp_path: Path, clock: Clock, state: str) -> None:
    run, job, queue = make_run(tmp_path, {"17": "RUNNING"})
    beat(tmp_path, 1)
    assert not run.has_ended()
    clock(50)
    assert run.seconds() == 50.0
    queue.answer = {"17": state}
    assert not run.has_ended()
    clock(3600)
    assert not run.has_ended()
    assert run.seconds() == 0.0
    queue.answer = {"17": "RUNNING"}
    beat(tmp_path, 2)
    clock(2)
    assert not run.has_ended()
    clock(7)
    assert run.seconds() == 7.0
    assert not job.cancelled


def test_a_job_that_was_begun_anew_between_two_queries_has_time_to_come_to_its_first_line(
    tmp_path: Path, clock: Clock
) -> None:
    run, job, queue = make_run(tmp_path, {"17": "RUNNING"})
    beat(tmp_path, 1)
    assert not run.has_ended()
    clock(110)
    assert (run.has_ended(), run.seconds()) == (False, 110.0)
    queue.start = "12:02"
    clock(2)
    assert (run.has_ended(), run.seconds()) == (False, 0.0)
    clock(119)
    assert not run.has_ended()
    clock(2)
    assert run.has_ended()
    assert job.cancelled


def test_a_silent_job_is_not_lost_when_it_has_just_been_put_in_the_queue_again(tmp_path: Path, clock: Clock) -> None:
    run, job, queue = make_run(tmp_path, {"17": "RUNNING"})
    beat(tmp_path, 1)
    assert not run.has_ended()
    queue.present = {"17": "PENDING"}
    clock(121)
    assert (run.has_ended(), job.cancelled) == (False, False)


def test_a_job_that_is_out_of_memory_has_failed(tmp_path: Path, clock: Clock) -> None:
    run, _, _ = make_run(tmp_path, {"17": "OUT_OF_MEMORY"})
    assert run.has_ended()
    assert run.failure().reason == "OutOfMemory: job 17 was killed for its memory; see hydra.launcher.mem_gb"


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


NOON = "2026-11-25T12:00:00"


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
    asked = answering(monkeypatch, f"17 RUNNING {NOON}\n18 PENDING N/A\n19_[0-3] PENDING N/A\n")
    queue = SlurmQueue()
    waiting = JobInQueue("PENDING", "N/A")
    for _ in range(5):
        assert queue.jobs() == {"17": JobInQueue("RUNNING", NOON), "18": waiting, "19_[0-3]": waiting}
    assert asked == [["squeue", "--me", "--states=all", "--noheader", "--format=%i %T %S"]]
    queue.jobs(fresh=True)
    assert len(asked) == 2
    clock(10)
    queue.jobs()
    assert len(asked) == 3


def test_an_empty_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "")
    assert SlurmQueue().jobs() == {}


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
    assert SlurmQueue().jobs() is None


@pytest.mark.parametrize("line", ["", "squeue: error: a word of warning"])
def test_lines_of_squeue_that_are_no_jobs_are_passed_over(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    answering(monkeypatch, f"17 RUNNING {NOON}\n{line}\n")
    assert SlurmQueue().jobs() == {"17": JobInQueue("RUNNING", NOON)}


class FakeCluster:
    """A SLURM that takes jobs, numbered from 1, or refuses them."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = make_executor(base("submitit_slurm", directory), config(heartbeat_timeout=120))
        assert isinstance(executor, SubmititExecutor)
        self.executor, self._directory = executor, directory
        self.jobs: dict[str, FakeJob] = {}
        self.refusal: str | None = None
        self.tries = 0
        monkeypatch.setattr(executor._executor(), "submit", self._submit)

    def _submit(self, task: TrialTask) -> FakeJob:
        self.tries += 1
        if self.refusal:
            raise FailedJobError(self.refusal)
        number = str(len(self.jobs) + 1)
        self.jobs[number] = FakeJob(self._directory, number)
        return self.jobs[number]


DOWN = "sbatch: error: Batch job submission failed: Unable to contact slurm controller"


@pytest.fixture
def cluster(tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeCluster:
    """One that has taken a job, which is at work."""
    cluster = FakeCluster(tmp_path, monkeypatch)
    answering(monkeypatch, f"1 RUNNING {NOON}\n")
    cluster.executor.start(job_in(tmp_path / "first"))
    assert list(cluster.jobs) == ["1"]
    return cluster


def test_a_refused_job_is_submitted_once_the_cluster_takes_it(
    tmp_path: Path, cluster: FakeCluster, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.refusal = DOWN
    runs = [cluster.executor.start(job_in(tmp_path / name)) for name in ("second", "third")]
    for _ in range(100):
        assert not any(run.has_ended() for run in runs)
    assert cluster.tries == 2  # with the first: the others wait together
    for _ in range(10):
        clock(5)
        assert not any(run.has_ended() for run in runs)
    assert cluster.tries == 12
    assert [run.seconds() for run in runs] == [0.0, 0.0]
    assert capsys.readouterr().err == f"No job is taken at present ({DOWN}); it is tried again.\n"
    cluster.refusal = None
    clock(5)
    assert not any(run.has_ended() for run in runs)
    assert list(cluster.jobs) == ["1", "2", "3"]
    assert all(run.is_in_queue() for run in runs)
    assert json.loads((tmp_path / "third" / "job.json").read_text())["job_id"] == "3"


def test_a_limit_of_jobs_is_waited_for_as_long_as_others_are_at_work(
    tmp_path: Path, cluster: FakeCluster, clock: Clock
) -> None:
    cluster.refusal = "QOSMaxSubmitJobPerUserLimit"
    run = cluster.executor.start(job_in(tmp_path / "second"))
    for count in range(200):
        beat(tmp_path / "first", count)
        clock(60)
        assert not run.has_ended()


def test_a_cluster_that_takes_no_job_for_too_long_ends_the_command(
    tmp_path: Path, cluster: FakeCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.refusal = DOWN
    run = cluster.executor.start(job_in(tmp_path / "second"))
    answering(monkeypatch, f"1 FAILED {NOON}\n")
    clock(60)
    assert not run.has_ended()
    clock(59)
    assert not run.has_ended()
    clock(5)
    with pytest.raises(ClusterError, match="hydra/launcher=submitit_slurm has taken no job for 124 s: sbatch: error"):
        run.has_ended()
    assert not (tmp_path / "second" / "result.json").exists()


def test_the_first_refusal_is_told_at_once(tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(tmp_path, monkeypatch)
    cluster.refusal = "sbatch: error: invalid partition specified: gpuu\nsbatch: error: Batch job submission failed"
    with pytest.raises(ClusterError) as caught:
        cluster.executor.start(job_in(tmp_path / "first"))
    assert str(caught.value).splitlines()[0] == (
        "hydra/launcher=submitit_slurm: sbatch: error: invalid partition specified: gpuu sbatch: error: Batch job "
        "submission failed"
    )


def test_a_run_that_waits_to_be_submitted_can_be_stopped(tmp_path: Path, cluster: FakeCluster, clock: Clock) -> None:
    cluster.refusal = DOWN
    run = cluster.executor.start(job_in(tmp_path / "second"))
    run.stop()
    cluster.refusal = None
    clock(5)
    assert (run.has_ended(), run.failure().reason) == (True, "it was stopped before it was submitted")
    assert list(cluster.jobs) == ["1"]


def test_a_job_of_an_earlier_command_is_not_doubled_while_the_queue_is_unknown(
    tmp_path: Path, cluster: FakeCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, subprocess.CalledProcessError(1, "squeue"))
    again = cluster.executor.start(job_in(tmp_path / "first"))
    assert not again.has_ended()
    assert (list(cluster.jobs), again.is_in_queue()) == (["1"], False)
    answering(monkeypatch, f"1 RUNNING {NOON}\n")
    clock(5)
    assert not again.has_ended()
    assert (list(cluster.jobs), again.is_in_queue()) == (["1"], True)


@pytest.mark.parametrize("cancel", [False, True])
def test_jobs_of_a_cluster_end_with_the_command_only_if_that_is_asked_for(cluster: FakeCluster, cancel: bool) -> None:
    cluster.executor.close(cancel)
    assert cluster.jobs["1"].cancelled is cancel


def test_jobs_of_this_machine_end_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make_executor(base("submitit_local", tmp_path), config(n_jobs=1))
    assert isinstance(executor, SubmititExecutor)
    job = FakeJob(tmp_path)
    monkeypatch.setattr(executor._executor(), "submit", lambda task: job)
    executor.start(job_in(tmp_path / "run"))
    executor.close(cancel=False)
    assert job.terminated


@pytest.mark.parametrize("lease", [None, Path("lease")])
def test_a_job_of_this_machine_ends_at_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lease: Path | None
) -> None:
    """submitit passes over it, as SLURM sends it along with other signals."""
    set_to = []
    monkeypatch.setattr(task.signal, "signal", lambda number, handler: set_to.append((number, handler)))
    monkeypatch.setattr(task, "run_in_worker", lambda job: None)
    TrialTask(job_in(tmp_path, lease))()
    assert set_to == ([(signal.SIGTERM, signal.SIG_DFL)] if lease else [])


def test_a_job_that_is_put_in_the_queue_ends_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an exception would become another one, as in the middle of a checkpoint."""
    ended: list[int] = []
    earlier = signal.signal(signal.SIGUSR2, lambda number, frame: sys.exit(-1))
    monkeypatch.setattr(os, "_exit", ended.append)
    try:
        task._end_in_handler(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, earlier)
    assert ended == [255]


def test_a_job_that_an_earlier_command_submitted_is_followed(
    tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster(tmp_path, monkeypatch)
    job = job_in(tmp_path / "run")
    answering(monkeypatch, "")
    cluster.executor.start(job)
    assert list(cluster.jobs) == ["1"]
    assert (tmp_path / "run" / "job.json").exists()
    cluster.executor.start(job)  # it has left the queue
    assert list(cluster.jobs) == ["1", "2"]
    answering(monkeypatch, "2 PENDING N/A\n")
    followed = cluster.executor.start(job)
    assert list(cluster.jobs) == ["1", "2"]
    assert followed.is_in_queue()


def test_a_thousand_jobs_that_an_earlier_command_submitted_are_found_with_one_question(
    tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    cluster = FakeCluster(tmp_path, monkeypatch)
    for number in range(1000):
        directory = tmp_path / f"{number:04d}"
        directory.mkdir()
        (directory / "job.json").write_text(json.dumps({"job_id": str(number), "folder": str(tmp_path)}))
    asked = answering(monkeypatch, "".join(f"{number} RUNNING {NOON}\n" for number in range(999)))
    for number in range(999):
        assert cluster.executor._left_behind(job_in(tmp_path / f"{number:04d}")) is not None
    assert (len(asked), cluster.jobs) == (1, {})
    assert cluster.executor._left_behind(job_in(tmp_path / "0999")) is None  # it may have been submitted since
    assert len(asked) == 2


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED"])
def test_a_job_that_is_about_to_vanish_is_not_followed(
    tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    executor = make_executor(base("submitit_slurm", tmp_path), config())
    assert isinstance(executor, SubmititExecutor)
    job = job_in(tmp_path / "run")
    job.run_dir.mkdir()
    (job.run_dir / "job.json").write_text(json.dumps({"job_id": "17", "folder": str(tmp_path)}))
    answering(monkeypatch, f"17 {state} {NOON}\n")
    assert executor._left_behind(job) is None
