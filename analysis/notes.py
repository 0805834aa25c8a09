"""The lines below a table: what was counted, under which conditions, and what to be careful about."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from analysis.gather import Gathered
from analysis.groups import Run, sortable

if TYPE_CHECKING:
    from analysis.missing import Missing
    from analysis.summary import Row, Table

MOST = 20  # lines of one kind; what is beyond is counted

_CONDITIONS = (  # column, singular, plural
    ("dataset", "dataset", "datasets"),
    ("train_size", "train size", "train sizes"),
    ("model", "model", "models"),
    ("protocol", "protocol", "protocols"),
    ("epochs", "epochs", "epochs"),
    ("seed", "seed", "seeds"),
    ("device", "device", "devices"),
    ("versions.torch", "torch", "torch versions"),
    ("git_commit", "commit", "commits"),
)


def below(table: "Table", gathered: Gathered, complete: Sequence[Run]) -> Iterator[str]:
    """All notes of a table, a line each."""
    yield counts_line(gathered)
    yield conditions_line(complete)
    yield from _comparison_notes(table)
    yield from _group_notes(table)
    yield from _search_note(table, gathered)
    yield from left_out(gathered)


def counts_line(gathered: Gathered) -> str:
    """Number of runs by status, as in "20 complete, 0 pruned, 1 failed, 0 unfinished, 2 missing"."""
    counts = gathered.counts()
    always = ("complete", "pruned", "failed", "unfinished", "missing")
    return ", ".join(f"{number} {status}" for status, number in counts.items() if number or status in always)


def conditions_line(complete: Sequence[Run]) -> str:
    """The conditions of the runs: the common value, or all values, or their number if they are many."""
    parts = []
    for column, singular, plural in _CONDITIONS:
        values = {run[column] for run in complete if run.get(column) is not None}
        if not values:
            continue
        texts = [_short_commit(str(value)) for value in sorted(values, key=sortable)]
        shown = ", ".join(texts) if len(texts) <= 10 else f"({len(texts)} different)"
        parts.append(f"{singular if len(texts) == 1 else plural} {shown}")
    return "; ".join(parts) or "conditions not recorded"


def _short_commit(commit: str) -> str:
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", commit)  # keeps a suffix such as -dirty


def _comparison_notes(table: "Table") -> Iterator[str]:
    if len(table.rows) == sum(row.is_baseline for row in table.rows):
        return
    if "kd_mode" not in table.by:
        yield "no differences: kd_mode is not one of the columns, so no row is the baseline"
    elif not any(row.is_baseline for row in table.rows):
        yield "no differences: no complete run has kd_mode=none; --baseline NAME chooses another baseline"
    else:
        alone = (row for row in table.rows if not row.is_baseline and row.n and row.difference is None)
        names = (_named(row, table) for row in alone)
        yield from _listed("no difference, as no measured baseline matches: ", names)
    methods = {row.difference.method for row in table.rows if row.difference}
    if "paired" in methods:
        yield "paired seeds: mean difference over the seeds that both have, 95 % CI by paired t"
    if "welch" in methods:
        yield "means (Welch): difference of the means, fewer than 2 shared seeds, 95 % CI by Welch's t"
    if "means" in methods:
        yield "means: difference of the means; a single run on one side allows no CI"


def _group_notes(table: "Table") -> Iterator[str]:
    mixed = (f"{_named(row, table)} ({row.settings} settings)" for row in table.rows if row.settings > 1)
    yield from _listed("mixes runs that differ in more than the seed: ", mixed)
    name = table.metric.name
    partly = (f"{_named(row, table)} ({row.n} of {row.runs})" for row in table.rows if row.n < row.runs)
    yield from _listed(f"not all complete runs have a value for {name}: ", partly)


def _search_note(table: "Table", gathered: Gathered) -> Iterator[str]:
    if not any(study.kind == "search" for sweep in gathered.plan for study in sweep.studies):
        return
    candidates = [row for row in table.rows if row.mean is not None and not row.is_baseline]
    single = sum(row.n == 1 for row in candidates)
    sign = 1 if table.metric.smaller_is_better else -1
    best = min(candidates, key=lambda row: sign * (row.mean or 0.0), default=None)
    if best is not None and best.n == 1 and single > 1:
        yield (
            f"the best of {single} single-run trials is chosen by its score, "
            "so it looks better here than it is on fresh seeds"
        )


def left_out(gathered: Gathered) -> Iterator[str]:
    """Name every run and file that is not in the table."""
    runs = gathered.runs
    failed = runs[runs["status"] == "failed"]
    errors = zip(failed["path"], failed["error"], strict=True)
    yield from _listed("failed: ", (f"{path}: {_first_line(error)}" for path, error in errors))
    yield from _listed("unfinished (running, or killed): ", runs.loc[runs["status"] == "unfinished", "path"])
    for missing in gathered.missing:
        yield _missing_line(missing)
    yield from _listed("malformed, skipped: ", (f"{bad.path} {bad.reason}" for bad in gathered.malformed))
    others = (f"{other.path} ({other.status}) repeats {other.kept}" for other in gathered.duplicates)
    yield from _listed("duplicate, not counted: ", others)


def _missing_line(missing: "Missing") -> str:
    line = f"missing: {missing.count} of study {missing.study}"
    if missing.cells:
        cells = [" ".join(f"{key}={value}" for key, value in cell.items()) for cell in missing.cells]
        more = f"; and {len(cells) - MOST} more" if len(cells) > MOST else ""
        among = "among " if len(cells) > missing.count else ""  # some run there does not tell its cell
        line += f": {among}{'; '.join(cells[:MOST])}{more}"
    line += f" (to run them: {missing.command})" if missing.command else ""
    return " ".join(line.split())


def _listed(lead: str, items: Iterable[str]) -> Iterator[str]:
    """One line an item, the first `MOST` of them."""
    items = list(items)
    for item in items[:MOST]:
        yield lead + " ".join(item.split())
    if len(items) > MOST:
        yield f"{lead}and {len(items) - MOST} more"


def _named(row: "Row", table: "Table") -> str:
    return " ".join(f"{column}={as_text(value)}" for column, value in zip(table.by, row.key, strict=True))


def as_text(value: Any) -> str:
    """A value of a column for people to read."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_line(error: str | None) -> str:
    lines = ((error or "").strip() or "no error recorded").splitlines()
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]
