"""In which settings runs differ.

Every paired statistic asks here whether its two sides differ in more than what is compared.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pandas as pd

from analysis.read.gather import Gathered
from analysis.read.method import DATA, KEYS, METHOD, covers, is_method
from analysis.read.results import Run, runs_of
from analysis.read.settings import BY_CONTENT, RECORDED, SPLIT, UNREAD, Settings, Values
from analysis.read.values import sortable
from analysis.select.columns import as_column
from analysis.sheets.words import as_text, count, list_values

ABSENT = "(absent)"
_SPLIT_FOLLOWS_FROM = (DATA, "dataset.", "protocol.")
_MOST = 5  # settings that a caution names


def differing(settings: Settings, a: Sequence[Run], b: Sequence[Run], compared: Sequence[str]) -> tuple[str, ...]:
    """In what two sets of runs differ besides what is compared, in words: "trainer.lr 0.1 against 0.01".

    Args:
        settings: Of the runs.
        a: Runs of one side.
        b: Of the other. Where both have runs of at least two seeds, these are compared, seed by seed.
        compared: Columns in which they may differ; see `covers`.
    """
    found: dict[str, tuple[set[Any], set[Any]]] = {}
    for of_a, of_b in _distinct(_paired(settings, a, b)):
        for key in _differing(of_a, of_b, compared):
            values = found.setdefault(key, (set(), set()))
            for side, side_settings in zip(values, (of_a, of_b), strict=True):
                side.update(one.get(key, ABSENT) for one in side_settings)
    if UNREAD in found:
        return (UNREAD,)
    words = [f"{key} {listed_values(of_a)} against {listed_values(of_b)}" for key, (of_a, of_b) in found.items()]
    return (*words[:_MOST], *([count(len(words) - _MOST, "more setting")] if len(words) > _MOST else []))


def _paired(settings: Settings, a: Sequence[Run], b: Sequence[Run]) -> list[tuple[list[Values], list[Values]]]:
    """The settings on both sides of each seed that both have; of all runs where means are compared."""
    by_seed: list[dict[Any, list[Values]]] = [{}, {}]
    for side, runs in zip(by_seed, (a, b), strict=True):
        for run in runs:
            side.setdefault(run.seed, []).append(settings.of(run))
    of_a, of_b = by_seed
    shared = of_a.keys() & of_b.keys() - {None}
    if len(shared) > 1:  # fewer are not paired
        return [(of_a[seed], of_b[seed]) for seed in shared]
    return [([one for ones in of_a.values() for one in ones], [one for ones in of_b.values() for one in ones])]


def varying_settings(settings: Settings, runs: Iterable[Run]) -> dict[str, list[Any]]:
    """The settings that are not the same in all runs, with the value of each distinct setting."""
    distinct = list({id(one): one for one in map(settings.of, runs) if UNREAD not in one}.values())
    keys = dict.fromkeys(key for one in distinct for key in one)
    found = {key: [one.get(key) for one in distinct] for key in keys if key not in SPLIT}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def _distinct(pairs: Iterable[tuple[list[Values], list[Values]]]) -> list[tuple[list[Values], list[Values]]]:
    """The pairs without those that hold the very same settings as another one."""
    return list({tuple(tuple(sorted(map(id, side))) for side in pair): pair for pair in pairs}.values())


def _differing(a: Sequence[Values], b: Sequence[Values], compared: Sequence[str]) -> list[str]:
    """The keys in which two sides of a pair differ, besides what is compared."""
    if {id(one) for one in a} == {id(one) for one in b} and len(a) == len(b) == 1:
        return []
    if unread := [one for one in (*a, *b) if UNREAD in one]:
        return [] if len(unread) == len(a) + len(b) else [UNREAD]
    first, *others = (one.items() for one in (*a, *b))
    keys = sorted({key for other in others for key, _ in first ^ other})  # all others are the same everywhere
    differing = [key for key in keys if _shares(a, (key,)) != _shares(b, (key,))]
    if DATA in differing:  # where one side did not record it, the other one has no place of it
        differing = [key for key in differing if key not in BY_CONTENT[DATA][1]]
    if any(key.startswith(_SPLIT_FOLLOWS_FROM) for key in differing):
        differing = [key for key in differing if key not in SPLIT]
    besides = [key for key in differing if not any(covers(column, key) for column in compared)]
    if besides or len(a) == len(b) == 1:
        return besides
    # Each key may be balanced, and their combinations not.
    rest = [key for key in keys if key not in SPLIT and not any(covers(column, key) for column in compared)]
    return [key for key in rest if len(_shares((*a, *b), (key,))) > 1] if _shares(a, rest) != _shares(b, rest) else []


def _shares(side: Sequence[Values], keys: Sequence[str]) -> dict[tuple[Any, ...], Fraction]:
    counts = Counter(tuple(one.get(key, ABSENT) for key in keys) for one in side)
    return {values: Fraction(number, len(side)) for values, number in counts.items()}


def with_settings(gathered: Gathered) -> Gathered:
    """Add a column for every setting that varies among the complete runs and that no other column tells.

    Of the recipe's settings one that follows from others is left out, unless a sweep varied it on purpose; of the
    method's one that follows from the kd_mode and the lambdas.
    """
    if gathered.told_apart:
        return gathered
    settings = gathered.settings
    complete = gathered.runs["status"] == "complete"
    there = [name for name in ("path", "status", *RECORDED) if name in gathered.runs.columns]
    runs = runs_of(gathered.runs.loc[complete, there])
    one_each = list({id(settings.of(run)): run for run in reversed(runs)}.values())
    chosen = _chosen(one_each, settings, _on_purpose(gathered))
    frame = gathered.runs
    if chosen:
        values = pd.DataFrame({key: as_column([settings.of(run).get(key) for run in runs]) for key in chosen})
        values.index = frame.index[complete]
        new = [key for key in chosen if key not in frame.columns]
        frame = frame.join(values[new])
    return replace(gathered, runs=frame, told_apart=True)


def _on_purpose(gathered: Gathered) -> set[str]:
    """The keys that sweeps vary."""
    cells = (cell for sweep in gathered.plan for study in sweep.studies for cell in study.cells)
    return {key for cell in cells for key in cell} | {key for sweep in gathered.plan for key in sweep.space}


def _chosen(runs: Sequence[Run], settings: Settings, on_purpose: set[str]) -> list[str]:
    """The settings that tell runs apart beyond their recorded columns; those varied on purpose come first."""
    varying = varying_settings(settings, runs)
    chosen = []
    for of_method in (False, True):
        recorded = METHOD if of_method else KEYS
        told = [tuple(run.get(column) for column in recorded) for run in runs]
        keys = [key for key in varying if is_method(key) == of_method and key not in (*METHOD, *KEYS.values())]
        for key in sorted(keys, key=lambda key: key not in on_purpose):
            values = [settings.of(run).get(key) for run in runs]
            finer = [(*known, value) for known, value in zip(told, values, strict=True)]
            if (key in on_purpose and not of_method) or len(set(finer)) > len(set(told)):
                chosen.append(key)
                told = finer
    return chosen


def listed_values(values: Iterable[Any]) -> str:
    """Distinct values in words, numbers with all their digits."""
    # Two numbers may differ in the last digit alone.
    distinct = sorted({value if isinstance(value, int | float) else as_text(value) for value in values}, key=sortable)
    return list_values([repr(value) if isinstance(value, float) else value for value in distinct]) or ABSENT
