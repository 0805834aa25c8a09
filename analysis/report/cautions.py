"""What a reader has to be warned of before any number."""

from collections.abc import Iterator, Sequence

from analysis.means.table import Table
from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.select.fairness import data_cautions
from analysis.select.ranking import ranked
from analysis.select.searches import compared_runs
from analysis.select.trials import trials_by_search
from analysis.sheets.notes import Level, Note
from analysis.sheets.words import capital, count

A_PARAMETER = 10  # trials
AT_RANDOM = 10  # trials that TPE draws before it models anything


def cautions(
    gathered: Gathered, complete: Sequence[Run], table: Table | None, notes: Sequence[Note]
) -> tuple[str, ...]:
    """The cautions, the broadest first.

    Args:
        gathered: The runs.
        complete: The complete ones, flat.
        table: What is shown of them; None if there is none.
        notes: All that stand beside tables; those that warn are repeated.
    """
    found = [
        *_unfinished(gathered),
        *_protocols(complete),
        *_few_seeds(gathered, complete, table),
        *_few_trials(gathered),
        *_data_versions(gathered),
    ]
    found += [note.text for note in notes if note.level is not Level.NOTE]
    return tuple(dict.fromkeys(f"{capital(text)}." for text in found))


def _unfinished(gathered: Gathered) -> Iterator[str]:
    counts = gathered.counts()
    if to_come := [f"{counts[status]} {status}" for status in ("running", "missing") if counts[status]]:
        yield f"not all planned runs have ended ({', '.join(to_come)}): every number may still change"
    if lost := [f"{counts[status]} {status}" for status in ("failed", "stale") if counts[status]]:
        yield f"some runs were lost ({', '.join(lost)}): the numbers are those of the runs that survived"
    if counts["skipped"]:
        yield f"{count(counts['skipped'], 'path')} could not be used, as is explained below"


def _protocols(complete: Sequence[Run]) -> Iterator[str]:
    protocols = sorted({str(run.protocol) for run in complete})
    if len(protocols) > 1:
        yield f"mixed protocols ({', '.join(protocols)}): their numbers do not compare with each other"
    if "paper" in protocols:
        yield "the protocol paper reads the test set at every epoch: its best test epoch flatters"


def _few_seeds(gathered: Gathered, complete: Sequence[Run], table: Table | None) -> Iterator[str]:
    """Of what was compared on purpose; trials of a search are another matter."""
    if table is None:
        return
    compared = {tuple(run[column] for column in table.by) for run in compared_runs(complete, gathered)}
    cells = [cell for cell in table.cells if cell.key in compared and cell.n]
    alone = {cell.key for cell in cells if cell.n == 1}
    if alone:
        of_all = len({cell.key for cell in cells})
        have = "has" if len(alone) == 1 else "have"
        number = "every setting has" if len(alone) == of_all else f"{len(alone)} of {of_all} settings {have}"
        yield f"too few seeds: {number} a single run, so the spread between seeds is not known"


def _data_versions(gathered: Gathered) -> Iterator[str]:
    """Of each search what `best` says of one."""
    for name, trials in trials_by_search(gathered, ()):
        yield from (f"{name}: {one.text}" if name else one.text for one in data_cautions(ranked(trials, ())))


def _few_trials(gathered: Gathered) -> Iterator[str]:
    gathered = gathered.whole()
    status, study = gathered.runs["status"], gathered.runs["study"]
    for sweep in gathered.plan:
        name = f" of {sweep.name}" if len(gathered.plan) > 1 and sweep.name else ""
        for search in (study for study in sweep.studies if study.kind == "search"):
            own = gathered.runs["path"].str.startswith(f"{sweep.path}/") & (study == search.name)
            ended = gathered.runs[own & status.isin(("complete", "pruned"))]
            trials, parameters = ended["trial"].nunique(), len(sweep.space)
            enough = AT_RANDOM + A_PARAMETER * parameters
            if parameters and trials < enough:
                yield (
                    f"search{name} on few trials: {trials} for {count(parameters, 'parameter')}; with fewer than "
                    f"{enough} ({AT_RANDOM} at random, {A_PARAMETER} more a parameter) the best may be the luckiest"
                )
            if trials > 1 and len(ended) == trials:
                yield f"the trials of the search{name} are single runs: a difference between two may be that of seeds"
            if trials > 1:
                yield f"the best trial of the search{name} was chosen by its score, which flatters; fresh seeds tell"
