"""How far a sweep is: what is done, at work with the time it still needs, failed, and to do."""

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from analysis.read.configs import read_config, read_last_row
from analysis.read.faults import Skipped, Unreadable
from analysis.read.gaps import Gap
from analysis.read.gather import STATUSES, Gathered
from analysis.read.plans import Sweep
from analysis.read.results import Run
from analysis.select.inventory import first_line

_RESUMED = 1.0  # seconds that a config is written after its directory was made: it was written again


@dataclass(frozen=True)
class Progress:
    """The runs of one study.

    Attributes:
        study: Its directory, from the one that was gathered.
        planned: Number of runs; None where no plan was found.
        counts: Number of runs by status.
        to_do: Number of runs that have not begun.
    """

    study: str
    planned: int | None
    counts: Mapping[str, int]
    to_do: int


@dataclass(frozen=True)
class AtWork:
    """A run that is at work.

    Attributes:
        directory: Where.
        epoch: Number of epochs that are over.
        epochs: Of how many; None where its config does not tell.
        metric: The objective, as far as it is measured by epoch; None before the first.
        value: Its last value.
        seconds_left: At the pace of this run, or of complete ones where it has none yet; None if nobody knows.
    """

    directory: str
    epoch: int
    epochs: int | None
    metric: str | None
    value: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Status:
    """What became of everything below a directory.

    Attributes:
        directory: What was gathered.
        studies: In the order of the plans, then what no plan has.
        running: By path.
        failed: Directory and the first line of the reason.
        stale: Directories without a result or a sign of life.
        missing: What the plans lack.
        commands: What goes on with the sweeps that are not done.
        skipped: What could not be read.
        given_up: Number of trials that were pruned between their seeds: planned, and not to do.
    """

    directory: str
    studies: tuple[Progress, ...]
    running: tuple[AtWork, ...]
    failed: tuple[tuple[str, str], ...]
    stale: tuple[str, ...]
    missing: tuple[Gap, ...]
    commands: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    given_up: int


def find_status(gathered: Gathered, now: float | None = None) -> Status:
    """Tell how far everything is.

    Args:
        gathered: The runs and plans.
        now: Seconds since the epoch; None for the present.
    Raises:
        ValueError: If there is neither a run nor a plan.
    """
    now = time.time() if now is None else now
    runs = gathered.flat
    if not runs and not gathered.plan and not gathered.skipped:
        raise ValueError(f"{gathered.directory} holds no run and no sweep.json.")
    of_status: dict[str, list[Run]] = {status: [] for status in STATUSES}
    for run in runs:
        of_status[run.status].append(run)
    pace = _usual_pace(of_status["complete"])
    return Status(
        directory=gathered.directory,
        studies=tuple(_studies(gathered, runs)),
        running=tuple(_at_work(run.path, gathered.plan, pace, now) for run in of_status["running"]),
        failed=tuple((run.path, first_line(run.error)) for run in of_status["failed"]),
        stale=tuple(run.path for run in of_status["stale"]),
        missing=tuple(missing for missing in gathered.gaps if missing.count > 0),
        commands=tuple(_commands(gathered)),
        skipped=gathered.skipped,
        given_up=len(gathered.given_up),
    )


def _studies(gathered: Gathered, runs: Sequence[Run]) -> list[Progress]:
    # A repetition of another run has been done all the same.
    there = [(run.path, run.status) for run in runs]
    there += [(other.path, other.status) for other in gathered.duplicates]
    there += [(path, "complete") for path in gathered.teachers["path"]]
    found = []
    planned = [(plan, study) for plan in gathered.plan for study in plan.studies]
    for plan, study in planned:
        directory = os.path.join(plan.path, study.name)
        own = [(path, status) for path, status in there if path.startswith(directory + os.sep)]
        there = [one for one in there if one not in own]
        number = study.n_trials * (len(plan.seeds or ()) or 1 if study.kind == "search" else 1)
        to_do = sum(m.count for m in gathered.gaps if (m.sweep, m.study) == (plan, study.name))
        found.append(Progress(_relative(directory, gathered), number, _count(own), max(0, to_do)))
    parents: dict[str, list[tuple[str, str]]] = {}
    for path, status in there:
        parents.setdefault(os.path.dirname(path), []).append((path, status))
    found += [Progress(_relative(parent, gathered), None, _count(own), 0) for parent, own in sorted(parents.items())]
    return found


def _relative(directory: str, gathered: Gathered) -> str:
    return os.path.relpath(directory, gathered.directory)


def _count(runs: Iterable[tuple[str, str]]) -> dict[str, int]:
    statuses = [status for _, status in runs]
    return {status: statuses.count(status) for status in STATUSES}


def _usual_pace(complete: Iterable[Run]) -> float | None:
    """Seconds an epoch of the complete runs: the median."""
    paces = [run.train_seconds / run.epochs_run for run in complete if run.train_seconds and run.epochs_run]
    return median(paces) if paces else None


def _at_work(directory: str, plans: Iterable[Sweep], usual_pace: float | None, now: float) -> AtWork:
    row, epochs = _last_row(directory), _epochs(directory)
    reached = row.get("epoch", 0.0)
    epoch = int(reached) if math.isfinite(reached) else 0
    objectives = [name for plan in plans if directory.startswith(plan.path + os.sep) for name in plan.directions]
    names = (*(name.removeprefix("best_") for name in objectives), "val_top1", "test_top1")
    metric = next((name for name in names if name in row), None)
    value = row[metric] if metric else None
    return AtWork(directory, epoch, epochs, metric, value, _seconds_left(directory, epoch, epochs, usual_pace, now))


def _last_row(directory: str) -> dict[str, float]:
    try:
        return read_last_row(directory)
    except (OSError, Unreadable):
        return {}  # no epoch is over


def _epochs(directory: str) -> int | None:
    try:
        epochs: Any = read_config(directory).get("trainer.epochs")
    except (OSError, Unreadable):
        return None
    return epochs if isinstance(epochs, int) else None


def _seconds_left(directory: str, epoch: int, epochs: int | None, usual_pace: float | None, now: float) -> float | None:
    """The time that the epochs to come take, less what has passed since the last one ended.

    `metrics.csv` is written when an epoch ends, and `.hydra/config.yaml` when a run begins. When one goes on after
    it was killed, the config is written again, and nothing tells how many epochs came before: the usual pace stands in.
    """
    if epochs is None:
        return None
    hydra = os.path.join(directory, ".hydra")
    try:
        made, began = os.stat(hydra).st_mtime, os.stat(os.path.join(hydra, "config.yaml")).st_mtime
        last = os.stat(os.path.join(directory, "metrics.csv")).st_mtime if epoch else began
    except OSError:
        return None
    own_pace = (last - began) / epoch if epoch and began - made < _RESUMED else None
    pace = usual_pace if own_pace is None else own_pace
    return None if pace is None else max(0.0, pace * (epochs - epoch) - (now - last))


def _commands(gathered: Gathered) -> list[str]:
    """Of the sweeps that lack runs: those to do, killed ones, and in a grid failed ones, which are tried again."""
    stale = gathered.runs.loc[gathered.runs["status"] == "stale", "path"]
    found = []
    for plan in gathered.plan:
        lacks = any(missing.sweep == plan and missing.is_open for missing in gathered.gaps)
        killed = any(path.startswith(plan.path + os.sep) for path in stale)
        if plan.command and (lacks or killed):
            found.append(plan.command)
    return list(dict.fromkeys(found))
