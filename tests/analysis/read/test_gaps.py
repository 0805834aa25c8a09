"""What a sweep planned and has not begun is counted, and named where its cells are known."""

from pathlib import Path
from typing import Any

import pytest

from analysis.read.faults import Fault
from analysis.read.gaps import Unfinished
from analysis.read.gather import gather
from tests.analysis.notes import faults

CELLS = [{"kd_mode": kd_mode, "seed": seed} for kd_mode in ("none", "tfd") for seed in ("0", "1")]
GRID = {"study": "terms", "kind": "grid", "n_trials": 4, "cells": CELLS}
SEARCH = {"study": "lambdas", "kind": "search", "n_trials": 20}


def test_cells_without_a_run_are_named(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID)
    write_run("terms/0000", kd_mode="none", seed=0)
    write_run("terms/0003", kd_mode="tfd", seed=1, status="failed")
    (missing,) = gather(tmp_path).gaps
    assert (missing.study, missing.count) == ("terms", 2)
    assert missing.cells == ({"kd_mode": "none", "seed": "1"}, {"kd_mode": "tfd", "seed": "0"})
    assert missing.sweep.command == "python run.py -m ablation=terms"
    assert missing.unfinished == (Unfinished(CELLS[3], "failed", str(tmp_path / "terms/0003"), again=True),)


def test_a_search_lacks_its_remaining_trials(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(SEARCH, path="lambdas", space={"lambda_intra": "interval(0, 1)"})
    write_run("lambdas/lambdas/0000", status="pruned")
    words = ("sweep=lambdas", "lambda_intra=0.25")
    stale = write_run("lambdas/lambdas/0001", ended=False, overrides=words)
    broken, failed = write_run("lambdas/lambdas/0002"), write_run("lambdas/lambdas/0003", status="failed")
    (broken / "result.json").write_text("{")
    (missing,) = gather(tmp_path).gaps
    assert (missing.count, missing.cells) == (16, ())
    assert sorted(missing.unfinished, key=lambda one: one.path) == [
        Unfinished({"lambda_intra": "0.25"}, "stale", str(stale), again=True),
        Unfinished({}, "broken", str(broken), again=True),
        Unfinished({}, "failed", str(failed), again=False),
    ]


@pytest.mark.parametrize(("status", "is_open"), [("stale", True), ("failed", False), ("running", False)])
def test_a_search_that_has_begun_every_trial(
    tmp_path: Path, write_run: Any, write_sweep: Any, status: str, is_open: bool
) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 1}, seeds=[1])
    run = write_run("search/0000/seed1", ended=status == "failed", status="failed")
    if status == "running":
        (run / "heartbeat").touch()
    (missing,) = gather(tmp_path).gaps
    assert (missing.count, missing.is_open) == (0, is_open)
    assert [one.status for one in missing.unfinished] == [status]


def test_nothing_is_missing_from_what_is_done(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID, SEARCH | {"n_trials": 1})
    for number, cell in enumerate(CELLS):
        write_run(f"terms/{number:04d}", kd_mode=cell["kd_mode"], seed=int(cell["seed"]))
    write_run("lambdas/0000")
    write_run("lambdas/0001")  # more than planned is not less than nothing
    assert gather(tmp_path).gaps == ()


def test_duplicates_and_retries_do_not_hide_a_missing_cell(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID)
    for number in range(3):
        write_run(f"terms/{number:04d}", kd_mode="none", seed=0, config_hash="same")
    gathered = gather(tmp_path)
    assert len(gathered.duplicates) == 2
    assert gathered.gaps[0].cells == tuple(CELLS[1:])


def test_overrides_tell_the_cell_of_a_run_without_a_result(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID)
    write_run("terms/0000", kd_mode="none", seed=0)
    write_run("terms/0001", ended=False, overrides=("kd_mode=none", "'seed=1'"))
    (missing,) = gather(tmp_path).gaps
    assert (missing.count, missing.cells) == (2, tuple(CELLS[2:]))


def test_a_run_of_unknown_cell_leaves_it_open_which_are_missing(
    tmp_path: Path, write_run: Any, write_sweep: Any
) -> None:
    write_sweep(GRID)
    write_run("terms/0000", kd_mode="none", seed=0)
    write_run("terms/0001", ended=False)
    (missing,) = gather(tmp_path).gaps
    assert (missing.count, missing.cells) == (2, tuple(CELLS[1:]))


