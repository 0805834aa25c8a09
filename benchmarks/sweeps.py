"""Whole sweeps over scikit-learn's digits: their schedule, what reports to a pruner cost, and what pruning saves."""

import heapq
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import optuna

from benchmarks.commands import PLAIN, listed, makespan, records, run_py, trained_seconds
from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants, timed
from tffd.sweep.studies.storage import open_storage

EPOCHS = (12, 14, 16, 18, 20, 22, 24, 26, 28, 32, 36, 40, 48, 60, 72, 96)  # of trials of unequal length
STORAGES = ("journal", "sqlite", "postgres")
WHOLE, TO_IDEAL = "whole command (s)", "first start to last end, to the ideal"
REPORT, PROCESSOR_REPORT = "ms a report", "processor ms a report"
TRAINING, REPORTS = "training (s)", "reports a second"
SPENT, FRESH = "epochs", "fresh val top-1"


def schedule() -> Iterator[Variants]:
    """Ours against the stock Optuna sweeper with the joblib launcher, on the same 16 trials of 12 to 96 epochs.

    One thread a process, an order drawn anew in each round. The ideal is the same trials, begun in the same order
    whenever a worker is free, with nothing but training in between: that of a scheduler that cannot know how long
    trials will take.
    """

    def sweep(arguments: Callable[[int, int], Sequence[str]], workers: int) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            with tempfile.TemporaryDirectory() as folder:
                directory = Path(folder)
                lengths = random.Random(number).sample(EPOCHS, len(EPOCHS))
                varied = f"trainer.epochs={listed(lengths)}"
                sample = run_py(directory, "-m", *PLAIN, varied, *arguments(workers, number))
                assert len(records(directory)) == len(EPOCHS)
                return {WHOLE: sample[WALL], TO_IDEAL: makespan(directory) / _ideal(directory, workers)}

        return run

    variants = {}
    for workers in (2, 4):
        stock = f"{workers} workers, stock"
        variants[stock] = Variant(sweep(_stock, workers))
        variants[f"{workers} workers, ours"] = Variant(sweep(_ours, workers), stock)
    yield variants


def _ours(workers: int, number: int) -> list[str]:
    return [f"sweep.n_jobs={workers}"]


def _stock(workers: int, number: int) -> list[str]:
    stock = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", f"hydra.sweeper.n_trials={len(EPOCHS)}"]
    stock += [f"hydra.sweeper.n_jobs={workers}", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"]
    return [*stock, f"+hydra.sweeper.sampler.seed={number}", "hydra.sweeper.direction=maximize"]


def _ideal(directory: Path, workers: int) -> float:
    """Seconds that the same trials, begun in the same order whenever a worker is free, take with nothing in between."""
    configs = sorted(directory.rglob(".hydra/config.yaml"), key=lambda path: path.stat().st_mtime)
    ends = [0.0] * workers
    for config in configs:
        record = json.loads((config.parents[1] / "result.json").read_text())
        heapq.heapreplace(ends, ends[0] + record["train_seconds"])
    return max(ends)


def costs(*, storages: Sequence[str] = STORAGES) -> Iterator[Variants]:
    """One report of an epoch with the pruner's verdict, by storage, in a study with 20 earlier trials of 30 epochs.

    The engine reports, not the trial, so what a trial loses is its share of that processor time where no core is free.
    """
    pruners = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=0),
        "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3),
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    first = f"{storages[0]}, median"
    yield {
        f"{storage}, {label}": Variant(_cost(storage, pruner), None if f"{storage}, {label}" == first else first)
        for storage in _at_hand(storages)
        for label, pruner in pruners.items()
    }


