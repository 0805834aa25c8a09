"""What a person sees of a sweep: a live table on a terminal, a line a trial elsewhere, and a summary at the end."""

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tffd.records import read_last_metrics
from tffd.sweep.plan import SweepPlan
from tffd.sweep.space import Value
from tffd.sweep.study import ResumableStudy

_ROWS = 12  # of the live table: running trials and the last ones that ended


@dataclass
class TrialLine:
    """One trial as it is shown.

    Attributes:
        outcome: Empty while it runs.
    """

    study: str
    number: int
    values: Mapping[str, Value]
    run_dir: Path
    epochs: int
    outcome: str = ""

    def label(self) -> str:
        """Study and number, as in the name of the directory."""
        return f"{self.study}/{self.number:04d}"


class SweepDisplay:
    """Shows a sweep while it runs and when it has ended.

    Args:
        plan: What is being done.
        studies: Where it is recorded.
        directory: Of the sweep.
        command: That starts and continues it.
        console: Where to show it.
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
        self._console = console or Console(file=sys.stdout, markup=False, emoji=False, highlight=False, soft_wrap=True)
        self._lines: list[TrialLine] = []
        self._total = sum(study.n_trials for study in plan.studies)
        # A grid's failed trials are about to be repeated.
        self._done = sum(
            number
            for study in studies
            for state, number in study.counts().items()
            if study.plan.cells is None or state is not TrialState.FAIL
        )
        self._done_before, self._started = self._done, time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> "SweepDisplay":
        earlier = f", {self._done} of them done before" if self._done else ""
        self._console.print(f"{self._plan.config.name}: {self._total} trials{earlier}, in {self._directory}")
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is KeyboardInterrupt:
            self._console.print(
                f"Interrupted with {self._done} of {self._total} trials done. Go on with: {self._command}"
            )

    def started(self, line: TrialLine) -> None:
        """Show a trial that begins or goes on."""
        self._lines.append(line)

    def completed(self, line: TrialLine, value: float, seconds: float) -> None:
        """Show a trial that ended with a value."""
        self._end(line, f"{self._plan.objective} {value:.2f}", f"{seconds:.1f} s")

    def failed(self, line: TrialLine, reason: str) -> None:
        """Show a trial that failed."""
        self._end(line, "FAILED", reason.splitlines()[0])

    def refresh(self) -> None:
        """Bring the live table up to date from what the trials write."""
        if self._live is not None:
            self._live.update(Group(self._table(), Text(self._status())))

    def summarise(self) -> None:
        """Say how the sweep ended: counts, the best trial of a search, its baseline beside it, and where all lies."""
        self._console.print()
        for study in self._studies:
            self._console.print(_count(study))
        search = next((study for study in self._studies if study.plan.cells is None), None)
        if search is not None and (best := search.best()) is not None:
            self._compare(best, next((study for study in self._studies if study.plan.key == "baseline"), None))
        self._console.print(f"Results:  {self._directory}")
        self._console.print(f"Table:    python -m analysis table {self._directory}")

    def _compare(self, best: FrozenTrial, baseline: ResumableStudy | None) -> None:
        objective, seeds = self._plan.objective, f"seed {self._plan.config.seed}"
        values = "  ".join(f"{key}={_short(value)}" for key, value in best.params.items())
        rows = [("best trial", f"{best.values[0]:.2f}", f"search/{best.number:04d}  {values}  (1 run, {seeds})")]
        if baseline is not None and (numbers := [t.values[0] for t in baseline.trials(TrialState.COMPLETE)]):
            spread = f" +- {statistics.stdev(numbers):.2f}" if len(numbers) > 1 else ""
            cells = f"{' '.join(f'{key}={text}' for key, text in (self._plan.config.sweep.baseline or {}).items())}"
            rows.append(("baseline", f"{statistics.mean(numbers):.2f}{spread}", f"{cells}  (n={len(numbers)})"))
        width = max(len(number) for _, number, _ in rows)
        for name, number, origin in rows:
            self._console.print(f"{name:<10}  {objective} {number:<{width}}  {origin}")
        self._console.print(
            "The best of many single runs was picked for its score, which flatters it: repeat it on fresh seeds before "
            "you believe the difference."
        )

    def _end(self, line: TrialLine, outcome: str, detail: str) -> None:
        line.outcome = f"{outcome}  {detail}"
        self._done += 1
        if self._live is None:
            values = "  ".join(f"{key}={_short(value)}" for key, value in line.values.items())
            self._console.print(f"[{self._done}/{self._total}] {line.label()}  {values}  {line.outcome}")

    def _table(self) -> Table:
        keys = list(dict.fromkeys(key for line in self._lines for key in line.values))
        table = Table(box=None, pad_edge=False)
        for heading in ("trial", *keys, "epoch", self._plan.objective, "outcome"):
            table.add_column(heading, no_wrap=True)
        for line in self._lines[-_ROWS:]:
            values = [_short(line.values[key]) if key in line.values else "" for key in keys]
            row = {} if line.outcome else read_last_metrics(line.run_dir)
            epoch = f"{row.get('epoch', 0)}/{line.epochs}" if not line.outcome else ""
            metric = row.get(self._plan.objective)
            table.add_row(
                line.label(), *values, epoch, f"{float(metric):.2f}" if metric else "", line.outcome or "running"
            )
        return table

    def _status(self) -> str:
        searches = [study for study in self._studies if study.plan.cells is None]
        best = [f"best {trial.values[0]:.2f}" for study in searches if (trial := study.best())]
        done_now = self._done - self._done_before
        elapsed = time.monotonic() - self._started
        left = f"{elapsed / done_now * (self._total - self._done):.0f} s left" if done_now else ""
        return "  ".join([f"{self._done}/{self._total} done", *best, left])


def _count(study: ResumableStudy) -> str:
    counts = study.counts()
    named = ((TrialState.PRUNED, "pruned"), (TrialState.FAIL, "failed"))
    others = "".join(f", {counts[state]} {word}" for state, word in named if counts[state])
    return f"{study.plan.key}: {counts[TrialState.COMPLETE]} of {study.plan.n_trials} trials complete{others}"


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
