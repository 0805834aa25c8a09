"""Which runs are trials of a search, which stand beside it, and which have nothing to do with one."""

import os
from collections.abc import Iterable

from analysis.read.gather import Gathered
from analysis.read.method import is_method
from analysis.read.results import Run

STUDY = "search"  # the directory of a search's trials
BASELINE = "baseline"  # and of the runs beside it


def only_search(runs: Iterable[Run]) -> tuple[str, list[Run]] | None:
    """The directory and the runs of the one search among the runs; None if there is none.

    Raises:
        ValueError: If there are several.
    """
    found = split_searches(runs)
    if len(found) > 1:
        names = ", ".join(sorted(os.path.relpath(os.path.dirname(directory)) for directory in found))
        raise ValueError(f"there are {len(found)} searches, whose trials do not compare; give one: {names}")
    return next(iter(found.items()), None)


def split_searches(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of searches, by the directory that holds their trials."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if directory := search_of(run.path):
            found.setdefault(directory, []).append(run)
    return found


def search_of(path: str) -> str | None:
    """The directory that holds the trials of the search to which a run belongs; None if it belongs to none."""
    parent = os.path.dirname(os.path.abspath(path))
    above = (parent, os.path.dirname(parent))  # a seed of a trial lies one level deeper
    return next((directory for directory in above if os.path.basename(directory) == STUDY), None)


def baseline_runs(runs: Iterable[Run], sweep: str) -> list[Run]:
    """The complete runs beside the search of a sweep, by the sweep's directory."""
    directory = os.path.join(sweep, BASELINE)
    return [run for run in runs if run.status == "complete" and os.path.dirname(os.path.abspath(run.path)) == directory]


def compared_runs(complete: Iterable[Run], gathered: Gathered) -> list[Run]:
    """The runs that no search chose: those of grids, of baselines and single ones.

    A trial counts among them where it stands for such a run that has the same configuration.
    """
    stands_for = {
        other.kept for other in gathered.duplicates if other.status == "complete" and search_of(other.path) is None
    }
    return [run for run in complete if search_of(run.path) is None or run.path in stands_for]


def group_trials(directory: str, runs: Iterable[Run]) -> dict[int, list[Run]]:
    """The runs of a search by trial number, which is the directory's for a run that has not ended."""
    found: dict[int, list[Run]] = {}
    for run in runs:
        number = run.trial
        if number is None:
            name = os.path.relpath(run.path, directory).split(os.sep)[0]
            number = int(name) if name.isdecimal() else None
        if number is not None:
            found.setdefault(number, []).append(run)
    return dict(sorted(found.items()))


def searched_settings(gathered: Gathered) -> dict[str, tuple[str, ...]]:
    """What each search varied besides the method, by the directory of its trials; {} where that is nothing."""
    spaces = {
        os.path.join(os.path.abspath(sweep.path), STUDY): tuple(key for key in sweep.space if not is_method(key))
        for sweep in gathered.plan
    }
    return {directory: keys for directory, keys in spaces.items() if keys}
