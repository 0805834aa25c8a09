"""The same trials with this project's sweeper and with others, for the time they take."""

import ctypes
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna

from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants
from benchmarks.searches import PLAIN, REPOSITORY, run
from benchmarks.stopping import EPOCHS

LATTICE = (1e-5, 2e-4, 5e-3, 1e-1)  # values of either lambda
Pair = tuple[float, float]
Ended = tuple[int, float]
"""Epochs of a trial, and its val top-1 after the last."""

OPTUNA, RAY = "Optuna alone, median", "Ray Tune, ASHA"
RAY_PYTHON = "TFFD_BENCH_RAY"
SPENT, BEST = "epochs", "best val top-1"


def race() -> Iterator[Variants]:
    """Sixteen points of both lambdas with each sweeper, in the same order, two at a time, one thread each.

    Ray Tune takes part where TFFD_BENCH_RAY names the Python of an environment that has it.
    """

    def apart(name: str) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            command = [sys.executable, "-m", "benchmarks.races", name, str(number)]
            done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
            sample: Sample = json.loads(done.stdout.splitlines()[-1])
            return sample

        return run

    names = [name for name in CONTESTANTS if name != RAY or RAY_PYTHON in os.environ]
    yield {name: Variant(apart(name), None if name == names[0] else names[0]) for name in names}


def _ours(*chosen: str) -> Callable[[Path, int], list[Ended]]:
    sweep = ["sweep=lambdas", "sweep.baseline=null", "sweep.n_trials=16", "sweep.n_jobs=2", *chosen]

    def search(folder: Path, number: int) -> list[Ended]:
        points = ",".join(f"{{lambda_intra:{intra},lambda_inter:{inter}}}" for intra, inter in _points(number))
        return _swept(folder, *sweep, f"sweep.enqueue=[{points}]")

    return search


def _stock(folder: Path, number: int) -> list[Ended]:
    lattice = ",".join(map(str, LATTICE))
    stock = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=16"]
    stock += ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.launcher.n_jobs=2"]
    stock += ["hydra.sweeper.direction=maximize", f"lambda_intra={lattice}", f"lambda_inter={lattice}"]
    return _swept(folder, *stock, f"+hydra.sweeper.sampler.seed={number}")


def _swept(folder: Path, *arguments: str) -> list[Ended]:
    run(folder, *arguments)
    results = [json.loads(path.read_text()) for path in folder.rglob("result.json")]
    return [(result["epochs_run"], result["val_top1"]) for result in results]


def _alone(name: str) -> Callable[[Path, int], list[Ended]]:
    """Search without this project's sweeper, in a process that ends with its helpers."""

    def search(folder: Path, number: int) -> list[Ended]:
        python = os.environ[RAY_PYTHON] if name == RAY else sys.executable
        command = [python, "-m", "benchmarks.races", name, str(number), str(folder)]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        return [tuple(json.loads(line)) for line in (folder / "found.jsonl").read_text().splitlines()]

    return search


CONTESTANTS = {
    "ours": _ours(),
    "stock sweeper": _stock,
    OPTUNA: _alone(OPTUNA),
    "ours, median": _ours("sweep/pruner=median"),
    "ours, halving": _ours("sweep/pruner=halving"),
    RAY: _alone(RAY),
}
"""Each searches, and returns the trials that have ended."""


def measure(name: str, number: int) -> Sample:
    """Let one search, in a process of its own; its time is that of all processes that it starts."""
    adopt()
    with tempfile.TemporaryDirectory() as place:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = CONTESTANTS[name](Path(place), number)
        wall = time.perf_counter() - started
        reap()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    best = max(value for epochs, value in ended if epochs == EPOCHS)
    return {WALL: wall, PROCESSOR: used, SPENT: sum(epochs for epochs, _ in ended), BEST: best}


def _points(number: int) -> list[Pair]:
    points = [(intra, inter) for intra in LATTICE for inter in LATTICE]
    random.Random(number).shuffle(points)
    return points


