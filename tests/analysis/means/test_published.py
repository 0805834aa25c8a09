"""Published numbers: the file, where they stand, and what is said about them."""

from pathlib import Path
from typing import Any

import pytest

from analysis.means.means import summarise
from analysis.means.published import read_published
from analysis.means.sheet import lay_out
from analysis.means.table import Table
from analysis.read.gather import gather
from analysis.sheets.notes import Kind
from tests.analysis.notes import of_kind


def _table(directory: Path, **options: Any) -> Table:
    return summarise(gather(directory), **options)


def test_the_file_is_complete_and_sane() -> None:
    numbers = read_published()
    assert len(numbers) == 5 * 4 + 4 + 15 + 7 * 13 - 1 + 6 * 12  # FSP has no number for one pair, nor for other styles
    assert len({(n.dataset, n.model, n.kd_mode, n.teacher, n.source) for n in numbers}) == len(numbers)
    assert all(50 < n.top1 < 100 for n in numbers)
    assert all(n.source and n.protocol and n.split == "test" and n.epoch in ("last", "best test") for n in numbers)
    by_place = {(n.dataset, n.model, n.kd_mode, n.source): n.top1 for n in numbers}
    assert by_place["cifar100", "resnet20", "tfd", "Tf-FD poster"] == 70.62
    assert by_place["cifar100", "vgg8", "st+tfd", "Tf-FD poster"] == 74.08
    assert by_place["cifar10", "resnet20", "none", "Knowledge-Distillation-Zoo README"] == 92.37
    tables = {(n.teacher, n.model, n.kd_mode): n.top1 for n in numbers if n.source == "RepDistiller README"}
    assert len(tables) == 15 + 162
    corners = {
        ("", "mobilenet_v2", "none"): 64.6,
        ("wrn_40_2", "wrn_16_2", "st"): 74.92,
        ("vgg13", "vgg8", "crd"): 73.94,
        ("vgg13", "mobilenet_v2", "st"): 67.37,
        ("wrn_40_2", "shuffle_v1", "crd"): 76.05,
        ("resnet110", "resnet20", "cc"): 69.48,
        ("resnet32x4", "shuffle_v2", "sp"): 74.56,
    }
    assert {place: tables[place] for place in corners} == corners


def test_the_poster_copies_its_baselines_and_soft_targets() -> None:
    """Digit for digit, so that a slip of the pen in either would show."""
    by_source: dict[str, dict[tuple[str, ...], float]] = {}
    for n in read_published():
        by_source.setdefault(n.source, {})[n.model, n.kd_mode, n.teacher] = n.top1
    poster = {key: top1 for key, top1 in by_source["Tf-FD poster"].items() if key[1] in ("none", "st")}
    assert len(poster) == 10 and poster.items() <= by_source["RepDistiller README"].items()


def test_they_stand_under_their_own_epoch_rule(tmp_path: Path, write_runs: Any) -> None:
    fields = {"dataset": "cifar100", "protocol": "paper", "val_top1": None, "best_test_top1": 70.0, "epochs": 240}
    write_runs("none", [69.0], metric="test_top1", **fields)
    (config,) = tmp_path.rglob("config.yaml")
    config.write_text("trainer: {batch_size: 128, lr: 0.1, pad_mode: reflect, nesterov: true}\n")
    places = [(cell.row, cell.metric, cell.published.top1) for cell in _table(tmp_path).published]
    assert places == [
        (("none",), "test_top1", 69.06),  # the last epoch
        (("tfd",), "best_test_top1", 70.62),
        (("none",), "best_test_top1", 68.92),
        (("none",), "test_top1", 69.06),  # again, where the poster has it from
    ]
    cautions = [note.text for note in of_kind(_table(tmp_path).notes, Kind.PUBLISHED)]
    assert cautions == [
        "published, Tf-FD poster (none): RepDistiller's recipe (zero padding), to whose README this row is equal; "
        "caution, the protocols differ: batch size 64 (here 128), learning rate 0.05 (here 0.1), padding zero (here "
        "reflect), Nesterov momentum false (here true)",
        "published, Tf-FD poster (tfd): epoch rule not stated; the released script (reflect padding) reports "
        "the best test epoch; caution, the protocols differ: epoch rule not stated (here best test epoch)",
        "published, Knowledge-Distillation-Zoo README (none): its own recipe (reflect padding, weight decay 1e-4); "
        "caution, the protocols differ: epochs 200 (here 240)",
        "published, RepDistiller README (none): RepDistiller's recipe (zero padding); caution, the protocols differ: "
        "batch size 64 (here 128), learning rate 0.05 (here 0.1), padding zero (here reflect), Nesterov momentum false "
        "(here true)",
    ]


