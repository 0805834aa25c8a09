"""The one place that knows what a run leaves on disk: names of files, their fields, and how they are written.

A run directory holds `.hydra/config.yaml` (written by Hydra), `metrics.csv` (a row per epoch), `checkpoint.pt` while
the run is unfinished, `heartbeat` while it is at work, and at its end `weights.pt`, `saliency.csv` (channels by rank)
and `result.json`. A sweep that wants a run to end early says so in `stop`.
"""

import csv
import io
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tffd.files import read_regular, replacing
from tffd.schema import Config

RESULT = "result.json"
METRICS = "metrics.csv"
FIRST_STAGE = "first_stage.csv"
"""A row for each epoch of a mode's first stage, where it has one."""
CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.pt"
SALIENCY = "saliency.csv"
HEARTBEAT = "heartbeat"
STOP = "stop"
LOCK = ".lock"
PLAN = "sweep.json"
"""In the directory of a sweep."""
TRIAL = "trial.json"
"""In the directory of a trial of several seeds, beside those of its runs: why it has not all of them."""

COMPLETE = "complete"
PRUNED = "pruned"
FAILED = "failed"

TEACHER = "teacher"
"""Study of the runs that train a teacher."""

BEAT_SECONDS = 5.0
PRUNE = "prune"
INTERRUPT = "interrupt"

METRIC_NAMES = (
    "val_top1", "val_top5", "val_loss", "best_val_top1", "best_val_epoch",
    "test_top1", "test_top5", "test_loss", "best_test_top1",
)  # fmt: skip
VALIDATION_OBJECTIVES = ("val_top1", "val_top5", "val_loss", "best_val_top1")
COST_OBJECTIVES = ("train_seconds", "peak_memory_mb", "parameters")


class RunInterrupted(Exception):
    """The sweep asked a run to stop for now; its checkpoint is written."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON, atomically."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())


def write_config(run_dir: Path, config: Config) -> None:
    """Write .hydra/config.yaml of a run that Hydra did not start: a teacher that another run trains first."""
    path = run_dir / ".hydra" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(OmegaConf.to_yaml(config.model_dump(by_alias=True, exclude_unset=True)).encode())


def write_metrics(run_dir: Path, history: list[dict[str, float]], name: str = METRICS) -> None:
    """Write metrics.csv anew: a row an epoch, floats in full precision, an empty field where nothing was measured."""
    names = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with replacing(run_dir / name) as file:
        file.write(text.getvalue().encode())


def write_saliency(run_dir: Path, stages: list[list[float]]) -> None:
    """Write saliency.csv: a row a stage, counted from 1, and rank of its channels, by descending saliency."""
    rows = [f"{i},{rank},{value}\n" for i, values in enumerate(stages, 1) for rank, value in enumerate(values, 1)]
    with replacing(run_dir / SALIENCY) as file:
        file.write("".join(["stage,rank,saliency\n", *rows]).encode())


def require_own_directory(run_dir: Path) -> None:
    """Refuse a directory with files that a run would replace, and that no run has written.

    Raises:
        ValueError: If there are such files, and no `.hydra`, which every run has before them.
    """
    if (run_dir / ".hydra").is_dir():
        return
    for name in (RESULT, METRICS, FIRST_STAGE, WEIGHTS, CHECKPOINT, SALIENCY, STOP):
        if (run_dir / name).exists():
            raise ValueError(
                f"{run_dir / name} is there and of no run, as there is no {run_dir / '.hydra'}, and it would be "
                "replaced; move it away, or choose another name=..."
            )


def read_last_metrics(run_dir: Path) -> dict[str, str]:
    """Return the numbers in the last row of a run's metrics.csv; {} where there is none yet, or one that is damaged."""
    try:
        text = read_regular(run_dir / METRICS).decode()
        lines = text.splitlines()
        # The last alone is parsed: a sweep asks now and then, of all that is at work.
        rows = list(csv.DictReader([lines[0], lines[-1]])) if len(lines) > 1 else []
        last = {name: text for name, text in rows[-1].items() if text} if rows else {}
        for text in last.values():
            float(text)
        int(last.get("epoch", 0))
    except (OSError, ValueError, TypeError, csv.Error):
        return {}
    return last


def read_result(run_dir: Path) -> dict[str, Any] | None:
    """Return a run's result.json, or None where the run has not ended.

    Raises:
        ValueError: If the file is damaged.
    """
    path = run_dir / RESULT
    try:
        content = json.loads(read_regular(path))
        status = content["status"]
    except FileNotFoundError:
        return None
    except (IsADirectoryError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error!r}). Remove it to start this run anew.") from error
    return {**content, "status": status}


@contextmanager
def beating(run_dir: Path) -> Iterator[None]:
    """Keep a file in the run directory new while a run is at work: a process that was killed leaves an old one."""
    path, ended = run_dir / HEARTBEAT, threading.Event()

    def beat() -> None:
        while True:
            with suppress(OSError):  # of a file system over a network; the next beat may come through
                path.touch()
            if ended.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            path.unlink()


def ask_to_stop(run_dir: Path, how: str) -> None:
    """Let a run end after its epoch: PRUNE for good, INTERRUPT with a checkpoint to go on from."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with replacing(run_dir / STOP) as file:
        file.write(how.encode())


def asked_to_stop(run_dir: Path) -> str | None:
    """Return how a run is to end early, None if it is not."""
    try:
        return read_regular(run_dir / STOP).decode()
    except (OSError, ValueError):
        return None


def summarise_history(history: list[dict[str, float]], *, test_every_epoch: bool) -> dict[str, float | None]:
    """Reduce a run's rows to the metrics of result.json: the last epoch, and the best one where a protocol has it.

    What is not measured in every epoch, and not in the last of a run that was pruned, is of the last that has it.
    """
    if not history:
        return dict.fromkeys(METRIC_NAMES)
    last = {name: value for row in history for name, value in row.items()}
    # Losses of a network that is about to diverge overflow; JSON has no number for that.
    summary: dict[str, float | None] = {
        name: last[name] if math.isfinite(last.get(name, math.nan)) else None for name in METRIC_NAMES
    }
    if "val_top1" in last:
        best = max((row for row in history if "val_top1" in row), key=lambda row: row["val_top1"])
        summary |= {"best_val_top1": best["val_top1"], "best_val_epoch": int(best["epoch"])}
    if test_every_epoch and "test_top1" in last:
        summary["best_test_top1"] = max(row["test_top1"] for row in history)
    return summary


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
