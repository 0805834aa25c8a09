"""Default rows are all settings that vary, and no statistic compares what differs in more than was compared."""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.__main__ import main
from analysis.best_layout import remarks
from analysis.best_trial import find_best
from analysis.compare import compare_trees
from analysis.compare_layout import remarks as compare_remarks
from analysis.conclusion import conclude
from analysis.factorial import analyse
from analysis.factorial_layout import lay_out_factorial
from analysis.figures.kinds import make_infos, read_source
from analysis.gather import gather
from analysis.lacking import lacking_cells
from analysis.method import covers, is_method
from analysis.report.content import report_content
from analysis.summary import summarise
from analysis.table import Request, Table
from tests.analysis.configured import write_configured

SEVEN = [60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 66.0]
BETTER = [value + 1 + seed / 8 for seed, value in enumerate(SEVEN)]
WORDS = "neither interval nor p, as more differs than what is compared (--mix tests it all the same): "

Write = Callable[..., None]


@pytest.fixture
def write(write_run: Any) -> Write:
    """Write runs of a kd_mode with configs, see `write_configured`."""
    return partial(write_configured, write_run)


def _compared(table: Table) -> dict[tuple[Any, ...], tuple[float, float | None]]:
    return {cell.row: (cell.difference.value, cell.difference.p) for cell in table.cells if cell.difference}


def _notes(table: Table, words: str) -> list[str]:
    return [note for note in table.notes if words in note]


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
    assert _compared(table) == {(0.01, "tfd"): (3.0, 0.5), (0.1, "tfd"): (3.0, 0.5)}
    assert not _notes(table, "mixes runs")
    # Where a row mixes rates on purpose, the note names them, and what both sides mix alike is compared.
    mixed = summarise(gather(tmp_path), rows=["kd_mode"])
    assert _notes(mixed, "kd_mode=none (2 settings: trainer.lr); kd_mode=tfd (2 settings: trainer.lr)")
    assert _compared(mixed) == {("tfd",): (3.0, 0.5)}


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
    assert _compared(table) == {("tfd", "mean"): (1.0, 0.5), ("tfd", "sum"): (2.5, 0.5)}
    assert not _notes(table, "caution")
    with pytest.raises(ValueError, match="kd_mode=tfd is several rows"):
        summarise(gather(tmp_path), baseline="tfd")
    compared = summarise(gather(tmp_path), baseline="kd_mode.reduction=mean")
    assert _compared(compared) == {("tfd", "sum"): (1.5, 0.5), ("none", None): (-1.0, 0.5)}


def test_other_rates_are_not_compared(tmp_path: Path, write: Write) -> None:
    write("none", "none", SEVEN, lr=0.1)
    write("tfd", "tfd", BETTER, lr=0.001)
    apart = summarise(gather(tmp_path))
    assert (apart.by, apart.baseline) == (("trainer.lr", "kd_mode"), None)
    assert _notes(apart, "no difference, as no measured baseline matches: trainer.lr=0.001 kd_mode=tfd")
    table = summarise(gather(tmp_path), rows=["kd_mode"])
    (difference,) = [cell.difference for cell in table.cells if cell.difference]
    assert (difference.value, difference.low, difference.p, difference.p_holm) == (1.375, None, None, None)
    assert str(difference) == "7 paired seeds, confounded"
    assert _notes(table, "caution: ") == [f"caution: {WORDS}kd_mode=tfd (trainer.lr 0.001 against 0.1)"]
    assert not _notes(table, "fewer than 2 shared seeds")
    mixed = summarise(gather(tmp_path), rows=["kd_mode"], mix=True)
    assert _compared(mixed) == {("tfd",): (1.375, 2 / 2**7)}
    expected = "caution: tested as was asked for, though more differs than what is compared: kd_mode=tfd (trainer.lr"
    assert _notes(mixed, expected)


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
    assert _compared(table)[("tfd",)] == (1.375, None)
    (note,) = _notes(table, WORDS)
    assert words in note


def test_the_same_in_other_words_is_compared(tmp_path: Path, write: Write) -> None:
    write("none", "none", SEVEN, root="/there", data="a" * 12, name="one")
    write("tfd", "tfd", BETTER, root="/here", data="a" * 12, name="two", val_fraction=0.3)
    table = summarise(gather(tmp_path))
    assert table.by == ("kd_mode",)
    assert _compared(table) == {("tfd",): (1.375, 2 / 2**7)}
    assert not _notes(table, "caution")


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
    assert _compared(table)[("tfd",)] == (0.0, None)
    assert _notes(table, "kd_mode=tfd (trainer.lr 0.1, 0.2 against 0.1, 0.2)")