def test_another_protocol_is_a_caution(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0], dataset="cifar100", train_size=500)
    notes = [note.text for note in of_kind(_table(tmp_path).notes, Kind.PUBLISHED)]
    differing = [
        *("split test (here val)", "epochs 240 (here 2)", "batch size 64 (here not known)"),
        *("learning rate 0.05 (here not known)", "padding zero (here not known)"),
        *("Nesterov momentum false (here not known)", "train size all (here 500)"),
    ]
    assert notes[0].rpartition(": ")[2].split(", ") == differing
    assert "not stated (here last epoch)" in notes[1]
    assert "best test epoch (here last epoch)" in notes[2]


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {}),  # digits: nothing is published
        ({"dataset": "cifar100", "model": "resnet8"}, {}),
        ({"dataset": "cifar100"}, {"published": False}),
        ({"dataset": "cifar100"}, {"rows": ["model"]}),  # to no kd_mode in particular
        ({"dataset": "cifar100"}, {"metrics": ["val_loss"]}),
        ({"dataset": "cifar100"}, {"rows": ["kd_mode"], "cols": ["protocol"]}),  # in no column in particular
        ({"dataset": "cifar100"}, {"rows": ["kd_mode"], "cols": ["train_size"]}),
    ],
)
def test_tables_without_them(tmp_path: Path, write_runs: Any, fields: Any, options: Any) -> None:
    write_runs("none", [60.0], **fields)
    assert _table(tmp_path, **options).published == ()


def test_columns_of_models_and_data_sets(tmp_path: Path, write_runs: Any) -> None:
    for model, dataset in (("resnet20", "cifar100"), ("resnet20", "cifar10"), ("vgg8", "cifar100")):
        write_runs("none", [60.0], model=model, dataset=dataset)
    table = _table(tmp_path, rows=["kd_mode"], cols=["model", "dataset"])
    places = [(cell.row, cell.col, cell.published.top1) for cell in table.published if cell.row == ("none",)]
    assert places == [
        (("none",), ("resnet20", "cifar100"), 69.06),
        (("none",), ("vgg8", "cifar100"), 70.36),
        (("none",), ("resnet20", "cifar100"), 68.92),
        (("none",), ("resnet20", "cifar10"), 92.37),
        (("none",), ("resnet20", "cifar100"), 69.06),
        (("none",), ("vgg8", "cifar100"), 70.36),
    ]
    assert _table(tmp_path, rows=["kd_mode"], where={"dataset": "cifar100"}).published == ()  # which model is not clear


def test_those_with_a_teacher_stand_beside_runs_of_the_same_one(tmp_path: Path, write_runs: Any) -> None:
    """And not of another, whose rows would mislead."""
    write_runs("none", [60.0], dataset="cifar100")
    write_runs("st", [61.0], dataset="cifar100", teacher="resnet44")
    assert {cell.row for cell in _table(tmp_path, rows=["kd_mode"]).published} == {("none",), ("tfd",)}
    write_runs("st+tfd", [62.0], dataset="cifar100", teacher="resnet110")
    with_teacher = [cell for cell in _table(tmp_path, rows=["kd_mode", "teacher"]).published if cell.published.teacher]
    assert [(cell.row, cell.published.top1) for cell in with_teacher] == [
        (("st", "resnet110"), 70.67),
        (("st+tfd", "resnet110"), 71.56),
        (("st", "resnet110"), 70.67),  # in RepDistiller's table; its other modes were not run
    ]


def test_numbers_of_two_teachers_are_two_rows(tmp_path: Path, write_runs: Any) -> None:
    """Neither hides the other where the table does not tell their teachers apart."""
    for teacher in ("resnet56", "resnet110"):
        write_runs("at", [61.0], dataset="cifar100", teacher=teacher)
    table = _table(tmp_path, rows=["kd_mode"], mix=True)
    texts = [[text.text for text in row] for row in lay_out(table, show=["mean"]).rows]
    assert [row for row in texts if "published" in row[0] and row[0].startswith("at")] == [
        ["at (teacher resnet56; published, RepDistiller README)", "70.55 (test, last epoch)"],
        ["at (teacher resnet110; published, RepDistiller README)", "70.22 (test, last epoch)"],
    ]


def test_columns_of_lengths(tmp_path: Path, write_runs: Any) -> None:
    for epochs in (30, 240):
        write_runs("none", [60.0], dataset="cifar100", epochs=epochs)
    table = _table(tmp_path, rows=["kd_mode"], cols=["epochs"])
    assert {cell.col for cell in table.published} == {(240,)}
    below = _table(tmp_path, rows=["epochs", "kd_mode"])
    assert [cell.row for cell in below.published][:2] == [(240, "none"), (240, "tfd")]


def test_the_file_tells_recipes_apart() -> None:
    recipes = {(n.batch_size, n.lr, n.pad_mode, n.nesterov) for n in read_published()}
    assert recipes == {(128, 0.1, "reflect", True), (64, 0.05, "zero", False), (64, 0.01, "zero", False)}
    slow = {n.model for n in read_published() if n.lr == 0.01}
    assert slow == {"mobilenet_v2", "shuffle_v1", "shuffle_v2"}
    assert {(n.kd_mode, n.source) for n in read_published() if not n.epoch_stated} == {
        ("tfd", "Tf-FD poster"),
        ("st+tfd", "Tf-FD poster"),
    }
