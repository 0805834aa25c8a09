"""Columns from configs and from the last row of metrics.csv."""

from pathlib import Path
from typing import Any

import pytest

from analysis.means.means import summarise
from analysis.read.configs import read_config, read_last_row
from analysis.read.faults import Fault, Unreadable
from analysis.read.gather import gather
from analysis.select.columns import with_columns
from tests.analysis.notes import faults

CONFIG = "trainer: {{lr: {lr}, nesterov: true}}\nmodel:\n  name: resnet20\n  stages: [1, 2]\nseed: 0\n"


@pytest.fixture
def two_rates(tmp_path: Path, write_run: Any) -> Path:
    for number, lr in enumerate((0.1, 0.1, 0.05)):
        run = write_run(str(number), seed=number, val_top1=60.0 + number)
        (run / ".hydra" / "config.yaml").write_text(CONFIG.format(lr=lr))
        (run / "metrics.csv").write_text(f"epoch,train_loss,test_top1\n1,2.0,\n2,{1 + number}.5,\n")
    return tmp_path


def test_config_keys_group_runs(two_rates: Path) -> None:
    table = summarise(gather(two_rates), rows=["trainer.lr"], baseline="trainer.lr=5e-2")
    assert [(cell.row, cell.n, cell.mean, cell.is_baseline) for cell in table.cells] == [
        ((0.05,), 1, 62.0, True),
        ((0.1,), 2, 60.5, False),
    ]
    assert [cell.difference.value for cell in table.cells if cell.difference] == [-1.5]


@pytest.mark.parametrize(
    ("wanted", "means"), [("[1, 2]", [60.0]), ("[1, 2],[3]", [60.0, 62.0]), ("[3],x", [62.0]), ("a, b", [61.0])]
)
def test_a_value_may_hold_commas(two_rates: Path, wanted: str, means: list[float]) -> None:
    for run, stages in enumerate(("[1, 2]", "'a, b'", "[3]")):
        (two_rates / str(run) / ".hydra" / "config.yaml").write_text(f"model: {{stages: {stages}}}\n")
    table = summarise(gather(two_rates), rows=["model.stages"], where={"model.stages": wanted})
    assert sorted(cell.mean for cell in table.cells if cell.mean is not None) == means


def test_metrics_of_the_training_split(two_rates: Path) -> None:
    table = summarise(gather(two_rates), metrics=["train_loss"])
    assert (table.cells[0].mean, table.metrics[0].label) == (2.5, "train loss, last epoch")


def test_names_that_are_nowhere_suggest_the_nearest_of_all(two_rates: Path) -> None:
    with pytest.raises(ValueError, match="unknown column 'trainer.lrr'; the nearest: trainer.lr"):
        with_columns(gather(two_rates), ["trainer.lrr"])
    with pytest.raises(ValueError, match="unknown metric 'train_los'; the nearest: train_loss"):
        with_columns(gather(two_rates), ["train_los"], kind="metric")


def test_a_name_that_the_first_run_lacks_is_found_in_another(two_rates: Path) -> None:
    (two_rates / "2" / ".hydra" / "config.yaml").write_text("dataset: {root: /data}\n")
    (two_rates / "0" / "metrics.csv").unlink()
    gathered = with_columns(gather(two_rates), ["dataset.root"])
    assert gathered.runs["dataset.root"].tolist() == [None, None, "/data"]
    gathered = with_columns(gathered, ["train_loss"], kind="metric")
    assert gathered.runs["train_loss"].tolist()[1:] == [2.5, 3.5]
    with pytest.raises(ValueError, match="unknown column 'dataset.rot'; the nearest: dataset.root"):
        with_columns(gather(two_rates), ["dataset.rot"])


def test_one_config_of_a_kd_mode_tells_its_names(two_rates: Path, monkeypatch: Any) -> None:
    read: list[str] = []
    monkeypatch.setattr("analysis.select.columns.read_config", lambda path: read.append(path) or {})
    with_columns(gather(two_rates), ["train_loss"], kind="metric")
    assert read == [str(two_rates / "0")]  # thousands would take a while


def test_what_runs_lack_is_null_and_what_cannot_be_read_is_named(two_rates: Path) -> None:
    (two_rates / "1" / ".hydra" / "config.yaml").write_text("a: [\n")
    (two_rates / "2" / ".hydra" / "config.yaml").write_text("seed: 2\n")
    gathered = with_columns(gather(two_rates), ["trainer.lr", "trainer.nesterov"])
    assert gathered.runs["trainer.lr"].isna().tolist() == [False, True, True]
    assert gathered.runs["trainer.nesterov"].tolist() == [True, None, None]
    assert faults(gathered.skipped, two_rates) == [("1", Fault.NOT_YAML)]


def test_a_config_that_holds_itself_is_named(two_rates: Path) -> None:
    (two_rates / "1" / ".hydra" / "config.yaml").write_text("a: &x {b: *x}\n")
    gathered = with_columns(gather(two_rates), ["trainer.lr"])
    assert gathered.runs["trainer.lr"].tolist()[::2] == [0.1, 0.05]
    assert faults(gathered.skipped, two_rates) == [("1", Fault.ALIAS)]


def test_a_config_is_read_flat(two_rates: Path) -> None:
    assert read_config(str(two_rates / "0")) == {
        "trainer.lr": 0.1,
        "trainer.nesterov": True,
        "model.name": "resnet20",
        "model.stages": "[1, 2]",
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", Fault.CUT_OFF),
        ("epoch,loss\n", Fault.CUT_OFF),
        ("epoch,loss\n1,2.5\n2", Fault.CUT_OFF),
        ("epoch,loss\n1,2.5\n2,3.7", Fault.CUT_OFF),  # 3.75 perhaps
        ("epoch,loss\n1,two\n", Fault.NO_NUMBER),
        ("epoch\r,loss\n1,2.5\n", Fault.NOT_CSV),
        ("\xff,loss\n1,2.5\n", Fault.NOT_CSV),
        ("epoch,test_top1,loss\n2,101,2.5\n", Fault.IMPOSSIBLE),
    ],
)
def test_half_written_metrics_are_skipped(two_rates: Path, content: str, fault: Fault) -> None:
    (two_rates / "2" / "metrics.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(Unreadable) as raised:
        read_last_row(str(two_rates / "2"))
    assert raised.value.kind is fault
    (two_rates / "1" / "metrics.csv").unlink()
    gathered = with_columns(gather(two_rates), ["train_loss"], kind="metric")
    assert gathered.runs["train_loss"].tolist()[0] == 1.5
    assert faults(gathered.skipped, two_rates) == [("1/metrics.csv", Fault.UNREADABLE), ("2", fault)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(two_rates: Path) -> None:
    (two_rates / "0" / "metrics.csv").write_text("train_loss,epoch\n2.5,1\n", encoding="utf-8-sig")
    assert read_last_row(str(two_rates / "0")) == {"train_loss": 2.5, "epoch": 1.0}


def test_a_setting_that_is_too_large_for_a_mean_is_named(two_rates: Path) -> None:
    (two_rates / "1" / ".hydra" / "config.yaml").write_text("trainer: {lr: 1.0e+308}\n")
    gathered = with_columns(gather(two_rates), ["trainer.lr"])
    assert gathered.runs["trainer.lr"].tolist()[::2] == [0.1, 0.05]
    assert faults(gathered.skipped, two_rates) == [("1", Fault.IMPOSSIBLE)]
    assert gathered.skipped[0].reason == (  # the wording
        "has trainer.lr = 1e+308, which is beyond 1e+50, so that no mean can be taken"
    )
