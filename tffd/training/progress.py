"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tffd.schema import Config
from tffd.texts import counted, printable

_MIN_SECONDS_BETWEEN_LINES = 2.0


class EpochReporter:
    """Reports the epochs of one run.

    Args:
        console: The console to report to; a terminal gets a bar, anything else a line every few seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stdout)
        self._bar: Progress | None = None
        self._epochs = self._first = 0
        self._started = self._last_line = 0.0

    @contextmanager
    def run(self, config: Config, resumed_at: int) -> Iterator[None]:
        """Surround a run of config.trainer.epochs epochs, of which some may be done already."""
        self._epochs, self._first = config.trainer.epochs, resumed_at
        self._begin()
        title = f"{config.model.name} on {config.dataset.name}, {config.composition}, seed {config.seed}"
        where = f" (going on after epoch {resumed_at})" if resumed_at else ""
        self._print(f"{title}: {counted(self._epochs, 'epoch')}{where}")
        if not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[metrics]}"),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        try:
            with Progress(*columns, console=self._console) as self._bar:
                self._bar.add_task("epoch", total=self._epochs, completed=resumed_at, metrics="")
                yield
        finally:
            self._bar = None

    def first_stage(self, row: dict[str, float], epochs: int) -> None:
        """Report a finished epoch of the stage before the run proper by its row of first_stage.csv."""
        epoch, metrics = int(row["epoch"]), f"loss {row['train_loss']:.4f}"
        if self._bar is not None:
            if len(self._bar.task_ids) == 1:
                self._bar.add_task("first stage, epoch", total=epochs, metrics="")
            self._bar.update(self._bar.task_ids[1], completed=epoch, metrics=metrics)
        elif epoch == epochs or self._is_line_due():
            self._print(f"first stage, epoch {epoch}/{epochs}  {metrics}")
        if epoch == epochs:
            self._begin()  # its epochs say nothing of how long the others take

    def note(self, text: str) -> None:
        """Say something about the run in a line."""
        self._print(text)

    def epoch(self, row: dict[str, float]) -> None:
        """Report a finished epoch by its row of metrics.csv."""
        epoch, metrics = int(row["epoch"]), _metrics(row)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=epoch, metrics=metrics)
            return
        if self._is_line_due() or epoch == self._epochs:
            elapsed = time.perf_counter() - self._started
            left = elapsed / (epoch - self._first) * (self._epochs - epoch)
            self._print(f"epoch {epoch}/{self._epochs}  {metrics}  {left:.0f} s left")

    def finished(self, result: dict[str, Any], run_dir: Path) -> None:
        """Report the end of a run by its result.json."""
        early = "Pruned: " if result["status"] == "pruned" else ""
        self._print(f"{early}{_outcome(result)} in {result['train_seconds']:.1f} s. Record: {run_dir}")

    def already_complete(self, result: dict[str, Any], run_dir: Path) -> None:
        """Report a run that had ended before."""
        self._print(f"Already {result['status']}: {_outcome(result)}. Record: {run_dir}")

    def _begin(self) -> None:
        self._started, self._last_line = time.perf_counter(), 0.0

    def _is_line_due(self) -> bool:
        elapsed = time.perf_counter() - self._started
        if elapsed - self._last_line < _MIN_SECONDS_BETWEEN_LINES:
            return False
        self._last_line = elapsed
        return True

    def _print(self, line: str) -> None:
        """Print as it is: in rich's markup a directory called [best] would vanish, and long lines be broken."""
        self._console.print(printable(line), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _metrics(row: dict[str, float]) -> str:
    parts = [f"loss {row['train_loss']:.4f}", f"train top-1 {row['train_top1']:.1f}"]
    parts += [f"{split} top-1 {row[f'{split}_top1']:.2f}" for split in ("val", "test") if f"{split}_top1" in row]
    return "  ".join(parts)


def _outcome(result: dict[str, Any]) -> str:
    measured = [
        f"{split} top-1 {result[f'{split}_top1']:.2f} % (epoch {result['epochs_run']})"
        for split in ("val", "test")
        if result[f"{split}_top1"] is not None
    ]
    return ", ".join(measured)
