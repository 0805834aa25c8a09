"""What a table says: its columns, rows, differences, order and notes."""

from pathlib import Path
from typing import Any

import pytest

from analysis.gather import gather
from analysis.metrics import describe_metric
from analysis.summary import Table, summarise


def _has_note(table: Table, *words: str) -> bool:
    return any(all(word in note for word in words) for note in table.notes)


def test_rows_of_an_ablation(tmp_path: Path, write_runs: Any) -> None:
    write_runs("tfd", [61.0, 63.0, 65.0], lambda_intra=8e-4, lambda_inter=5e-4)
    write_runs("intra", [61.0, 61.0, 61.0], lambda_intra=8e-4)
    write_runs("none", [60.0, 61.0, 62.0])
    table = summarise(gather(tmp_path))
    assert table.by == ("kd_mode",)  # the lambdas follow from it
    assert table.baseline == "none"
    none, tfd, intra = table.rows
    assert [row.key for row in table.rows] == [("none",), ("tfd",), ("intra",)]
    assert (none.mean, none.sd, none.n, none.is_baseline, none.difference) == (61.0, 1.0, 3, True, None)
    assert (tfd.mean, tfd.sd, tfd.n) == (63.0, 2.0, 3)
    assert tfd.difference is not None and tfd.difference.value == 2.0
    assert tfd.difference.low == pytest.approx(2.0 - 2.484138, abs=1e-6)
    assert intra.difference is not None and intra.difference.value == 0.0


def test_default_columns_are_the_settings_that_vary(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0], epochs=2)
    write_runs("tfd", [61.0], epochs=2, lambda_intra=1e-4)
    write_runs("tfd", [62.0], epochs=2, lambda_intra=2e-4)
    write_runs("none", [63.0], epochs=4, train_size=500)
    assert summarise(gather(tmp_path)).by == ("train_size", "epochs", "kd_mode", "lambda_intra")


def test_each_model_has_its_own_baseline(tmp_path: Path, write_runs: Any) -> None:
    for model, level in (("vgg8", 50.0), ("resnet20", 60.0)):
        write_runs("none", [level, level + 1], model=model)
        write_runs("tfd", [level + 2, level + 3], model=model)
    write_runs("tfd", [70.0], model="wrn_16_2")
    table = summarise(gather(tmp_path))
    assert [row.key for row in table.rows] == [
        ("resnet20", "none"),
        ("resnet20", "tfd"),
        ("vgg8", "none"),
        ("vgg8", "tfd"),
        ("wrn_16_2", "tfd"),
    ]
    assert [row.difference.value if row.difference else None for row in table.rows] == [
        None,
        2.0,
        None,
        2.0,
        None,
    ]
    assert _has_note(table, "no measured baseline matches", "model=wrn_16_2 kd_mode=tfd")


def test_another_baseline(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 60.0])
    write_runs("st", [61.0, 61.0])
    table = summarise(gather(tmp_path), baseline="st")
    assert [row.key for row in table.rows] == [("st",), ("none",)]
    assert table.rows[1].difference is not None and table.rows[1].difference.value == -1.0


def test_without_a_baseline_there_are_no_differences(tmp_path: Path, write_runs: Any) -> None:
    write_runs("intra", [60.0, 60.0])
    write_runs("tfd", [61.0, 61.0])
    table = summarise(gather(tmp_path))
    assert table.baseline is None
    assert [(row.key, row.difference) for row in table.rows] == [(("tfd",), None), (("intra",), None)]
    assert _has_note(table, "no differences", "kd_mode=none")
    with pytest.raises(ValueError, match="no complete run has kd_mode=none as a baseline; there are: intra, tfd"):
        summarise(gather(tmp_path), baseline="none")


