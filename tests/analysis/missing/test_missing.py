"""The cells that lack runs, with commands that fill them."""

from pathlib import Path
from typing import Any

import pytest

from analysis.missing.missing import Lacking, lacking_cells
from analysis.missing.sheet import lay_out_lacking
from analysis.read.gather import gather
from analysis.select.request import Request
from analysis.sheets.markdown import render_markdown
from analysis.sheets.notes import Kind
from tests.analysis.notes import kinds, text_of

CELLS = [{"kd_mode": kd_mode, "seed": seed} for kd_mode in ("none", "tfd") for seed in ("0", "1", "2")]
GRID = {"study": "grid", "kind": "grid", "n_trials": 6, "cells": CELLS}
SWEEP = "python run.py -m ablation=terms"


def _lacking(directory: Path, **request: Any) -> list[Lacking]:
    return lacking_cells(gather(directory), Request(**request))


def test_cells_of_a_plan(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID, fixed=["ablation=terms", "trainer.epochs=2"])
    write_run("grid/0000", kd_mode="none", seed=0)
    failed = write_run("grid/0001", kd_mode="none", seed=1, status="failed")
    killed = write_run("grid/0002", ended=False, overrides=("kd_mode=none", "seed=2"))
    at_work = write_run("grid/0003", ended=False, overrides=("kd_mode=tfd", "seed=0"))
    (at_work / "heartbeat").touch()
    broken = write_run("grid/0004", ended=False, overrides=("kd_mode=tfd", "seed=1"))
    (broken / "result.json").write_text("{")
    alone = "python run.py trainer.epochs=2 name=demo kd_mode=tfd seed=2"
    assert _lacking(tmp_path) == [
        Lacking("kd_mode=tfd seed=2", "missing", alone),
        Lacking(f"kd_mode=none seed=1 ({failed})", "failed", SWEEP),
        Lacking(f"kd_mode=none seed=2 ({killed})", "stale", SWEEP),
        Lacking(f"kd_mode=tfd seed=0 ({at_work})", "running", None),
        Lacking(f"kd_mode=tfd seed=1 ({broken})", "broken", f"rm {broken}/result.json && {SWEEP}"),
    ]


def test_a_plan_that_does_not_say_what_is_fixed(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID | {"cells": CELLS[:2]})
    write_run("grid/0000", kd_mode="none", seed=0)
    assert _lacking(tmp_path) == [Lacking("kd_mode=none seed=1", "missing", SWEEP)]


def test_a_search(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 20}, command="python run.py -m sweep=lambdas")
    for number in range(3):
        write_run(f"search/{number}", kd_mode="tfd", seed=number, lambda_inter=number * 1e-4, study="search")
    assert _lacking(tmp_path) == [Lacking("17 runs of study search", "missing", "python run.py -m sweep=lambdas")]


