"""`python -m analysis table` and the frame of all learning curves, on a tree of many runs."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.commands import run_apart
from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants
from benchmarks.runs import record, write_run

KD_MODES = {"none": (0, 0), "intra": (1, 0), "inter": (0, 1), "tfd": (1, 1)}
MODELS = ("resnet20", "resnet32", "wrn_16_2", "resnet8x4", "vgg8")
_CONFIG = "seed: {seed}\ntrainer:\n  lr: 0.1\n  epochs: {epochs}\nmodel:\n  name: {model}\n"
_COLUMNS = "lr,kd_factor,train_loss,train_ce,train_top1,intra,inter,val_loss,val_top1,val_top5"
COMMANDS = {
    "table": ["table"],
    "table, models side by side": ["table", "--rows", "train_size,kd_mode", "--cols", "model"],
    "table of a config key": ["table", "--rows", "train_size,kd_mode,trainer.lr", "--cols", "model"],
    "missing": ["table", "--missing"],
    "runs": ["runs"],
}
CURVES = "import sys; from analysis.read.curves import read_curves; from analysis.read.gather import gather; "
CURVES += "read_curves(gather(sys.argv[1]))"


def gather(*, runs: int = 10_000, epochs: int = 240, seeds: int = 10) -> Iterator[Variants]:
    """Commands of the analysis on what finished sweeps leave, and the frame of all learning curves.

    A run has `.hydra/config.yaml` and `overrides.yaml`, `result.json`, and `metrics.csv` with a row an epoch. There are
    4 kd_modes on 5 models, and as many training sizes as the number of runs asks for. One in a hundred has failed, one
    has no result and one a broken file. The files are in the page cache, as they were written just before.
    """
    with tempfile.TemporaryDirectory() as directory:
        write_tree(Path(directory), runs, epochs, seeds)
        starts = {name: ["-m", "analysis", verb, directory, *more] for name, (verb, *more) in COMMANDS.items()}
        starts["learning curves"] = ["-c", CURVES, directory]
        yield {name: Variant(_run(start), None if name == "table" else "table") for name, start in starts.items()}


def _run(arguments: Sequence[str]) -> Callable[[int], Sample]:
    return lambda _: run_apart(*arguments)


def write_tree(root: Path, runs: int, epochs: int, seeds: int) -> None:
    """Write a grid for each model and training size, as many as it takes for `runs` runs."""
    rng = np.random.default_rng(0)
    settings = [(model, mode, number) for number in range(runs) for model in MODELS for mode in KD_MODES]
    for number in range(runs):
        model, mode, step = settings[number // seeds]
        grid, seed = root / f"{model}-{step:03d}", number % seeds
        write_run(
            grid / "grid" / f"{mode}-{seed}",
            _CONFIG.format(seed=seed, epochs=epochs, model=model),
            [f"kd_mode={mode}", f"seed={seed}", f"model={model}"],
            _COLUMNS,
            np.hstack([np.tile([0.1, 1.0], (epochs, 1)), rng.normal(70, 5, (epochs, 8))]),
            _result(model, mode, step, number, seed, epochs, float(rng.normal(70, 1))),
        )
        if seed == 0 and mode == "none":
            cells = [{"kd_mode": name, "seed": str(seed)} for name in KD_MODES for seed in range(seeds)]
            study = {"study": "grid", "kind": "grid", "n_trials": len(cells), "cells": cells}
            plan = {"name": grid.name, "objective": "val_top1", "direction": "maximize", "studies": [study]}
            (grid / "sweep.json").write_text(json.dumps(plan | {"command": "python run.py -m", "fixed": []}))


def _result(model: str, mode: str, step: int, number: int, seed: int, epochs: int, top1: float) -> str | None:
    """A result.json: every hundredth run has failed, every 101st has none, every 103rd a broken one."""
    if number % 101 == 100:
        return None
    has_failed = number % 100 == 99
    intra, inter = (8e-4 * on for on in KD_MODES[mode])
    text = record(
        f"{model}-{mode}-{step}", top1, status="failed" if has_failed else "complete",
        error="TrainingDiverged: the training loss became nan" if has_failed else None,
        name=f"{model}-{step:03d}", study="grid", trial=number, model=model, kd_mode=mode, lambda_intra=intra,
        lambda_inter=inter, seed=seed, train_size=100 * (1 + step), epochs=epochs, epochs_run=epochs,
        best_val_epoch=epochs - 1,
    )  # fmt: skip
    return text[: len(text) // 2] if number % 103 == 102 else text


BENCHMARKS = (Benchmark(gather, ratios={WALL: None, PROCESSOR: 0.15}),)
