"""Default rows are all settings that vary, and no statistic compares what differs in more than was compared."""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.__main__ import main
from analysis.compare.compare import compare_trees
from analysis.compare.sheet import remarks as compare_remarks
from analysis.figures.kinds import make_infos, read_source
from analysis.means.means import summarise
from analysis.missing.missing import lacking_cells
from analysis.read.gather import gather
from analysis.select.request import Request
from analysis.sheets.notes import Kind
from tests.analysis.configured import BETTER, SEVEN, compared_values, write_configured
from tests.analysis.notes import cautions, kinds, text_of

Write = Callable[..., None]


@pytest.fixture
def write(write_run: Any) -> Write:
    """Write runs of a kd_mode with configs, see `write_configured`."""
    return partial(write_configured, write_run)


def test_a_setting_that_varies_makes_rows(tmp_path: Path, write: Write) -> None:
    for lr, level in ((0.01, 60.0), (0.1, 70.0)):
        write(f"none-{lr}", "none", [level, level + 1], lr=lr)
        write(f"tfd-{lr}", "tfd", [level + 2, level + 5], lr=lr)
    table = summarise(gather(tmp_path))
    assert table.by == ("trainer.lr", "kd_mode")
    assert [(cell.row, cell.mean, cell.n) for cell in table.cells] == [
        ((0.01, "none"), 60.5, 2),
        ((0.01, "tfd"), 63.5, 2),
        ((0.1, "none"), 70.5, 2),
        ((0.1, "tfd"), 73.5, 2),
    ]
    assert compared_values(table) == {(0.01, "tfd"): (3.0, 0.5), (0.1, "tfd"): (3.0, 0.5)}
    assert Kind.SEVERAL_SETTINGS not in kinds(table.notes)
    # Where a row mixes rates on purpose, the note names them, and what both sides mix alike is compared.
    mixed = summarise(gather(tmp_path), rows=["kd_mode"])
    named = "kd_mode=none (2 settings: trainer.lr); kd_mode=tfd (2 settings: trainer.lr)"
    assert named in text_of(mixed.notes, Kind.SEVERAL_SETTINGS)
    assert compared_values(mixed) == {("tfd",): (3.0, 0.5)}


def test_settings_that_follow_from_a_column_make_none_and_idle_ones_neither(tmp_path: Path, write: Write) -> None:
    write("a", "none", [60.0], name="one", lr=0.1, epochs=2)
    write("b", "none", [60.0], name="two", lr=0.2, epochs=4)
    write("c", "tfd", [60.0], first_seed=5, name="three", lr=0.2, epochs=4, arguments="stages: [1, 2]")
    assert summarise(gather(tmp_path)).by == ("epochs", "kd_mode")


def test_what_a_sweep_varied_on_purpose_makes_rows_though_it_follows(
    tmp_path: Path, write: Write, write_sweep: Any
) -> None:
    for lr, epochs in ((0.1, 2), (0.2, 4)):
        write(f"grid/{lr}", "none", [60.0], lr=lr, epochs=epochs)
    cells = [{"trainer.epochs": "2", "trainer.lr": "0.1"}, {"trainer.epochs": "4", "trainer.lr": "0.2"}]
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 2, "cells": cells})
    assert summarise(gather(tmp_path)).by == ("epochs", "trainer.lr", "kd_mode")


@pytest.mark.parametrize("rows", [None, ["kd_mode", "kd_mode.reduction"]])
def test_an_argument_of_the_method_keeps_its_differences_to_none(
    tmp_path: Path, write: Write, rows: list[str] | None
) -> None:
    write("none", "none", [60.0, 60.0])
    write("mean", "tfd", [61.0, 61.0], arguments="reduction: mean")
    write("sum", "tfd", [62.0, 63.0], arguments="reduction: sum")
    table = summarise(gather(tmp_path), rows=rows)
    assert table.by == ("kd_mode", "kd_mode.reduction")
    assert compared_values(table) == {("tfd", "mean"): (1.0, 0.5), ("tfd", "sum"): (2.5, 0.5)}
    assert cautions(table.notes) == []
    with pytest.raises(ValueError, match="kd_mode=tfd is several rows"):
        summarise(gather(tmp_path), baseline="tfd")
    compared = summarise(gather(tmp_path), baseline="kd_mode.reduction=mean")
    assert compared_values(compared) == {("tfd", "sum"): (1.5, 0.5), ("none", None): (-1.0, 0.5)}


