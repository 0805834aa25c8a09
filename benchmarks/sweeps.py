"""What the README claims about sweeps: `python -m benchmarks.sweeps schedule|overhead|costs|reports|pruning`.

Every figure comes from the files that real sweeps over scikit-learn's digits leave. Variants are interleaved, and the
machine should have nothing else to do.
"""

import argparse
import heapq
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra import compose, initialize_config_dir

from tffd.app import register_resolvers
from tffd.config import require_config
from tffd.sweep.executors.local import LocalExecutor
from tffd.sweep.studies.storage import open_storage
from tffd.sweep.worker import Job

REPOSITORY = Path(__file__).parents[1]
EPOCHS = (12, 14, 16, 18, 20, 22, 24, 26, 28, 32, 36, 40, 48, 60, 72, 96)  # of trials of unequal length
PLAIN = ("device=cpu", "threads=1", "trainer.checkpoint_every=0")


def sweep(directory: Path, *arguments: str) -> float:
    """Run a sweep to its end; return how long the command took."""
    command = [sys.executable, "run.py", "-m", f"results_dir={directory}", f"dataset.cache={directory}/cache"]
    started = time.perf_counter()
    subprocess.run([*command, *arguments], cwd=REPOSITORY, check=True, capture_output=True)
    return time.perf_counter() - started


def records(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in directory.rglob("result.json")]


def makespan(directory: Path) -> float:
    """Seconds from the first run's beginning to the last one's end, by the times of their files."""
    begun = min(path.stat().st_mtime for path in directory.rglob(".hydra/config.yaml"))
    return max(path.stat().st_mtime for path in directory.rglob("result.json")) - begun


def ideal(directory: Path, workers: int) -> float:
    """Seconds that the same trials, begun in the same order as soon as a worker is free, take with nothing in between.

    Whoever does not know how long trials will take cannot do better than that.
    """
    configs = sorted(directory.rglob(".hydra/config.yaml"), key=lambda path: path.stat().st_mtime)
    ends = [0.0] * workers
    for config in configs:
        record = json.loads((config.parents[1] / "result.json").read_text())
        heapq.heapreplace(ends, ends[0] + record["train_seconds"])
    return max(ends)


def schedule(rounds: int) -> None:
    """Ours against the stock Optuna sweeper with the joblib launcher, on the same trials of unequal length."""
    for workers in (2, 4):
        figures: dict[str, list[tuple[float, float, float]]] = {"ours": [], "stock": []}
        for number in range(rounds):
            for variant in figures:
                with tempfile.TemporaryDirectory() as folder:
                    wall = sweep(Path(folder), *_unequal(variant, workers, number))
                    assert len(records(Path(folder))) == len(EPOCHS)
                    figures[variant].append((wall, makespan(Path(folder)), ideal(Path(folder), workers)))
        for variant, measured in figures.items():
            walls, spans, ideals = zip(*measured, strict=True)
            ratios = [span / least for span, least in zip(spans, ideals, strict=True)]
            print(
                f"{workers} workers, {variant:5}: first start to last end {spread(spans)} s, to the ideal schedule "
                f"{spread(ratios)}; whole command {spread(walls)} s"
            )
        pairs = list(zip(figures["ours"], figures["stock"], strict=True))
        print(
            f"{workers} workers, ours to stock: whole command {spread([ours[0] / stock[0] for ours, stock in pairs])}"
        )


def _unequal(variant: str, workers: int, number: int) -> list[str]:
    lengths = random.Random(number).sample(EPOCHS, len(EPOCHS))
    varied = f"trainer.epochs={','.join(map(str, lengths))}"
    if variant == "ours":
        return [*PLAIN, varied, f"sweep.n_jobs={workers}"]
    stock = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", f"hydra.sweeper.n_trials={len(EPOCHS)}"]
    stock += [f"hydra.sweeper.n_jobs={workers}", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"]
    return [*PLAIN, *stock, f"+hydra.sweeper.sampler.seed={number}", "hydra.sweeper.direction=maximize", varied]


def overhead(rounds: int) -> None:
    """What a trial costs besides its training: short equal trials, one after the other."""
    costs = []
    trials = 12
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            seeds = ",".join(map(str, range(trials)))
            sweep(Path(folder), *PLAIN, "model=resnet8", "trainer.epochs=2", f"seed={seeds}", "sweep.n_jobs=1")
            trained = sum(record["train_seconds"] for record in records(Path(folder)))
            costs.append((makespan(Path(folder)) - trained) / trials)
    print(f"a trial costs {spread(costs)} s besides its training")
    with tempfile.TemporaryDirectory() as folder:
        first, *others = starts(Path(folder), 10 * rounds)
    print(
        f"start() to the first line of a run: {spread(others)} s; of the first, which waits for imports, {first:.2g} s"
    )


def starts(directory: Path, count: int) -> list[float]:
    """Seconds from LocalExecutor.start() to run.log, the first thing that a run does in its process."""
    overrides = [*PLAIN, f"dataset.cache={directory}/cache", "model=resnet8", "trainer.epochs=1"]
    register_resolvers()
    with initialize_config_dir(str(REPOSITORY / "conf")):
        config = compose("config", overrides, return_hydra_config=True)
    executor, seconds = LocalExecutor(1, 1), []
    for number in range(count):
        run_dir = directory / str(number)
        started = time.perf_counter()
        run = executor.start(Job(require_config(config), config, "", run_dir, (None, None), "benchmark", number, None))
        while not (run_dir / "run.log").exists():
            time.sleep(0.0005)
        seconds.append(time.perf_counter() - started)
        run.stop()
        time.sleep(1)  # a trial takes longer than a process to wait for the next one
    executor.close(cancel=True)
    return seconds


def reports(rounds: int, names: Sequence[str]) -> None:
    """What reporting every epoch to a pruner does to the time of training, by storage, on two workers."""
    addresses = {"sqlite": "sqlite:///{folder}/study.db", "journal": "journal"}
    addresses |= {"postgres": os.environ.get("TFFD_TEST_POSTGRES", "")}
    storages = {"none": ""} | {name: addresses[name] for name in names if addresses[name]}
    # A median pruner that never has enough trials: it is told of every epoch, and stops nothing.
    telling = ("sweep/pruner=median", "sweep.pruner.n_startup_trials=1000")
    trials, epochs = 8, 40
    search = ["sweep=lambdas", "sweep.baseline=null", f"sweep.n_trials={trials}", "sweep/sampler=random"]
    search += ["model=resnet8", f"trainer.epochs={epochs}", "sweep.n_jobs=2", *PLAIN]
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in storages}
    for number in range(rounds):
        # Turn and turn about: what comes second may find another machine.
        for name, storage in list(storages.items())[:: (-1) ** number]:
            with tempfile.TemporaryDirectory() as folder:
                told = [*telling, f"sweep.storage={storage.format(folder=folder)}"] if storage else []
                sweep(Path(folder), *search, f"name=bench-{os.getpid()}-{number}-{name}", *told)
                trained = sum(record["train_seconds"] for record in records(Path(folder)))
                figures[name].append((trained, trials * epochs / makespan(Path(folder))))
    for name, measured in figures.items():
        ratios = [told[0] / alone[0] for told, alone in zip(measured, figures["none"], strict=True)]
        rates = [rate for _, rate in measured]
        print(f"reports to {name:8}: {spread(rates)} epochs a second; training time to that without {spread(ratios)}")


