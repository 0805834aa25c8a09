"""Text is compared as text and a number as a number, wherever a value is typed."""

from pathlib import Path
from typing import Any

import pytest

from analysis.means.means import summarise
from analysis.missing.missing import lacking_cells
from analysis.read.gather import gather
from analysis.read.values import as_number, is_one_of, is_value, own_type
from analysis.select.request import Request

NAMES = {"1_1": 81.0, "11": 91.0, "7": 50.0, "007": 60.0, "1e3": 70.0, "1000": 75.0, "nan": 40.0}


@pytest.fixture
def named(tmp_path: Path, write_run: Any) -> Path:
    """Two runs of each name."""
    for name, value in NAMES.items():
        for seed in range(2):
            write_run(f"runs/{name}-{seed}", name=name, seed=seed, val_top1=value)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_where_selects_the_runs_of_one_name(named: Path, name: str) -> None:
    (cell,) = summarise(gather(named), where={"name": name}).cells
    assert (cell.mean, cell.n) == (NAMES[name], 2)


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_is_the_row_of_one_name(named: Path, name: str) -> None:
    table = summarise(gather(named), rows=["name"], baseline=f"name={name}")
    assert [cell.row for cell in table.cells if cell.is_baseline] == [(name,)]


def test_what_a_message_lists_can_be_typed(tmp_path: Path, write_run: Any) -> None:
    for number, value in enumerate((0.00012345678, 0.00012345679, 2.0)):
        write_run(str(number), lambda_intra=value, val_top1=60.0 + number)
    with pytest.raises(ValueError, match="lambda_intra is one of: 0.00012345678, 0.00012345679, 2") as refused:
        summarise(gather(tmp_path), where={"lambda_intra": "5"})
    for text in str(refused.value).rpartition(": ")[2].rstrip(".").split(", "):
        assert sum(cell.n for cell in summarise(gather(tmp_path), where={"lambda_intra": text}).cells) == 1


@pytest.mark.parametrize(
    ("value", "text", "same"),
    [
        (0.001, "1e-3", True), (1000, "1e3", True), (11, "1_1", False), (7, "007", False), (0.5, ".5", True),
        (2**60 + 1, str(2**60), False), (float("inf"), "inf", True), (-0.5, "-5e-1", True), (3, "three", False),
        ("1e3", "1000", False), ("007", "007", True), (" a ", "a", True), ("nan", "nan", True), ("tfd", "TFD", False),
        (True, "true", True), (True, "1", False), (1, "true", False),
        (None, "null", True), (None, "-", True), (None, "0", False), ("null", "null", True), (0, "null", False),
    ],
)  # fmt: skip
def test_a_value_is_compared_in_its_own_type(value: Any, text: str, same: bool) -> None:
    assert is_value(value, text) is same


def test_a_list_names_any_of_its_values() -> None:
    assert is_one_of("[1, 2]", "[1, 2],3") and is_one_of("3", "[1, 2], 3") and is_one_of("a,b", "a,b")
    assert not is_one_of("2", "[1, 2],3")


def test_a_column_of_texts_is_of_numbers_if_these_tell_them_apart() -> None:
    assert own_type(["0.1", "64", "1e-3"]) == {"0.1": 0.1, "64": 64.0, "1e-3": 0.001}
    for texts in (["11", "1_1"], ["7", "007"], ["1000", "1e3"], ["1", "nan"], ["1", "1.0"]):
        assert own_type(texts) == {text: text for text in texts}
    assert [as_number(text) for text in ("-1.5E+3", "5.", "0", "", "inf", "0x1", "1 ", "٣")] == [-1500.0, 5.0, 0.0] + [
        None
    ] * 5


@pytest.mark.parametrize("pair", [("1_1", "11"), ("007", "7"), ("1e3", "1000"), ("nan", "1")])
@pytest.mark.parametrize("key", ["name", "dataset.name"])
def test_the_missing_one_of_two_names_is_named(
    tmp_path: Path, write_run: Any, write_sweep: Any, pair: tuple[str, str], key: str
) -> None:
    cells = [{key: name, "seed": "0"} for name in pair]
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 2, "cells": cells}, fixed=[])
    write_run("grid/0000", overrides=(f"{key}={pair[1]}", "seed=0"), study="grid")
    gathered = gather(tmp_path)
    (missing,) = gathered.gaps
    assert (missing.count, missing.cells) == (1, (cells[0],))


@pytest.mark.parametrize("pair", [("1_1", "11"), ("007", "7"), ("1e3", "1000"), ("nan", "1")])
@pytest.mark.parametrize("key", ["name", "dataset.name"])
def test_a_planned_name_is_selected_as_text(tmp_path: Path, write_sweep: Any, pair: tuple[str, str], key: str) -> None:
    cells = [{key: name, "seed": "0"} for name in pair]
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 2, "cells": cells}, fixed=[])
    for name in pair:
        (lacking,) = lacking_cells(gather(tmp_path), Request(where={key: name}))
        assert lacking.cell == f"{key}={name} seed=0"


def test_planned_numbers_are_selected_as_numbers(tmp_path: Path, write_sweep: Any) -> None:
    cells = [{"kd_mode": "tfd", "lambda_intra": text, "trainer.epochs": "2", "seed": "0"} for text in ("1e-3", "0.01")]
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 2, "cells": cells})
    for where in ({"lambda_intra": "0.001"}, {"lambda_intra": "1e-3", "epochs": "2.0"}):
        assert len(lacking_cells(gather(tmp_path), Request(where=where))) == 1
