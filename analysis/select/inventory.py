"""What lies below a directory, counted, and by path what is not in a table."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.sheets.notes import Kind, Note
from analysis.sheets.sheet import one_line

if TYPE_CHECKING:
    from analysis.read.gaps import Gap

MOST = 20  # lines of one kind; what is beyond is counted


def complete_runs(gathered: Gathered) -> list[Run]:
    """The complete runs, flat.

    Raises:
        ValueError: If there are none; the message counts and names what there is instead.
    """
    complete = [run for run in gathered.flat if run.status == "complete"]
    if complete:
        return complete
    if gathered.runs.empty and not gathered.skipped and not gathered.gaps:
        raise ValueError(
            f"{gathered.directory} holds no run: nothing below it has a result.json or a .hydra/config.yaml."
        )
    head = f"{gathered.directory} has no complete run: {counts_line(gathered)}"
    raise ValueError("\n".join([head, *left_out(gathered)]))


def counts_line(gathered: Gathered) -> str:
    """Number of runs by status, as in "20 complete, 0 pruned, 1 failed, 0 running, 0 stale, 2 missing"."""
    counts = gathered.counts()
    always = ("complete", "pruned", "failed", "running", "stale", "missing")
    return ", ".join(f"{number} {status}" for status, number in counts.items() if number or status in always)


def left_out(gathered: Gathered) -> Iterator[str]:
    """Name every run and file that is not in a table; what was pruned is only counted."""
    runs = gathered.runs
    failed = runs[runs["status"] == "failed"]
    errors = zip(failed["path"], failed["error"], strict=True)
    yield from listed("failed: ", (f"{path}: {first_line(error)}" for path, error in errors))
    yield from listed("running: ", runs.loc[runs["status"] == "running", "path"])
    yield from listed("stale (no result and no sign of life; killed?): ", runs.loc[runs["status"] == "stale", "path"])
    for missing in gathered.gaps:
        if missing.count > 0:
            yield _missing_line(missing)
    yield from listed("skipped: ", map(str, gathered.skipped))
    others = (f"{other.path} ({other.status}) repeats {other.kept}" for other in gathered.duplicates)
    yield from listed("duplicate, not counted: ", others)
    yield from listed("teacher, in no row: ", gathered.teachers["path"])


def _missing_line(missing: "Gap") -> str:
    line = f"missing: {missing.count} of study {missing.study}{listed_cells(missing)}"
    line += f" (to run them: {missing.sweep.command})" if missing.sweep.command else ""
    return one_line(line)


def listed_cells(missing: "Gap") -> str:
    """The cells of a grid that have no run, after a colon; "" for a search."""
    if not missing.cells:
        return ""
    cells = [" ".join(f"{key}={value}" for key, value in cell.items()) for cell in missing.cells]
    more = f"; and {len(cells) - MOST} more" if len(cells) > MOST else ""
    among = "among " if len(cells) > missing.count else ""  # some run there does not tell its cell
    return f": {among}{'; '.join(cells[:MOST])}{more}"


def listed(lead: str, items: Iterable[str]) -> Iterator[str]:
    """One line an item, the first `MOST` of them."""
    items = list(items)
    for item in items[:MOST]:
        yield lead + one_line(item)
    if len(items) > MOST:
        yield f"{lead}and {len(items) - MOST} more"


def noted(kind: Kind, lead: str, items: Iterable[str]) -> Iterator[Note]:
    """As `listed`, a note an item."""
    return (Note(kind, line) for line in listed(lead, items))


def first_line(error: str | None) -> str:
    """The line of a recorded error that says what it was: of a traceback the last one."""
    lines = ((error or "").strip() or "no error recorded").splitlines()
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]
