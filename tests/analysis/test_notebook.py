"""The two functions for notebooks."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import load_curves, load_runs
from tests.analysis.configured import write_configured


def test_runs_have_a_row_each_and_a_column_for_what_varies(tmp_path: Path, write_run: Any) -> None:
    write_configured(write_run, "slow", "none", [60.0, 61.0], lr=0.01)
    write_configured(write_run, "fast", "none", [62.0, 63.0], lr=0.1)
    runs = load_runs(tmp_path)
    assert runs.groupby("trainer.lr")["val_top1"].mean().to_dict() == {0.01: 60.5, 0.1: 62.5}


def test_curves_have_a_row_an_epoch(tmp_path: Path, write_run: Any) -> None:
    run = write_run("a", kd_mode="tfd", seed=3, epochs_run=2)
    (run / "metrics.csv").write_text("epoch,val_top1\n1,50.0\n2,60.0\n")
    curves = load_curves(str(tmp_path))
    assert isinstance(curves, pd.DataFrame)
    assert curves[["seed", "epoch", "val_top1"]].to_numpy().tolist() == [[3, 1, 50.0], [3, 2, 60.0]]


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a directory"):
        load_runs(tmp_path / "nowhere")