def adopt() -> None:
    """Become the parent of processes whose own has ended, so that their processor time is counted (Linux)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap() -> None:
    """Wait for all processes that are left."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def val_top1(point: Pair) -> Iterator[float]:
    """Train as run.py does, in this process and without a record."""
    import torch
    from hydra import compose, initialize_config_dir

    from tffd.app import register_resolvers
    from tffd.build import build_parts
    from tffd.config import require_config
    from tffd.training.loop import Progress, make_optimizer, train

    torch.set_num_threads(1)
    register_resolvers()
    with initialize_config_dir(str(REPOSITORY / "conf")):
        overrides = [*PLAIN, f"lambda_intra={point[0]}", f"lambda_inter={point[1]}"]
        config = require_config(compose("config", overrides, return_hydra_config=True))
    parts = build_parts(config, None)
    optimizer = make_optimizer(parts.learners, parts.recipe)
    for progress in train(parts.learners, parts.data, parts.recipe, optimizer, Progress(0, [], 0.0)):
        yield progress.history[-1]["val_top1"]


def note(folder: Path, epochs: int, value: float) -> None:
    with (folder / "found.jsonl").open("a") as file:
        file.write(json.dumps([epochs, value]) + "\n")


def optuna_alone(folder: Path, points: list[Pair]) -> None:
    """Optuna with its median pruner: two processes that share a study."""
    study = optuna.create_study(storage=_journal(folder), study_name="alone", direction="maximize")
    for point in points:
        study.enqueue_trial({"point": str(point)})
    processes = [multiprocessing.get_context("spawn").Process(target=_optimize, args=(folder, points)) for _ in "12"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _journal(folder: Path) -> Any:
    from optuna.storages.journal import JournalFileBackend

    return optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.journal")))


def _optimize(folder: Path, points: list[Pair]) -> None:
    names = {str(point): point for point in points}
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        point, value = names[trial.suggest_categorical("point", list(names))], 0.0
        try:
            (folder / str(points.index(point))).touch(exist_ok=False)
        except FileExistsError:  # the other process took the last that waited, and this one was drawn
            raise optuna.TrialPruned from None
        for epoch, value in enumerate(val_top1(point), 1):
            trial.report(value, epoch)
            if trial.should_prune():
                note(folder, epoch, value)
                raise optuna.TrialPruned
        note(folder, EPOCHS, value)
        return value

    study = optuna.load_study(storage=_journal(folder), study_name="alone", pruner=optuna.pruners.MedianPruner(5, 5))
    while study.get_trials(states=[optuna.trial.TrialState.WAITING]):
        study.optimize(objective, n_trials=1)


def ray_tune(folder: Path, points: list[Pair]) -> None:
    """Ray Tune with its ASHA, which is not a dependency of this project."""
    import ray  # type: ignore[import-not-found, unused-ignore]
    from ray import tune

    def train_point(config: dict[str, Any]) -> None:
        for epoch, value in enumerate(val_top1(config["point"]), 1):
            tune.report({"val_top1": value, "epoch": epoch})

    places = {"env_vars": {"PYTHONPATH": str(REPOSITORY)}}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=places,
    )
    asha = tune.schedulers.ASHAScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=3, reduction_factor=3)
    settings = tune.TuneConfig(metric="val_top1", mode="max", max_concurrent_trials=2, scheduler=asha)
    place = tune.RunConfig(storage_path=str(folder / "ray"), verbose=0)
    tuner = tune.Tuner(
        train_point, param_space={"point": tune.grid_search(points)}, tune_config=settings, run_config=place
    )
    for result in tuner.fit():
        note(folder, result.metrics["epoch"], result.metrics["val_top1"])


BENCHMARKS = (Benchmark(race, rounds=3, quick=1, ratios={WALL: None, PROCESSOR: 0.2}, is_long=True),)


BENCHMARKS = (Benchmark(race, rounds=3, quick=1, ratios={WALL: None, PROCESSOR: 0.2}, is_long=True),)


def main() -> None:
    """Measure a contestant: its name, and the number of the round; with a directory, search in it alone."""
    match sys.argv[1:]:
        case [name, number, folder]:
            {OPTUNA: optuna_alone, RAY: ray_tune}[name](Path(folder), _points(int(number)))
        case [name, number]:
            print(json.dumps(measure(name, int(number))))


if __name__ == "__main__":
    main()
