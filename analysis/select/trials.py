"""The trials of a search: their runs, parameters and values, as far as the sweep has come."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean

from analysis.read.gather import Gathered
from analysis.read.overrides import as_pairs, read_overrides
from analysis.read.plans import Sweep
from analysis.read.results import Run, is_measured
from analysis.select.conditions import short_conditions
from analysis.select.dimensions import Dimension, Value, make_dimension, typed_values
from analysis.select.inventory import counts_line
from analysis.select.metrics import Metric, choose_metrics, values_of
from analysis.select.ranking import Trial, best_note, counts, left_out_note, ranked
from analysis.select.searches import baseline_runs, group_trials, only_search, split_searches
from analysis.sheets.words import count, exact_text, spread

Searches = Sequence[tuple[str, tuple[Trial, ...]]]  # the name of each, and its trials

_BESIDE = ("seed", "name", "results_dir", "device", "threads")  # may change from one command to the next


@dataclass(frozen=True)
class Search:
    """A search, its plan if it has one, its objectives, its trials by number, and the baseline's runs beside it."""

    directory: str
    plan: Sweep | None
    metrics: tuple[Metric, ...]
    dimensions: tuple[Dimension, ...]
    trials: tuple[Trial, ...]
    baseline: tuple[Run, ...]

    @property
    def metric(self) -> Metric:
        """The objective, of several the first."""
        return self.metrics[0]

    def ranked(self) -> tuple[Trial, ...]:
        """The trials that count, the best first."""
        return ranked(self.trials, self.metrics)

    def complete(self) -> tuple[Trial, ...]:
        """The trials that count, by number."""
        return tuple(sorted(self.ranked(), key=lambda trial: trial.number))

    def with_all_params(self) -> list[Trial]:
        """The trials that count and have a value of every dimension; conditional ones are absent from some."""
        return [trial for trial in self.complete() if not self.lacks(trial)]

    def lacks(self, trial: Trial) -> str:
        """The dimensions that a trial has no value of, as in "without lambda_inter"; "" if it has all."""
        names = [dimension.name for dimension in self.dimensions if dimension.name not in trial.params]
        return f"without {' and '.join(names)}" if names else ""

    def described(self, shown: Sequence[Trial], reason: Callable[[Trial], str] | None = None) -> tuple[str, ...]:
        """A picture of the search in notes: what its values are, which trials it leaves out, and which is the best.

        Args:
            shown: The trials in it.
            reason: Why it lacks one that counts; None for the parameters that such a trial lacks.
        """
        counting = [trial for trial in shown if counts(trial, self.metrics)]
        numbers = [len(trial.runs) for trial in counting] or [1]
        averaged = f"mean of {spread(numbers)} runs" if max(numbers) > 1 else "single runs"
        runs = [run for trial in counting for run in trial.runs]
        return (
            short_conditions(runs),
            f"{count(len(counting), 'complete trial')} ({averaged})",
            *left_out_note(self.trials, shown, self.metrics, reason or self.lacks),
            best_note(self.ranked(), self.metric, counting),
        )


def find_search(gathered: Gathered, metric: str | None = None) -> Search:
    """Find the one search below the gathered directory.

    Args:
        gathered: The runs.
        metric: What to judge its trials by; None for its objectives.
    Raises:
        ValueError: If there is none, or several, or if no trial of it is complete.
    """
    return _find_search(gathered.whole(), metric)


@lru_cache(maxsize=1)  # all pictures and texts on a directory ask for the same one
def _find_search(gathered: Gathered, metric: str | None) -> Search:
    runs = gathered.flat
    found = only_search(runs)
    if found is None:
        raise ValueError("there is no search: no run lies in a directory search/, where sweep=lambdas puts its trials")
    directory, own = found
    if not _complete(own):
        raise ValueError(f"no trial of the search is complete: {counts_line(gathered)}")
    sweep = os.path.dirname(directory)
    plan = find_plan(gathered, sweep)
    plans = (plan,) if plan else gathered.plan
    chosen = choose_metrics(gathered.runs, plans, _complete(own), [metric] if metric else None)
    metrics = chosen if plan and len(plan.directions) > 1 else chosen[:1]
    trials, dimensions = _with_params(find_trials(gathered, directory, own, metrics), plan)
    baseline = tuple(run for run in baseline_runs(runs, sweep) if is_measured(run[metrics[0].name]))
    return Search(sweep, plan, metrics, dimensions, trials, baseline)


