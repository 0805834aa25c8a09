"""Whether the kd_modes of a search had as many trials as each other, and the baseline as many runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.best.best import find_best
from analysis.best.sheet import remarks
from analysis.figures.kinds import read_source
from analysis.means.means import summarise
from analysis.read.gather import gather
from analysis.report.content import report_content
from analysis.select.budgets import budget_notes
from analysis.sheets.notes import Kind, Level
from analysis.sheets.words import capital
from tests.analysis.notes import text_of

WriteModes = Callable[..., Path]


@pytest.fixture
def write_modes(tmp_path: Path, write_run: Any, write_sweep: Any) -> WriteModes:
    """Write a search with a trial of each of the given choices, and a baseline of some runs."""

    def write(*choices: str, baseline: int) -> Path:
        for number, choice in enumerate(choices):
            mode, words = choice.strip("[]").replace(",", "+"), (f"kd_mode={choice}",)
            fields = {"study": "search", "trial": number, "kd_mode": mode, "val_top1": 60.0 + number}
            write_run(f"demo/search/{number:04d}", overrides=words, ended=number != 1, **fields)
        for seed in range(baseline):
            write_run(f"demo/baseline/{seed:04d}", study="baseline", seed=seed)
        study = {"study": "search", "kind": "search", "n_trials": len(choices), "cells": None}
        write_sweep(study, path="demo", space={"kd_mode": "st,[st,tfd]"})
        return tmp_path / "demo"

    return write


def test_an_equal_budget_is_stated_by_best_table_and_report(write_modes: WriteModes) -> None:
    """A trial that failed or was lost has had its share."""
    gathered = gather(write_modes("st", "[st,tfd]", "[st,tfd]", "st", baseline=2))
    text = "budget: 2 trials of each of 2 kd_modes, and 2 runs of the baseline"
    (note,) = budget_notes(gathered)
    assert (str(note), note.level) == (text, Level.NOTE)
    assert text_of(remarks(find_best(gathered)), Kind.BUDGET) == text
    assert text_of(summarise(gathered).notes, Kind.BUDGET) == text


@pytest.mark.parametrize(
    ("choices", "baseline", "text"),
    [
        (
            ("st", "tfd", "st"),
            2,
            "the budget is not equal, and the best of more trials looks better by chance: trials of st 2, tfd 1; and 2 "
            "runs of the baseline",
        ),
        (
            ("st", "tfd", "st", "tfd"),
            3,
            "budget: 2 trials of each of 2 kd_modes, and 3 runs of the baseline, so the budget is not equal: the best "
            "of more runs looks better by chance",
        ),
    ],
)
def test_an_unequal_one_is_a_caution(
    write_modes: WriteModes, choices: tuple[str, ...], baseline: int, text: str
) -> None:
    root = write_modes(*choices, baseline=baseline)
    (note,) = budget_notes(gather(root))
    assert f"{capital(text)}." in report_content(read_source(root)).cautions
    assert (note.text, note.level) == (text, Level.CAUTION)


def test_one_mode_or_none_has_no_budget_to_compare(write_modes: WriteModes) -> None:
    assert list(budget_notes(gather(write_modes("st", "st", baseline=1)))) == []
