"""What a search tuned for its trials, and nobody for the baseline."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.read.overrides import as_pairs, read_overrides
from analysis.read.results import Run
from analysis.select.differences import ABSENT, listed_values
from analysis.select.method import KEYS, is_method
from analysis.select.settings import Settings
from analysis.sheets.notes import Kind, Note, caution


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
