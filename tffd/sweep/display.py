"""What a person sees of a sweep: a live table on a terminal, a line a trial elsewhere, and a summary at the end."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tffd.data import DataChanged
from tffd.records import read_last_metrics
from tffd.streams import LastingStream
from tffd.sweep.arguments import Value
from tffd.sweep.plan import SweepPlan
from tffd.sweep.studies.storage import StorageLost
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.summary import describe_point, shorten, summary_lines
from tffd.texts import counted, printable

_REFRESH_SECONDS = 0.5
_ROWS = 12  # of the live table: running trials and the last ones that ended


@dataclass
class TrialLine:
    """One trial as it is shown.

    Attributes:
        run_dir: The directory of the run that is at work.
        epochs: The number of epochs of one run.
        runs: How many it has, one a seed.
        outcome: Empty while it runs.
    """

    study: str
    number: int
    values: Mapping[str, Value]
    run_dir: Path
    epochs: int
    runs: int = 1
    outcome: str = ""

    def label(self) -> str:
        """Study and number, as in the name of the directory."""
        return f"{self.study}/{self.number:04d}"


class SweepDisplay:
    """Shows a sweep while it runs and when it has ended.

    Args:
        plan: What is being done.
        studies: The studies that record it.
        directory: The directory of the sweep.
        command: The command that starts and continues it.
        console: The console that shows it.
    """

    def __init__(
        self,
        plan: SweepPlan,
        studies: list[ResumableStudy],
        directory: Path,
        command: str,
        console: Console | None = None,
    ) -> None:
        self._plan, self._studies, self._directory, self._command = plan, studies, directory, command
        self._objectives = plan.objectives
        stream: Any = LastingStream(sys.stdout)
        self._console = console or Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=True)
        self._lines: list[TrialLine] = []
        # A smaller sweep.n_trials than before takes none back.
        self._total = sum(max(study.plan.n_trials, sum(study.counts().values())) for study in studies)
        self._done = self._done_before = self._count_done()
        self._started = time.monotonic()
        self._live: Live | None = None
        self._has_waited = False
        self._next_refresh = 0.0

    def __enter__(self) -> "SweepDisplay":
        earlier = f", {self._done} of them done before" if self._done else ""
        self._print(f"{self._plan.config.name}: {counted(self._total, 'trial')}{earlier}, in {self._directory}")
        for notice in self._plan.data.notices():
            self._print(notice)
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if isinstance(error, DataChanged):
            of_all = "1 trial is" if self._total == 1 else f"{self._total} trials are"
            self._print(
                f"The sweep stops: {error}. {self._count_done()} of {of_all} done, on what was there before. "
                f"Restore the pictures and go on with: {self._command}; or begin anew under another name=..."
            )
        if isinstance(error, StorageLost):
            self._print(
                f"The sweep cannot go on ({error}). What ended is in its record, what ran has its checkpoint or goes "
                f"on as a job. Once that is mended: {self._command}"
            )
        if kind is KeyboardInterrupt:
            self._print(
                f"Interrupted with {self._count_done()} of {counted(self._total, 'trial')} done. "
                f"Go on with: {self._command}"
            )

    def started(self, line: TrialLine) -> None:
        """Show a trial that begins or goes on."""
        self._lines.append(line)

    def completed(self, line: TrialLine, values: Sequence[float], seconds: float) -> None:
        """Show a trial that ended with its values."""
        named = zip(self._objectives, values, strict=True)
        self._end(line, "  ".join(f"{objective} {value:.2f}" for objective, value in named), f"{seconds:.1f} s")

    def pruned(self, line: TrialLine, epochs_run: int) -> None:
        """Show a trial that was given up."""
        self._end(line, "pruned", f"after {epochs_run} of {counted(line.epochs * line.runs, 'epoch')}")

    def failed(self, line: TrialLine, reason: str) -> None:
        """Show a trial that failed."""
        self._end(line, "FAILED", reason.splitlines()[0])

    def lost(self, line: TrialLine, reason: str) -> None:
        """Show that a trial goes on, whose process was killed."""
        self._print(f"{line.label()}: {reason}; it goes on from its checkpoint")

    def retried(self, line: TrialLine, reason: str, attempt: int, attempts: int) -> None:
        """Show that a trial that failed is tried again."""
        self._print(
            f"{line.label()}: {reason.splitlines()[0].removesuffix('.')}; tried again ({attempt} of {attempts})"
        )

    def interrupted(self, running: int) -> None:
        """Tell that the sweep ends as soon as what runs has reached the end of an epoch."""
        if running:
            write = "writes" if running == 1 else "write"
            self._print(
                f"Interrupted: {counted(running, 'trial')} {write} a checkpoint after this epoch; "
                "Ctrl-C again ends at once"
            )

    def cannot_go_on(self, reason: str, running: int) -> None:
        """Tell why the sweep has to end, and what it still waits for."""
        if running:
            self._print(
                f"The sweep has to end: {reason}. The trials at work ({running}) write a checkpoint after this epoch; "
                "Ctrl-C ends at once"
            )

    def waits(self, running: int, seconds: float) -> None:
        """Tell, once, why nothing happens: what is left to do is at work for other commands."""
        if not self._has_waited:
            self._has_waited = True
            self._print(
                f"Waiting: what is left ({running}) is at work for another command. Trials of one that died on another "
                f"machine are taken up after {seconds:g} s without a sign of life"
            )

    def gave_up(self, failed: int, total: int) -> None:
        """Tell that the sweep ends because too many trials failed."""
        limit = self._plan.config.sweep.max_failure_rate
        self._print(
            f"Stopping: {failed} of {counted(total, 'trial')} failed, more than sweep.max_failure_rate={limit:g} "
            "allows. See the reasons above; with another rate the same command goes on"
        )

    def lacks_teacher(self) -> None:
        """Tell that the sweep ends because its trials have no teacher to learn from."""
        self._print("Stopping: there is no teacher to learn from, for the trials to come either. See the reason above")

    def refresh(self) -> None:
        """Bring the live table up to date from what the trials write."""
        if self._live is not None and time.monotonic() > self._next_refresh:
            self._next_refresh = time.monotonic() + _REFRESH_SECONDS
            self._live.update(Group(self._table(), Text(self._status())))

    def summarise(self) -> None:
        """Say how the sweep ended: counts, the best trial of a search, its baseline beside it, and where all lies."""
        for line in summary_lines(self._plan, self._studies, self._directory):
            self._print(line)

    def _end(self, line: TrialLine, outcome: str, detail: str) -> None:
        line.outcome = f"{outcome}  {detail}"
        self._done = self._count_done()
        if self._live is None:
            self._print(f"[{self._done}/{self._total}] {line.label()}  {describe_point(line.values)}  {line.outcome}")

    def _count_done(self) -> int:
        """Trials that ended, here or in commands that share the study; a grid's failed ones may yet be repeated."""
        return sum(sum(study.counts().values()) for study in self._studies)

    def _print(self, text: str) -> None:
        # Names and reasons may come from anyone: they are neither markup nor control sequences.
        (self._live.console if self._live is not None else self._console).print(Text(printable(text)))

    def _table(self) -> Table:
        keys = list(dict.fromkeys(key for line in self._lines for key in line.values))
        table = Table(box=None, pad_edge=False)
        for heading in ("trial", *keys, "epoch", self._objectives[0], "outcome"):
            table.add_column(Text(printable(heading)), no_wrap=True)
        for line in self._lines[-_ROWS:]:
            values = [shorten(line.values[key]) if key in line.values else "" for key in keys]
            row = {} if line.outcome else read_last_metrics(line.run_dir)
            epoch = f"{row.get('epoch', 0)}/{line.epochs}" if not line.outcome else ""
            metric = row.get(self._objectives[0])
            value = f"{float(metric):.2f}" if metric else ""
            texts = (line.label(), *values, epoch, value, line.outcome or "running")
            table.add_row(*(Text(printable(text)) for text in texts))
        return table

    def _status(self) -> str:
        done_now = self._done - self._done_before
        elapsed = time.monotonic() - self._started
        left = f"  {elapsed / done_now * (self._total - self._done):.0f} s left" if done_now else ""
        return f"{self._done}/{self._total} done{left}"
