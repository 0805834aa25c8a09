"""Sweeps whose runs are played from a script, in this process and in a moment."""

import io
import json
import multiprocessing
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState
from rich.console import Console

from tests.support import compose_config
from tffd.config import require_config
from tffd.failures import Failure, FailureKind
from tffd.records import (
    COMPLETE,
    FAILED,
    PRUNE,
    PRUNED,
    RESULT,
    STOP,
    asked_to_stop,
    read_last_metrics,
    read_result,
    write_json,
    write_metrics,
)
from tffd.schema import Config, SweepSection
from tffd.sweep.display import SweepDisplay
from tffd.sweep.plan import GridPlan, SearchPlan, StudyPlan, SweepPlan
from tffd.sweep.scheduler import Scheduler
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import Storage, open_storage
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.worker import Job

LOST = "lost"
HANGS = "hangs"

COMPLETE_STATE, PRUNED_STATE, FAIL, RUNNING = (
    TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING,
)  # fmt: skip

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1, "n_warmup_steps": 0}
WILCOXON = {"_target_": "optuna.pruners.WilcoxonPruner", "p_threshold": 0.3}

SPACE: dict[str, BaseDistribution] = {"lambda_intra": FloatDistribution(1e-5, 0.1, log=True)}


@dataclass(frozen=True)
class Act:
    """How a run goes that is started: it writes the epochs that are not there yet, and ends.

    Attributes:
        values: val_top1 of its epochs, from the first.
        end: COMPLETE, FAILED, LOST (without a record) or HANGS.
        error: Of a failure.
        reason: Why its process ended without a record.
        kind: Of its failure; None for LOST without a record, and else OTHER.
        seconds: That it is at work.
        result: Fields of the record that are not those of the last epoch.
        after_epoch: Called with the number of each epoch that was written.
    """

    values: Sequence[float] = (1.0, 2.0, 3.0)
    end: str = COMPLETE
    error: str = "RuntimeError: broken"
    reason: str = "the process was killed"
    kind: FailureKind | None = None
    seconds: float = 1.0
    result: dict[str, Any] = field(default_factory=dict)
    after_epoch: Callable[[int], None] = lambda epoch: None


Script = Callable[[Job, int], Act]
"""A run, and how often it was started before, to how it goes."""


def acts(*by_attempt: Act) -> Script:
    """Every run goes alike: its attempts in this order, the last one again and again."""
    return lambda job, attempt: by_attempt[min(attempt, len(by_attempt) - 1)]


def failing(error: str = "RuntimeError: broken", kind: FailureKind = FailureKind.OTHER) -> Act:
    return Act(end=FAILED, error=error, kind=kind)


class FakeRun:
    """Writes an epoch each time that it is looked at."""

    def __init__(self, job: Job, act: Act) -> None:
        self._job, self._act = job, act
        self._ended = False
        job.run_dir.mkdir(parents=True, exist_ok=True)

    def has_ended(self) -> bool:
        if not self._ended:
            self._go_on()
        return self._ended

    def failure(self) -> Failure:
        return Failure(self._act.kind or FailureKind.LOST, self._act.reason)

    def seconds(self) -> float:
        return self._act.seconds

    def stop(self) -> None:
        self._ended = True

    def _go_on(self) -> None:
        directory, act = self._job.run_dir, self._act
        epoch = int(read_last_metrics(directory).get("epoch", 0))
        if epoch < len(act.values):
            epoch += 1
            write_metrics(directory, [_row(i, value) for i, value in enumerate(act.values[:epoch], start=1)])
            act.after_epoch(epoch)
        if epoch >= len(act.values):
            self._ended = act.end != HANGS
            if act.end in (COMPLETE, FAILED):
                self._record(act.end, len(act.values))
            return
        stop = asked_to_stop(directory)
        self._ended = stop is not None
        if stop == PRUNE:
            self._record(PRUNED, epoch)

    def _record(self, status: str, epoch: int) -> None:
        others = {"failure": self._act.kind} if status == FAILED else {}
        leave_record(self._job, status, self._act.values[:epoch], self._act.error, **others, **self._act.result)
        (self._job.run_dir / STOP).unlink(missing_ok=True)


def leave_record(job: Job, status: str, values: Sequence[float], error: str = "", **others: Any) -> None:
    """Write the record of a run that ended after so many epochs."""
    job.run_dir.mkdir(parents=True, exist_ok=True)
    history = [_row(epoch, value) for epoch, value in enumerate(values, start=1)]
    write_metrics(job.run_dir, history)
    last = {key: value for key, value in history[-1].items() if key != "epoch"}
    record = {"status": status, "error": error if status == FAILED else None, "config_hash": job.config_hash}
    write_json(job.run_dir / RESULT, {**record, "epochs_run": len(values), "train_seconds": 1.0} | last | others)


