"""What trials cost besides their training, how many fit an hour, and the demo."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.commands import PLAIN, composed, listed, makespan, run_py, trained_seconds
from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants
from tffd.config import require_config
from tffd.machine import cores
from tffd.sweep.executors.local import LocalExecutor
from tffd.sweep.worker import Job
from tffd.texts import counted

TO_TRAINING, TRIALS_AN_HOUR, PROCESSOR_TRIAL = "whole to training alone", "trials an hour", "processor s a trial"


def overhead(*, trials: int = 12, device: str = "cpu") -> Iterator[Variants]:
    """What a trial costs besides its training: short equal trials, one after the other, and a process alone.

    Claiming, composing, a fresh process, data, network and records; the process waits as a spare one.
    """
    yield {
        "a trial besides its training": Variant(lambda _: _between_trials(trials, device)),
        "its process, to its first line": Variant(lambda _: {WALL: statistics.median(_starts(10)[1:])}),
    }


def _between_trials(trials: int, device: str) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        short = ("model=resnet8", "trainer.epochs=2", f"seed={listed(range(trials))}", "sweep.n_jobs=1")
        run_py(Path(folder), "-m", *PLAIN, f"device={device}", *short)
        span, trained = makespan(Path(folder)), trained_seconds(Path(folder))
        return {WALL: (span - trained) / trials, TO_TRAINING: span / trained}


def _starts(count: int) -> list[float]:
    """Seconds from LocalExecutor.start() to run.log, the first thing that a run does in its process.

    The first waits for imports.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = composed(*PLAIN, f"dataset.cache={folder}/cache", "model=resnet8", "trainer.epochs=1")
        executor, seconds = LocalExecutor(1, 1), []
        for number in range(count):
            run_dir = Path(folder) / str(number)
            started = time.perf_counter()
            job = Job(require_config(config), config, "", run_dir, (None, None), "benchmark", number, None)
            run = executor.start(job)
            while not (run_dir / "run.log").exists():
                time.sleep(0.0005)
            seconds.append(time.perf_counter() - started)
            run.stop()
            time.sleep(1)  # a trial takes longer than a process to wait for the next one
        executor.close(cancel=True)
    return seconds


def demo() -> Iterator[Variants]:
    """The sweep of `make demo`: 33 runs on digits, one thread a worker, one worker a core."""

    def run(_: int) -> Sample:
        with tempfile.TemporaryDirectory() as folder:
            sample = run_py(Path(folder), "-m", "sweep=lambdas")
            whole = min(cores(), 33) * sample[WALL] / trained_seconds(Path(folder))
            return {WALL: sample[WALL], PROCESSOR: sample[PROCESSOR], TO_TRAINING: whole}

    yield {"33 runs": Variant(run)}


def parallel(*, trials: int = 6, epochs: int = 10) -> Iterator[Variants]:
    """Equal trials of resnet20 on digits by 1 to 4 workers, with one thread each and with all of the machine's."""

    def sweep(workers: int, threads: int) -> Callable[[int], Sample]:
        def run(_: int) -> Sample:
            with tempfile.TemporaryDirectory() as folder:
                choices = (f"trainer.epochs={epochs}", f"sweep.n_jobs={workers}", f"threads={threads}")
                shared = ("device=cpu", "trainer.checkpoint_every=0", f"seed={listed(range(trials))}")
                sample = run_py(Path(folder), "-m", *shared, *choices)
                rate = 3600 * trials / makespan(Path(folder))
                return {TRIALS_AN_HOUR: rate, PROCESSOR_TRIAL: sample[PROCESSOR] / trials}

        return run

    sizes = [(1, cores()), (1, 1), (2, 1), (2, cores()), (3, 1), (4, 1)]
    names = {pair: f"{counted(pair[0], 'worker')}, {counted(pair[1], 'thread')} each" for pair in sizes}
    yield {names[pair]: Variant(sweep(*pair), None if pair == sizes[0] else names[sizes[0]]) for pair in names}


BENCHMARKS = (
    Benchmark(overhead, shares={TO_TRAINING: 0.25}, quick=1),
    Benchmark(demo, shares={TO_TRAINING: 0.1}, rounds=3, quick=1, is_long=True),
    Benchmark(parallel, ratios={TRIALS_AN_HOUR: 0.15, PROCESSOR_TRIAL: 0.15}, rounds=2, quick=1, is_long=True),
)
