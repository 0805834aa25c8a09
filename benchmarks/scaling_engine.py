"""The engine with many workers, many jobs of SLURM and many commands on one study; a part of `benchmarks.scaling`."""

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.sweep.cluster.test_submitit import FakeJob
from tests.sweep.fakes import MEDIAN, config, good, leave_record, open_sweep, search
from tffd.records import COMPLETE, write_metrics
from tffd.sweep.cluster.queue import JobInQueue, SlurmQueue
from tffd.sweep.cluster.run import SubmititRun
from tffd.sweep.studies.storage import open_storage
from tffd.sweep.worker import Job

STORAGES = {"sqlite": "sqlite:///{}/study.db", "journal": "journal"}
FORK = multiprocessing.get_context("fork")
Figures = dict[str, float]


def of_workers(folder: Path, slots: int) -> Figures:
    """What the engine spends on a trial of three epochs that is played, the writing of its files included."""
    sweep, before = open_sweep(folder, search(96), config(), good, slots=slots), time.process_time()
    sweep.run()
    return {"ms a trial": 1000 * (time.process_time() - before) / 96}


def of_jobs(folder: Path, count: int) -> Figures:
    """A command that watches jobs of SLURM whose epochs are judged, all at work, for ten seconds."""
    sweep = open_sweep(folder, search(count), config(pruner=MEDIAN), good, slots=count)
    queue, looks, began = SlurmQueue(), 0, (0.0, 0.0)
    queue._jobs, queue._asked = {str(n): JobInQueue("RUNNING", "noon") for n in range(count)}, float("inf")

    def start(job: Job) -> Any:
        job.run_dir.mkdir(parents=True)
        write_metrics(job.run_dir, [{"epoch": 1, "val_top1": 1.0}])
        fake: Any = FakeJob(folder, str(job.number))
        return SubmititRun(fake, job.run_dir, queue, timeout=3600)

    def look() -> None:
        nonlocal looks, began
        if looks == 1:  # all have been submitted, and have reported their epoch
            began = time.process_time(), time.monotonic()
        looks += 1
        if looks > 1 and time.monotonic() > began[1] + 10:
            raise InterruptedError

    fakes: Any = sweep
    fakes.executor.start, fakes.scheduler._display.refresh = start, look
    try:
        sweep.run()
    except Exception:  # that of the last look, as that of a storage
        seconds, wall = time.process_time() - began[0], time.monotonic() - began[1]
    return {"start ms a job": 1000 * began[0] / count, "% of a core": 100 * seconds / wall, "looks a s": looks / wall}


def of_commands(folder: Path, storage: str, count: int) -> Figures:
    """Commands on one study, each with a trial of one second at a time: the time between a trial's end and the next."""
    address, total = STORAGES[storage].format(folder), 16 * count
    config(), open_sweep(folder, search(total), config(), good, storage=open_storage(address, folder))
    with ProcessPoolExecutor(count, FORK) as pool:
        ended = [pool.submit(_command, folder, address, total) for _ in range(count)]
        gaps, busy = zip(*(future.result() for future in ended), strict=True)
    lost = [gap for of_command in gaps for gap in of_command]
    shown = {"median s between trials": statistics.median(lost), "mean s": statistics.mean(lost)}
    return shown | {"processor ms a trial": 1000 * sum(busy) / total}


def _command(folder: Path, address: str, total: int) -> tuple[list[float], float]:
    """Take part in making so many trials: the seconds between them, and those of the processor."""
    starts: list[float] = []
    sweep: Any = open_sweep(folder, search(total), config(), good, storage=open_storage(address, folder))
    sweep.executor.start = lambda job: _SleepingRun(job, starts)
    before = time.process_time()
    sweep.run()
    return [later - start - 1 for start, later in pairwise(starts)], time.process_time() - before


class _SleepingRun:
    """A run of a second that takes no processor."""

    def __init__(self, job: Job, starts: list[float]) -> None:
        starts.append(time.monotonic())
        self._job, self._end = job, starts[-1] + 1

    def has_ended(self) -> bool:
        if ended := time.monotonic() >= self._end:
            leave_record(self._job, COMPLETE, [1.0])
        return ended