def _row(epoch: int, value: float) -> dict[str, float]:
    return {"epoch": epoch, "val_top1": value, "best_val_top1": value, "val_loss": 100 - value}


class FakeExecutor:
    """Plays the runs of a sweep.

    Attributes:
        started: Directories of the runs, as often as they were started.
    """

    threads = 1
    on_this_machine = True

    def __init__(self, script: Script, slots: int = 1) -> None:
        self.slots, self._script = slots, script
        self.started: list[str] = []
        self.closed = self.cancelled = False

    def start(self, job: Job) -> FakeRun:
        result = read_result(job.run_dir)
        assert result is None, f"{job.run_dir} is trained again, though it was {result['status']}"
        name = name_of(job)
        self.started.append(name)
        return FakeRun(job, self._script(job, self.started.count(name) - 1))

    def close(self, cancel: bool) -> None:
        self.closed, self.cancelled = True, cancel


def name_of(job: Job) -> str:
    """Study, trial and seed: search/0003, or search/0003/seed7."""
    parts = job.run_dir.parts
    return "/".join(parts[parts.index(job.study) :])


def value_of(job: Job) -> float:
    """A value that depends on the point and the seed alone."""
    return zlib.crc32(job.config_hash.encode()) % 9973 / 100


def good(job: Job, attempt: int) -> Act:
    """Every run completes."""
    value = value_of(job)
    return Act([value / 3, value / 2, value])


@cache
def base_config() -> DictConfig:
    """The config of all runs here, composed once."""
    return compose_config("sweep=lambdas", "sweep.baseline=null", "trainer.epochs=3")


@cache
def run_config() -> Config:
    """The same, typed."""
    return require_config(base_config())


def config(**sweep: Any) -> Config:
    """The same, with settings of the sweep."""
    base = run_config()
    section = SweepSection.model_validate({**base.sweep.model_dump(by_alias=True), **sweep})
    return base.model_copy(update={"sweep": section})


def search(n_trials: int, *known: float, space: dict[str, BaseDistribution] | None = None) -> StudyPlan:
    space = space or SPACE
    return SearchPlan(
        "search", tuple(space), n_trials, space=dict(space), known_points=[{"lambda_intra": value} for value in known]
    )


def grid(*seeds: int) -> StudyPlan:
    cells = [{"seed": str(seed)} for seed in seeds]
    return GridPlan("grid", ("seed",), len(seeds), cells=cells, identities=[{"hash": str(seed)} for seed in seeds])


@dataclass
class Opened:
    """A sweep of which everything is opened anew, as by a command."""

    studies: list[ResumableStudy]
    lease: Lease
    scheduler: Scheduler
    executor: FakeExecutor
    output: io.StringIO

    def run(self) -> int:
        with self.lease:
            return self.scheduler.run()


def states(opened: Opened) -> list[TrialState]:
    """Of the trials of its first study."""
    return [trial.state for trial in opened.studies[0].trials()]


def record_of(directory: Path, name: str) -> dict[str, Any]:
    """The record of a run, by its name_of."""
    record: dict[str, Any] = json.loads((directory / name / RESULT).read_text())
    return record


def open_sweep(
    directory: Path,
    plan: StudyPlan,
    settings: Config,
    script: Script = good,
    *,
    slots: int = 1,
    storage: Storage | None = None,
    more: Sequence[StudyPlan] = (),
) -> Opened:
    storage = storage or open_storage("journal", directory)
    plans = [plan, *more]
    studies = [ResumableStudy(one, settings, storage) for one in plans]
    executor = FakeExecutor(script, slots)
    lease = Lease(directory, [studies[0].optuna], timeout=60)
    output = io.StringIO()
    whole = SweepPlan(settings, [], plans, settings.sweep.objectives)
    display = SweepDisplay(whole, studies, directory, "the command", Console(file=output, width=300, soft_wrap=True))
    scheduler = Scheduler(settings.sweep, studies, executor, lease, job_maker(directory), display)
    return Opened(studies, lease, scheduler, executor, output)


def job_maker(directory: Path) -> Callable[[ResumableStudy, Claim, int | None, int], Job]:
    def make(study: ResumableStudy, claim: Claim, seed: int | None) -> Job:
        return job_of(directory, study.plan.key, claim, seed)

    return make


def job_of(directory: Path, study: str, claim: Claim, seed: int | None = None) -> Job:
    subdir = f"{study}/{claim.number:04d}" + ("" if seed is None else f"/seed{seed}")
    point = sorted(claim.values.items())
    return Job(
        run_config(), base_config(), f"{point} {seed}", directory / subdir, (None, None), study, claim.number, None
    )


def in_memory(lock: AbstractContextManager[object]) -> Storage:
    return Storage(optuna.storages.InMemoryStorage(), lock)


def forkserver() -> ForkServerContext:
    """Where processes come from that share a study with a test; LocalExecutor asks its server for heavier imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.sweep.studies.test_storage"])
    return context
