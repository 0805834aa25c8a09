"""The winner of a search: how sure its value is, what stands beside it, and how to find out whether it holds."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.best.retrain import Retraining, plan_retraining
from analysis.read.gather import Gathered
from analysis.read.method import METHOD
from analysis.read.overrides import as_pairs, key_of, read_overrides
from analysis.read.results import Run
from analysis.read.settings import Settings
from analysis.select.budgets import budget_notes
from analysis.select.comparing import Pair, compare_runs
from analysis.select.fairness import data_cautions, unequal_search
from analysis.select.inventory import counts_line
from analysis.select.metrics import Metric, choose_metrics, sample_of
from analysis.select.ranking import Trial, front, losses
from analysis.select.searches import STUDY, baseline_runs
from analysis.select.trials import Search, find_search
from analysis.sheets.notes import Note
from analysis.statistics.differences import Difference, Sample, mean_and_sd
from analysis.statistics.paired import t_interval


@dataclass(frozen=True)
class Measured:
    """One metric of the runs of one setting.

    Attributes:
        sample: Seed and value of every run.
        mean: Of the values.
        sd: Their sample standard deviation; None for a single run.
        low: Lower end of the 95 % t interval of the mean; None for a single run.
        high: Upper end.
    """

    sample: Sample
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.sample)


@dataclass(frozen=True)
class Entry:
    """A trial, or a setting of the baseline.

    Attributes:
        trial: Its number; None for the baseline.
        directory: The trial's, which holds a directory a seed if it has several; of a baseline that of its runs.
        settings: What the search chose, or what makes the baseline, as on the command line.
        measured: By metric.
        runs: Which were measured.
        difference: Of the first metric, to the first baseline; None if there is none, and for a baseline.
    """

    trial: int | None
    directory: str
    settings: Mapping[str, str]
    measured: Mapping[str, Measured]
    runs: tuple[Run, ...]
    difference: Difference | None = None


@dataclass(frozen=True)
class Best:
    """What a search found so far.

    Attributes:
        sweep: Its directory.
        metrics: The objectives.
        front: The best trial; of several objectives the trials that no other one beats in all, the best in the first
            objective first.
        baselines: The settings of the baseline.
        complete: Number of complete trials that measured the objectives, out of which the best was picked.
        statuses: Number of trials by status.
        planned: Number of trials that the search will have; None if it did not write that.
        cautions: Why the scores may not compare, or how far they do.
        retraining: How that one is trained again.
    """

    sweep: str
    metrics: tuple[Metric, ...]
    front: tuple[Entry, ...]
    baselines: tuple[Entry, ...]
    complete: int
    statuses: Mapping[str, int]
    planned: int | None
    cautions: tuple[Note, ...]
    retraining: Retraining

    @property
    def runs(self) -> tuple[Run, ...]:
        """All that stand behind its numbers: those of the front and of the baselines."""
        return tuple(run for entry in (*self.front, *self.baselines) for run in entry.runs)


def find_best(gathered: Gathered, seeds: int = 5) -> Best:
    """Pick the best complete trial of the one search below the gathered directory, which may be at work.

    Args:
        gathered: The runs.
        seeds: On how many fresh seeds it is to be trained again.
    Raises:
        ValueError: If there is no search, or several, if no trial is complete, or if `seeds` is below 1.
    """
    search = find_search(gathered)
    judged = search.ranked()
    if not judged:
        raise ValueError(f"no trial of the search is complete on all its seeds: {counts_line(gathered)}")
    metrics = _objectives(gathered, search)
    chosen = [judged[place] for place in front([losses(trial.means, metrics) for trial in judged])]
    settings = Settings()
    baselines = _baselines(gathered, search, metrics)
    keys = [dimension.name for dimension in search.dimensions]
    statuses: dict[str, int] = {}
    for trial in search.trials:
        statuses[trial.status] = statuses.get(trial.status, 0) + 1
    planned = [study.n_trials for study in search.plan.studies if study.name == STUDY] if search.plan else []
    return Best(
        sweep=os.path.dirname(os.path.dirname(_directory(chosen[0]))),
        metrics=metrics,
        front=tuple(_entry(trial, keys, metrics, baselines, settings) for trial in chosen),
        baselines=tuple(baselines),
        complete=len(judged),
        statuses=statuses,
        planned=planned[0] if planned else None,
        cautions=(*_unequal(keys, judged, baselines, settings), *budget_notes(gathered), *data_cautions(judged)),
        retraining=plan_retraining(gathered, search.plan, chosen[0].runs[0], keys, seeds),
    )


def _objectives(gathered: Gathered, search: Search) -> tuple[Metric, ...]:
    """What the trials are judged by; an objective that none has measured is refused, and not passed over."""
    if search.plan is not None and len(search.plan.directions) > len(search.metrics):
        runs = [run for trial in search.complete() for run in trial.runs]
        choose_metrics(gathered.runs, (search.plan,), runs, list(search.plan.directions))
    return search.metrics


def _unequal(
    keys: Sequence[str], trials: Sequence[Trial], baselines: Sequence[Entry], settings: Settings
) -> Iterator[Note]:
    runs = [run for trial in trials for run in trial.runs]
    return unequal_search(keys, runs, [run for entry in baselines for run in entry.runs], settings)


def _entry(
    trial: Trial, keys: Sequence[str], metrics: Sequence[Metric], baselines: Sequence[Entry], of_runs: Settings
) -> Entry:
    set_here = as_pairs(read_overrides(trial.runs[0].path))
    settings = {key: set_here.get(key, str(trial.params[key])) for key in keys if key in trial.params}
    measured = _all_measured(trial.runs, metrics)
    difference = None
    if baselines and metrics[0].name in baselines[0].measured:
        pair = Pair(trial.runs, baselines[0].runs, metrics[0].name, (*METHOD, *keys))
        (difference,) = compare_runs([pair], of_runs)
    return Entry(trial.number, _directory(trial), settings, measured, trial.runs, difference)


def _directory(trial: Trial) -> str:
    path: str = trial.runs[0].path
    parent = os.path.dirname(path)
    return path if os.path.basename(os.path.abspath(parent)) == STUDY else parent


def _baselines(gathered: Gathered, search: Search, metrics: Sequence[Metric]) -> list[Entry]:
    """The runs beside the search by setting, the one with the most runs first."""
    fixed = set() if search.plan is None else set(search.plan.fixed or ())
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in baseline_runs(gathered.whole().flat, search.directory):
        beside = ("seed", "name", "results_dir")
        words = [word for word in read_overrides(run.path) if word not in fixed and key_of(word) not in beside]
        own = tuple(word for word in words if not key_of(word).startswith("sweep"))
        groups.setdefault(own or (f"kd_mode={run.kd_mode}",), []).append(run)
    found = []
    for setting, runs in groups.items():
        if measured := _all_measured(runs, metrics):
            found.append(Entry(None, os.path.dirname(runs[0].path), as_pairs(setting), measured, tuple(runs)))
    return sorted(found, key=lambda entry: -max(one.n for one in entry.measured.values()))


def _all_measured(runs: Sequence[Run], metrics: Sequence[Metric]) -> dict[str, Measured]:
    found = ((metric.name, _measured(runs, metric)) for metric in metrics)
    return {name: measured for name, measured in found if measured}


def _measured(runs: Sequence[Run], metric: Metric) -> Measured | None:
    sample = sample_of(runs, metric.name)
    values = [value for _, value in sample]
    mean, sd = mean_and_sd(values)
    if mean is None:
        return None
    low, high = t_interval(values) if sd is not None else (None, None)
    return Measured(sample, mean, sd, low, high)
