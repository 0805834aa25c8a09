"""What a caption states."""

from typing import Any

from analysis.conditions import condition_notes, conditions_of, conditions_text
from analysis.metrics import describe_metric


def _run(**fields: Any) -> dict[str, Any]:
    return {
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
    } | fields


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
    dirty = "caution: a commit with + is not what ran; files differed from it"
    varying = "devices, torch versions, commits"
    assert list(condition_notes(conditions, ())) == [f"caution: the runs differ in epochs, {varying}", dirty]
    assert list(condition_notes(conditions, ("epochs",))) == [f"caution: the runs differ in {varying}", dirty]


def test_what_some_runs_did_not_record_is_a_value_too() -> None:
    unknown = {"git_commit": None, "device": None, "threads": None, "versions.torch": None}
    conditions = conditions_of([_run(), _run(**unknown), _run(**unknown)])
    assert conditions_text(conditions).endswith(
        "devices cpu (some), not recorded for 2 runs; threads 1, not recorded for 2 runs; Python 3.11.7; "
        "torch versions 2.9.0, not recorded for 2 runs; commits 0123456789, not recorded for 2 runs"
    )
    assert list(condition_notes(conditions, ())) == [
        "caution: the runs differ in devices, threads, torch versions, commits"
    ]
    assert "train_size" not in conditions  # null is all of it
    assert "device" not in conditions_of([_run(**unknown)])


def test_many_values_are_counted() -> None:
    conditions = conditions_of([_run(epochs=number, seed=3 * number) for number in range(11)])
    assert "epochs (11 different); seeds (11 different)" in conditions_text(conditions)


def test_nothing_recorded() -> None:
    assert conditions_text(conditions_of([])) == "conditions not recorded"
