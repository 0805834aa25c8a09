"""Trials that saw several versions of the data: `best` and the report say so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.best.best import find_best
from analysis.best.sheet import remarks
from analysis.read.gather import gather
from analysis.report.cautions import cautions
from analysis.sheets.notes import Kind, caution
from analysis.sheets.words import capital
from tests.analysis.notes import kinds

OLD, NEW = "0123456789ab", "ba9876543210"

WriteTrials = Callable[..., None]


@pytest.fixture
def write_trials(write_run: Any) -> WriteTrials:
    """Write a search: for each trial the fields of its runs, one a seed."""

    def write(*trials: list[dict[str, Any]], root: str = "demo") -> None:
        for number, runs in enumerate(trials):
            for seed, fields in enumerate(runs):
                path = f"{root}/search/{number:04d}" + (f"/seed{seed}" if len(runs) > 1 else "")
                write_run(path, study="search", trial=number, seed=seed, val_top1=60.0 + number, **fields)

    return write


def test_several_versions_of_the_data_are_told(tmp_path: Path, write_trials: WriteTrials) -> None:
    write_trials([{"data": OLD}], [{"data": NEW}], [{"data": NEW}], [{}])
    text = (
        f"the trials differ in the data set's content ({OLD} in 1 trial, {NEW} in 2 trials, unknown in 1 trial), so "
        "their scores do not compare, nor is the best sure"
    )
    best = find_best(gather(tmp_path))
    assert best.cautions == (caution(Kind.DATA_VERSIONS, text),)
    assert best.cautions[0] in list(remarks(best))
    assert f"{capital(text)}." in cautions(gather(tmp_path), [], None, ())


def test_other_held_out_pictures_are_told(tmp_path: Path, write_trials: WriteTrials) -> None:
    write_trials(*([{"data": OLD, "split": {"val_sha256": letter * 64}}] for letter in "ab"))
    notes = find_best(gather(tmp_path)).cautions
    assert kinds(notes) == [Kind.DATA_VERSIONS]
    assert all(words in notes[0].text for words in ("held-out pictures", "a" * 12, "b" * 12))


def test_each_of_several_searches_is_told_by_its_name(tmp_path: Path, write_trials: WriteTrials) -> None:
    write_trials([{"data": OLD}], [{"data": NEW}], root="changed")
    write_trials([{"data": OLD}], [{"data": OLD}], root="pinned")
    told = [text for text in cautions(gather(tmp_path), [], None, ()) if "data set's content" in text]
    assert [text.partition(": ")[0] for text in told] == ["Changed"]


@pytest.mark.parametrize(
    "trials",
    [
        [[{}], [{}]],  # nobody knows, as of all results of before it was recorded
        [[{"data": OLD}], [{"data": OLD}]],
        [[{"data": OLD}, {"data": NEW}], [{"data": NEW}, {"data": OLD}]],  # each trial is a mean over the same ones
    ],
)
def test_trials_that_compare_need_no_caution(tmp_path: Path, write_trials: WriteTrials, trials: Any) -> None:
    write_trials(*trials)
    assert find_best(gather(tmp_path)).cautions == ()


def test_trials_that_were_given_up_have_no_part_in_the_choice(tmp_path: Path, write_trials: WriteTrials) -> None:
    write_trials([{"data": OLD}], [{"data": NEW, "status": "failed"}])
    assert find_best(gather(tmp_path)).cautions == ()
