"""Fractions beside percents, and data sets of a single class, in every command that shows accuracies."""

from pathlib import Path
from typing import Any

import pytest

from analysis.ablation.ablation import analyse
from analysis.ablation.sheet import lay_out_factorial
from analysis.best.best import find_best
from analysis.best.sheet import remarks
from analysis.compare.compare import compare_trees
from analysis.compare.sheet import remarks as compare_remarks
from analysis.figures.kinds import read_source
from analysis.means.means import summarise
from analysis.read.gather import gather
from analysis.read.results import Run
from analysis.report.content import report_content
from analysis.select.doubts import doubtful_numbers
from analysis.select.metrics import describe_metric
from analysis.sheets.notes import Kind
from tests.analysis.notes import cautions, of_kind

DOUBTS = [Kind.FRACTIONS, Kind.ONE_CLASS]
FRACTION = "caution: val_top1 is at most 1 in 1 run (such as 0.93) and up to 91.5 beside them: accuracies are percent"
ONE_CLASS = "caution: the data set of 2 runs has a single class, so that every network has an accuracy of 100 %"


def test_tables_and_the_report(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [91.5, 0.93])
    write_runs("tfd", [100.0, 100.0], classes=1)
    (note,) = of_kind(summarise(gather(tmp_path), where={"kd_mode": "none"}).notes, *DOUBTS)
    assert str(note).startswith(FRACTION)
    fractions, one_class = of_kind(summarise(gather(tmp_path)).notes, *DOUBTS)
    assert (fractions.kind, str(one_class)) == (Kind.FRACTIONS, ONE_CLASS)
    assert f"{ONE_CLASS.removeprefix('caution: ').capitalize()}." in report_content(read_source(tmp_path)).cautions


def test_two_trees(tmp_path: Path, write_run: Any) -> None:
    write_run("a/0", val_top1=0.93, classes=1)
    write_run("b/0", val_top1=91.5, classes=1)
    notes = compare_remarks(compare_trees(gather(tmp_path / "a"), gather(tmp_path / "b")))
    assert cautions(of_kind(notes, *DOUBTS)) == DOUBTS


def test_an_ablation(tmp_path: Path, write_runs: Any) -> None:
    for intra, inter, values in ((0.0, 0.0, [0.93]), (1.0, 0.0, [91.5]), (0.0, 1.0, [90.0]), (1.0, 1.0, [90.0])):
        write_runs("tfd" if intra or inter else "none", values, lambda_intra=intra, lambda_inter=inter)
    (factorial,) = analyse(gather(tmp_path)).found
    assert cautions(of_kind(lay_out_factorial(factorial, "")[1].notes, *DOUBTS)) == [Kind.FRACTIONS]


def test_the_best_trial_and_its_baseline(tmp_path: Path, write_run: Any) -> None:
    write_run("demo/search/0000", study="search", kd_mode="tfd", val_top1=91.5, classes=1)
    write_run("demo/baseline/0000", study="baseline", val_top1=0.93, classes=1)
    notes = remarks(find_best(gather(tmp_path)))
    assert cautions(of_kind(notes, *DOUBTS)) == DOUBTS


@pytest.mark.parametrize(
    ("values", "beside", "doubtful"),
    [
        ([0.91, 0.93], (), False),  # all of one kind
        ([0.0, 91.5], (), False),  # none right
        ([0.91, 0.93], (71.2,), True),  # a published number
        ([1.0, 60.0], (), True),
    ],
)
def test_fractions(values: list[float], beside: tuple[float, ...], doubtful: bool) -> None:
    runs = [Run("run", "complete", test_top1=value, test_loss=value) for value in values]
    metrics = [describe_metric("test_top1"), describe_metric("test_loss")]
    kinds = [note.kind for note in doubtful_numbers(runs, metrics, beside)]
    assert kinds == [Kind.FRACTIONS] * doubtful