def test_a_baseline_of_a_setting_compares_that_one_alone(tmp_path: Path, write: Write) -> None:
    write("small", "none", SEVEN, epochs=2)
    write("large", "none", BETTER, epochs=4)
    assert _compared(summarise(gather(tmp_path), baseline="epochs=2")) == {(4, "none"): (1.375, 2 / 2**7)}
    write("tuned", "none", SEVEN, epochs=8, lr=0.5)
    table = summarise(gather(tmp_path), rows=["epochs"], baseline="epochs=2")
    assert _compared(table) == {(4,): (1.375, 2 / 2**7), (8,): (0.0, None)}
    assert _notes(table, "epochs=8 (trainer.lr 0.5 against 0.1)")


def test_a_config_that_one_side_lacks_is_not_taken_for_equal(tmp_path: Path, write: Write) -> None:
    write("none", "none", SEVEN)
    write("tfd", "tfd", BETTER)
    for path in tmp_path.glob("tfd/*/.hydra/config.yaml"):
        path.write_text("a: [")
    table = summarise(gather(tmp_path))
    assert table.by == ("kd_mode",)
    assert _compared(table)[("tfd",)] == (1.375, None)
    assert _notes(table, "kd_mode=tfd (a config that cannot be read)")


def test_two_trees_of_other_settings_have_no_verdict(tmp_path: Path, write: Write, capsys: Any) -> None:
    write("a/none", "none", SEVEN, data="a" * 12)
    write("b/none", "none", BETTER, data="b" * 12)
    compared = compare_trees(gather(tmp_path / "a"), gather(tmp_path / "b"))
    (change,) = compared.changes
    assert change.difference is not None
    assert (change.difference.value, change.difference.p, change.verdict) == (1.375, None, "")
    notes = list(compare_remarks(compared))
    assert f"caution: {WORDS}none (data {'b' * 12} against {'a' * 12})" in notes
    assert "no verdict: none (settings differ, so no p)" in notes
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--mix"]) == 0
    assert "| moved " in capsys.readouterr().out.replace("**", "")


def test_a_setting_that_varies_on_one_side_of_two_trees_makes_rows(tmp_path: Path, write: Write) -> None:
    for lr in (0.1, 0.2):
        write(f"a/none-{lr}", "none", SEVEN, lr=lr)
    write("b/none", "none", BETTER, lr=0.2, idle=1e-3)
    compared = compare_trees(gather(tmp_path / "a"), gather(tmp_path / "b"))
    assert compared.rows == ("trainer.lr", "kd_mode")
    assert [(change.key, change.verdict) for change in compared.changes] == [((0.2, "none"), "moved")]


TERMS = {"none": (0.0, 0.0), "intra": (8e-4, 0.0), "inter": (0.0, 5e-4), "tfd": (8e-4, 5e-4)}


def _write_terms(write: Write, path: str, **of_mode: dict[str, Any]) -> None:
    for kd_mode, (intra, inter) in TERMS.items():
        gain = (intra > 0) + (inter > 0)
        values = [value + gain * (1 + seed / 8) for seed, value in enumerate(SEVEN)]
        lambdas = {"lambda_intra": intra, "lambda_inter": inter}
        write(f"{path}/{kd_mode}", kd_mode, values, **lambdas, **of_mode.get(kd_mode, {}), **of_mode.get("all", {}))


def test_each_rate_has_its_own_2_x_2(tmp_path: Path, write: Write) -> None:
    for lr in (0.1, 0.2):
        _write_terms(write, str(lr), all={"lr": lr})
    found = analyse(gather(tmp_path)).found
    assert [factorial.context for factorial in found] == [{"trainer.lr": "0.1"}, {"trainer.lr": "0.2"}]
    assert [factorial.effects[0].difference.p for factorial in found] == [2 / 2**7] * 2


def test_cells_of_a_2_x_2_that_differ_in_more_are_not_tested(tmp_path: Path, write: Write) -> None:
    _write_terms(write, "terms", none={"split": {"val_sha256": "b"}})
    (factorial,) = analyse(gather(tmp_path)).found
    assert [effect.difference.p for effect in factorial.effects] == [None] * 3
    assert conclude(factorial).startswith("The four cells differ in more than the terms, so no effect can be judged: s")
    effects = lay_out_factorial(factorial, "")[1]
    assert [row[2].text for row in effects.rows] == ["-"] * 3
    assert any(f"caution: {WORDS}the four cells (split" in note for note in effects.notes)