def test_other_rates_are_not_compared(tmp_path: Path, write: Write) -> None:
    write("none", "none", SEVEN, lr=0.1)
    write("tfd", "tfd", BETTER, lr=0.001)
    apart = summarise(gather(tmp_path))
    assert (apart.by, apart.baseline) == (("trainer.lr", "kd_mode"), None)
    assert text_of(apart.notes, Kind.NO_BASELINE).endswith(": trainer.lr=0.001 kd_mode=tfd")
    table = summarise(gather(tmp_path), rows=["kd_mode"])
    (difference,) = [cell.difference for cell in table.cells if cell.difference]
    assert (difference.value, difference.low, difference.p, difference.p_holm) == (1.375, None, None, None)
    assert str(difference) == "7 paired seeds, confounded"
    assert cautions(table.notes) == [Kind.CONFOUNDED]
    assert Kind.UNTESTED not in kinds(table.notes)
    assert text_of(table.notes, Kind.CONFOUNDED) == (
        "neither interval nor p, as more differs than what is compared (--mix tests it all the same): "
        "kd_mode=tfd (trainer.lr 0.001 against 0.1)"
    )
    mixed = summarise(gather(tmp_path), rows=["kd_mode"], mix=True)
    assert compared_values(mixed) == {("tfd",): (1.375, 2 / 2**7)}
    assert cautions(mixed.notes) == [Kind.MIXED]
    assert "kd_mode=tfd (trainer.lr" in text_of(mixed.notes, Kind.MIXED)


@pytest.mark.parametrize(
    ("none", "tfd", "words"),
    [
        ({"data": "a" * 12}, {"data": "b" * 12}, f"data {'b' * 12} against {'a' * 12}"),
        ({"data": "a" * 12}, {}, f"kd_mode=tfd (data (absent) against {'a' * 12})"),
        ({"root": "/a"}, {"root": "/b"}, "dataset.root /b against /a, dataset.source.root /b against /a"),
        ({"split": {"val_sha256": "a"}}, {"split": {"val_sha256": "b"}}, "split.val_sha256 b against a"),
        ({"precision": "fp32"}, {"precision": "bf16"}, "trainer.precision bf16 against fp32"),
        ({"weights": {"digest": "a"}}, {"weights": None}, "model.weights - against a"),
        ({"epochs": 2}, {"epochs": 4}, "trainer.epochs 4 against 2"),
        ({"val_fraction": 0.1}, {}, "protocol.val_fraction 0.3 against 0.1"),
    ],
)
def test_whatever_differs_besides_is_named(
    tmp_path: Path, write: Write, none: dict[str, Any], tfd: dict[str, Any], words: str
) -> None:
    write("none", "none", SEVEN, **none)
    write("tfd", "tfd", BETTER, **tfd)
    table = summarise(gather(tmp_path), rows=["kd_mode"])
    assert compared_values(table)[("tfd",)] == (1.375, None)
    assert words in text_of(table.notes, Kind.CONFOUNDED)


def test_the_same_in_other_words_is_compared(tmp_path: Path, write: Write) -> None:
    write("none", "none", SEVEN, root="/there", data="a" * 12, name="one")
    write("tfd", "tfd", BETTER, root="/here", data="a" * 12, name="two", val_fraction=0.3)
    table = summarise(gather(tmp_path))
    assert table.by == ("kd_mode",)
    assert compared_values(table) == {("tfd",): (1.375, 2 / 2**7)}
    assert cautions(table.notes) == []


def test_pictures_that_differ_make_rows(tmp_path: Path, write: Write) -> None:
    for letter in "ab":
        write(f"none-{letter}", "none", SEVEN[:2], data=letter * 12)
    assert summarise(gather(tmp_path)).by == ("data", "kd_mode")


def test_rows_that_mix_unlike_seeds_are_not_compared(tmp_path: Path, write: Write) -> None:
    """Each side has the same two rates, and no seed has the same on both."""
    for kd_mode, rates in (("none", (0.1, 0.2)), ("tfd", (0.2, 0.1))):
        write(f"{kd_mode}-a", kd_mode, SEVEN[:3], lr=rates[0])
        write(f"{kd_mode}-b", kd_mode, SEVEN[3:], first_seed=3, lr=rates[1])
    table = summarise(gather(tmp_path), rows=["kd_mode"])
    assert compared_values(table)[("tfd",)] == (0.0, None)
    assert "kd_mode=tfd (trainer.lr 0.1, 0.2 against 0.1, 0.2)" in text_of(table.notes, Kind.CONFOUNDED)


def test_one_shared_seed_pairs_nothing_so_all_runs_are_looked_at(tmp_path: Path, write: Write) -> None:
    write("none", "none", [60.0], lr=0.1)
    write("other", "none", [50.0, 50.0], first_seed=1, lr=0.2)
    write("tfd", "tfd", [63.0], lr=0.1)
    table = summarise(gather(tmp_path), rows=["kd_mode"])
    assert "kd_mode=tfd (trainer.lr 0.1 against 0.1, 0.2)" in text_of(table.notes, Kind.CONFOUNDED)