def test_a_baseline_needs_its_column(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    write_runs("tfd", [61.0])
    table = summarise(gather(tmp_path), by=["seed"])
    assert [(row.key, row.mean, row.n) for row in table.rows] == [((0,), 60.5, 2)]
    assert _has_note(table, "no differences: kd_mode is not one of the columns")
    with pytest.raises(ValueError, match="a baseline needs the column kd_mode: --by seed,kd_mode"):
        summarise(gather(tmp_path), by=["seed"], baseline="none")


def test_a_baseline_that_is_several_rows(tmp_path: Path, write_runs: Any) -> None:
    for value in (1e-4, 2e-4):
        write_runs("tfd", [60.0], lambda_intra=value)
    with pytest.raises(ValueError, match="kd_mode=tfd is several rows, as its lambdas vary; group by kd_mode,"):
        summarise(gather(tmp_path), baseline="tfd")


def test_the_sweeps_objective_is_the_default_metric(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_runs("none", [60.0])
    assert summarise(gather(tmp_path)).metric.name == "val_top1"
    write_sweep(objective="val_loss", direction="minimize")
    assert summarise(gather(tmp_path)).metric.name == "val_loss"


def test_test_top1_is_the_default_where_nothing_was_held_out(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [70.0], metric="test_top1", protocol="final", val_top1=None)
    assert summarise(gather(tmp_path)).metric.name == "test_top1"


def test_smaller_losses_come_first(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_runs("a", [1.5], metric="val_loss")
    write_runs("b", [0.5], metric="val_loss")
    assert [row.key for row in summarise(gather(tmp_path), metric="val_loss").rows] == [("b",), ("a",)]
    assert [row.key for row in summarise(gather(tmp_path), metric="train_seconds").rows] == [("a",), ("b",)]
    write_sweep(objective="val_loss", direction="maximize")  # odd, but the sweep says so
    assert [row.key for row in summarise(gather(tmp_path)).rows] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("val_top1", "val top-1, last epoch (%)"),
        ("best_val_top1", "val top-1, best val epoch (%)"),
        ("test_top1", "test top-1, last epoch (%)"),
        ("best_test_top1", "test top-1, best test epoch (%)"),
        ("threads", "threads"),
    ],
)
def test_labels_state_split_and_epoch(name: str, label: str) -> None:
    assert describe_metric(name).label == label


def test_unknown_names_suggest_the_nearest(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    with pytest.raises(ValueError, match="unknown metric 'val_top'; the nearest: val_top"):
        summarise(gather(tmp_path), metric="val_top")
    with pytest.raises(ValueError, match="unknown metric 'zzzz'; there are: .*val_top1"):
        summarise(gather(tmp_path), metric="zzzz")
    with pytest.raises(ValueError, match="unknown column 'kdmode'; the nearest: kd_mode"):
        summarise(gather(tmp_path), by=["kdmode"])
    with pytest.raises(ValueError, match="--by names no column"):
        summarise(gather(tmp_path), by=[])
    with pytest.raises(ValueError, match="model is not a metric: its values are not numbers"):
        summarise(gather(tmp_path), metric="model")


@pytest.mark.parametrize(
    ("metric", "fields", "why"),
    [
        (
            "test_top1",
            {},
            "all 2 complete runs: protocol=validation doesn't read the test set; use --metric val_top1",
        ),
        ("val_top1", {"protocol": "final"}, "protocol=final holds nothing out; use --metric test_top1"),
        ("best_test_top1", {"protocol": "final"}, "only protocol=paper reads the test set at every epoch"),
        ("peak_memory_mb", {}, "measured were val_top5, val_loss"),
    ],
)
def test_a_metric_that_no_run_measured(
    tmp_path: Path, write_runs: Any, metric: str, fields: dict[str, Any], why: str
) -> None:
    write_runs("none", [None, None], **fields)
    with pytest.raises(ValueError, match=f"{metric} is null in .*{why}"):
        summarise(gather(tmp_path), metric=metric)


def test_runs_that_lack_the_metric_are_counted(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, None, float("nan"), float("inf")])
    write_runs("tfd", [None])
    table = summarise(gather(tmp_path))
    assert [(row.n, row.runs, row.mean) for row in table.rows] == [(1, 4, 60.0), (0, 1, None)]
    assert table.rows[1].difference is None
    assert _has_note(table, "kd_mode=none (1 of 4)")
    assert _has_note(table, "kd_mode=tfd (0 of 1)")


def test_protocols_are_never_mixed(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0], protocol="validation")
    write_runs("none", [70.0, 71.0], metric="test_top1", protocol="final")
    table = summarise(gather(tmp_path), metric="test_top1")
    assert [(row.key, row.mean) for row in table.rows] == [
        (("final", "none"), 70.5),
        (("validation", "none"), None),
    ]
    with pytest.raises(ValueError, match=r"several protocols \(final, validation\).*--by kd_mode,protocol"):
        summarise(gather(tmp_path), by=["kd_mode"])


