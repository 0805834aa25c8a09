"""Labels of metrics, and which ones a table shows."""

from pathlib import Path
from typing import Any

import pytest

from analysis.means.means import summarise
from analysis.read.gather import gather
from analysis.select.metrics import describe_metric
from analysis.sheets.notes import Kind
from tests.analysis.notes import text_of


@pytest.mark.parametrize(
    ("name", "label", "split", "epoch"),
    [
        ("val_top1", "val top-1, last epoch (%)", "val", "last"),
        ("best_val_top1", "val top-1, best val epoch (%)", "val", "best val"),
        ("test_top1", "test top-1, last epoch (%)", "test", "last"),
        ("best_test_top1", "test top-1, best test epoch (%)", "test", "best test"),
        ("test_loss", "test loss, last epoch", "test", "last"),
        ("train_top1", "train top-1, last epoch (%)", "train", "last"),
        ("intra", "intra term, unweighted, training set, last epoch", "train", "last"),
        ("train_seconds", "training time (s)", None, None),
        ("threads", "threads", None, None),
    ],
)
def test_labels_state_split_and_epoch(name: str, label: str, split: str | None, epoch: str | None) -> None:
    metric = describe_metric(name)
    assert (metric.label, metric.split, metric.epoch) == (label, split, epoch)


def _names(directory: Path) -> list[str]:
    return [metric.name for metric in summarise(gather(directory)).metrics]


def test_the_sweeps_objectives_are_the_default(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_runs("none", [60.0])
    assert _names(tmp_path) == ["val_top1"]
    write_sweep(objective="val_loss", direction="minimize")
    assert _names(tmp_path) == ["val_loss"]
    write_sweep(objectives=["val_top1", "train_seconds"], directions=["maximize", "minimize"])
    assert _names(tmp_path) == ["val_top1", "train_seconds"]


def test_an_objective_that_no_run_measured_is_no_default(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_runs("none", [70.0], metric="test_top1", protocol="final", val_top1=None)
    write_sweep(objective="val_top1")
    assert _names(tmp_path) == ["test_top1"]


def test_without_any_top1_the_default_is_refused_by_what_was_measured(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [None, None], best_val_top1=None)
    with pytest.raises(ValueError, match="val_top1 is null in all 2 complete runs: measured were val_top5, val_loss,"):
        _names(tmp_path)


def test_of_the_two_of_the_paper_protocol_one_may_be_missing(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [71.0], metric="best_test_top1", protocol="paper", val_top1=None)
    assert _names(tmp_path) == ["best_test_top1"]


def test_the_paper_protocol_shows_last_and_best(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [70.0], metric="test_top1", protocol="paper", val_top1=None, best_test_top1=71.0)
    table = summarise(gather(tmp_path))
    assert [metric.label for metric in table.metrics] == [
        "test top-1, last epoch (%)",
        "test top-1, best test epoch (%)",
    ]
    assert [cell.mean for cell in table.cells] == [70.0, 71.0]
    assert text_of(table.notes, Kind.CHOSEN_EPOCH).startswith("test top-1, best test epoch (%)")


def test_directions(tmp_path: Path, write_runs: Any, write_sweep: Any) -> None:
    write_runs("a", [1.5], metric="val_loss")
    write_runs("b", [0.5], metric="val_loss")
    order = [cell.row for cell in summarise(gather(tmp_path), metrics=["val_loss"]).cells]
    assert order == [("b",), ("a",)]  # smaller losses come first
    write_sweep(objective="val_loss", direction="maximize")  # odd, but the sweep says so
    assert [cell.row for cell in summarise(gather(tmp_path)).cells] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("metric", "fields", "why"),
    [
        (
            "test_top1",
            {"val_top1": 60.0},
            r"all 2 complete runs: protocol=validation doesn't read the test set \(protocol=final does\); "
            r"use --metric val_top1\.",
        ),
        (
            "val_top1",
            {"protocol": "final", "test_top1": 70.0},
            r"protocol=final holds nothing out; use --metric test_top1\.",
        ),
        ("val_top1", {"protocol": "final"}, "protocol=final holds nothing out; measured were val_top5, val_loss"),
        ("best_test_top1", {"protocol": "final"}, "only protocol=paper reads the test set at every epoch"),
        ("peak_memory_mb", {}, "measured were val_top1, val_top5, val_loss"),
    ],
)
def test_a_metric_that_no_run_measured(
    tmp_path: Path, write_runs: Any, metric: str, fields: dict[str, Any], why: str
) -> None:
    write_runs("none", [None, None], metric=metric, **fields)
    with pytest.raises(ValueError, match=f"{metric} is null in .*{why}"):
        summarise(gather(tmp_path), metrics=[metric])


def test_a_column_of_text_is_no_metric(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    with pytest.raises(ValueError, match="model is not a metric: its values are not numbers"):
        summarise(gather(tmp_path), metrics=["model"])
