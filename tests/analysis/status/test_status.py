"""`python -m analysis status`: done, at work, failed, to do."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.read.gather import gather
from analysis.sheets.notes import Kind
from analysis.status.sheet import duration, remarks, render_status
from analysis.status.status import find_status
from tests.analysis.notes import kinds, of_kind

CELLS = [{"kd_mode": kd_mode, "seed": str(seed)} for kd_mode in ("none", "tfd") for seed in (0, 1, 2)]
GRID = {"study": "grid", "kind": "grid", "n_trials": 6, "cells": CELLS}
COMMAND = "python run.py -m ablation=terms"
NOW = 2_000_000_000.0


@pytest.fixture
def at_work(write_run: Any) -> Any:
    """Write a run at work: it began 100 s ago, and its last epoch ended 10 s ago."""

    def write(path: str, epochs_over: int, first_began: float = 100.0, **fields: Any) -> Path:
        run: Path = write_run(path, ended=False, **fields)
        (run / ".hydra" / "config.yaml").write_text("trainer: {epochs: 12}\n")
        rows = "".join(f"{epoch},{60 + epoch},1.5\n" for epoch in range(1, epochs_over + 1))
        (run / "metrics.csv").write_text(f"epoch,val_top1,val_loss\n{rows}")
        (run / "heartbeat").touch()
        ages = {".hydra/config.yaml": 100.0, ".hydra": first_began, "metrics.csv": 10.0, "heartbeat": 3.0}
        for name, age in ages.items():
            os.utime(run / name, (NOW - age,) * 2)
        return run

    return write


@pytest.fixture(autouse=True)
def clock(monkeypatch: Any) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)


def test_a_grid_half_done(tmp_path: Path, write_run: Any, write_sweep: Any, at_work: Any) -> None:
    write_sweep(GRID, path="t")
    for number, (cell, status) in enumerate(zip(CELLS, ("complete", "complete", "failed"), strict=False)):
        words = tuple(f"{key}={value}" for key, value in cell.items())
        error = "Traceback (most recent call last):\n  File\nValueError: loss is NaN" if status == "failed" else None
        write_run(f"t/grid/{number:04d}", status=status, overrides=words, seed=int(cell["seed"]), error=error)
    working = at_work("t/grid/0003", 6, overrides=("kd_mode=tfd", "seed=0"))
    os.utime(
        write_run("t/grid/0004", ended=False, overrides=("kd_mode=tfd", "seed=1")) / "metrics.csv", (NOW - 999,) * 2
    )
    status = find_status(gather(tmp_path / "t"))
    (grid,) = status.studies
    assert (grid.study, grid.planned, grid.to_do) == ("grid", 6, 1)
    assert grid.counts == {"complete": 2, "pruned": 0, "failed": 1, "running": 1, "stale": 1}
    (run,) = status.running
    assert (run.directory, run.epoch, run.epochs) == (str(working), 6, 12)
    assert (run.metric, run.value) == ("val_top1", 66.0)
    assert run.seconds_left == 80.0  # 6 epochs took 90 s, so 6 more take 90, and 10 have passed
    assert kinds(remarks(status)) == [Kind.STATUS] * 3
    assert list(map(str, remarks(status))) == [  # the wording
        f"failed: {tmp_path}/t/grid/0002: ValueError: loss is NaN",
        f"stale (no result and no sign of life; killed?): {tmp_path}/t/grid/0004",
        "to do: 1 of study grid: kd_mode=tfd seed=2",
    ]
    assert status.commands == (COMMAND,)


def test_the_page(tmp_path: Path, write_sweep: Any, at_work: Any, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write_sweep({"study": "search", "kind": "search", "n_trials": 3, "cells": None}, path="t", seeds=[1, 2])
    at_work("t/search/0000/seed1", 6, overrides=("seed=1",))
    assert main(["status", "t"]) == 0
    assert capsys.readouterr().out == (
        "| study   |   planned |   complete |   pruned |   failed |   running |   stale |   to do |\n"
        "|:--------|----------:|-----------:|---------:|---------:|----------:|--------:|--------:|\n"
        "| search  |         6 |          0 |        0 |        0 |         1 |       0 |       5 |\n"
        "\n"
        "Runs below t.\n"
        "\n"
        "- to do: 5 of study search\n"
        "\n"
        "| running             |   epoch |   metric |   value |   time left |\n"
        "|:--------------------|--------:|---------:|--------:|------------:|\n"
        "| t/search/0000/seed1 |    6/12 | val_top1 |   66.00 |       1 min |\n"
        "\n"
        "Time left: at the run's own pace, or at that of complete runs where it has none yet.\n"
        "\n"
        "What goes on (beside one that is at work, it takes a share):\n"
        "\n"
        "```\n"
        f"{COMMAND}\n"
        "```\n"
    )


def test_time_left_at_the_pace_of_complete_runs(tmp_path: Path, write_run: Any, at_work: Any) -> None:
    at_work("t/0000", 0)
    at_work("t/0001", 6, first_began=5000.0)  # went on after it was killed: its own pace is unknown
    assert [run.seconds_left for run in find_status(gather(tmp_path)).running] == [None, None]
    for seed, seconds in enumerate((20.0, 40.0, 400.0)):
        write_run(f"t/done-{seed}", seed=seed, train_seconds=seconds, epochs_run=2)
    # 20 s an epoch: 12 of them less the 100 s since it began; 6 of them less the 10 s since the last one.
    assert [run.seconds_left for run in find_status(gather(tmp_path)).running] == [140.0, 110.0]
    assert [run.metric for run in find_status(gather(tmp_path)).running] == [None, "val_top1"]


@pytest.mark.parametrize("epoch", ["nan", "inf"])
def test_an_epoch_that_is_no_number_is_none(tmp_path: Path, at_work: Any, epoch: str) -> None:
    run = at_work("t/0000", 1)
    (run / "metrics.csv").write_text(f"epoch,val_top1\n{epoch},61.0\n")
    (found,) = find_status(gather(tmp_path)).running
    assert (found.epoch, found.epochs) == (0, 12)


def test_the_objective_is_shown(tmp_path: Path, write_sweep: Any, at_work: Any) -> None:
    study = {"study": "search", "kind": "search", "n_trials": 1, "cells": None}
    write_sweep(study, path="t", objectives=["train_seconds", "val_loss"], directions=["minimize", "minimize"])
    at_work("t/search/0000", 2)
    (run,) = find_status(gather(tmp_path)).running
    assert (run.metric, run.value) == ("val_loss", 1.5)


def test_what_is_done_needs_no_command(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID | {"n_trials": 2, "cells": CELLS[:2]}, path="t")
    for number, cell in enumerate(CELLS[:2]):
        write_run(f"t/grid/{number:04d}", seed=int(cell["seed"]))
    write_run("t/alone/0000", seed=7)
    status = find_status(gather(tmp_path / "t"))
    assert [(progress.study, progress.planned) for progress in status.studies] == [("grid", 2), ("alone", None)]
    assert (status.commands, kinds(remarks(status))) == ((), [Kind.DONE])
    assert "What goes on" not in render_status(status)


def test_a_repetition_counts_as_done(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 2, "cells": None}, path="t")
    for number in range(2):
        write_run(f"t/search/{number:04d}", config_hash="same")
    (search,) = find_status(gather(tmp_path)).studies
    assert (search.counts["complete"], search.to_do) == (2, 0)


def test_trials_given_up_between_their_seeds_are_told(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 1, "cells": None}, path="t", seeds=[1, 2, 3])
    write_run("t/search/0000/seed1", seed=1)
    (tmp_path / "t" / "search" / "0000" / "trial.json").write_text('{"status": "pruned", "seeds": [1]}')
    status = find_status(gather(tmp_path))
    assert [(progress.planned, progress.to_do) for progress in status.studies] == [(3, 0)]
    assert kinds(remarks(status)) == [Kind.STATUS, Kind.DONE]
    assert "1 trial given up" in of_kind(remarks(status), Kind.STATUS)[0].text


def test_json(tmp_path: Path, write_run: Any, write_sweep: Any, capsys: Any) -> None:
    write_sweep(GRID)
    write_run("grid/0000", status="failed", error="ValueError: no", overrides=("kd_mode=none", "seed=0"))
    (write_run("grid/0001", overrides=("kd_mode=none", "seed=1")) / "result.json").write_text("{")
    assert main(["status", str(tmp_path), "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["failed"] == [{"directory": f"{tmp_path}/grid/0000", "reason": "ValueError: no"}]
    assert content["missing"][0]["count"] == 4
    assert content["missing"][0]["cells"][0] == {"kd_mode": "none", "seed": "2"}
    assert content["commands"] == [COMMAND]
    assert content["skipped"][0]["path"] == f"{tmp_path}/grid/0001/result.json"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3570.0, "1 h 0 min"),
        (7800.0, "2 h 10 min"),
        (97200.0, "1 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
