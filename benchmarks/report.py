"""`python -m analysis report` on a search of many trials."""

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.commands import run_apart
from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants
from benchmarks.runs import record, write_run

SPACE = {"lambda_intra": "tag(log, interval(1e-5, 1e-1))", "lambda_inter": "tag(log, interval(1e-5, 1e-1))"}
_STAGES = (16, 32, 64)  # channels
_COLUMNS = "lr,kd_factor,train_loss,train_ce,intra,inter,train_top1,val_loss,val_top1,val_top5"


def report(*, trials: int = 300, lengths: Sequence[int] = (30, 240)) -> Iterator[Variants]:
    """The page of a search with its baseline, in fresh processes, for trials of several numbers of epochs.

    The tree is what `python run.py -m sweep=lambdas` leaves: `sweep.json`, three baseline runs, and for every trial
    `.hydra/config.yaml` and `overrides.yaml`, `result.json`, `metrics.csv` with a row an epoch, and `saliency.csv`. One
    in ten was pruned, one in fifty has failed. The files are in the page cache, as they were written just before.
    """
    with tempfile.TemporaryDirectory() as folder:
        variants: dict[str, Variant] = {}
        for epochs in lengths:
            directory = Path(folder) / str(epochs)
            write_search(directory, trials, epochs)
            variants[f"{epochs} epochs"] = Variant(_page(directory), f"{lengths[0]} epochs" if variants else None)
        yield variants


def _page(directory: Path) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        sample = run_apart("-m", "analysis", "report", directory)
        return {**sample, "page MB": (directory / "report.html").stat().st_size / 1e6}

    return run


def write_search(root: Path, trials: int, epochs: int) -> None:
    """Write a search of both lambdas, with a ridge where their product is about 1e-6."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        _write(root / f"baseline/{seed:04d}", "baseline", seed, seed, (0.0, 0.0), 70 + seed, epochs, rng)
    for number in range(trials):
        intra, inter = (10.0 ** rng.uniform(-5, -1, 2)).tolist()
        top1 = 72 - (math.log10(intra * inter) + 6) ** 2 + float(rng.normal(0, 0.3))
        _write(root / f"search/{number:04d}", "search", number, 0, (intra, inter), top1, epochs, rng)
    cells = [{"kd_mode": "none", "seed": str(seed)} for seed in range(3)]
    studies = [
        {"study": "baseline", "kind": "grid", "n_trials": 3, "cells": cells},
        {"study": "search", "kind": "search", "n_trials": trials, "cells": None},
    ]
    plan = {"name": root.name, "objective": "val_top1", "direction": "maximize", "space": SPACE, "fixed": []}
    command = f"python run.py -m sweep=lambdas sweep.n_trials={trials}"
    (root / "sweep.json").write_text(json.dumps(plan | {"command": command, "studies": studies}))


def _write(
    run: Path,
    study: str,
    number: int,
    seed: int,
    lambdas: tuple[float, float],
    top1: float,
    epochs: int,
    rng: np.random.Generator,
) -> None:
    status = "complete"
    if study == "search":
        status = "failed" if number % 50 == 49 else "pruned" if number % 10 == 9 else "complete"
    ran = epochs if status == "complete" else max(1, epochs // 3)
    intra, inter = lambdas
    progress = 1 - np.exp(-5 * np.arange(1, ran + 1) / epochs)
    table = rng.normal(1, 0.02, (ran, 10)) * progress[:, None]
    table[:, 8] = top1 * progress
    result = record(
        f"{intra!r}-{inter!r}", None if status == "failed" else top1, status=status,
        error="TrainingDiverged: the training loss became nan in epoch 3" if status == "failed" else None,
        name="lambdas", study=study, trial=number, kd_mode="tfd" if intra else "none", lambda_intra=intra,
        lambda_inter=inter, seed=seed, epochs=epochs, epochs_run=ran, best_val_epoch=ran,
        train_seconds=3000.0 + number,
    )  # fmt: skip
    config = f"seed: {seed}\ntrainer:\n  epochs: {epochs}\n  lr: 0.1\n"
    overrides = [f"lambda_intra={intra!r}", f"lambda_inter={inter!r}"] if intra else ["kd_mode=none", f"seed={seed}"]
    write_run(run, config, overrides, _COLUMNS, table, result)
    if status == "complete":
        ranked = [(stage, rank, 0.1 / rank) for stage, width in enumerate(_STAGES, 1) for rank in range(1, width + 1)]
        lines = "\n".join(",".join(map(repr, row)) for row in ranked)
        (run / "saliency.csv").write_text(f"stage,rank,saliency\n{lines}\n")


BENCHMARKS = (Benchmark(report, ratios={WALL: None, PROCESSOR: 0.15}),)
