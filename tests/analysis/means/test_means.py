"""What a table says: its columns, cells, differences, order and notes."""

from pathlib import Path
from typing import Any

import pytest

from analysis.means.means import summarise
from analysis.means.table import Cell
from analysis.read.faults import Fault
from analysis.read.gather import gather
from analysis.select.columns import check_name
from analysis.sheets.notes import Kind, Level
from tests.analysis.notes import cautions, faults, kinds, of_kind, text_of


def _value(cell: Cell) -> float | None:
    return None if cell.difference is None else cell.difference.value


def test_rows_of_an_ablation(tmp_path: Path, write_runs: Any) -> None:
    write_runs("tfd", [61.0, 63.0, 65.0], lambda_intra=8e-4, lambda_inter=5e-4)
    write_runs("intra", [61.0, 61.0, 61.0], lambda_intra=8e-4)
    write_runs("none", [60.0, 61.0, 62.0])
    table = summarise(gather(tmp_path))
    assert table.by == ("kd_mode",)  # the lambdas follow from it
    assert str(table.baseline) == "none"
    none, tfd, intra = table.cells
    assert [cell.row for cell in table.cells] == [("none",), ("tfd",), ("intra",)]
    assert (none.mean, none.sd, none.n, none.is_baseline, none.difference) == (61.0, 1.0, 3, True, None)
    assert (tfd.mean, tfd.sd, tfd.n) == (63.0, 2.0, 3)
    assert tfd.difference is not None and tfd.difference.value == 2.0
    assert tfd.difference.low == pytest.approx(2.0 - 2.484138, abs=1e-6)
    assert (tfd.difference.p, tfd.difference.p_holm) == (0.25, 0.5)
    assert intra.difference is not None and intra.difference.value == 0.0
    assert intra.difference.p_holm == 1.0
    assert kinds(table.notes) == [Kind.COUNTS, Kind.PAIRED, Kind.P_VALUES, Kind.FEW_SEEDS, Kind.BOLD]


def test_default_columns_are_the_settings_that_vary(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0], epochs=2)
    write_runs("tfd", [61.0], epochs=2, lambda_intra=1e-4)
    write_runs("tfd", [62.0], epochs=2, lambda_intra=2e-4)
    write_runs("none", [63.0], epochs=4, train_size=500)
    table = summarise(gather(tmp_path))
    assert table.by == ("train_size", "epochs", "kd_mode", "lambda_intra")
    across = summarise(gather(tmp_path), cols=["epochs"])
    assert (across.rows, across.cols) == (("train_size", "kd_mode", "lambda_intra"), ("epochs",))


def test_each_model_has_its_own_baseline(tmp_path: Path, write_runs: Any) -> None:
    for model, level in (("vgg8", 50.0), ("resnet20", 60.0)):
        write_runs("none", [level, level + 1], model=model)
        write_runs("tfd", [level + 2, level + 3], model=model)
    write_runs("tfd", [70.0], model="wrn_16_2")
    table = summarise(gather(tmp_path))
    assert [(*cell.row, _value(cell)) for cell in table.cells] == [
        ("resnet20", "none", None),
        ("resnet20", "tfd", 2.0),
        ("vgg8", "none", None),
        ("vgg8", "tfd", 2.0),
        ("wrn_16_2", "tfd", None),
    ]
    assert text_of(table.notes, Kind.NO_BASELINE).endswith(": model=wrn_16_2 kd_mode=tfd")


def test_rows_and_columns(tmp_path: Path, write_runs: Any) -> None:
    for model, level in (("vgg8", 50.0), ("resnet20", 60.0)):
        write_runs("tfd", [level + 2, level + 3], model=model)
        write_runs("none", [level, level + 1], model=model)
    write_runs("st", [55.0], model="vgg8")
    table = summarise(gather(tmp_path), rows=["kd_mode"], cols=["model"])
    assert table.row_keys == (("none",), ("tfd",), ("st",))
    assert table.col_keys == (("resnet20",), ("vgg8",))
    cell = table[("tfd",), ("vgg8",), "val_top1"]
    assert cell is not None and (cell.mean, _value(cell), cell.key) == (52.5, 2.0, ("tfd", "vgg8"))
    assert table[("st",), ("resnet20",), "val_top1"] is None
    assert "1 cell " in text_of(table.notes, Kind.EMPTY_CELLS)
    assert [cell.row for cell in table.cells if cell.is_best and cell.col == ("resnet20",)] == [("none",), ("tfd",)]