def _cost(storage: str, pruner: optuna.pruners.BasePruner) -> Callable[[int], Sample]:
    def run(number: int) -> Sample:
        with tempfile.TemporaryDirectory() as folder:
            opened = open_storage(_address(storage, folder), Path(folder)).optuna
            unique = f"bench-{os.getpid()}-{type(pruner).__name__}-{time.monotonic_ns()}"
            study = optuna.create_study(storage=opened, pruner=pruner, direction="maximize", study_name=unique)
            values = {epoch: float(epoch) for epoch in range(1, 31)}
            for _ in range(20):
                study.add_trial(optuna.trial.create_trial(value=30.0, intermediate_values=values))
            trial = study.ask()

            def report() -> None:
                for epoch, value in values.items():
                    trial.report(value, epoch)
                    trial.should_prune()

            sample = timed(report)
            wall, processor = (1000 * sample[figure] / len(values) for figure in (WALL, PROCESSOR))
            return {REPORT: wall, PROCESSOR_REPORT: processor, "reports a second in 2 % of a core": 20 / processor}

    return run


def reports(*, storages: Sequence[str] = STORAGES) -> Iterator[Variants]:
    """What reporting every epoch to a pruner does to the time of training: 8 trials of 40 epochs on two workers.

    The pruner is told of every epoch and stops nothing, as it never has enough trials.
    """
    telling = ("sweep/pruner=median", "sweep.pruner.n_startup_trials=1000")
    trials, epochs = 8, 40
    search = ["sweep=lambdas", "sweep.baseline=null", f"sweep.n_trials={trials}", "sweep/sampler=random"]
    search += ["model=resnet8", f"trainer.epochs={epochs}", "sweep.n_jobs=2", *PLAIN]

    def sweep(storage: str | None) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            with tempfile.TemporaryDirectory() as folder:
                told = [*telling, f"sweep.storage={_address(storage, folder)}"] if storage else []
                run_py(Path(folder), "-m", *search, f"name=bench-{os.getpid()}-{number}", *told)
                rate = trials * epochs / makespan(Path(folder))
                return {TRAINING: trained_seconds(Path(folder)), REPORTS: rate}

        return run

    variants = {storage: Variant(sweep(storage), "no reports") for storage in _at_hand(storages)}
    yield {"no reports": Variant(sweep(None)), **variants}


def _at_hand(storages: Sequence[str]) -> list[str]:
    return [name for name in storages if name != "postgres" or "TFFD_TEST_POSTGRES" in os.environ]


def _address(storage: str, folder: str) -> str:
    known = {"journal": "journal", "sqlite": f"sqlite:///{folder}/study.db"}
    return known.get(storage) or os.environ["TFFD_TEST_POSTGRES"]


def pruning(*, trials: int = 30) -> Iterator[Variants]:
    """Epochs spent by a search of both lambdas, and what the best trial's are worth on ten fresh seeds.

    A round is a seed of the sampler.
    """

    def search(pruner: str) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            with tempfile.TemporaryDirectory() as folder:
                first, again = Path(folder) / "search", Path(folder) / "again"
                chosen = [f"sweep/pruner={pruner}", f"sweep.sampler.seed={1000 * number}", "device=cpu", "threads=1"]
                run_py(first, "-m", "sweep=lambdas", "sweep.baseline=null", f"sweep.n_trials={trials}", *chosen)
                ended = records(first)
                best = max((r for r in ended if r["status"] == "complete"), key=lambda record: record["val_top1"])
                lambdas = [f"lambda_{term}={best[f'lambda_{term}']}" for term in ("intra", "inter")]
                fresh = [f"seed={listed(range(100, 110))}", "device=cpu", "threads=1"]
                run_py(again, "-m", "kd_mode=tfd", *lambdas, *fresh)
                values = [record["val_top1"] for record in records(again)]
                return {SPENT: sum(record["epochs_run"] for record in ended), FRESH: statistics.mean(values)}

        return run

    yield {name: Variant(search(name), None if name == "none" else "none") for name in ("none", "median", "halving")}


BENCHMARKS = (
    Benchmark(schedule, rounds=3, quick=1, ratios={WHOLE: 0.15}, shares={TO_IDEAL: 0.15}, is_long=True),
    Benchmark(costs, ratios={PROCESSOR_REPORT: 0.4}, warm_up=True),
    Benchmark(reports, rounds=6, quick=2, ratios={TRAINING: 0.1}, is_long=True),
    Benchmark(pruning, rounds=4, quick=1, ratios={SPENT: 0.3}, is_long=True),
)
