"""Hours, epochs, memory, and time against the baseline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.means.cost import Cost, cost_of
from analysis.means.means import summarise
from analysis.read.gather import gather
from analysis.read.results import Run
from analysis.sheets.notes import Kind
from tests.analysis.notes import kinds, text_of


def _run(seed: int, seconds: float | None, **fields: Any) -> Run:
    usual = {"device": "cpu", "threads": 2, "epochs_run": 30, "peak_memory_mb": 500.0 + seed}
    return Run("run", "complete", seed=seed, train_seconds=seconds, **(usual | fields))


def test_cpu_hours_are_hours_of_one_core() -> None:
    assert cost_of([_run(0, 1800.0), _run(1, 3600.0)]) == Cost(None, 3.0, 60, 501.0, None)


def test_gpu_hours_are_hours_of_the_device() -> None:
    cost = cost_of([_run(0, 1800.0, device="NVIDIA H100"), _run(1, 3600.0, threads=None)])
    assert (cost.gpu_hours, cost.cpu_hours) == (0.5, 1.0)


def test_time_is_compared_over_shared_seeds() -> None:
    runs, baseline = [_run(0, 30.0), _run(1, 60.0), _run(7, 999.0)], [_run(0, 20.0), _run(1, 40.0)]
    assert cost_of(runs, baseline).time_ratio == pytest.approx(1.5)
    assert cost_of([_run(7, 60.0)], baseline).time_ratio == pytest.approx(2.0)


@pytest.mark.parametrize("fields", [{"device": "NVIDIA H100"}, {"threads": 1}, {"train_seconds": None}])
def test_other_machines_do_not_compare(fields: dict[str, Any]) -> None:
    assert cost_of([replace(_run(0, 30.0), **fields)], [_run(0, 20.0)]).time_ratio is None


def test_what_was_not_recorded_is_null() -> None:
    bare = dict.fromkeys(("epochs_run", "peak_memory_mb", "device", "threads"))
    assert cost_of([_run(0, None, **bare)], [_run(0, 0.0)]) == Cost(None, None, None, None, None)


def test_costs_of_a_table(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0], train_seconds=3600.0)
    write_runs("tfd", [60.0], train_seconds=5400.0)
    costs = summarise(gather(tmp_path), cost=True).costs
    assert costs == {("none",): Cost(None, 4.0, 4, None, 1.0), ("tfd",): Cost(None, 3.0, 2, None, 1.5)}
    assert summarise(gather(tmp_path)).costs == {}


def test_what_other_runs_cost_is_said(tmp_path: Path, write_run: Any, write_runs: Any) -> None:
    write_runs("none", [60.0], train_seconds=3600.0)
    assert Kind.COST not in kinds(summarise(gather(tmp_path), cost=True).notes)
    for number, seconds in enumerate((900.0, 900.0, None)):
        write_run(f"failed-{number}", status="failed", seed=number, train_seconds=seconds)
    write_run("pruned", status="pruned", train_seconds=1800.0, device="NVIDIA H100")
    write_run("killed", ended=False)
    note = text_of(summarise(gather(tmp_path), cost=True).notes, Kind.COST)
    others = "1 pruned (0.5 GPU hours); 3 failed (1 CPU core hours, 1 without a recorded time); 1 stale (1 without a "
    assert note == f"cost: not counted in it, of all runs below the directory: {others}recorded time)"
    assert Kind.COST not in kinds(summarise(gather(tmp_path)).notes)
