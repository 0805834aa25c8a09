"""How a sweep ended: counts, the best trial of a search, its baseline beside it, and where all of it lies."""

import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tffd.program import analysis_words
from tffd.records import RESULT
from tffd.sweep.arguments import Value
from tffd.sweep.plan import SearchPlan, SweepPlan
from tffd.sweep.studies.study import ResumableStudy
from tffd.texts import counted

_MOST_NAMED = 5


def summary_lines(plan: SweepPlan, studies: Sequence[ResumableStudy], directory: Path) -> list[str]:
    """Return the lines that a sweep ends with.

    Args:
        plan: What was to be done.
        studies: The studies that record it.
        directory: The directory of the sweep.
    """
    lines = ["", *map(_count, studies), *_lost_records(studies, directory)]
    search = next((study for study in studies if isinstance(study.plan, SearchPlan)), None)
    best = search.best() if search is not None else []
    if best and len(plan.objectives) > 1:
        lines += _front(best, plan.objectives)
    elif best:
        baseline = next((study for study in studies if study.plan.key == "baseline"), None)
        lines += _comparison(best[0], baseline, plan)
    lines += [f"Results:  {directory}", f"Table:    {_analysis('table', directory)}"]
    return [*lines, f"Best:     {_analysis('best', directory)}"] if best else lines


def _lost_records(studies: Sequence[ResumableStudy], directory: Path) -> list[str]:
    """Name the trials that are complete for the study and have no record here: no command runs them again."""
    lost = [
        f"{study.plan.key}/{trial.number:04d}"
        for study in studies
        for trial in study.trials(TrialState.COMPLETE)
        if not any((directory / study.plan.key / f"{trial.number:04d}").rglob(RESULT))
    ]
    if not lost:
        return []
    names = ", ".join(lost[:_MOST_NAMED]) + (f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else "")
    return [
        f"caution: {counted(len(lost), 'complete trial')} without a record below {directory}: {names}. Copy it here "
        "from the machine that made it; where it is lost, choose another name=... to run it again"
    ]


def _front(front: Sequence[FrozenTrial], objectives: Sequence[str]) -> list[str]:
    lines = [f"Pareto front of {' and '.join(objectives)}:"]
    for trial in sorted(front, key=lambda trial: trial.values):
        numbers = "  ".join(f"{value:10.2f}" for value in trial.values)
        lines.append(f"{numbers}  search/{trial.number:04d}  {describe_point(trial.params)}")
    return lines


def _comparison(best: FrozenTrial, baseline: ResumableStudy | None, plan: SweepPlan) -> list[str]:
    """The best trial, the baseline where there is one, and how much to believe of the difference."""
    objective, sweep = plan.objectives[0], plan.config.sweep
    runs = f"mean of seeds {sweep.seeds}" if sweep.seeds else f"1 run, seed {plan.config.seed}"
    point = f"search/{best.number:04d}  {describe_point(best.params)}  ({runs})"
    rows = [("best trial", f"{best.values[0]:.2f}", point)]
    if baseline is not None and (numbers := [trial.values[0] for trial in baseline.trials(TrialState.COMPLETE)]):
        spread = f" +- {statistics.stdev(numbers):.2f}" if len(numbers) > 1 else ""
        planned = baseline.plan.points()
        values = {key: [str(cell[key]) for cell in planned if key in cell] for key in baseline.plan.keys}
        cells = " ".join(f"{key}={','.join(dict.fromkeys(texts))}" for key, texts in values.items())
        rows.append(("baseline", f"{statistics.mean(numbers):.2f}{spread}", f"{cells}  (n={len(numbers)})"))
    width = max(len(number) for _, number, _ in rows)
    return [
        *(f"{name:<10}  {objective} {number:<{width}}  {origin}" for name, number, origin in rows),
        "The best of many trials was picked for its score, which flatters it: repeat it on fresh seeds before you "
        "believe the difference.",
    ]


def describe_point(values: Mapping[str, Any]) -> str:
    """Write what a trial was given, in one line."""
    return "  ".join(f"{key}={shorten(value)}" for key, value in values.items())


def shorten(value: Value) -> str:
    """Write a value of a trial, a number in three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _count(study: ResumableStudy) -> str:
    counts = study.counts()
    named = ((TrialState.PRUNED, "pruned"), (TrialState.FAIL, "failed"))
    others = "".join(f", {counts[state]} {word}" for state, word in named if counts[state])
    total = max(study.plan.n_trials, sum(counts.values()))
    return f"{study.plan.key}: {counts[TrialState.COMPLETE]} of {counted(total, 'trial')} complete{others}"


def _analysis(command: str, directory: Path) -> str:
    """A command of the analysis, quoted for the shell."""
    return shlex.join([*analysis_words(), command, str(directory)])