def costs(rounds: int) -> None:
    """Processor time of one report with the pruner's verdict, by storage, in a study with 20 trials of 30 epochs."""
    addresses = {"sqlite": None, "journal": "journal", "postgres": os.environ.get("TFFD_TEST_POSTGRES")}
    pruners = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=0),
        "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3),
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name, address in addresses.items():
        if name == "postgres" and address is None:
            continue
        for label, pruner in pruners.items():
            times = []
            for number in range(rounds):
                with tempfile.TemporaryDirectory() as folder:
                    storage = open_storage(address, Path(folder)).optuna
                    unique = f"bench-{os.getpid()}-{label}-{number}"
                    study = optuna.create_study(storage=storage, pruner=pruner, direction="maximize", study_name=unique)
                    for _ in range(20):
                        values = {epoch: float(epoch) for epoch in range(1, 31)}
                        study.add_trial(optuna.trial.create_trial(value=30.0, intermediate_values=values))
                    trial = study.ask()
                    before, began = time.process_time(), time.perf_counter()
                    for epoch in range(1, 31):
                        trial.report(float(epoch), epoch)
                        trial.should_prune()
                    used, took = time.process_time() - before, time.perf_counter() - began
                    times.append((1000 * used / 30, 1000 * took / 30))
            processor, wall = zip(*times, strict=True)
            rate = 20 / statistics.median(processor)
            print(
                f"{name:8} {label:8}: {spread(processor)} ms of processor time a report ({spread(wall)} ms in all); "
                f"2 % of a core is {rate:.0f} reports a second"
            )


def pruning(sampler_seeds: int, trials: int) -> None:
    """Epochs spent and the quality of what was found, with and without pruning, for the same sampler seeds."""
    searched = ["sweep=lambdas", "sweep.baseline=null", f"sweep.n_trials={trials}"]
    fresh = [f"seed={','.join(map(str, range(100, 110)))}", "device=cpu", "threads=1"]
    for number in range(sampler_seeds):
        for pruner in ("none", "median", "halving"):
            with tempfile.TemporaryDirectory() as folder:
                chosen = [f"sweep/pruner={pruner}", f"sweep.sampler.seed={1000 * number}", "device=cpu", "threads=1"]
                wall = sweep(Path(folder) / "search", *searched, *chosen)
                ended = records(Path(folder) / "search")
                best = max((r for r in ended if r["status"] == "complete"), key=lambda record: record["val_top1"])
                lambdas = [f"lambda_{term}={best[f'lambda_{term}']}" for term in ("intra", "inter")]
                sweep(Path(folder) / "again", "kd_mode=tfd", *lambdas, *fresh)
                values = [record["val_top1"] for record in records(Path(folder) / "again")]
                error = statistics.stdev(values) / len(values) ** 0.5
                print(
                    f"sampler seed {1000 * number}, {pruner:9}: {sum(r['epochs_run'] for r in ended)} epochs, "
                    f"{wall:.0f} s; best {best['val_top1']:.2f} at {' '.join(lambdas)}; on {len(values)} fresh seeds "
                    f"{statistics.mean(values):.2f} (standard error {error:.2f})",
                    flush=True,
                )


def spread(values: Sequence[float]) -> str:
    """Median, minimum and maximum."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("schedule", "overhead", "costs", "reports", "pruning"))
    parser.add_argument("--rounds", type=int, default=5, help="or sampler seeds of `pruning`; default: %(default)s")
    parser.add_argument("--trials", type=int, default=30, help="of a search of `pruning`; default: %(default)s")
    kinds = ("sqlite", "journal", "postgres")
    parser.add_argument("--storages", nargs="+", choices=kinds, default=kinds, help="of `reports`; default: all")
    options = parser.parse_args()
    match options.what:
        case "schedule":
            schedule(options.rounds)
        case "overhead":
            overhead(options.rounds)
        case "costs":
            costs(options.rounds)
        case "reports":
            reports(options.rounds, options.storages)
        case "pruning":
            pruning(options.rounds, options.trials)


if __name__ == "__main__":
    main()