def test_a_baseline_of_a_setting_compares_that_one_alone(tmp_path: Path, write: Write) -> None:
    write("small", "none", SEVEN, epochs=2)
    write("large", "none", BETTER, epochs=4)
    assert compared_values(summarise(gather(tmp_path), baseline="epochs=2")) == {(4, "none"): (1.375, 2 / 2**7)}
    write("tuned", "none", SEVEN, epochs=8, lr=0.5)
    table = summarise(gather(tmp_path), rows=["epochs"], baseline="epochs=2")
    assert compared_values(table) == {(4,): (1.375, 2 / 2**7), (8,): (0.0, None)}
    assert "epochs=8 (trainer.lr 0.5 against 0.1)" in text_of(table.notes, Kind.CONFOUNDED)


def test_a_config_that_one_side_lacks_is_not_taken_for_equal(tmp_path: Path, write: Write) -> None:
    write("none", "none", SEVEN)
    write("tfd", "tfd", BETTER)
    for path in tmp_path.glob("tfd/*/.hydra/config.yaml"):
        path.write_text("a: [")
    table = summarise(gather(tmp_path))
    assert table.by == ("kd_mode",)
    assert compared_values(table)[("tfd",)] == (1.375, None)
    assert "kd_mode=tfd (a config that cannot be read)" in text_of(table.notes, Kind.CONFOUNDED)


def test_two_trees_of_other_settings_have_no_verdict(tmp_path: Path, write: Write, capsys: Any) -> None:
    write("a/none", "none", SEVEN, data="a" * 12)
    write("b/none", "none", BETTER, data="b" * 12)
    compared = compare_trees(gather(tmp_path / "a"), gather(tmp_path / "b"))
    (change,) = compared.changes
    assert change.difference is not None
    assert (change.difference.value, change.difference.p, change.verdict) == (1.375, None, "")
    notes = list(compare_remarks(compared))
    assert f": none (data {'b' * 12} against {'a' * 12})" in text_of(notes, Kind.CONFOUNDED)
    assert "none (settings differ" in text_of(notes, Kind.NO_VERDICT)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--mix"]) == 0
    assert "| moved " in capsys.readouterr().out.replace("**", "")


def test_a_setting_that_varies_on_one_side_of_two_trees_makes_rows(tmp_path: Path, write: Write) -> None:
    for lr in (0.1, 0.2):
        write(f"a/none-{lr}", "none", SEVEN, lr=lr)
    write("b/none", "none", BETTER, lr=0.2, idle=1e-3)
    compared = compare_trees(gather(tmp_path / "a"), gather(tmp_path / "b"))
    assert compared.rows == ("trainer.lr", "kd_mode")
    assert [(change.key, change.verdict) for change in compared.changes] == [((0.2, "none"), "moved")]


def test_what_a_rate_lacks_is_missing_with_a_command_that_sets_it(tmp_path: Path, write: Write) -> None:
    write("none", "none", [60.0], lr=0.1)
    write("tfd", "tfd", [60.0], lr=0.2, arguments="reduction: sum")
    write("mean", "tfd", [60.0], lr=0.2, arguments="reduction: mean")
    commands = {cell.cell: cell.command for cell in lacking_cells(gather(tmp_path), Request())}
    expected = "python run.py trainer.lr=0.2 kd_mode=none name=demo seed=0"
    found = commands["trainer.lr=0.2 kd_mode=none kd_mode.reduction=- seed=0"]
    assert found is not None and sorted(found.split()) == sorted(expected.split())


def test_pictures_tell_rates_apart(tmp_path: Path, write: Write) -> None:
    for lr in (0.1, 0.2):
        for kd_mode in ("none", "tfd"):
            write(f"{kd_mode}-{lr}", kd_mode, SEVEN[:2], lr=lr)
    infos, _ = make_infos(read_source(tmp_path), ("ablation",))
    bars: Any = infos["ablation"]
    labels = {bar.label for bar in bars.bars}
    assert labels == {"none, trainer.lr=0.1", "none, trainer.lr=0.2", "tfd, trainer.lr=0.1", "tfd, trainer.lr=0.2"}


def test_every_paired_statistic_looks_at_the_settings() -> None:
    """Only one module may turn values into differences: whoever needs one gets the look at the settings with it."""
    statistics = {"compare", "compare_each", "difference_of", "infer_each", "subset_mean_interval"}
    users = set()
    for path in Path(analysis.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in (
                "analysis.statistics.differences",
                "analysis.statistics.paired",
            ):
                users |= {path.stem for name in node.names if name.name in statistics}
    assert users == {"comparing", "differences"}
