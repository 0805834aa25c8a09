"""Choices of a search stay what they are, also where they look like numbers."""

from pathlib import Path
from typing import Any

import pytest

from analysis.best.best import find_best
from analysis.best.sheet import lay_out_best
from analysis.figures.parallel import parallel_info
from analysis.read.gather import gather
from analysis.read.results import runs_of
from analysis.report.runs import RunColumn, run_table
from analysis.select.trials import find_search


@pytest.fixture
def searched(tmp_path: Path, write_trial: Any, write_sweep: Any) -> Path:
    """Trials of four names, of which Python takes two and two for the same number."""
    write_sweep({"study": "search", "kind": "search", "n_trials": 4}, path="demo", space={"x.name": "1_1,11,1e3,1000"})
    for number, name in enumerate(("1_1", "11", "1e3", "1000")):
        write_trial(number, [60.0 + number], params={"x.name": name})
    return tmp_path


def test_choices_that_look_like_one_number_are_several(searched: Path) -> None:
    gathered = gather(searched)
    assert [trial.params["x.name"] for trial in find_search(gathered).trials] == ["1_1", "11", "1e3", "1000"]
    assert [text for _, text in parallel_info(gathered).scales[0].ticks] == ["1000", "11", "1_1", "1e3"]


def test_the_report_keeps_choices_as_they_are(searched: Path) -> None:
    gathered = gather(searched)
    runs = run_table(gathered, runs_of(gathered.runs), [])
    place = runs.columns.index(RunColumn("x.name", False))
    assert [row.texts[place] for row in runs.rows] == ["1_1", "11", "1e3", "1000"]


def test_a_truth_is_no_number_in_the_report(tmp_path: Path, write_trial: Any, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 2}, path="demo", space={"flag": "true,false"})
    for number, flag in enumerate((True, False)):
        write_trial(number, [60.0], flag=flag)
    gathered = gather(tmp_path)
    assert RunColumn("flag", False) in run_table(gathered, runs_of(gathered.runs), []).columns


@pytest.mark.parametrize(("number", "name"), list(enumerate(("1_1", "11", "1e3", "1000"))))
def test_the_winner_has_the_name_that_was_searched(searched: Path, number: int, name: str) -> None:
    for later in range(number + 1, 4):
        (searched / f"demo/search/{later:04d}/result.json").unlink()
    assert lay_out_best(find_best(gather(searched))).rows[0][1].text == f"x.name={name}"
