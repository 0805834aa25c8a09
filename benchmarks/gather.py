"""Time `python -m analysis table` on a tree of many runs, and the frame of their learning curves, in fresh processes.

    python -m benchmarks.gather [--runs 10000] [--epochs 240] [--seeds 10] [--rounds 5]

The tree is what finished sweeps leave: for every run `.hydra/config.yaml` and `overrides.yaml`, `result.json`, and
`metrics.csv` with a row an epoch; 4 kd_modes on 5 models, with as many training sizes as the number of runs asks for.
One in a hundred has failed, one has no result and one a broken file. Each round is a process of its own that starts,
gathers, tabulates and writes; for the learning curves it gathers and reads every `metrics.csv`. The files are in the
page cache, as they were written just before.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

KD_MODES = {"none": (0, 0), "intra": (1, 0), "inter": (0, 1), "tfd": (1, 1)}
MODELS = ("resnet20", "resnet32", "wrn_16_2", "resnet8x4", "vgg8")
_CONFIG = "seed: {seed}\ntrainer:\n  lr: 0.1\n  epochs: {epochs}\nmodel:\n  name: {model}\n"
TABLES = {
    "table": [],
    "table, models side by side": ["--rows", "train_size,kd_mode", "--cols", "model"],
    "table of a config key": ["--rows", "train_size,kd_mode,trainer.lr", "--cols", "model"],
    "missing": ["--missing"],
    "runs": [],
}
CURVES = "import sys; from analysis.read.curves import read_curves; from analysis.read.gather import gather; "
CURVES += "read_curves(gather(sys.argv[1]))"


def main() -> None:
    """Make the tree, measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        write_tree(Path(directory), options.runs, options.epochs, options.seeds)
        print(f"{options.runs} runs of {options.epochs} epochs, {options.seeds} seeds each", end="; ")
        print(f"written in {time.perf_counter() - started:.0f} s; Python {platform.python_version()}\n")
        print("| command | s, median (min to max) | CPU s, median | peak memory (MiB) |\n|:--|--:|--:|--:|")
        for name, arguments in TABLES.items():
            command = ["runs"] if name == "runs" else ["table", *arguments]
            report(name, [measure([command[0], directory, *command[1:]]) for _ in range(options.rounds)])
        report("learning curves", [run_apart(["-c", CURVES, directory]) for _ in range(options.rounds)])


def report(name: str, measured: list[tuple[float, float, float]]) -> None:
    """Print a row of the table."""
    seconds, busy, peaks = zip(*measured, strict=True)
    spread = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
    print(f"| {name} | {spread} | {statistics.median(busy):.1f} | {max(peaks):.0f} |", flush=True)


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """Run a command of the analysis in a process of its own; see `run_apart`."""
    return run_apart(["-m", "analysis", *arguments])


def run_apart(arguments: list[str]) -> tuple[float, float, float]:
    """Return the seconds, the CPU seconds and the peak memory in MiB of a Python process with these arguments."""
    # Of the children of this small process only: the largest resident set that getrusage knows is over all of them.
    code = (
        "import resource, subprocess, sys, time\n"
        "started = time.perf_counter()\n"
        "subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL,\n"
        "               stderr=subprocess.DEVNULL)\n"
        "seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)\n"
    )
    output = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True).stdout
    seconds, busy, peak = map(float, output.split())
    return seconds, busy, peak / (2**20 if sys.platform == "darwin" else 2**10)


def write_tree(root: Path, runs: int, epochs: int, seeds: int) -> None:
    """Write a grid for each model and training size, as many as it takes for `runs` runs."""
    rng = np.random.default_rng(0)
    settings = [(model, mode, number) for number in range(runs) for model in MODELS for mode in KD_MODES]
    for number in range(runs):
        model, mode, step = settings[number // seeds]
        grid = root / f"{model}-{step:03d}"
        write_run(grid / "grid" / f"{mode}-{number % seeds}", model, mode, step, number, number % seeds, epochs, rng)
        if number % seeds == 0 and mode == "none":
            cells = [{"kd_mode": name, "seed": str(seed)} for name in KD_MODES for seed in range(seeds)]
            study = {"study": "grid", "kind": "grid", "n_trials": len(cells), "cells": cells}
            plan = {"name": grid.name, "objective": "val_top1", "direction": "maximize", "studies": [study]}
            (grid / "sweep.json").write_text(json.dumps(plan | {"command": "python run.py -m", "fixed": []}))


def write_run(
    run: Path, model: str, mode: str, step: int, number: int, seed: int, epochs: int, rng: np.random.Generator
) -> None:
    """Write what one run leaves; every hundredth has failed, every 101st has no result, every 103rd a broken one."""
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text(_CONFIG.format(seed=seed, epochs=epochs, model=model))
    (run / ".hydra" / "overrides.yaml").write_text(f"- kd_mode={mode}\n- seed={seed}\n- model={model}\n")
    values = rng.normal(70, 5, (epochs, 8))
    rows = "\n".join(f"{epoch},0.1,1.0," + ",".join(map(repr, row.tolist())) for epoch, row in enumerate(values, 1))
    columns = "epoch,lr,kd_factor,train_loss,train_ce,train_top1,intra,inter,val_loss,val_top1,val_top5"
    (run / "metrics.csv").write_text(f"{columns}\n{rows}\n")
    if number % 101 == 100:
        return
    text = json.dumps(result(model, mode, step, number, seed, epochs, float(rng.normal(70, 1))), indent=2)
    (run / "result.json").write_text(text[: len(text) // 2] if number % 103 == 102 else text)


def result(model: str, mode: str, step: int, number: int, seed: int, epochs: int, top1: float) -> dict[str, Any]:
    """The content of a result.json."""
    intra, inter = (8e-4 * on for on in KD_MODES[mode])
    settings = f"{model}-{mode}-{step}"
    return {
        "status": "failed" if number % 100 == 99 else "complete",
        "error": "TrainingDiverged: the training loss became nan" if number % 100 == 99 else None,
        **{"name": f"{model}-{step:03d}", "study": "grid", "trial": number, "model": model, "dataset": "cifar100"},
        **{"kd_mode": mode, "lambda_intra": intra, "lambda_inter": inter, "seed": seed, "protocol": "validation"},
        **{
            "train_size": 100 * (1 + step),
            "epochs": epochs,
            "epochs_run": epochs,
            "val_top1": top1,
            "val_top5": top1 + 20,
        },
        **{"val_loss": 1.0, "best_val_top1": top1 + 0.5, "best_val_epoch": epochs - 1, "test_top1": None},
        **{"test_top5": None, "test_loss": None, "best_test_top1": None, "train_seconds": 3600.0},
        "split": {"train": 45000, "val": 5000, "train_sha256": "0" * 16, "val_sha256": "1" * 16},
        **{"images_per_second": 3000.0, "peak_memory_mb": 800.0, "parameters": 278324, "device": "cpu", "threads": 2},
        "versions": {"python": "3.11.7", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6"},
        **{"git_commit": "0" * 40, "started": "2026-11-24T10:00:00+00:00", "finished": "2026-11-24T11:00:00+00:00"},
        **{"config_hash": f"{settings}-{seed}", "settings_hash": settings},
    }


if __name__ == "__main__":
    main()
