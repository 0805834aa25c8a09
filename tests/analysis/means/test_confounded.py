"""Ablations, searches and their best trial compare what they are about, and say what differs besides."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from analysis.ablation.ablation import NoAblation, analyse
from analysis.ablation.conclusion import Support, conclude
from analysis.ablation.factorial import Lack
from analysis.ablation.sheet import lay_out_factorial
from analysis.best.best import find_best
from analysis.best.sheet import remarks
from analysis.figures.kinds import read_source
from analysis.means.means import summarise
from analysis.read.gather import gather
from analysis.report.content import report_content
from analysis.sheets.notes import Kind
from analysis.sheets.words import capital
from tests.analysis.configured import BETTER, SEVEN, compared_values, write_configured
from tests.analysis.notes import cautions, kinds, of_kind, text_of

Write = Callable[..., None]


@pytest.fixture
def write(write_run: Any) -> Write:
    """Write runs of a kd_mode with configs, see `write_configured`."""
    return partial(write_configured, write_run)


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
    conclusion = conclude(factorial)
    assert (conclusion.support, conclusion.left_open) == (Support.CONFOUNDED, ())
    assert "split" in conclusion.text
    effects = lay_out_factorial(factorial, "")[1]
    assert [row[2].text for row in effects.rows] == ["-"] * 3
    assert cautions(of_kind(effects.notes, Kind.CONFOUNDED)) == [Kind.CONFOUNDED]
    assert "the four cells (split" in text_of(effects.notes, Kind.CONFOUNDED)


def test_a_2_x_2_of_several_rates_is_made_where_it_is_asked_for(tmp_path: Path, write: Write) -> None:
    _write_terms(write, "terms", none={"lr": 0.2})
    with pytest.raises(NoAblation) as raised:
        analyse(gather(tmp_path))
    told = [(reason.kind, reason.what) for reason in raised.value.reasons]
    assert told == [(Lack.CELL, "trainer.lr=0.1"), (Lack.CELL, "trainer.lr=0.2")]
    (factorial,) = analyse(gather(tmp_path), mix=True).found
    assert factorial.effects[0].difference.p == 2 / 2**7
    assert factorial.effects[0].difference.differs == ("trainer.lr 0.1 against 0.2",)


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
    "the search varied trainer.lr as well, and the baseline was not given the same search (it ran with "
    "trainer.lr 0.1), so a part of the difference may be that of a tuned setting"
)


def test_a_search_compares_what_it_searched_and_says_what_the_baseline_lacked(searched: Path) -> None:
    table = summarise(gather(searched))
    assert table.by == ("trainer.lr", "kd_mode", "lambda_intra")
    values = {key[0]: (value, p) for key, (value, p) in compared_values(table).items()}
    assert values == {0.03: (1.375, 2 / 2**7), 0.1: (2.375, 2 / 2**7), 0.3: (3.375, 2 / 2**7)}
    assert [cell.row[0] for cell in table.cells if cell.to_best is None] == [0.3]  # all trials and the baseline compete
    assert cautions(table.notes) == [Kind.UNEQUAL_SEARCH]
    assert text_of(table.notes, Kind.UNEQUAL_SEARCH) == UNEQUAL
    assert f"{capital(UNEQUAL)}." in report_content(read_source(searched)).cautions
    best = find_best(gather(searched))
    assert best.front[0].difference is not None and best.front[0].difference.p == 2 / 2**7
    assert text_of(remarks(best), Kind.UNEQUAL_SEARCH) == UNEQUAL


def test_a_search_of_the_method_alone_says_nothing_of_the_baseline(searched: Path, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 3}, path="demo", space={"lambda_intra": "0,1"})
    table = summarise(gather(searched), where={"trainer.lr": "0.1"})
    assert len(compared_values(table)) == 1
    assert Kind.UNEQUAL_SEARCH not in kinds(table.notes)


def test_a_baseline_of_other_pictures_is_not_compared_to_a_trial(searched: Path, write: Write) -> None:
    for path in searched.glob("baseline/*/result.json"):
        path.write_text(path.read_text().replace('"status"', '"data": "abc", "status"'))
    difference = find_best(gather(searched)).front[0].difference
    assert difference is not None and (difference.value, difference.low) == (3.375, None)
    note = text_of(remarks(find_best(gather(searched))), Kind.CONFOUNDED)
    assert "(analysis table --mix tests it all the same): trial 2 (data (absent) against abc" in note