def test_a_2_x_2_of_several_rates_is_made_where_it_is_asked_for(tmp_path: Path, write: Write) -> None:
    _write_terms(write, "terms", none={"lr": 0.2})
    with pytest.raises(ValueError, match=r"^trainer.lr=0.1: a 2 x 2 .*\ntrainer.lr=0.2: a 2 x 2 "):
        analyse(gather(tmp_path))
    (factorial,) = analyse(gather(tmp_path), mix=True).found
    assert factorial.effects[0].difference.p == 2 / 2**7
    assert factorial.effects[0].difference.differs == ("trainer.lr 0.1 against 0.2",)


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


@pytest.fixture
def searched(tmp_path: Path, write: Write, write_sweep: Any) -> Path:
    """A search of the rate and a lambda in three trials of seven seeds, beside a baseline at 0.1."""
    for number, lr in enumerate((0.03, 0.1, 0.3)):
        values = [value + number for value in BETTER]
        fields = {"trial": number, "study": "search", "lambda_intra": 10.0**-number}
        write(f"demo/search/{number:04d}", "tfd", values, lr=lr, **fields)
    write("demo/baseline", "none", SEVEN, study="baseline", lr=0.1)
    cells = [{"kd_mode": "none", "seed": str(seed)} for seed in range(7)]
    studies = [
        {"study": "baseline", "kind": "grid", "n_trials": 7, "cells": cells},
        {"study": "search", "kind": "search", "n_trials": 3},
    ]
    space = {"lambda_intra": "interval(0, 1)", "trainer.lr": "interval(0.01, 1)"}
    write_sweep(*studies, path="demo", space=space, seeds=list(range(7)))
    return tmp_path / "demo"


UNEQUAL = (
    "caution: the search varied trainer.lr as well, and the baseline was not given the same search (it ran with "
    "trainer.lr 0.1), so a part of the difference may be that of a tuned setting"
)


def test_a_search_compares_what_it_searched_and_says_what_the_baseline_lacked(searched: Path) -> None:
    table = summarise(gather(searched))
    assert table.by == ("trainer.lr", "kd_mode", "lambda_intra")
    values = {key[0]: (value, p) for key, (value, p) in _compared(table).items()}
    assert values == {0.03: (1.375, 2 / 2**7), 0.1: (2.375, 2 / 2**7), 0.3: (3.375, 2 / 2**7)}
    assert [cell.row[0] for cell in table.cells if cell.to_best is None] == [0.3]  # all trials and the baseline compete
    assert _notes(table, "caution") == [UNEQUAL]
    assert f"T{UNEQUAL.removeprefix('caution: t')}." in report_content(read_source(searched)).cautions
    best = find_best(gather(searched))
    assert best.front[0].difference is not None and best.front[0].difference.p == 2 / 2**7
    assert list(remarks(best)).count(UNEQUAL) == 1


def test_a_search_of_the_method_alone_says_nothing_of_the_baseline(searched: Path, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 3}, path="demo", space={"lambda_intra": "0,1"})
    table = summarise(gather(searched), where={"trainer.lr": "0.1"})
    assert len(_compared(table)) == 1
    assert not _notes(table, "same search")


def test_a_baseline_of_other_pictures_is_not_compared_to_a_trial(searched: Path, write: Write) -> None:
    for path in searched.glob("baseline/*/result.json"):
        path.write_text(path.read_text().replace('"status"', '"data": "abc", "status"'))
    difference = find_best(gather(searched)).front[0].difference
    assert difference is not None and (difference.value, difference.low) == (3.375, None)
    (note,) = [note for note in remarks(find_best(gather(searched))) if "more differs" in note]
    assert "(analysis table --mix tests it all the same): trial 2 (data (absent) against abc" in note


def test_every_paired_statistic_looks_at_the_settings() -> None:
    """Only one module may turn values into differences: whoever needs one gets the look at the settings with it."""
    statistics = {"compare", "compare_each", "difference_of", "infer_each", "subset_mean_interval"}
    users = set()
    for path in Path(analysis.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in ("analysis.statistics", "analysis.paired"):
                users |= {path.stem for name in node.names if name.name in statistics}
    assert users == {"comparing", "statistics"}


@pytest.mark.parametrize(
    ("column", "key", "covered"),
    [
        ("lambda_intra", "kd_mode.tfd.lambda_intra", True),  # the method is one thing
        ("kd_mode", "teacher.model.name", True),
        ("kd_mode", "trainer.lr", False),
        ("model", "model.weights", True),
        ("train_size", "dataset.train_size", True),
        ("train_size", "data", False),
        ("dataset", "data", True),
        ("trainer.name", "trainer.lr", True),
        ("trainer.lr", "trainer.lr_decay", False),
    ],
)
def test_what_a_column_stands_for(column: str, key: str, covered: bool) -> None:
    assert covers(column, key) is covered
    assert is_method("kd_modes") is False
