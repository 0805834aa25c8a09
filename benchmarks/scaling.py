"""How time and memory grow with what a user has more of: `python -m benchmarks.scaling [trials] [reports] ...`.

Times are processor times, of which a busy machine changes little. Each figure comes from a process of its own; "MiB" is
how much its memory grew at most. Runs are played from a script, as in tests/sweep. See scaling.md.
"""

import argparse
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from analysis.read.number_files import read_each
from analysis.statistics.paired import infer_each
from benchmarks.commands import PEAK, run_apart
from benchmarks.gather import write_tree
from benchmarks.measure import PROCESSOR
from benchmarks.scaling_engine import FORK, STORAGES, of_commands, of_jobs, of_workers
from tests.support import compose_config
from tests.sweep.fakes import grid, search
from tffd.config import require_config
from tffd.data.sources.image_folder import ImageFolder
from tffd.records import read_last_metrics, write_metrics
from tffd.sweep.outcome import EpochReports
from tffd.sweep.plan import StudyPlan
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import open_storage
from tffd.sweep.studies.study import ResumableStudy

SAMPLERS = ("tpe", "random", "cmaes")
SPACE: Any = {key: FloatDistribution(1e-5, 0.1, log=True) for key in ("lambda_intra", "lambda_inter")}
Figures = dict[str, float]
_LEAST = 30  # beyond which each question has something to measure