def test_trials_of_a_search_that_did_not_end_well(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    space = {"lambda_inter": "interval(0, 1)"}
    write_sweep({"study": "search", "kind": "search", "n_trials": 5}, space=space)
    fields = {"kd_mode": "tfd", "study": "search"}
    write_run("search/0000", **fields)
    write_run("search/0001", status="pruned", **fields)
    failed = write_run("search/0002", status="failed", overrides=("lambda_inter=0.5",), **fields)
    killed = write_run("search/0003", ended=False, overrides=("lambda_inter=0.25",))
    broken = write_run("search/0004")
    (broken / "result.json").write_text("{")
    gathered = gather(tmp_path)
    lacking = lacking_cells(gathered, Request())
    assert sorted(lacking, key=lambda cell: cell.state) == [
        Lacking(f"a trial of study search ({broken})", "broken", f"rm {broken}/result.json && {SWEEP}"),
        Lacking(f"lambda_inter=0.5 ({failed})", "failed", None),
        Lacking(f"lambda_inter=0.25 ({killed})", "stale", SWEEP),
    ]
    notes = lay_out_lacking(lacking, gathered).notes
    assert kinds(notes) == [Kind.SWEEP] and text_of(notes, Kind.SWEEP).endswith(SWEEP)
    for run in (killed, broken):
        write_run(f"search/{run.name}-again", **fields)
        (run / ".hydra" / "config.yaml").unlink()
        (run / "metrics.csv").unlink()
        (run / "result.json").unlink(missing_ok=True)
    gathered = gather(tmp_path)
    lacking = lacking_cells(gathered, Request())
    assert [cell.state for cell in lacking] == ["failed"]
    assert lay_out_lacking(lacking, gathered).notes == ()  # a search does not repeat what failed


def test_before_the_first_run(tmp_path: Path, write_sweep: Any) -> None:
    write_sweep(GRID)
    assert [(cell.cell, cell.state) for cell in _lacking(tmp_path)][:2] == [
        ("kd_mode=none seed=0", "missing"),
        ("kd_mode=none seed=1", "missing"),
    ]


def test_seeds_that_the_rows_of_a_table_lack(tmp_path: Path, write_run: Any) -> None:
    for kd_mode, seeds in (("none", (0, 1, 2)), ("tfd", (0,))):
        for seed in seeds:
            overrides = (f"kd_mode={kd_mode}", f"seed={seed}", "trainer.lr=0.1", "note=a b")
            write_run(f"{kd_mode}-{seed}", kd_mode=kd_mode, seed=seed, overrides=overrides)
    command = "python run.py trainer.lr=0.1 'note=a b' kd_mode=tfd name=demo seed="
    assert _lacking(tmp_path) == [
        Lacking("kd_mode=tfd seed=1", "missing", f"{command}1"),
        Lacking("kd_mode=tfd seed=2", "missing", f"{command}2"),
    ]


def test_what_goes_with_a_setting_comes_along(tmp_path: Path, write_run: Any) -> None:
    mine = ("dataset=image_folder", "dataset.root=/data/mine", "dataset.name=mine")
    for kd_mode, dataset in (("none", "mine"), ("tfd", "digits"), ("none", "digits")):
        overrides = (f"kd_mode={kd_mode}", *(mine if dataset == "mine" else ()), "seed=0")
        write_run(f"{kd_mode}-{dataset}", kd_mode=kd_mode, dataset=dataset, overrides=overrides)
    expected = (
        "python run.py dataset=image_folder dataset.root=/data/mine dataset.name=mine kd_mode=tfd name=demo seed=0"
    )
    for request in ({}, {"rows": ["kd_mode"], "cols": ["dataset"]}):
        (cell,) = _lacking(tmp_path, **request)
        assert (cell.state, cell.command) == ("missing", expected)


def test_a_cell_is_filled_with_the_settings_of_its_own_runs(tmp_path: Path, write_run: Any) -> None:
    for kd_mode, seeds in (("none", (0, 1, 2)), ("tfd", (0, 1))):
        for seed in seeds:
            own = ("trainer.lr=0.05",) if kd_mode == "tfd" else ()
            overrides = (f"kd_mode={kd_mode}", f"seed={seed}", *own)
            write_run(f"{kd_mode}-{seed}", kd_mode=kd_mode, seed=seed, overrides=overrides)
    (cell,) = _lacking(tmp_path)
    assert cell.command == "python run.py kd_mode=tfd trainer.lr=0.05 name=demo seed=2"


def test_only_the_selected_cells_of_a_plan(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID, fixed=[])
    for number, cell in enumerate(CELLS):
        if cell["seed"] == "0":
            write_run(f"grid/{number:04d}", kd_mode=cell["kd_mode"], seed=0)
    cells = [cell.cell for cell in _lacking(tmp_path, where={"kd_mode": "none", "model": "resnet20"})]
    assert cells == ["kd_mode=none seed=1", "kd_mode=none seed=2"]


def test_a_run_that_is_also_a_trial_does_not_lack(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 1}, path="lambdas")
    for kd_mode in ("none", "tfd"):
        for seed in (0, 1):
            write_run(f"terms/{kd_mode}-{seed}", kd_mode=kd_mode, seed=seed, config_hash=f"{kd_mode}-{seed}")
    later = {"config_hash": "tfd-0", "finished": "2026-11-25T10:00:00"}
    write_run("lambdas/search/0000", kd_mode="tfd", study="search", **later)
    assert [other.kept for other in gather(tmp_path).duplicates] == [str(tmp_path / "lambdas/search/0000")]
    assert _lacking(tmp_path) == []


def test_a_lambda_that_is_off_is_not_set(tmp_path: Path, write_run: Any) -> None:
    for number, (kd_mode, intra, seed) in enumerate((("none", 0.0, 0), ("tfd", 1e-4, 0), ("tfd", 2e-4, 1))):
        write_run(str(number), kd_mode=kd_mode, lambda_intra=intra, seed=seed, overrides=(f"kd_mode={kd_mode}",))
    commands = [cell.command for cell in _lacking(tmp_path)]
    assert commands == [
        "python run.py kd_mode=none name=demo seed=1",
        "python run.py kd_mode=tfd name=demo lambda_intra=0.0001 seed=1",
        "python run.py kd_mode=tfd name=demo lambda_intra=0.0002 seed=0",
    ]


def test_a_command_has_every_digit(tmp_path: Path, write_run: Any) -> None:
    for number, (intra, seed) in enumerate(((0.00081234567, 0), (0.5, 0), (0.5, 1))):
        write_run(str(number), kd_mode="tfd", lambda_intra=intra, seed=seed, overrides=("kd_mode=tfd",))
    (cell,) = _lacking(tmp_path)
    assert cell.command == "python run.py kd_mode=tfd name=demo lambda_intra=0.00081234567 seed=1"
    assert cell.cell == "kd_mode=tfd lambda_intra=0.00081234567 seed=1"


