"""The trials of a search: their runs, parameters and values, as far as the sweep has come."""

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.dimensions import Dimension, Value, as_value, make_dimension
from analysis.gather import STATUSES, Gathered
from analysis.groups import Run, plain_runs
from analysis.inventory import counts_line
from analysis.metrics import Metric, choose_metrics
from analysis.overrides import as_pairs, read_overrides
from analysis.plan import Sweep
from analysis.results import is_measured
from analysis.searches import baseline_runs, group_trials, only_search
from analysis.words import conditions, count, spread

_BESIDE = ("seed", "name", "results_dir", "device", "threads")  # may change from one command to the next


@dataclass(frozen=True)
class Trial:
    """One point of a search. With `sweep.seeds` it has several runs, which share its number.

    Attributes:
        number: From 0.
        status: complete if all its runs are, otherwise that of the run that is furthest from it; pruned also if it
            was given up between two seeds, missing if a seed of it has not begun.
        params: What was searched.
        value: Mean of the objective over its runs; for a pruned trial, of the last epochs they reached. None if
            a run has not measured it.
        runs: A run a seed.
    """

    number: int
    status: str
    params: Mapping[str, Value]
    value: float | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Search:
    """A search, its plan if it has one, its trials by number, and the runs of the baseline beside it."""

    directory: str
    plan: Sweep | None
    metric: Metric
    dimensions: tuple[Dimension, ...]
    trials: tuple[Trial, ...]
    baseline: tuple[Run, ...]

    def complete(self) -> tuple[Trial, ...]:
        """The trials that ended and measured the objective."""
        return tuple(trial for trial in self.trials if trial.status == "complete" and trial.value is not None)

    def with_all_params(self) -> list[Trial]:
        """The complete trials that have a value of every dimension; conditional ones are absent from some."""
        names = {dimension.name for dimension in self.dimensions}
        return [trial for trial in self.complete() if names <= trial.params.keys()]

    def left_out(self) -> tuple[str, ...]:
        """A note on the complete trials that lack a dimension, if there are any."""
        number = len(self.complete()) - len(self.with_all_params())
        verb, it = ("is", "it lacks") if number == 1 else ("are", "they lack")
        note = f"{count(number, 'complete trial')} {verb} left out, as {it} a parameter that others have"
        return (note,) if number else ()

    def described(self) -> tuple[str, ...]:
        """The search in two notes: what the values are, and what became of the trials."""
        complete = self.complete()
        numbers = [len(trial.runs) for trial in complete] or [1]
        averaged = f"mean of {spread(numbers)} runs" if max(numbers) > 1 else "single runs"
        counts = {status: sum(trial.status == status for trial in self.trials) for status in (*STATUSES, "missing")}
        words = {"missing": "with seeds to come"}
        others = "".join(
            f", {number} {words.get(status, status)}"
            for status, number in counts.items()
            if number and status != "complete"
        )
        runs = [run for trial in complete for run in trial.runs]
        return conditions(runs), f"{count(counts['complete'], 'complete trial')} ({averaged}){others}"


def find_search(gathered: Gathered, metric: str | None = None) -> Search:
    """Find the one search below the gathered directory.

    Raises:
        ValueError: If there is none, or several, or if no trial of it is complete.
    """
    gathered = gathered.whole()
    runs = plain_runs(gathered.runs)
    found = only_search(runs)
    if found is None:
        raise ValueError("there is no search: no run lies in a directory search/, where sweep=lambdas puts its trials")
    directory, own = found
    if not _complete(own):
        raise ValueError(f"no trial of the search is complete: {counts_line(gathered)}")
    sweep = os.path.dirname(directory)
    plan = find_plan(gathered, sweep)
    plans = (plan,) if plan else gathered.plan
    chosen = choose_metrics(gathered.runs, plans, _complete(own), [metric] if metric else None)[0]
    space = plan.space if plan else {}
    overrides = {run["path"]: as_pairs(read_overrides(run["path"])) for run in own}
    keys = list(space) or _varying(overrides.values())
    trials = _trials(group_trials(directory, own), plan, keys, overrides, chosen, gathered.given_up)
    values = {key: [trial.params[key] for trial in trials if key in trial.params] for key in keys}
    dimensions = tuple(make_dimension(key, space.get(key, ""), values[key]) for key in keys)
    baseline = tuple(run for run in baseline_runs(runs, sweep) if is_measured(run[chosen.name]))
    return Search(sweep, plan, chosen, dimensions, trials, baseline)


def objectives(gathered: Gathered) -> tuple[Metric, ...]:
    """The objectives of the one sweep below the directory, if it is one and has several; otherwise ()."""
    if len(gathered.plan) != 1 or len(gathered.plan[0].directions) < 2:
        return ()
    complete = _complete(plain_runs(gathered.runs))
    return choose_metrics(gathered.runs, gathered.plan, complete, list(gathered.plan[0].directions))


def _complete(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run["status"] == "complete"]


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


def _trials(
    grouped: Mapping[int, Sequence[Run]],
    plan: Sweep | None,
    keys: Sequence[str],
    overrides: Mapping[str, Mapping[str, str]],
    metric: Metric,
    given_up: Container[str],
) -> tuple[Trial, ...]:
    most = max(map(len, grouped.values()), default=1)
    seeds = most if plan is None else max(most, len(plan.seeds or ()))
    trials = []
    for number, own in grouped.items():
        # A run that recorded what it was started with lacks the dimensions whose condition did not hold.
        of_run = overrides[own[0]["path"]] or own[0]
        params = {key: as_value(of_run[key]) for key in keys if of_run.get(key) is not None}
        measured = [run[metric.name] for run in own if is_measured(run[metric.name])]
        value = fmean(measured) if len(measured) == len(own) else None
        pruned_between = os.path.dirname(own[0]["path"]) in given_up
        status = "pruned" if pruned_between else _status(own, seeds)
        trials.append(Trial(number, status, params, value, tuple(own)))
    return tuple(trials)


def _status(runs: Sequence[Run], seeds: int) -> str:
    """A trial with fewer runs than another has seeds to come, unless it was given up."""
    statuses = {run["status"] for run in runs}
    for status in ("failed", "pruned", "stale", "running"):
        if status in statuses:
            return status
    return "complete" if len(runs) == seeds else "missing"
