"""The same trials with this project's sweeper and with others, for the time they take: `python -m benchmarks.races`.

Sixteen points of both lambdas, two at a time, one thread each. `searches.md` has the figures.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna

from benchmarks.searches import PLAIN, REPOSITORY, run
from benchmarks.stopping import EPOCHS

LATTICE = (1e-5, 2e-4, 5e-3, 1e-1)  # values of either lambda
Pair = tuple[float, float]


def race(rounds: int, python: str) -> None:
    """The same 16 trials of both lambdas with each sweeper, two at a time; turn and turn about.

    Args:
        python: Of an environment with Ray Tune; "" leaves it out.
    """
    adopt()
    figures: dict[str, list[tuple[float, float]]] = {}
    for number in range(rounds):
        points = [(intra, inter) for intra in LATTICE for inter in LATTICE]
        random.Random(number).shuffle(points)
        asked = ",".join(f"{{lambda_intra:{intra},lambda_inter:{inter}}}" for intra, inter in points)
        ours = ["sweep=lambdas", "sweep.baseline=null", "sweep.n_trials=16", f"sweep.enqueue=[{asked}]"]
        lattice = ",".join(map(str, LATTICE))
        stock = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=16"]
        stock += ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.launcher.n_jobs=2"]
        stock += ["hydra.sweeper.direction=maximize", f"lambda_intra={lattice}", f"lambda_inter={lattice}"]
        contestants: dict[str, list[str]] = {"ours": ours, "stock": stock, "optuna": [sys.executable]}
        contestants |= {f"ours, {pruner}": [*ours, f"sweep/pruner={pruner}"] for pruner in ("median", "halving")}
        contestants |= {"ray": [python]} if python else {}
        for name, arguments in list(contestants.items())[:: (-1) ** number]:
            with tempfile.TemporaryDirectory() as place:
                folder, before = Path(place), resource.getrusage(resource.RUSAGE_CHILDREN)
                if name in ("optuna", "ray"):
                    started = time.perf_counter()
                    command = [*arguments, "-m", "benchmarks.races", name, place, json.dumps(points)]
                    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
                    wall = time.perf_counter() - started
                    ended = [json.loads(line) for line in (folder / "found.jsonl").read_text().splitlines()]
                else:
                    wall = run(folder, *arguments, *([] if name == "stock" else ["sweep.n_jobs=2"]))
                    results = [json.loads(path.read_text()) for path in folder.rglob("result.json")]
                    keys = ("epochs_run", "val_top1", "lambda_intra", "lambda_inter")
                    ended = [[result[key] for key in keys] for result in results]
            reap()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            best = max((one for one in ended if one[0] == EPOCHS), key=lambda one: one[1])
            figures.setdefault(name, []).append((wall, used))
            spent = sum(one[0] for one in ended)
            print(
                f"round {number}, {name}: {wall:.1f} s, {used:.1f} s of processor time, {len(ended)} trials, {spent} "
                f"epochs; best {best}",
                flush=True,
            )
    for name, measured in figures.items():
        for kind, what in enumerate(("s", "s of processor time")):
            times = [one[kind] for one in measured]
            ratios = [one / own[kind] for one, own in zip(times, figures["ours"], strict=True)]
            print(f"{name}: {statistics.median(times):.1f} {what}, to ours {statistics.median(ratios):.2f}")


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
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base=None):
        overrides = [*PLAIN, f"lambda_intra={point[0]}", f"lambda_inter={point[1]}"]
        config = require_config(compose("config", overrides, return_hydra_config=True))
    parts = build_parts(config, None)
    optimizer = make_optimizer(parts.learners, parts.recipe)
    for progress in train(parts.learners, parts.data, parts.recipe, optimizer, Progress(0, [], 0.0)):
        yield progress.history[-1]["val_top1"]


def note(folder: Path, epochs: int, value: float, point: Pair) -> None:
    with (folder / "found.jsonl").open("a") as file:
        file.write(json.dumps([epochs, value, *point]) + "\n")


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

    def objective(trial: optuna.Trial) -> float:
        point, value = names[trial.suggest_categorical("point", list(names))], 0.0
        try:
            (folder / str(points.index(point))).touch(exist_ok=False)
        except FileExistsError:  # the other process took the last that waited, and this one was drawn
            raise optuna.TrialPruned from None
        for epoch, value in enumerate(val_top1(point), 1):
            trial.report(value, epoch)
            if trial.should_prune():
                note(folder, epoch, value, point)
                raise optuna.TrialPruned
        note(folder, EPOCHS, value, point)
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
        note(folder, result.metrics["epoch"], result.metrics["val_top1"], result.config["point"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", choices=("race", "optuna", "ray"), nargs="?", default="race", help="the others: of race"
    )
    parser.add_argument("folder", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("points", type=json.loads, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--ray", default="", metavar="PYTHON", help="of an environment with Ray Tune")
    options = parser.parse_args()
    match options.what:
        case "race":
            race(options.rounds, options.ray)
        case "optuna":
            optuna_alone(options.folder, [tuple(point) for point in options.points])
        case "ray":
            ray_tune(options.folder, options.points)


if __name__ == "__main__":
    main()
