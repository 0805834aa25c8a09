"""How many trials a search over kd_modes gave each of them, and how many runs the baseline: whether that was equal."""

import os
from collections.abc import Iterator, Mapping

from analysis.read.gather import Gathered
from analysis.read.overrides import as_pairs, read_overrides
from analysis.read.results import Run
from analysis.select.searches import BASELINE, STUDY, search_of
from analysis.sheets.notes import Kind, Note, caution
from analysis.sheets.words import count

_MODE = "kd_mode"


def budget_notes(gathered: Gathered) -> Iterator[Note]:
    """A note for each search that varied the kd_mode; a caution where one had more trials than another."""
    gathered = gathered.whole()
    for sweep in gathered.plan:
        if _MODE not in sweep.space:
            continue
        place = os.path.abspath(sweep.path)
        trials: dict[str, set[object]] = {}
        baseline = 0
        for run in gathered.flat:
            if search_of(run.path) == os.path.join(place, STUDY):
                trials.setdefault(_choice(run), set()).add(run.trial if run.trial is not None else run.path)
            baseline += os.path.dirname(os.path.abspath(run.path)) == os.path.join(place, BASELINE)
        if len(trials) > 1:
            name = f" of {sweep.name}" if len(gathered.plan) > 1 and sweep.name else ""
            yield _note(name, {mode: len(numbers) for mode, numbers in sorted(trials.items())}, baseline)


def _choice(run: Run) -> str:
    return as_pairs(read_overrides(run.path)).get(_MODE) or str(run.kd_mode)


def _note(name: str, trials: Mapping[str, int], baseline: int) -> Note:
    beside = f"and {count(baseline, 'run')} of the baseline" if baseline else "and no baseline"
    numbers = set(trials.values())
    if len(numbers) == 1:
        text = f"budget{name}: {count(numbers.pop(), 'trial')} of each of {len(trials)} kd_modes, {beside}"
        if baseline in (0, *trials.values()):
            return Note(Kind.BUDGET, text)
        return caution(Kind.BUDGET, f"{text}, so the budget is not equal: the best of more runs looks better by chance")
    each = ", ".join(f"{mode} {number}" for mode, number in trials.items())
    text = (
        f"the budget{name} is not equal, and the best of more trials looks better by chance: trials of {each}; {beside}"
    )
    return caution(Kind.BUDGET, text)