def test_rows_and_columns_may_not_overlap(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    with pytest.raises(ValueError, match="kd_mode is in --rows and in --cols; give it once"):
        summarise(gather(tmp_path), rows=["kd_mode"], cols=["kd_mode"])
    with pytest.raises(ValueError, match="all that varies is in --cols kd_mode; name what makes a row"):
        summarise(gather(tmp_path), cols=["kd_mode"])


def test_several_metrics_and_one_family_of_comparisons(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0], val_loss=1.5)
    write_runs("tfd", [62.0, 63.0], val_loss=1.25)
    table = summarise(gather(tmp_path), metrics=["val_top1", "val_loss"])
    assert [(*cell.row, cell.metric, _value(cell)) for cell in table.cells] == [
        ("none", "val_top1", None),
        ("none", "val_loss", None),
        ("tfd", "val_top1", 2.0),
        ("tfd", "val_loss", -0.25),
    ]
    assert [cell.difference.p_holm for cell in table.cells if cell.difference] == [1.0, 1.0]  # 2 x 0.5
    assert "2 comparisons" in text_of(table.notes, Kind.P_VALUES)


def test_another_baseline(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 60.0])
    write_runs("st", [61.0, 61.0])
    table = summarise(gather(tmp_path), baseline="st")
    assert [(cell.row, _value(cell)) for cell in table.cells] == [(("st",), None), (("none",), -1.0)]


def test_a_baseline_of_another_column(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 60.0], epochs=2)
    write_runs("none", [61.0, 62.0], epochs=4)
    table = summarise(gather(tmp_path), baseline="epochs=2")
    assert [(cell.row, _value(cell)) for cell in table.cells] == [((2, "none"), None), ((4, "none"), 1.5)]
    assert str(table.baseline) == "epochs=2"
    with pytest.raises(ValueError, match="no complete run has epochs=9 as a baseline; there are: 2, 4"):
        summarise(gather(tmp_path), baseline="epochs=9")
    with pytest.raises(ValueError, match="unknown column 'epochz'; the nearest: epoch, epochs"):
        summarise(gather(tmp_path), baseline="epochz=2")


def test_without_a_baseline_there_are_no_differences(tmp_path: Path, write_runs: Any) -> None:
    write_runs("intra", [60.0, 60.0])
    write_runs("tfd", [61.0, 61.0])
    table = summarise(gather(tmp_path))
    assert table.baseline is None
    assert [(cell.row, cell.difference) for cell in table.cells] == [(("tfd",), None), (("intra",), None)]
    assert "kd_mode=none" in text_of(table.notes, Kind.NO_BASELINE)
    with pytest.raises(ValueError, match="no complete run has kd_mode=none as a baseline; there are: intra, tfd"):
        summarise(gather(tmp_path), baseline="none")


def test_a_baseline_needs_its_column(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    write_runs("tfd", [61.0])
    table = summarise(gather(tmp_path), rows=["seed"])
    assert [(cell.row, cell.mean, cell.n) for cell in table.cells] == [((0,), 60.5, 2)]
    assert "kd_mode is not one of the columns" in text_of(table.notes, Kind.NO_BASELINE)
    with pytest.raises(ValueError, match="a baseline needs the column kd_mode: --rows seed,kd_mode"):
        summarise(gather(tmp_path), rows=["seed"], baseline="none")


def test_a_baseline_that_is_several_rows(tmp_path: Path, write_runs: Any) -> None:
    for value in (1e-4, 2e-4):
        write_runs("tfd", [60.0], lambda_intra=value)
    with pytest.raises(ValueError, match="kd_mode=tfd is several rows, as its lambdas vary; group by kd_mode,"):
        summarise(gather(tmp_path), baseline="tfd")


def test_a_selection_of_runs(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0], model="vgg8")
    write_runs("none", [70.0], lambda_intra=8e-4)
    table = summarise(gather(tmp_path), where={"model": "vgg8,vgg11", "seed": "1"})
    assert [(cell.n, cell.mean) for cell in table.cells] == [(1, 61.0)]
    assert "2 other complete runs" in text_of(table.notes, Kind.SELECTION)
    assert summarise(gather(tmp_path), where={"lambda_intra": "8e-04"}).cells[0].mean == 70.0
    with pytest.raises(ValueError, match="--where model=vgg leaves no complete run; model is one of: resnet20, vgg8"):
        summarise(gather(tmp_path), where={"model": "vgg"})


