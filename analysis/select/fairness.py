"""Whether the trials of a search were treated alike, and the baseline like them: the same data, the same search."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.read.method import KEYS, is_method
from analysis.read.overrides import as_pairs, read_overrides
from analysis.read.results import Run
from analysis.read.settings import Settings
from analysis.select.ranking import Trial
from analysis.select.settings import ABSENT, listed_values
from analysis.sheets.notes import Kind, Note, caution
from analysis.sheets.words import count

_RECORDED = {"data": "data set's content", "split.val_sha256": "held-out pictures"}
_DIGITS = 12  # of a digest


def data_cautions(trials: Sequence[Trial]) -> tuple[Note, ...]:
    """Why the scores of the trials may not compare; () where all recorded the same, or none recorded anything."""
    return tuple(note for column, name in _RECORDED.items() for note in _caution(trials, column, name))


def _caution(trials: Sequence[Trial], column: str, name: str) -> Iterable[Note]:
    by_version: dict[str, int] = {}
    for trial in trials:
        digests = {run.get(column) for run in trial.runs}  # of several seeds, each may have its own
        version = " and ".join(sorted("unknown" if one is None else str(one)[:_DIGITS] for one in digests))
        by_version[version] = by_version.get(version, 0) + 1
    if len(by_version) > 1:
        parts = ", ".join(f"{version} in {count(number, 'trial')}" for version, number in sorted(by_version.items()))
        text = f"the trials differ in the {name} ({parts}), so their scores do not compare, nor is the best sure"
        yield caution(Kind.DATA_VERSIONS, text)


def unequal_search(
    searched: Iterable[str], trials: Sequence[Run], baseline: Sequence[Run], settings: Settings
) -> Iterator[Note]:
    """Say in which settings that matter to a baseline too the trials had a search that it had not; () if in none.

    Args:
        searched: The dimensions of the search, as on the command line; those of the method say nothing of a baseline.
        trials: Runs of the search.
        baseline: The runs that they are compared to.
        settings: Of the runs.
    """
    unequal = {}
    for key in (key for key in searched if not is_method(key)):
        tried, had = ({_value(run, key, settings) for run in runs} for runs in (trials, baseline))
        if tried - had and had:
            unequal[key] = had
    if unequal:
        had_them = ", ".join(f"{key} {listed_values(values)}" for key, values in unequal.items())
        text = (
            f"the search varied {', '.join(unequal)} as well, and the baseline was not given the same search (it ran "
            f"with {had_them}), so a part of the difference may be that of a tuned setting"
        )
        yield caution(Kind.UNEQUAL_SEARCH, text)


def _value(run: Run, key: str, settings: Settings) -> Any:
    """What a run had in a searched dimension: from its config, or, of a choice of files, from its command line."""
    of_run: Mapping[str, Any] = settings.of(run)
    name = KEYS.get(key, key)
    return of_run[name] if name in of_run else as_pairs(read_overrides(run.path)).get(key, ABSENT)