def used(function: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    before = time.process_time()
    function()
    return 1000 * (time.process_time() - before)


def median(function: Callable[[], object]) -> float:
    return statistics.median(used(function) for _ in range(3))


def sizes(least: int, most: int) -> list[int]:
    return [size for power in range(1, 7) for size in (10**power, 3 * 10**power) if least <= size <= most]


def apart(function: Callable[..., Figures], *arguments: Any) -> None:
    """Call it in a process of its own with a folder, and print its figures."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, FORK) as pool:
        figures = pool.submit(_and_memory, function, Path(folder), arguments).result()
    shown = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
    print(f"{function.__name__} {' '.join(map(str, arguments))}: {shown}", flush=True)


def _and_memory(function: Callable[..., Figures], folder: Path, arguments: tuple[Any, ...]) -> Figures:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = function(folder, *arguments)
    return figures | {"MiB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def of_search(folder: Path, storage: str, size: int, *words: str) -> Figures:
    """Asking for a trial, telling its value, counting, opening again: by trials that have ended, or cells to do."""
    with _filled(folder, storage, size, *words) as (reopen, lease):
        return {"open again ms": median(reopen)} | _asked(reopen(), lease)


def of_grid(folder: Path, storage: str, size: int) -> Figures:
    study = _open(folder, storage, grid(*range(size)))
    with Lease(folder, [study.optuna], 1000) as lease:
        return _asked(study, lease)


def _asked(study: ResumableStudy, lease: Lease) -> Figures:
    claims: list[Any] = []
    first, *asked = [used(lambda: claims.append(study.claim(lease))) for _ in range(4)]
    told = [used(partial(study.succeed, claim.trial, [1.0])) for claim in claims]
    numbers = {"ask ms": asked, "tell ms": told, "count ms": [used(study.counts) for _ in range(3)]}
    return {"first ask ms": first} | {name: statistics.median(values) for name, values in numbers.items()}


def _open(folder: Path, storage: str, plan: StudyPlan, *words: str) -> ResumableStudy:
    settings = require_config(compose_config("sweep=lambdas", "sweep.n_trials=20000", *words))
    return ResumableStudy(plan, settings, open_storage(STORAGES[storage].format(folder), folder))


@contextmanager
def _filled(
    folder: Path, storage: str, size: int, *words: str, epochs: int = 0
) -> Iterator[tuple[Callable[[], ResumableStudy], Lease]]:
    """A search with trials that have ended, in generations as those of CMA-ES."""
    plan, draw = search(20_000, space=SPACE), random.Random(0)
    study = _open(folder, storage, plan, *words)
    with Lease(folder, [study.optuna], 1000) as lease:
        for number in range(size):
            ended = create_trial(
                value=draw.random(),
                params={key: 10 ** draw.uniform(-5, -1) for key in SPACE},
                distributions=SPACE,
                user_attrs={"owner": lease.token},
                system_attrs={"cma:generation": number // 6},
                intermediate_values={epoch: draw.random() for epoch in range(1, epochs + 1)},
            )
            study.optuna.add_trial(ended)
        yield lambda: _open(folder, storage, plan, *words), lease


def of_report(folder: Path, storage: str, size: int, *words: str) -> Figures:
    """One report with the pruner's verdict, by trials of 30 epochs that have ended."""
    with _filled(folder, storage, size, *words, epochs=30) as (reopen, lease):
        study = reopen()
        claim: Any = study.claim(lease)
        return {"ms": used(lambda: [study.report(claim.trial, 2.0, epoch) for epoch in range(1, 31)]) / 30}


def of_epochs(folder: Path, size: int) -> Figures:
    """metrics.csv: writing it after an epoch, a look at its last row, what is new to report, reading it for a curve."""
    names = ("lr", "kd_factor", "train_loss", "train_ce", "train_top1", "intra", "inter", "val_loss", "val_top1")
    rows = [{"epoch": number, **{name: random.random() for name in names}} for number in range(1, size + 1)]
    reports = EpochReports.__new__(EpochReports)
    reports._path, reports._objective, reports._reported = folder / "metrics.csv", "best_val_top1", size - 1
    return {
        "write ms": median(lambda: write_metrics(folder, rows)),
        "last row ms": median(lambda: read_last_metrics(folder)),
        "new rows ms": median(reports._new),
        "curve ms": median(lambda: list(read_each([str(folder / "metrics.csv")]))),
    }


def of_pictures(folder: Path, size: int) -> Figures:
    """A tree of small files, links to a few: its check, its fingerprint, the bytes of all of them."""
    for number in range(size):
        place = folder / ("test" if number % 6 == 5 else "train") / f"{number // 6 % 100}"
        first = place / f"{number // 60_000}.jpg"
        try:
            os.link(first, place / f"{number}-.jpg")
        except FileNotFoundError:
            place.mkdir(parents=True, exist_ok=True)
            first.write_bytes(b"0" * 1000)
    source = ImageFolder(str(folder))
    return {f"{step.__name__} s": used(step) / 1000 for step in (source.check, source.fingerprint, source.content)}


def of_pairs(folder: Path, size: int) -> Figures:
    """Inference on paired differences; then the table of four kd_modes, each a quarter of the runs."""
    draw = random.Random(0)
    sample = [draw.gauss(0.3, 1.0) for _ in range(size)]
    infer_each([sample[:13]])  # imports
    return {"ms a row": median(lambda: infer_each([sample]))}


def of_table(folder: Path, runs: int) -> Figures:
    write_tree(folder, runs, 1, runs // 4)
    taken = [run_apart("-m", "analysis", "table", folder) for _ in range(3)]
    return {"s": statistics.median(each[PROCESSOR] for each in taken), "MiB in all": max(each[PEAK] for each in taken)}


def calls(most: int) -> dict[str, list[tuple[Any, ...]]]:
    """What is measured for each question: a function and its arguments."""
    some = most // 10  # of what takes longer
    return {
        "trials": [
            *((of_search, "sqlite", size, "sweep/sampler=tpe") for size in sizes(10, most)),
            *((of_search, "journal", size, f"sweep/sampler={name}") for name in SAMPLERS for size in sizes(10, most)),
            *((of_search, "journal", size, "sweep/sampler=gp") for size in sizes(10, some)),
            *((of_grid, "sqlite", size) for size in sizes(30, some)),
            *((of_grid, "journal", size) for size in sizes(30, most)),
        ],
        "reports": [
            (of_report, storage, size, f"sweep/pruner={pruner}")
            for storage in STORAGES
            for pruner in ("median", "halving", "hyperband")
            for size in sizes(10, some // 3 if storage == "sqlite" else most // 3)
        ],
        "epochs": [(of_epochs, size) for size in sizes(10, most)],
        "workers": [(of_workers, count) for count in (1, 4, 8, 16, 32)],
        "jobs": [(of_jobs, count) for count in (100, 300, 1000)],
        "commands": [(of_commands, storage, count) for storage in STORAGES for count in (1, 2, 4, 8)],
        "pictures": [(of_pictures, size) for size in (*sizes(1000, 10 * most), 120 * most)],
        "pairs": [*((of_pairs, size) for size in (6, 12, 13, *sizes(30, most))), (of_table, most)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="question", help=f"of {', '.join(calls(_LEAST))}; default: all")
    parser.add_argument("--most", type=int, default=10_000, help="trials, epochs, pairs; default: %(default)s")
    options = parser.parse_args()
    questions = calls(options.most)
    if unknown := set(options.names) - set(questions):
        parser.error(f"there is no question {min(unknown)}; there are {', '.join(questions)}")
    if options.most < _LEAST:
        parser.error(f"--most {options.most}: is too few to show how anything grows; use {_LEAST} or more")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in options.names or questions:
        print(f"\n{name}: {questions[name][0][0].__doc__}", flush=True)
        for function, *arguments in questions[name]:
            apart(function, *arguments)


if __name__ == "__main__":
    main()
