"""Learning curves: one tidy frame, and every file that could not be used by its path."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.read.curves import IDENTITY, read_curves
from analysis.read.faults import Fault
from analysis.read.gather import gather
from tests.analysis.notes import faults


def test_a_row_an_epoch_and_run(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", kd_mode="none", seed=3)
    run = write_run("0001", kd_mode="tfd", lambda_intra=8e-4)
    (run / "metrics.csv").write_text("epoch,val_top1,intra\n1,50.5,\n2,nan,0.25\n")
    curves = read_curves(gather(tmp_path))
    frame = curves.frame
    assert list(frame["path"]) == [str(tmp_path / "0000")] * 2 + [str(tmp_path / "0001")] * 2
    assert list(frame["epoch"]) == [1, 2, 1, 2]
    assert list(frame["kd_mode"]) == ["none", "none", "tfd", "tfd"]
    assert list(frame["seed"]) == [3, 3, 0, 0]
    np.testing.assert_array_equal(frame["val_top1"], [61.0, 60.0, 50.5, np.nan])
    np.testing.assert_array_equal(frame["intra"], [np.nan, np.nan, np.nan, 0.25])
    assert curves.metrics() == ("val_top1", "intra")
    assert curves.skipped == curves.waiting == ()


def test_curves_of_one_run_leave_out_what_was_not_measured(tmp_path: Path, write_run: Any) -> None:
    run = write_run("0000")
    (run / "metrics.csv").write_text("epoch,val_top1,intra\n1,50.5,\n2,51,0.25\n")
    curves = read_curves(gather(tmp_path))
    epochs, values = curves.of_run(str(run), "intra")
    assert (epochs.tolist(), values.tolist()) == ([2.0], [0.25])
    assert curves.of_run(str(run), "inter")[0].size == 0


def test_runs_that_still_grow(tmp_path: Path, write_run: Any) -> None:
    running = write_run("0000", ended=False)
    starting = write_run("0001", ended=False)
    (starting / "metrics.csv").unlink()
    failed = write_run("0002", status="failed", epochs_run=0)
    (failed / "metrics.csv").unlink()
    curves = read_curves(gather(tmp_path))
    assert list(curves.frame["path"]) == [str(running)] * 2
    assert curves.frame["kd_mode"].isna().all()  # which only a result tells
    assert curves.waiting == (str(starting), str(failed))
    assert curves.skipped == ()


def test_no_curve_at_all_is_an_empty_frame(tmp_path: Path) -> None:
    curves = read_curves(gather(tmp_path))
    assert list(curves.frame.columns) == [*IDENTITY, "epoch"]
    assert len(curves.frame) == 0


@pytest.mark.parametrize(
    ("content", "fault", "named"),
    [
        (b"", Fault.EMPTY, ""),
        (b"\n \n", Fault.EMPTY, ""),
        (b"epoch,val_top1\n1,61.0\n2,60.", Fault.CUT_OFF, ""),
        (b"epoch,val_top1\n1,61.0\n2\n", Fault.NOT_CSV, "1 field in line 3, and 2"),
        (b"epoch,val_top1\n1,61.0\n\n2,60.0\n", Fault.NOT_CSV, "0 fields in line 3, and 2"),
        (b"epoch,val_top1\n1,61.0,5\n", Fault.NOT_CSV, "3 fields in line 2"),
        (b"epoch,val_top1\n1,sixty\n", Fault.NO_NUMBER, "val_top1 = 'sixty' in line 2"),
        (b"epoch,epoch\n1,1\n", Fault.NOT_CSV, "epoch,epoch"),
        (b"epoch,\n1,1\n", Fault.NOT_CSV, "epoch,"),
        (b"val_top1\n61.0\n", Fault.NO_COLUMN, "epoch"),
        (b"epoch,val_top1\n2,61.0\n3,60.0\n", Fault.MISCOUNTED, "from 1"),
        (b"epoch,val_top1\n1,61.0\n,60.0\n", Fault.MISCOUNTED, "from 1"),
        (b"epoch,val_top1\n1,61.0\n", Fault.MISCOUNTED, "1 epoch, though the run did 2"),
        (b"epoch,val_top1\n", Fault.MISCOUNTED, "0 epochs, though the run did 2"),
        (b"\xff\xfe\n", Fault.NOT_CSV, ""),
        (b'epoch,"val_top1\n1,2\n', Fault.NOT_CSV, ""),
        (b"epoch,val_top1\n1,61.0\n2,610\n", Fault.IMPOSSIBLE, "val_top1 = 610 in epoch 2"),
        (b"epoch,val_top1\n1,61.0\n2,inf\n", Fault.IMPOSSIBLE, "val_top1 = inf in epoch 2"),
        (b"epoch,val_top1,train_loss\n1,61.0,2\n2,61.0,1e308\n", Fault.IMPOSSIBLE, "train_loss = 1e+308 in epoch 2"),
    ],
)
def test_malformed_files_are_reported_by_path(
    tmp_path: Path, write_run: Any, content: bytes, fault: Fault, named: str
) -> None:
    good = write_run("0000")
    (write_run("0001") / "metrics.csv").write_bytes(content)
    curves = read_curves(gather(tmp_path))
    assert set(curves.frame["path"]) == {str(good)}
    assert faults(curves.skipped, tmp_path) == [("0001/metrics.csv", fault)]
    assert named in curves.skipped[0].reason


def test_a_byte_order_mark_and_a_loss_that_diverged_are_no_damage(tmp_path: Path, write_run: Any) -> None:
    run = write_run("0000")
    (run / "metrics.csv").write_text("epoch,train_loss\n1,2.5\n2,inf\n", encoding="utf-8-sig")
    curves = read_curves(gather(tmp_path))
    assert (list(curves.frame["train_loss"]), curves.skipped) == ([2.5, np.inf], ())


def test_a_file_that_is_missing_or_cannot_be_read_is_reported(tmp_path: Path, write_run: Any) -> None:
    (write_run("0000") / "metrics.csv").unlink()
    path = write_run("0001") / "metrics.csv"
    path.unlink()
    path.mkdir()
    skipped = read_curves(gather(tmp_path)).skipped
    assert faults(skipped, tmp_path) == [("0000/metrics.csv", Fault.ABSENT), ("0001/metrics.csv", Fault.UNREADABLE)]


def test_a_pruned_run_has_the_epochs_it_did(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", status="pruned", epochs=9, epochs_run=2)
    curves = read_curves(gather(tmp_path))
    assert list(curves.frame["epoch"]) == [1, 2]
    assert list(curves.frame["status"]) == ["pruned", "pruned"]


def test_texts_are_kept_once(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", kd_mode="none", seed=3)
    write_run("0001", ended=False)
    frame = read_curves(gather(tmp_path)).frame
    kinds = {name: str(frame[name].dtype) for name in ("path", "kd_mode", "seed", "lambda_intra", "epoch")}
    expected = {"path": "category", "kd_mode": "category", "seed": "Int64", "lambda_intra": "float64", "epoch": "int64"}
    assert kinds == expected
    assert frame["kd_mode"].isna().tolist() == [False, False, True, True]