def test_unknown_names_suggest_the_nearest(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    with pytest.raises(ValueError, match="unknown metric 'val_top'; the nearest: val_top"):
        summarise(gather(tmp_path), metrics=["val_top"])
    with pytest.raises(ValueError, match="unknown metric 'zzzz'; there are: .*val_top1"):
        summarise(gather(tmp_path), metrics=["zzzz"])
    with pytest.raises(ValueError, match=r"unknown metric 'val_topp'; the nearest: val_top5, val_top1\."):
        check_name("metric", "val_topp", ["val_top5", "val_top1", "val_top5"])  # in the record and in metrics.csv
    with pytest.raises(ValueError, match="unknown column 'kdmode'; the nearest: kd_mode"):
        summarise(gather(tmp_path), rows=["kdmode"])
    with pytest.raises(ValueError, match="unknown column 'modell'; the nearest: model"):
        summarise(gather(tmp_path), cols=["modell"])
    with pytest.raises(ValueError, match="--rows names no column"):
        summarise(gather(tmp_path), rows=[])


def test_runs_that_lack_the_metric_are_counted(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, None, float("nan"), float("inf")])
    write_runs("tfd", [None])
    table = summarise(gather(tmp_path))
    assert [(cell.n, cell.runs, cell.mean) for cell in table.cells] == [(1, 2, 60.0), (0, 1, None)]
    assert table.cells[1].difference is None
    assert text_of(table.notes, Kind.NOT_MEASURED).endswith("kd_mode=none (1 of 2); kd_mode=tfd (0 of 1)")
    skipped = gather(tmp_path).skipped
    assert [bad.kind for bad in skipped] == [Fault.IMPOSSIBLE] * 2  # a run writes null
    assert all(f"skipped: {bad}" in table.left_out for bad in skipped)


def test_protocols_are_never_mixed_unless_asked_for(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0], protocol="validation")
    write_runs("none", [70.0, 71.0], metric="test_top1", protocol="final")
    table = summarise(gather(tmp_path), metrics=["test_top1"])
    assert [(cell.row, cell.mean) for cell in table.cells] == [
        (("final", "none"), 70.5),
        (("validation", "none"), None),
    ]
    with pytest.raises(ValueError, match=r"several protocols \(final, validation\).*--rows kd_mode,protocol"):
        summarise(gather(tmp_path), rows=["kd_mode"])
    mixed = summarise(gather(tmp_path), rows=["kd_mode"], metrics=["train_seconds"], mix=True)
    assert (mixed.cells[0].n, mixed.conditions["protocol"]) == (4, ("final", "validation"))
    assert Kind.SEVERAL_PROTOCOLS in cautions(mixed.notes)
    final = summarise(gather(tmp_path), rows=["kd_mode"], metrics=["test_top1"], where={"protocol": "final"})
    assert final.cells[0].mean == 70.5


def test_a_group_of_several_settings_is_named(tmp_path: Path, write_run: Any) -> None:
    write_run("0", seed=0, settings_hash="lr 0.1")
    write_run("1", seed=1, settings_hash="lr 0.2")
    table = summarise(gather(tmp_path))
    assert table.cells[0].settings == 2
    assert text_of(table.notes, Kind.SEVERAL_SETTINGS).endswith(": kd_mode=none (2 settings)")


def test_the_best_of_a_search_is_not_taken_at_its_word(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 3})
    write_runs("none", [60.0, 60.2])
    for number in range(3):
        write_runs("tfd", [61.0 + number], lambda_inter=1e-4 * (number + 1), study="search")
    table = summarise(gather(tmp_path))
    assert [cell.mean for cell in table.cells] == [60.1, 63.0, 62.0, 61.0]
    assert "3 trials of a search" in text_of(table.notes, Kind.PICKED)
    assert Kind.MEANS in kinds(table.notes)  # a single run on one side
    assert Kind.PICKED not in kinds(summarise(gather(tmp_path), rows=["kd_mode"]).notes)


