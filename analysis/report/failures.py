"""What went wrong, sorted by reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.select.inventory import first_line

_STALE = "no result and no sign of life for two minutes; killed, or its machine is gone"


@dataclass(frozen=True)
class Failure:
    """Runs or files with the same fate.

    Attributes:
        kind: failed, stale, skipped or duplicate.
        reason: What they have in common.
        paths: Of the runs or files.
        detail: All that the first of them recorded, if that is more than the reason.
    """

    kind: str
    reason: str
    paths: tuple[str, ...]
    detail: str = ""


def failures(gathered: Gathered, runs: Sequence[Run]) -> tuple[Failure, ...]:
    """Group what is in no table by its reason, the most frequent first within a kind.

    Args:
        gathered: For the files.
        runs: All that count, flat.
    """
    failed = [(first_line(run.error), run.path) for run in runs if run.status == "failed"]
    stale = [(_STALE, run.path) for run in runs if run.status == "stale"]
    skipped = [(other.reason, other.path) for other in gathered.skipped]
    duplicates = [(f"repeats {other.kept}", other.path) for other in gathered.duplicates]
    details = {run.path: (run.error or "").strip() for run in runs}
    kinds = {"failed": failed, "stale": stale, "skipped": skipped, "duplicate": duplicates}
    return tuple(failure for kind, found in kinds.items() for failure in _grouped(kind, found, details))


def _grouped(kind: str, found: Sequence[tuple[str, str]], details: dict[str, str]) -> list[Failure]:
    by_reason: dict[str, list[str]] = {}
    for reason, path in found:
        by_reason.setdefault(reason, []).append(path)
    groups = []
    for reason, paths in by_reason.items():
        detail = details.get(paths[0], "")
        groups.append(Failure(kind, reason, tuple(paths), detail if detail != reason else ""))
    return sorted(groups, key=lambda group: -len(group.paths))