@pytest.mark.parametrize(
    ("key", "value", "fields"),
    [
        ("lambda_inter", "5e-4", {"lambda_inter": 0.0005}),
        ("trainer.epochs", "2", {"epochs": 2}),
        ("dataset.train_size", "500", {"train_size": 500}),
        ("model", "'resnet20'", {}),
        ("trainer.unheard_of", "3", {}),  # no column: the seed has to tell the cells apart
        ("dataset.name", "mine", {}),  # the column `name` is the run's own
        (
            "lambda_intra",
            "8e-4",
            {"overrides": ("lambda_intra=8e-4",), "lambda_intra": 0.0},
        ),  # a term that is off
        ("experiment", "b", {"overrides": ("+experiment=b",)}),
    ],
)
def test_cells_match_the_columns_of_runs(
    tmp_path: Path, write_run: Any, write_sweep: Any, key: str, value: str, fields: dict[str, Any]
) -> None:
    write_sweep(GRID | {"cells": [{key: value, "seed": "0"}, {key: value, "seed": "1"}]})
    write_run("terms/0000", seed=0, **fields)
    (missing,) = gather(tmp_path).gaps
    assert missing.cells == ({key: value, "seed": "1"},)


def test_cells_that_set_different_keys(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    vague, specific = {"seed": "0"}, {"seed": "0", "kd_mode": "tfd"}
    write_sweep(GRID | {"cells": [vague, specific]})
    write_run("terms/0000", kd_mode="tfd", seed=0)
    assert gather(tmp_path).gaps[0].cells == (vague,)


@pytest.mark.parametrize(
    ("content", "fault", "named"),
    [
        ("{", Fault.NOT_JSON, ""),
        ('{"name": "x"}', Fault.NOT_A_PLAN, "studies"),
        ('{"studies": [{}]}', Fault.NOT_A_PLAN, "name"),
        (
            '{"studies": [{"study": "s", "kind": "grid", "cells": 3}]}',
            Fault.NOT_A_PLAN,
            "a study, s, whose cells",
        ),
        ('{"studies": [{"study": "s", "kind": "walk"}]}', Fault.NOT_A_PLAN, "(grid or search)"),
        ('{"studies": [{"study": "s", "kind": "search", "n_trials": -1}]}', Fault.NOT_A_PLAN, "n_trials"),
        ('{"studies": [], "objective": 3}', Fault.WRONG_TYPE, "objective = 3"),
        ('{"studies": [], "seeds": "1,2"}', Fault.WRONG_TYPE, "seeds = '1,2'"),
        ('{"studies": [], "objectives": [1]}', Fault.WRONG_TYPE, "objectives = [1]"),
        ('{"studies": [], "space": [1]}', Fault.WRONG_TYPE, "space = [1]"),
    ],
)
def test_a_malformed_plan_is_reported(tmp_path: Path, write_run: Any, content: str, fault: Fault, named: str) -> None:
    write_run("terms/0000")
    (tmp_path / "sweep.json").write_text(content)
    gathered = gather(tmp_path)
    assert faults(gathered.skipped, tmp_path) == [("sweep.json", fault)]
    assert named in gathered.skipped[0].reason
    assert (gathered.plan, len(gathered.runs)) == ((), 1)


def test_a_search_over_seeds_lacks_whole_trials_and_seeds(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 5}, seeds=[1, 2, 3])
    for seed in (1, 2, 3):
        write_run(f"search/0000/seed{seed}", seed=seed)
    write_run("search/0001/seed1", seed=1)  # goes on with seeds 2 and 3
    write_run("search/0002/seed1", seed=1, status="pruned")  # does not go on
    for seed in (1, 2):
        write_run(f"search/0003/seed{seed}", seed=seed)  # complete, but the trial was given up after them
    (tmp_path / "search" / "0003" / "trial.json").write_text('{"status": "pruned", "seeds": [1, 2]}')
    (missing,) = gather(tmp_path).gaps
    assert missing.count == 2 + 3  # two seeds of trial 1; trial 4


def test_of_several_runs_of_a_cell_the_complete_one_counts(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID | {"cells": CELLS[:1], "n_trials": 1})
    write_run("terms/0000", kd_mode="none", seed=0)
    write_run("terms/0001", kd_mode="none", seed=0, status="failed")
    assert gather(tmp_path).gaps == ()


def test_a_single_run_with_the_overrides_of_a_cell_fills_it(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID | {"cells": CELLS[:2], "n_trials": 2}, fixed=["ablation=terms", "trainer.epochs=2"])
    overrides = ("trainer.epochs=2", "name=demo", "kd_mode=none")
    write_run("by-hand", kd_mode="none", seed=1, overrides=(*overrides, "seed=1"))
    write_run("other", kd_mode="none", seed=0, overrides=("kd_mode=none", "seed=0", "trainer.epochs=9"))
    (missing,) = gather(tmp_path).gaps
    assert missing.cells == (CELLS[0],)


def test_a_broken_result_is_not_missing_but_has_to_be_made_again(
    tmp_path: Path, write_run: Any, write_sweep: Any
) -> None:
    write_sweep(GRID | {"cells": CELLS[:1], "n_trials": 1})
    run = write_run("terms/0000", ended=False, overrides=("kd_mode=none", "seed=0"))
    (run / "result.json").write_text("{")
    (missing,) = gather(tmp_path).gaps
    assert (missing.count, missing.unfinished) == (0, (Unfinished(CELLS[0], "broken", str(run), again=True),))