def test_what_cannot_be_set_has_no_command(tmp_path: Path, write_run: Any) -> None:
    for device, seeds in (("cpu (a)", (0, 1)), ("cpu (b)", (0,))):
        for seed in seeds:
            write_run(f"{device}-{seed}", device=device, seed=seed)
            write_run(f"{device}-{seed}-tfd", device=device, seed=seed, kd_mode="tfd")
    (tmp_path / "cpu (b)-0-tfd" / "result.json").unlink()
    (cell,) = _lacking(tmp_path, rows=["kd_mode"], cols=["device"])
    assert (cell.cell, cell.command) == ("kd_mode=tfd device=cpu (b) seed=0", None)


def test_nothing_lacks(tmp_path: Path, write_run: Any) -> None:
    write_run("0")
    gathered = gather(tmp_path)
    sheet = lay_out_lacking(lacking_cells(gathered, Request()), gathered)
    counts = "1 complete, 0 pruned, 0 failed, 0 running, 0 stale, 0 missing"
    assert render_markdown(sheet) == f"No cell without a complete run below {tmp_path}: {counts}.\n"


def test_layout(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep(GRID | {"cells": CELLS[:2]})
    (write_run("grid/0000", ended=False, overrides=("kd_mode=none", "seed=0")) / "heartbeat").touch()
    gathered = gather(tmp_path)
    sheet = lay_out_lacking(lacking_cells(gathered, Request()), gathered)
    assert [[text.text for text in row] for row in sheet.rows] == [
        ["kd_mode=none seed=1", "missing", SWEEP],
        [f"kd_mode=none seed=0 ({tmp_path}/grid/0000)", "running", ""],
    ]
    assert kinds(sheet.notes) == [Kind.SWEEP, Kind.AT_WORK]


def test_a_table_that_cannot_be_made_is_an_error(tmp_path: Path, write_run: Any) -> None:
    write_run("0")
    with pytest.raises(ValueError, match="unknown column 'kdmode'"):
        _lacking(tmp_path, rows=["kdmode"])


MODES = "kd_mode=[tfd,st]"


def test_a_lambda_is_set_where_its_mode_takes_it(tmp_path: Path, write_run: Any) -> None:
    for number, (intra, seed) in enumerate(((0.1, 0), (0.2, 0), (0.2, 1))):
        overrides = (MODES, f"kd_mode.tfd.weights.intra={intra}")
        write_run(str(number), kd_mode="st+tfd", lambda_intra=intra, seed=seed, overrides=overrides)
    command = "python run.py 'kd_mode=[tfd,st]' kd_mode.tfd.weights.intra=0.1 name=demo seed=1"
    assert _lacking(tmp_path) == [Lacking("kd_mode=st+tfd lambda_intra=0.1 seed=1", "missing", command)]


def test_a_planned_cell_with_a_composition_is_listed_once(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    weights = ("0.1", "0.2")
    cells = [
        {"kd_mode": "[tfd,st]", "kd_mode.tfd.weights.intra": weight, "seed": seed}
        for weight in weights
        for seed in ("0", "1")
    ]
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 4, "cells": cells}, fixed=[], cwd=str(tmp_path))
    for number, cell in enumerate(cells[:3]):
        fields = {"lambda_intra": float(cell["kd_mode.tfd.weights.intra"]), "seed": int(cell["seed"])}
        overrides = tuple(f"{key}={value}" for key, value in cell.items())
        write_run(f"grid/{number}", kd_mode="st+tfd", overrides=overrides, **fields)
    (cell,) = _lacking(tmp_path)
    assert cell.cell == "kd_mode=[tfd,st] kd_mode.tfd.weights.intra=0.2 seed=1"


def test_a_composition_is_written_as_a_list(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 0, "cells": []}, cwd=str(tmp_path), results_dir="before")
    for number, (mode, seed) in enumerate((("none", 0), ("none", 1), ("st+tfd", 0))):
        write_run(f"grid/{number}", kd_mode=mode, seed=seed, overrides=("trainer.lr=0.1",))
    (cell,) = _lacking(tmp_path)
    assert cell.command is not None
    assert "'kd_mode=[st,tfd]'" in cell.command
    assert f"name={tmp_path.name}" in cell.command


@pytest.mark.parametrize("where", [{}, {"kd_mode": "st+tfd"}])
def test_a_name_of_a_composition_stands_for_it(
    tmp_path: Path, write_run: Any, write_sweep: Any, where: dict[str, str]
) -> None:
    cells = [{"kd_mode": mode, "seed": seed} for mode in ("none", "tfd_plus") for seed in ("0", "1")]
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 4, "cells": cells}, fixed=["trainer.epochs=2"])
    for number, (mode, seed) in enumerate((("none", 0), ("none", 1), ("tfd_plus", 0))):
        fields = {"kd_mode": "st+tfd" if mode == "tfd_plus" else mode, "seed": seed}
        write_run(f"grid/{number}", overrides=(f"kd_mode={mode}", f"seed={seed}"), **fields)
    expected = Lacking(
        "kd_mode=tfd_plus seed=1", "missing", "python run.py trainer.epochs=2 name=demo kd_mode=tfd_plus seed=1"
    )
    assert [cell for cell in _lacking(tmp_path, where=where) if "tfd" in cell.cell] == [expected]
