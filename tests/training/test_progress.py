"""What a person sees of a run."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tffd.training import progress
from tffd.training.progress import EpochReporter

RESULT: dict[str, Any] = {
    "status": "complete", "epochs_run": 3, "train_seconds": 12.34, "val_top1": 61.256, "test_top1": None
}  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock that tests set."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def config(epochs: int) -> Any:
    """Return the part of a config that is shown."""
    named = {"model": SimpleNamespace(name="resnet8"), "dataset": SimpleNamespace(name="digits")}
    return SimpleNamespace(**named, composition="tfd", seed=7, trainer=SimpleNamespace(epochs=epochs))


def row(epoch: int, **metrics: float) -> dict[str, float]:
    return {"epoch": epoch, "train_loss": 1.23456, "train_top1": 50.04, **metrics}


def plain() -> tuple[StringIO, EpochReporter]:
    file = StringIO()
    return file, EpochReporter(Console(file=file, width=40))


def terminal(width: int = 120) -> tuple[StringIO, EpochReporter]:
    file = StringIO()
    return file, EpochReporter(Console(file=file, force_terminal=True, width=width, color_system=None))


def test_lines_where_there_is_no_terminal(clock: SimpleNamespace) -> None:
    """One every two seconds and the last, unbroken on a narrow console; seconds left as the pace so far says."""
    file, reporter = plain()
    with reporter.run(config(10), resumed_at=0):
        for epoch in range(1, 11):
            clock.now += 0.9
            reporter.epoch(row(epoch, val_top1=60 + epoch))
    metrics = "loss 1.2346  train top-1 50.0"
    assert file.getvalue().splitlines() == [
        "resnet8 on digits, tfd, seed 7: 10 epochs",
        f"epoch 3/10  {metrics}  val top-1 63.00  6 s left",
        f"epoch 6/10  {metrics}  val top-1 66.00  4 s left",
        f"epoch 9/10  {metrics}  val top-1 69.00  1 s left",
        f"epoch 10/10  {metrics}  val top-1 70.00  0 s left",
    ]


def test_a_first_stage_has_lines_of_its_own(clock: SimpleNamespace) -> None:
    """As rare as the others; the epochs of the run proper have a pace of their own."""
    file, reporter = plain()
    with reporter.run(config(10), resumed_at=0):
        for epoch in range(1, 6):
            clock.now += 0.9
            reporter.first_stage({"epoch": epoch, "train_loss": 0.5}, 5)
        clock.now += 4
        reporter.epoch(row(1))
    assert file.getvalue().splitlines() == [
        "resnet8 on digits, tfd, seed 7: 10 epochs",
        "first stage, epoch 3/5  loss 0.5000",
        "first stage, epoch 5/5  loss 0.5000",
        "epoch 1/10  loss 1.2346  train top-1 50.0  36 s left",
    ]
    file, reporter = terminal()
    with reporter.run(config(10), resumed_at=0):
        reporter.first_stage({"epoch": 2, "train_loss": 0.5}, 5)
    shown = " ".join(file.getvalue().split())
    assert "first stage, epoch 2/5" in shown and "loss 0.5000" in shown and "epoch 0/10" in shown


def test_resumed_run(clock: SimpleNamespace) -> None:
    """Says so; only the epochs of this session count for the pace."""
    file, reporter = plain()
    with reporter.run(config(10), resumed_at=6):
        clock.now += 4
        reporter.epoch(row(8, val_top1=1.0, test_top1=2.0))
    assert file.getvalue().splitlines() == [
        "resnet8 on digits, tfd, seed 7: 10 epochs (going on after epoch 6)",
        "epoch 8/10  loss 1.2346  train top-1 50.0  val top-1 1.00  test top-1 2.00  4 s left",
    ]


def test_a_reporter_can_be_used_again(clock: SimpleNamespace) -> None:
    """The second run's first line does not wait for the time of the first one's last."""
    file, reporter = plain()
    for _ in range(2):
        with reporter.run(config(10), resumed_at=0):
            clock.now += 50
            reporter.epoch(row(1))
    assert file.getvalue().count("epoch 1/10") == 2


@pytest.mark.parametrize(
    ("metrics", "outcome"),
    [
        ({}, "val top-1 61.26 % (epoch 3)"),
        ({"val_top1": None, "test_top1": 70.0}, "test top-1 70.00 % (epoch 3)"),
        ({"test_top1": 70.0}, "val top-1 61.26 % (epoch 3), test top-1 70.00 % (epoch 3)"),
    ],
)
def test_final_lines(metrics: dict[str, float | None], outcome: str) -> None:
    """Whatever was measured, of which epoch, and where the record is."""
    file, reporter = plain()
    reporter.finished(RESULT | metrics, Path("results/a"))
    reporter.already_complete(RESULT | metrics, Path("results/a"))
    assert file.getvalue().splitlines() == [
        f"{outcome} in 12.3 s. Record: results/a",
        f"Already complete: {outcome}. Record: results/a",
    ]


@pytest.mark.parametrize("directory", ["results/[best]/a", "results/[/a]", "results/:fire:", "results/" + "a" * 90])
def test_directories_are_shown_as_they_are(directory: str) -> None:
    """Neither markup nor emoji nor broken lines: a person copies them."""
    file, reporter = plain()
    reporter.finished(RESULT, Path(directory))
    assert file.getvalue().endswith(f"Record: {directory}\n")


def test_bar_on_a_terminal() -> None:
    """Epochs done, and the last metrics."""
    file, reporter = terminal()
    with reporter.run(config(3), resumed_at=1):
        for epoch in (2, 3):
            reporter.epoch(row(epoch, val_top1=60.0 + epoch))
    reporter.finished(RESULT, Path("results/a"))
    text = file.getvalue()
    assert "going on after epoch 1" in text
    assert "epoch 3/3" in text and "loss 1.2346  train top-1 50.0  val top-1 63.00" in text
    assert "epoch 3/3  loss" not in text  # no plain lines between
    assert text.rstrip().endswith("val top-1 61.26 % (epoch 3) in 12.3 s. Record: results/a")


def test_bar_fits_the_usual_terminal() -> None:
    """80 columns hold everything but most of the bar, for a run of the published length too."""
    file, reporter = terminal(width=80)
    with reporter.run(config(240), resumed_at=0):
        reporter.epoch(row(150, val_top1=63.0))
    last = file.getvalue().split("\x1b[2K")[-1]  # since the line was last erased
    assert "epoch 150/240" in last and "loss 1.2346  train top-1 50.0  val top-1 63.00 left -:--:--" in last


def test_bar_on_a_narrow_terminal() -> None:
    """Loses columns, but does not fail."""
    file, reporter = terminal(width=30)
    with reporter.run(config(3), resumed_at=0):
        reporter.epoch(row(3, val_top1=63.0))
    assert "loss 1.2346" in file.getvalue()


def test_bar_after_a_run_that_failed() -> None:
    """The next run of the same reporter has a bar of its own."""
    file, reporter = terminal()
    with pytest.raises(RuntimeError, match="boom"), reporter.run(config(3), resumed_at=0):
        reporter.epoch(row(1, val_top1=11.0))
        raise RuntimeError("boom")
    assert "val top-1 11.00" in file.getvalue()
    assert reporter._bar is None
    with reporter.run(config(3), resumed_at=0):
        reporter.epoch(row(2, val_top1=22.0))
    assert "val top-1 22.00" in file.getvalue()
