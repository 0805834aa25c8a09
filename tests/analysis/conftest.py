"""Fake run directories: the one place in these tests that knows what a run leaves on disk."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RESULT: dict[str, Any] = {
    "status": "complete",
    "error": None,
    "name": "demo",
    "study": "terms",
    "trial": 0,
    "model": "resnet20",
    "dataset": "digits",
    "kd_mode": "none",
    "lambda_intra": 0.0,
    "lambda_inter": 0.0,
    "seed": 0,
    "protocol": "validation",
    "train_size": None,
    "epochs": 2,
    "epochs_run": 2,
    "val_top1": 60.0,
    "val_top5": 90.0,
    "val_loss": 1.25,
    "best_val_top1": 61.0,
    "best_val_epoch": 1,
    "test_top1": None,
    "test_top5": None,
    "test_loss": None,
    "best_test_top1": None,
    "train_seconds": 3.5,
    "images_per_second": 1000.0,
    "peak_memory_mb": None,
    "parameters": 272474,
    "device": "cpu",
    "threads": 2,
    "versions": {"python": "3.11.7", "torch": "2.9.0"},
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "started": "2026-11-24T10:00:00",
    "finished": "2026-11-24T10:00:04",
}

WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write one run at a path below tmp_path; fields of its result as keywords, `ended=False` for none.

    Without a result it has been silent for an hour.
    """

    def write(path: str, ended: bool = True, overrides: tuple[str, ...] = (), **fields: Any) -> Path:
        run = tmp_path / path
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "config.yaml").write_text("seed: 0\n")
        (run / "metrics.csv").write_text("epoch,val_top1\n1,61.0\n2,60.0\n")
        if overrides:
            (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in overrides))
        if ended:
            result = RESULT | fields
            settings = "-".join(str(result[key]) for key in ("model", "kd_mode", "lambda_intra", "lambda_inter"))
            hashes = {"settings_hash": settings, "config_hash": f"{settings}-{result['seed']}-{path}"}
            (run / "result.json").write_text(json.dumps(hashes | result))
        for file in (run / "metrics.csv", run / ".hydra" / "config.yaml"):
            os.utime(file, (time.time() - 3600,) * 2)
        return run

    return write


@pytest.fixture
def write_runs(write_run: WriteRun) -> Callable[..., None]:
    """Write runs of one setting with seeds 0, 1, ... and the given values of a metric."""

    def write(kd_mode: str, values: list[float | None], metric: str = "val_top1", **fields: Any) -> None:
        for seed, value in enumerate(values, start=fields.pop("first_seed", 0)):
            path = "/".join(["terms", *(str(field) for field in fields.values()), f"{kd_mode}-{seed}"])
            write_run(path, kd_mode=kd_mode, seed=seed, **{metric: value}, **fields)

    return write


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[..., None]:
    """Write a sweep.json with the given studies."""

    def write(*studies: dict[str, Any], path: str = ".", **fields: Any) -> None:
        plan = {"name": "demo", "objective": "val_top1", "direction": "maximize", "studies": list(studies)}
        plan["command"] = "python run.py -m ablation=terms"
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        (tmp_path / path / "sweep.json").write_text(json.dumps(plan | fields))

    return write
