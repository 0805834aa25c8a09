"""Fake sweeps with learning curves, for pictures."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.figures.support import EPOCHS, write_curves, write_saliency

SPACE = {
    "lambda_intra": "tag(log, interval(1e-5, 1e-1))",
    "lambda_inter": "tag(log,interval(1e-5,1e-1))",
    "trainer.lr": "interval(0, 1)",
    "trainer.name": "choice(a$b$c,<b>)",
}

WriteTrial = Callable[..., None]


@pytest.fixture
def write_trial(write_run: Any) -> WriteTrial:
    """Write one trial of a search, with a run a value, and the other searched values as overrides."""

    def write(number: int, values: Sequence[float], root: str = "demo", **fields: Any) -> None:
        params = fields.pop("params", {})
        lambdas = {"lambda_intra": 10.0 ** -(1 + number % 4), "lambda_inter": 10.0 ** -(1 + number % 3)}
        lambdas = {key: fields.pop(key, value) for key, value in lambdas.items()}
        words = tuple(f"{key}={value}" for key, value in (lambdas | params).items())
        for seed, value in enumerate(values):
            path = f"{root}/search/{number:04d}" + (f"/seed{seed}" if len(values) > 1 else "")
            fixed = {"study": "search", "trial": number, "kd_mode": "tfd", "seed": seed, "val_top1": value}
            sizes = {"epochs": EPOCHS, "epochs_run": EPOCHS}
            run = write_run(path, overrides=words, **fixed | sizes | lambdas | fields)
            write_curves(run, value, epochs=fields.get("epochs_run", EPOCHS))

    return write


@pytest.fixture
def write_terms(write_run: Any) -> Callable[..., None]:
    """Write an ablation: a kd_mode with its values by seed."""

    def write(root: str = "demo/grid", **values: Sequence[float]) -> None:
        for kd_mode, of_mode in values.items():
            for seed, value in enumerate(of_mode):
                fields = {"kd_mode": kd_mode, "seed": seed, "val_top1": value, "trial": None, "study": "grid"}
                run = write_run(f"{root}/{kd_mode}-{seed}", **fields, epochs=EPOCHS, epochs_run=EPOCHS)
                write_curves(run, value, terms=kd_mode != "none")

    return write


@pytest.fixture
def search(tmp_path: Path, write_trial: WriteTrial, write_run: Any, write_sweep: Any) -> Path:
    """A search of 12 trials with two seeds each, one pruned and one stale, and a baseline of 3 runs."""
    for number in range(12):
        intra, inter = 10.0 ** (-4.5 + number % 4), 10.0 ** (-4.5 + number // 4)
        value = 60 + 5 * math.exp(-((math.log10(intra) + 3) ** 2)) + math.sin(number)
        params = {"trainer.lr": round(0.05 + 0.07 * number, 3), "trainer.name": ("a$b$c", "<b>")[number % 2]}
        lambdas = {"lambda_intra": intra, "lambda_inter": inter}
        write_trial(number, [value - 0.5, value + 0.5], params=params, **lambdas, train_seconds=30 - value / 4)
    write_trial(12, [40.0, 41.0], status="pruned", epochs_run=2, params={"trainer.lr": 0.5, "trainer.name": "<b>"})
    write_run("demo/search/0013/seed0", ended=False)
    for seed, value in enumerate([59.0, 60.0, 62.0]):
        fields = {"study": "baseline", "seed": seed, "val_top1": value, "epochs": EPOCHS, "epochs_run": EPOCHS}
        write_curves(write_run(f"demo/baseline/{seed:04d}", **fields), value, terms=False)
    study = {"study": "search", "kind": "search", "n_trials": 20, "cells": None}
    write_sweep(study, path="demo", space=SPACE)
    for run in (tmp_path / "demo").glob("search/00*/seed*"):
        if (run / "result.json").exists() and json.loads((run / "result.json").read_text())["status"] == "complete":
            write_saliency(run, level=1.0)
    return tmp_path / "demo"
