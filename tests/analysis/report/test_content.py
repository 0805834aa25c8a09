"""What a report says, before it is a page."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.kinds import read_source
from analysis.report.content import Report, report_content
from analysis.report.facts import Fact, sweep_facts
from analysis.report.failures import Failure
from analysis.report.runs import RunColumn
from tests.analysis.report.conftest import EVIL


def _report(directory: Path) -> Report:
    return report_content(read_source(directory))


def _facts(report: Report) -> dict[str, tuple[str, ...]]:
    return {fact.term: fact.texts for _, facts in report.facts for fact in facts}


def test_a_search(search: Path) -> None:
    report = _report(search)
    facts = _facts(report)
    assert facts["planned"] == ("a search of 20 trials",)
    assert facts["objective"] == ("val_top1, maximised",)
    assert facts["searched"][0] == "lambda_intra=tag(log, interval(1e-5, 1e-1))"
    assert facts["dataset"] == ("digits",)
    assert facts["seeds"] == ("0 to 2",)
    assert facts["time"] == ("2026-11-24 10:00:00 to 2026-11-24 10:00:04",)
    assert report.counts["complete"] == 27
    assert report.winner is not None and report.winner.sheet is not None
    assert report.winner.sheet.rows[0][0].text == "2, in search/0002"  # 60 + 5 exp(-1/4) + sin 2
    assert [lead.split(",")[0] for lead, _ in report.winner.commands] == [
        "Train it on fresh seeds (3",
        "Then tabulate that",
        "The same run again",
    ]
    (again,) = report.winner.commands[-1][1]
    assert again.startswith("python run.py name=demo-again ")  # not in results/default
    drawn = [(picture.kind, picture.wide) for picture in report.pictures]
    assert [kind for kind, wide in drawn if not wide] == ["landscape", "history", "importance", "pareto"]
    assert [kind for kind, _ in drawn[4:]] == ["parallel", "learning", "terms", "saliency"]
    assert set(report.not_drawn) == {"ablation"}


def test_cautions_of_a_search(search: Path) -> None:
    cautions = _report(search).cautions
    assert cautions[:2] == (
        "Not all planned runs have ended (20 missing): every number may still change.",
        "Some runs were lost (1 stale): the numbers are those of the runs that survived.",
    )
    few = "Search on few trials: 13 for 4 parameters; with fewer than 50 (10 at random, 10 more a parameter) the best"
    assert f"{few} may be the luckiest." in cautions
    assert not any("single runs" in caution for caution in cautions)  # there are two seeds
    assert "The best trial of the search was chosen by its score, which flatters; fresh seeds tell." in cautions


def test_an_ablation_is_analysed_as_such(tmp_path: Path, write_run: Any) -> None:
    lambdas = {"none": (0.0, 0.0), "intra": (8e-4, 0.0), "inter": (0.0, 5e-4), "tfd": (8e-4, 5e-4)}
    for number, (kd_mode, (intra, inter)) in enumerate(lambdas.items()):
        for seed in range(2):
            fields = {"lambda_intra": intra, "lambda_inter": inter, "val_top1": 60.0 + number + seed}
            words = ("ablation=terms", "name=x", "trainer.lr=0.1", f"kd_mode={kd_mode}", f"seed={seed}")
            write_run(f"grid/{kd_mode}-{seed}", kd_mode=kd_mode, seed=seed, overrides=words, **fields)
    report = _report(tmp_path)
    assert [sheet.rows[0][0].text for sheet in report.ablations] == ["without intra", "intra"]
    assert any(caution.startswith("Too few seeds. With 2 pairs") for caution in report.cautions)
    assert report.table is not None and report.cost is not None
    assert [column.title for column in report.cost.columns][:4] == ["kd_mode", "n", "CPU core hours", "epochs run"]
    assert report.winner is not None and report.winner.sheet is None
    assert report.winner.remarks == (
        "kd_mode=tfd: val top-1, last epoch (%) 63.50 ± 0.71 over 2 runs",
        "it cannot be told from: kd_mode=none; kd_mode=inter; kd_mode=intra",
    )
    again = "python run.py -m name=demo-again trainer.lr=0.1 kd_mode=tfd threads=2 seed=0,1"
    assert report.winner.commands == (("The same runs again", (again,)),)
    assert report.lacking is None


def test_what_failed_runs_cost_stands_with_the_costs(tmp_path: Path, write_run: Any) -> None:
    write_run("a", kd_mode="none")
    write_run("b", kd_mode="tfd", status="failed", train_seconds=3600.0)
    report = _report(tmp_path)
    assert report.table is not None and report.cost is not None
    (note,) = report.cost.notes
    assert note.text.endswith("1 failed (2 CPU core hours)")
    assert note not in report.table.notes


def test_why_there_is_no_2_x_2_is_said(tmp_path: Path, write_run: Any) -> None:
    for kd_mode, intra in (("none", 0.0), ("intra", 8e-4)):
        write_run(f"grid/{kd_mode}", kd_mode=kd_mode, lambda_intra=intra)
    report = _report(tmp_path)
    assert report.ablations == ()
    (reason,) = report.no_ablation
    assert reason.startswith("a 2 x 2 ablation needs runs with neither term, each alone, and both; no complete run has")
    write_run("alike/a", kd_mode="intra", lambda_intra=8e-4)
    assert report_content(read_source(tmp_path / "alike")).no_ablation == ()  # nobody meant one


def test_single_runs_and_protocols_are_cautioned(tmp_path: Path, write_run: Any) -> None:
    write_run("a", kd_mode="none")
    write_run("b", kd_mode="tfd", protocol="paper", val_top1=None, test_top1=1.0, best_test_top1=2.0)
    report = _report(tmp_path)
    assert report.cautions[:3] == (
        "Mixed protocols (paper, validation): their numbers do not compare with each other.",
        "The protocol paper reads the test set at every epoch: its best test epoch flatters.",
        "Too few seeds: every setting has a single run, so the spread between seeds is not known.",
    )
    titles = [column.title for column in report.runs.columns]
    assert titles[titles.index("val_top1") :][:3] == ["val_top1", "test_top1", "best_test_top1"]


def test_what_went_wrong_is_grouped_by_reason(troubled: Path) -> None:
    report = _report(troubled)
    failed, stale, skipped = report.failures
    assert (failed.kind, failed.reason, len(failed.paths)) == ("failed", f"RuntimeError: out of memory {EVIL}", 7)
    assert failed.detail.startswith("Traceback") and failed.paths[0] == str(troubled / "grid/javascript:2")
    assert (stale.kind, stale.paths) == ("stale", (str(troubled / "grid/dead"),))
    assert skipped == Failure(
        "skipped",
        "is not JSON (Unterminated string starting at: line 1 column 12 (char 11))",
        (str(troubled / "grid/broken/result.json"),),
    )
    assert report.lacking is not None
    cells = [row[0].text for row in report.lacking.rows]
    assert cells[:3] == ["kd_mode=none seed=2", "kd_mode=none seed=3", f"kd_mode={EVIL} seed=2"]


def test_all_runs_have_a_row(troubled: Path) -> None:
    runs = _report(troubled).runs
    assert [row.name for row in runs.rows] == sorted(
        [f"grid/{name}" for name in ("<i>-0", "<i>-1", "dead", "final", "none-0", "none-1")]
        + [f"grid/javascript:{seed}" for seed in range(2, 9)]
    )
    assert runs.columns[:3] == (RunColumn("study", False), RunColumn("protocol", False), RunColumn("kd_mode", False))
    dead = next(row for row in runs.rows if row.name == "grid/dead")
    assert (dead.status, dead.texts[:3]) == ("stale", ("", "", "tfd"))  # its command line tells
    failed = next(row for row in runs.rows if row.name == "grid/javascript:2")
    assert failed.texts[-1] == f"RuntimeError: out of memory {EVIL}"


def test_searched_values_that_no_result_holds_are_columns(search: Path) -> None:
    runs = _report(search).runs
    titles = [column.title for column in runs.columns]
    row = next(row for row in runs.rows if row.name == "search/0003/seed0")
    assert row.texts[titles.index("trainer.lr")] == "0.26"
    assert row.texts[titles.index("trainer.name")] == "<b>"
    assert RunColumn("trainer.lr", True) in runs.columns and RunColumn("trainer.name", False) in runs.columns


def test_a_sweep_without_a_complete_run_has_a_report(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    run = write_run("grid/0000", ended=False, overrides=("kd_mode=tfd", "seed=3"))
    os.utime(run / "metrics.csv", (time.time(),) * 2)
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 2, "cells": [{"seed": "3"}, {"seed": "4"}]})
    report = _report(tmp_path)
    assert (report.table, report.winner, report.pictures) == (None, None, ())
    assert "has no complete run: 0 complete" in report.no_table
    assert report.runs.rows[0].texts == ("tfd", "3")
    assert report.cautions == (
        "Not all planned runs have ended (1 running, 1 missing): every number may still change.",
    )


def test_a_directory_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        _report(tmp_path)


def test_a_directory_with_a_broken_result_alone_names_it(tmp_path: Path, write_run: Any) -> None:
    path = write_run("0000", ended=False) / "result.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=f"has no complete run: .* 1 skipped\nskipped: {path} is not JSON"):
        _report(tmp_path)


def test_facts_of_a_search_with_seeds(search: Path) -> None:
    sweep = replace(read_source(search).gathered.plan[0], seeds=(0, 1), directions={"val_loss": "minimize"})
    facts = sweep_facts(sweep)
    assert Fact("planned", ("a search of 20 trials, each with seeds 0, 1",)) in facts
    assert Fact("objective", ("val_loss, minimised",)) in facts
