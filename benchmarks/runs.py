"""What runs leave, made up: trees of any size for the benchmarks of the analysis."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_RECORD: dict[str, Any] = {
    **{"status": "complete", "error": None, "name": "", "study": "", "trial": 0, "model": "resnet20"},
    **{"dataset": "cifar100", "kd_mode": "none", "lambda_intra": 0.0, "lambda_inter": 0.0, "seed": 0},
    **{"protocol": "validation", "train_size": 45000, "epochs": 0, "epochs_run": 0, "val_top1": None, "val_top5": None},
    **{"val_loss": 1.0, "best_val_top1": None, "best_val_epoch": None, "test_top1": None, "test_top5": None},
    **{"test_loss": None, "best_test_top1": None, "train_seconds": 3600.0, "images_per_second": 3000.0},
    **{"peak_memory_mb": 800.0, "parameters": 278324, "device": "cpu (some)", "threads": 2},
    "split": {"train": 45000, "val": 5000, "train_sha256": "0" * 16, "val_sha256": "1" * 16},
    "versions": {"python": "3.11.7", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6"},
    **{"git_commit": "0" * 40, "started": "2026-11-24T10:00:00+00:00", "finished": "2026-11-24T11:00:00+00:00"},
}


def record(settings: str, top1: float | None, **fields: Any) -> str:
    """The text of a result.json.

    Args:
        settings: What its runs share but for their seeds.
        top1: Of the validation pictures, in the last epoch; the best is half a point above it.
    """
    scores = {} if top1 is None else {"val_top1": top1, "val_top5": top1 + 20, "best_val_top1": top1 + 0.5}
    hashes = {"config_hash": f"{settings}-{fields['seed']}", "settings_hash": settings}
    return json.dumps(_RECORD | scores | fields | hashes, indent=2)


def write_run(
    run: Path, config: str, overrides: Sequence[str], columns: str, table: np.ndarray, result: str | None
) -> None:
    """Write a run's directory.

    Args:
        columns: Of metrics.csv after the epoch.
        table: A row an epoch.
        result: The text of result.json; None for a run that has none.
    """
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra/config.yaml").write_text(config)
    (run / ".hydra/overrides.yaml").write_text("".join(f"- {override}\n" for override in overrides))
    rows = "\n".join(f"{epoch}," + ",".join(map(repr, row.tolist())) for epoch, row in enumerate(table, 1))
    (run / "metrics.csv").write_text(f"epoch,{columns}\n{rows}\n")
    if result is not None:
        (run / "result.json").write_text(result)