def test_a_group_of_several_settings_is_named(tmp_path: Path, write_run: Any) -> None:
    write_run("0", seed=0, settings_hash="lr 0.1")
    write_run("1", seed=1, settings_hash="lr 0.2")
    table = summarise(gather(tmp_path))
    assert table.rows[0].settings == 2
    assert _has_note(table, "differ in more than the seed", "kd_mode=none (2 settings)")


def test_the_best_of_a_search_is_not_taken_at_its_word(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_sweep({"study": "lambdas", "kind": "search", "n_trials": 3})
    write_runs("none", [60.0, 60.2])
    for number in range(3):
        write_runs("tfd", [61.0 + number], lambda_inter=1e-4 * (number + 1))
    table = summarise(gather(tmp_path))
    assert [row.mean for row in table.rows] == [60.1, 63.0, 62.0, 61.0]
    assert _has_note(table, "the best of 3 single-run trials is chosen by its score")
    assert _has_note(table, "a single run on one side allows no CI")
    assert not _has_note(summarise(gather(tmp_path), by=["kd_mode"]), "chosen by its score")


def test_conditions(tmp_path: Path, write_runs: Any, write_run: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_run("other", seed=10, device="cuda", git_commit=None, epochs=4)
    assert summarise(gather(tmp_path)).notes[1] == (
        "dataset digits; model resnet20; protocol validation; epochs 2, 4; seeds 0, 1, 10; "
        "devices cpu, cuda; torch 2.9.0; commit 0123456789"
    )


def test_what_is_not_in_the_table_is_counted_and_named(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    cells = [{"kd_mode": "none", "seed": str(seed)} for seed in range(5)]
    write_sweep({"study": "terms", "kind": "grid", "n_trials": 5, "cells": cells})
    write_run("terms/0000", seed=0, config_hash="same")
    write_run("terms/0001", seed=1, status="failed", error="\nValueError: loss is NaN\nat step 3")
    write_run("terms/0002", seed=2, status="failed", error="Traceback (most recent call last):\n  x\nKeyError: 3")
    write_run("terms/0003", ended=False, overrides=("kd_mode=none", "seed=3"))
    write_run("elsewhere", seed=0, config_hash="same", finished="2026-11-23T10:00:00")
    (write_run("odd", ended=False) / "result.json").write_text("[]")
    root = str(tmp_path)
    notes = summarise(gather(tmp_path)).notes
    assert notes[0] == "1 complete, 0 pruned, 2 failed, 1 unfinished, 1 missing, 1 malformed, 1 duplicate"
    assert notes[2:] == (
        f"failed: {root}/terms/0001: ValueError: loss is NaN",
        f"failed: {root}/terms/0002: KeyError: 3",
        f"unfinished (running, or killed): {root}/terms/0003",
        "missing: 1 of study terms: kd_mode=none seed=4 (to run them: python run.py -m ablation=terms)",
        f"malformed, skipped: {root}/odd/result.json is not a JSON object",
        f"duplicate, not counted: {root}/elsewhere (complete) repeats {root}/terms/0000",
    )


def test_long_lists_are_cut_and_counted(tmp_path: Path, write_run: Any) -> None:
    write_run("ok")
    for number in range(25):
        write_run(f"{number:04d}", status="failed", error=None)
    notes = summarise(gather(tmp_path)).notes
    assert notes[2] == f"failed: {tmp_path}/0000: no error recorded"
    assert notes[-1] == "failed: and 5 more"
    assert len(notes) == 2 + 20 + 1


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run: nothing below it has a result.json"):
        summarise(gather(tmp_path))


def test_no_complete_run_still_counts(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", status="failed", error="ValueError: no")
    write_run("0001", status="pruned")
    with pytest.raises(ValueError) as caught:
        summarise(gather(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} has no complete run to tabulate: "
        "0 complete, 1 pruned, 1 failed, 0 unfinished, 0 missing\n"
        f"failed: {tmp_path}/0000: ValueError: no"
    )
