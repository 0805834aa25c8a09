"""What a caption states."""

from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.figures.kinds import read_source
from analysis.read.results import Run
from analysis.report.content import report_content
from analysis.select.conditions import condition_notes, conditions_of, conditions_text
from analysis.select.metrics import describe_metric
from analysis.sheets.notes import Kind, caution


def _run(**fields: Any) -> Run:
    usual = {
        "dataset": "digits",
        "train_size": None,
        "model": "resnet20",
        "protocol": "validation",
        "epochs": 30,
        "seed": 0,
        "device": "cpu (some)",
        "threads": 1,
        "versions.python": "3.11.7",
        "versions.torch": "2.9.0",
        "versions.optuna": "5.0.0",
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
    }
    return Run("run", "complete").having(usual | fields)


def test_all_conditions_in_words() -> None:
    runs = [_run(seed=seed) for seed in (4, 0, 1, 2, 9)]
    conditions = conditions_of(runs, [describe_metric("val_top1"), describe_metric("best_val_top1")])
    assert conditions_text(conditions) == (
        "dataset digits; model resnet20; protocol validation; split val; epoch rules best val, last; epochs 30; "
        "seeds 0 to 2, 4, 9; device cpu (some); threads 1; Python 3.11.7; torch 2.9.0; commit 0123456789"
    )
    assert conditions["versions.optuna"] == ("5.0.0",)


def test_several_values() -> None:
    runs = [
        _run(epochs=2, device="cuda", git_commit=None, train_size=500),
        _run(epochs=4, git_commit="f" * 40 + "+", **{"versions.torch": None}),
    ]
    conditions = conditions_of(runs)
    text = conditions_text(conditions)
    assert "train size 500" in text
    assert "epochs 2, 4; seed 0; devices cpu (some), cuda" in text
    dirty = caution(Kind.CHANGED_FILES, "a commit with + is not what ran; files differed from it")
    varying = "devices, torch versions, commits"
    differ = caution(Kind.CONDITIONS, f"the runs differ in epochs, {varying}")
    assert list(condition_notes(conditions, ())) == [differ, dirty]
    assert list(condition_notes(conditions, ("epochs",))) == [
        caution(Kind.CONDITIONS, f"the runs differ in {varying}"),
        dirty,
    ]


def test_what_some_runs_did_not_record_is_a_value_too() -> None:
    unknown = {"git_commit": None, "device": None, "threads": None, "versions.torch": None}
    conditions = conditions_of([_run(), _run(**unknown), _run(**unknown)])
    assert conditions_text(conditions).endswith(
        "devices cpu (some), not recorded for 2 runs; threads 1, not recorded for 2 runs; Python 3.11.7; "
        "torch versions 2.9.0, not recorded for 2 runs; commits 0123456789, not recorded for 2 runs"
    )
    (note,) = condition_notes(conditions, ())
    assert note.kind is Kind.CONDITIONS
    assert all(name in note.text for name in ("devices", "threads", "torch versions", "commits"))
    assert "train_size" not in conditions  # null is all of it
    assert "device" not in conditions_of([_run(**unknown)])


def test_many_values_are_counted() -> None:
    conditions = conditions_of([_run(epochs=number, seed=3 * number) for number in range(11)])
    assert "epochs (11 different); seeds (11 different)" in conditions_text(conditions)


def test_nothing_recorded() -> None:
    assert conditions_text(conditions_of([])) == "conditions not recorded"


def test_a_precision_that_was_not_recorded_is_not_the_same() -> None:
    runs = [_run(precision="fp32"), _run(precision="tf32"), _run()]
    conditions = conditions_of(runs)
    assert conditions["precision"] == ("fp32", "not recorded for 1 run", "tf32")
    (note,) = condition_notes(conditions, ())
    assert note.kind is Kind.CONDITIONS and "precisions" in note.text
    assert list(condition_notes(conditions_of([_run(), _run()]), ())) == []


MODES = {"none": (0.0, 0.0), "intra": (0.1, 0.0), "inter": (0.0, 0.1), "tfd": (0.1, 0.1)}


@pytest.mark.parametrize("past", ["clean", "unknown"])
@pytest.mark.parametrize("whose", ["model.weights", "teacher.checkpoint"])
def test_an_unknown_past_of_the_weights_stands_with_all_numbers(
    tmp_path: Path, write_run: Any, capsys: Any, past: str, whose: str
) -> None:
    start: dict[str, Any] = {"weights": {"digest": "0123456789ab", "past": past}}
    if whose == "teacher.checkpoint":
        start = {"teacher": "resnet110", "teacher_digest": "0123456789ab", "teacher_past": past}
    for tree in ("a", "b"):
        for mode, (intra, inter) in MODES.items():
            for seed in (0, 1):
                terms = {"kd_mode": mode, "lambda_intra": intra, "lambda_inter": inter}
                write_run(f"{tree}/grid/{mode}{seed}", seed=seed, val_top1=60.0 + seed + intra, **start, **terms)
        write_run(f"{tree}/search/0000", study="search", kd_mode="tfd", **start)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    for command in (["table", a], ["ablation", f"{a}/grid"], ["compare", a, b], ["best", a]):
        assert main(command) == 0
        output = capsys.readouterr().out
        assert (f"weights of an unknown past ({whose})" in output) is (past == "unknown"), command
    cautions = report_content(read_source(a)).cautions
    assert any("unknown past" in caution for caution in cautions) is (past == "unknown")