def test_the_wording_counts_one_and_several(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0, 62.0])
    for seeds, told in (("0,1", "1 other complete run is"), ("0", "2 other complete runs are")):
        table = summarise(gather(tmp_path), where={"seed": seeds})
        assert text_of(table.notes, Kind.SELECTION) == f"a selection: {told} not in this table"


def test_two_searches_have_a_best_trial_each(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    for sweep, trials in (("a", 3), ("b", 3), ("c", 1)):
        write_sweep({"study": "search", "kind": "search", "n_trials": trials}, path=sweep)
        for number in range(trials):
            fields = {"kd_mode": f"tfd{sweep}", "lambda_inter": 1e-4 * (number + 1), "study": "search", "trial": number}
            write_run(f"{sweep}/search/{number:04d}", **fields, val_top1=60.0 + number)
    assert "3 trials of each of 2 searches" in text_of(summarise(gather(tmp_path)).notes, Kind.PICKED)
    assert "3 trials of a search" in text_of(summarise(gather(tmp_path / "a")).notes, Kind.PICKED)


def test_trials_of_several_seeds_are_picked_all_the_same(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 2}, seeds=[0, 1])
    write_runs("none", [60.0, 60.2])
    for number in range(2):
        write_runs("tfd", [61.0 + number, 62.0], lambda_inter=1e-4 * (number + 1), study="search")
    assert "2 trials of a search" in text_of(summarise(gather(tmp_path)).notes, Kind.PICKED)


def test_too_few_seeds_are_a_warning(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0] * 5)
    write_runs("tfd", [61.0] * 5)
    table = summarise(gather(tmp_path))
    (warning,) = of_kind(table.notes, Kind.FEW_SEEDS)
    assert warning.level is Level.WARNING
    assert all(words in warning.text for words in ("5 pairs", "0.0625", "6 shared seeds"))
    assert "kd_mode=tfd (uncorrected p 0.0625)" in text_of(table.notes, Kind.UNSUPPORTED)
    assert "everything" in text_of(table.notes, Kind.BOLD)


def test_comparisons_without_shared_seeds_are_a_warning(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0, 62.0])
    write_runs("tfd", [61.0])  # a single run
    write_runs("st", [63.0, 64.0], first_seed=7)  # seeds of its own
    write_runs("at", [60.0, 61.0, 61.0])
    (warning,) = of_kind(summarise(gather(tmp_path)).notes, Kind.UNTESTED)
    assert (warning.level, "2 of 3 comparisons have" in warning.text) == (Level.WARNING, True)
    one = summarise(gather(tmp_path), where={"kd_mode": "none,tfd"})
    assert "1 of 1 comparison has" in text_of(one.notes, Kind.UNTESTED)
    without = summarise(gather(tmp_path), where={"kd_mode": "st,tfd,at"})  # no baseline, and all of it is bold
    assert without.baseline is None
    assert "2 of 2 comparisons have" in text_of(without.notes, Kind.UNTESTED)
    tested = summarise(gather(tmp_path), where={"kd_mode": "none,at"})
    assert Kind.UNTESTED not in kinds(tested.notes)


def test_the_warning_counts_comparisons(tmp_path: Path, write_runs: Any) -> None:
    for number, kd_mode in enumerate(("none", "intra", "inter", "tfd")):
        write_runs(kd_mode, [60.0 + number + seed / 8 for seed in range(6)])
    table = summarise(gather(tmp_path))
    text = text_of(table.notes, Kind.FEW_SEEDS)
    assert all(words in text for words in ("6 pairs and 3 comparisons", "0.0938", "7 shared seeds"))
    for kd_mode, level in (("none", 60.0), ("tfd", 63.0)):
        write_runs(kd_mode, [level, level + 1], first_seed=6, name="more")
    # tfd has 8 pairs now, 3 * 2 / 256; the two others follow with 2 * 2 / 64.
    text = text_of(summarise(gather(tmp_path)).notes, Kind.FEW_SEEDS)
    assert all(words in text for words in ("2 of 3 comparisons (6 pairs)", "0.05"))


