"""Whether the trials of a search saw the same data: where pictures changed on the way, scores do not compare."""

from collections.abc import Iterable, Sequence

from analysis.select.ranking import Trial
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
