"""Which runs are trials, and which were compared on purpose."""

from pathlib import Path
from typing import Any

import pytest

from analysis.figures.landscape import landscape_info
from analysis.figures.series import judging, make_series
from analysis.read.gather import gather
from analysis.read.results import runs_of
from analysis.select.inventory import complete_runs
from analysis.select.searches import baseline_runs, compared_runs, search_of
from analysis.select.trials import trials_by_search

LAMBDAS = (1e-4, 1e-3, 1e-2)


@pytest.fixture
def tree(tmp_path: Path, write_run: Any) -> Path:
    """Three trials, of which a newer grid repeats the first and an older one the second."""
    for number, intra in enumerate(LAMBDAS):
        fields = {"kd_mode": "tfd", "lambda_intra": intra, "lambda_inter": 1e-3, "config_hash": str(intra)}
        write_run(f"lambdas/search/{number:04d}", study="search", trial=number, **fields)
        if number < 2:
            day = 26 if number == 0 else 22
            write_run(f"terms/grid/{number:04d}", finished=f"2026-11-{day}T10:00:00", trial=number, **fields)
    return tmp_path


def test_the_search_of_a_run() -> None:
    assert search_of("/r/lambdas/search/0001") == "/r/lambdas/search"
    assert search_of("/r/lambdas/search/0001/seed2") == "/r/lambdas/search"
    assert search_of("/r/lambdas/baseline/0001") is None


def test_a_trial_that_stands_for_a_run_of_a_grid_is_compared(tree: Path) -> None:
    gathered = gather(tree)
    compared = compared_runs(complete_runs(gathered), gathered)
    assert [run["path"] for run in compared] == [str(tree / "lambdas/search/0001"), str(tree / "terms/grid/0000")]


def test_a_search_has_all_its_trials_in_pictures(tree: Path) -> None:
    gathered = gather(tree)
    points = landscape_info(gathered).points
    assert [(point.lambda_intra, point.n) for point in points] == [(intra, 1) for intra in LAMBDAS]
    metrics = judging(gathered, None)
    series = make_series(gathered, trials_by_search(gathered, metrics), metrics)
    assert [one.label for one in series if one.trial] == ["trial 0", "trial 1", "trial 2"]


def test_the_baseline_is_that_of_the_sweep(tmp_path: Path, write_run: Any) -> None:
    for sweep in ("lambdas", "modes"):
        write_run(f"{sweep}/baseline/0000", study="baseline")
    write_run("lambdas/baseline/0001", study="baseline", status="failed")
    runs = runs_of(gather(tmp_path).runs)
    assert [run.path for run in baseline_runs(runs, f"{tmp_path}/lambdas")] == [f"{tmp_path}/lambdas/baseline/0000"]