def test_seeds_that_the_baseline_lacks_are_named(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 60.0])
    write_runs("tfd", [61.0, 61.0, 99.0])
    table = summarise(gather(tmp_path))
    assert [_value(cell) for cell in table.cells if cell.difference] == [1.0]
    assert text_of(table.notes, Kind.UNSHARED_SEEDS).endswith(": kd_mode=tfd (2 of 3 runs)")


def test_conditions_that_differ_are_a_caution(tmp_path: Path, write_run: Any) -> None:
    write_run("0", seed=0, device="cpu (one)", git_commit="a" * 40 + "+", split={"val_sha256": "a"})
    write_run("1", seed=1, device="cpu (two)", git_commit="b" * 40, split={"val_sha256": "b"})
    table = summarise(gather(tmp_path))
    assert cautions(table.notes)[-2:] == [Kind.CONDITIONS, Kind.CHANGED_FILES]
    assert text_of(table.notes, Kind.CONDITIONS).endswith(" held-out pictures, devices, commits")
    by_device = summarise(gather(tmp_path), rows=["kd_mode", "device"]).notes
    assert text_of(by_device, Kind.CONDITIONS).endswith(" held-out pictures, commits")


def test_what_is_not_in_the_table_is_counted_and_named(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    cells = [{"kd_mode": "none", "seed": str(seed)} for seed in range(5)]
    write_sweep({"study": "terms", "kind": "grid", "n_trials": 5, "cells": cells})
    write_run("terms/0000", seed=0, config_hash="same")
    write_run("terms/0001", seed=1, status="failed", error="\nValueError: loss is NaN\nat step 3")
    write_run("terms/0002", seed=2, status="failed", error="Traceback (most recent call last):\n  x\nKeyError: 3")
    write_run("terms/0003", ended=False, overrides=("kd_mode=none", "seed=3"))
    (write_run("terms/0005", ended=False, overrides=("kd_mode=tfd",)) / "heartbeat").touch()
    write_run("elsewhere", seed=0, config_hash="same", finished="2026-11-23T10:00:00")
    (write_run("odd", ended=False) / "result.json").write_text("[]")
    root = str(tmp_path)
    table = summarise(gather(tmp_path))
    counts = text_of(table.notes, Kind.COUNTS)
    assert counts == "1 complete, 0 pruned, 2 failed, 1 running, 1 stale, 1 missing, 1 skipped, 1 duplicate"
    assert faults(gather(tmp_path).skipped, tmp_path) == [("odd/result.json", Fault.NOT_A_RESULT)]
    assert table.left_out == (
        f"failed: {root}/terms/0001: ValueError: loss is NaN",
        f"failed: {root}/terms/0002: KeyError: 3",
        f"running: {root}/terms/0005",
        f"stale (no result and no sign of life; killed?): {root}/terms/0003",
        "missing: 1 of study terms: kd_mode=none seed=4 (to run them: python run.py -m ablation=terms)",
        f"skipped: {root}/odd/result.json is not a JSON object",
        f"duplicate, not counted: {root}/elsewhere (complete) repeats {root}/terms/0000",
    )


def test_long_lists_are_cut_and_counted(tmp_path: Path, write_run: Any) -> None:
    write_run("ok")
    for number in range(25):
        write_run(f"{number:04d}", status="failed", error=None)
    left_out = summarise(gather(tmp_path)).left_out
    assert left_out[0] == f"failed: {tmp_path}/0000: no error recorded"
    assert left_out[-1] == "failed: and 5 more"
    assert len(left_out) == 20 + 1


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run: nothing below it has a result.json"):
        summarise(gather(tmp_path))


def test_no_complete_run_still_counts(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", status="failed", error="ValueError: no")
    write_run("0001", status="pruned")
    with pytest.raises(ValueError) as caught:
        summarise(gather(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} has no complete run: "
        "0 complete, 1 pruned, 1 failed, 0 running, 0 stale, 0 missing\n"
        f"failed: {tmp_path}/0000: ValueError: no"
    )