def find_trials(
    gathered: Gathered, directory: str, runs: Sequence[Run], metrics: Sequence[Metric]
) -> tuple[Trial, ...]:
    """The trials of one search, without their parameters.

    Args:
        gathered: For what was planned and what was given up.
        directory: Of the search.
        runs: All of it, whatever became of them.
        metrics: The objectives, if values are wanted.
    """
    grouped = group_trials(directory, runs)
    plan = find_plan(gathered, os.path.dirname(directory))
    most = max(map(len, grouped.values()), default=1)
    seeds = most if plan is None else max(most, len(plan.seeds or ()))
    trials = []
    for number, own in grouped.items():
        means = {}
        for metric in metrics:
            measured = values_of(own, metric.name)
            if len(measured) == len(own):
                means[metric.name] = fmean(measured)
        pruned_between = os.path.dirname(own[0].path) in gathered.given_up
        status = "pruned" if pruned_between else _status(own, seeds)
        value = means.get(metrics[0].name) if metrics else None
        trials.append(Trial(number, status, {}, value, tuple(own), means))
    return tuple(trials)


def trials_by_search(gathered: Gathered, metrics: Sequence[Metric]) -> Searches:
    """The trials of each search, without their parameters, and its name; "" where there is one search."""
    whole = gathered.whole()  # a trial stays one of its search, whatever else has its configuration
    searches = split_searches(whole.flat)
    return [
        (
            os.path.basename(os.path.dirname(directory)) if len(searches) > 1 else "",
            find_trials(whole, directory, own, metrics),
        )
        for directory, own in searches.items()
    ]


def objectives(gathered: Gathered) -> tuple[Metric, ...]:
    """The objectives of the one sweep below the directory, if it is one and has several; otherwise ()."""
    if len(gathered.plan) != 1 or len(gathered.plan[0].directions) < 2:
        return ()
    complete = _complete(gathered.flat)
    return choose_metrics(gathered.runs, gathered.plan, complete, list(gathered.plan[0].directions))


def _complete(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.status == "complete"]


def find_plan(gathered: Gathered, sweep: str) -> Sweep | None:
    """The plan of the sweep in a directory; None where it wrote none, or above what was gathered."""
    plans = (plan for plan in gathered.plan if os.path.abspath(plan.path) == os.path.abspath(sweep))
    return next(plans, None)


def _varying(overrides: Iterable[Mapping[str, str]]) -> list[str]:
    """The keys whose values differ: what is searched, for all that a sweep without a recorded space tells."""
    found: dict[str, set[str]] = {}
    for pairs in overrides:
        for key, value in pairs.items():
            found.setdefault(key, set()).add(value)
    return [key for key, values in found.items() if len(values) > 1 and key not in _BESIDE and "sweep" not in key]


def _with_params(trials: Sequence[Trial], plan: Sweep | None) -> tuple[tuple[Trial, ...], tuple[Dimension, ...]]:
    """The trials with what was searched, each dimension in its own type."""
    space = plan.space if plan else {}
    overrides = {trial.number: as_pairs(read_overrides(trial.runs[0].path)) for trial in trials}
    keys = list(space) or _varying(as_pairs(read_overrides(run.path)) for trial in trials for run in trial.runs)
    texts: dict[int, dict[str, str]] = {}
    for trial in trials:
        # A run that recorded what it was started with lacks the dimensions whose condition did not hold.
        of_run = overrides[trial.number] or trial.runs[0]
        texts[trial.number] = {key: exact_text(of_run[key]) for key in keys if of_run.get(key) is not None}
    params: dict[int, dict[str, Value]] = {number: {} for number in texts}
    dimensions = []
    for key in keys:
        values = typed_values(space.get(key, ""), (own[key] for own in texts.values() if key in own))
        for number, own in texts.items():
            if key in own:
                params[number][key] = values[own[key]]
        given = [own[key] for own in params.values() if key in own]
        dimensions.append(make_dimension(key, space.get(key, ""), given))
    return tuple(replace(trial, params=params[trial.number]) for trial in trials), tuple(dimensions)


def _status(runs: Sequence[Run], seeds: int) -> str:
    """A trial with fewer runs than another has seeds to come, unless it was given up."""
    statuses = {run.status for run in runs}
    for status in ("failed", "pruned", "stale", "running"):
        if status in statuses:
            return status
    return "complete" if len(runs) == seeds else "missing"
