"""The ablations that a directory holds, and of what else could have been one why it is none."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from analysis.ablation.factorial import Factorial, Lack, NoFactorial, make_factorial, others_of
from analysis.read.gather import Gathered
from analysis.read.method import DEFAULT_BY, is_method
from analysis.read.results import Run
from analysis.select.columns import check_name, with_columns
from analysis.select.groups import choose_by, group_runs, keep_where, refuse_mixed_protocols
from analysis.select.inventory import complete_runs
from analysis.select.metrics import Metric, choose_metrics
from analysis.select.settings import with_settings
from analysis.sheets.words import as_text
from analysis.statistics.contrasts import TERMS

CONTEXT = tuple(column for column in DEFAULT_BY if not is_method(column))

_MOST = 5  # settings that a message lists


@dataclass(frozen=True)
class Reason:
    """Why something is no ablation.

    Attributes:
        kind: What it lacks.
        what: The settings of its runs, as in "model=vgg8"; "" where there are no others.
        text: Why, in words.
    """

    kind: Lack
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.what}: {self.text}" if self.what else self.text


class NoAblation(ValueError):
    """A directory holds no ablation.

    Attributes:
        reasons: Of what could have been one.
    """

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("\n".join(map(str, reasons)))
        self.reasons = reasons


@dataclass(frozen=True)
class Analysed:
    """The ablations of a directory, and of what else could have been one why it is none."""

    found: tuple[Factorial, ...]
    reasons: tuple[Reason, ...] = ()


_Reasons = dict[tuple[Lack, str], list[str]]
"""Kind and text to the settings of each set of runs that is no ablation for it."""


def analyse(
    gathered: Gathered,
    metrics: Sequence[str] | None = None,
    modes: Sequence[str] | None = None,
    where: Mapping[str, str] | None = None,
    mix: bool = False,
) -> Analysed:
    """Find the ablations below a directory, one for each metric and all settings besides the method that vary.

    Which terms a run has is read from their weights. Where there are others beside intra and inter, and runs without
    them as well, they are one more factor. An ablation that is not complete yet leaves the others alone.

    Args:
        gathered: The runs.
        metrics: Columns to judge by; None for the sweep's objectives, or what a protocol judges by.
        modes: kd_modes to take, where several have the same terms.
        where: Only runs whose columns have these values.
        mix: Whether the four cells may differ in more than the columns of every run, such as the model.
    Raises:
        NoAblation: If of every one a cell has no run, or runs of several settings, or no seed has all four cells.
        ValueError: If what was asked for is not there.
    """
    where = where or {}
    gathered = with_columns(with_columns(with_settings(gathered), where), metrics or (), kind="metric")
    complete = keep_where(complete_runs(gathered), where, gathered.runs.columns)
    if modes:
        for mode in modes:
            check_name("kd_mode", mode, dict.fromkeys(str(run.kd_mode) for run in complete))
        complete = [run for run in complete if run.kd_mode in modes]
    chosen = choose_metrics(gathered.runs, gathered.plan, complete, metrics)
    settings = gathered.settings
    varying = choose_by(complete, None, gathered.runs.columns)
    by = tuple(column for column in varying if not is_method(column) and (column in CONTEXT or not mix))
    refuse_mixed_protocols(complete, by)
    found: list[Factorial] = []
    reasons: _Reasons = {}
    for key, runs in group_runs(complete, by).items():
        context = dict(zip(by, map(as_text, key), strict=True))
        for metric in chosen if metrics else _usual_metrics(gathered, runs) or chosen:
            judge = partial(make_factorial, metric=metric, settings=settings, mix=mix)
            # The cubes with what stands beside the two terms hold the squares, which are told where there is no cube.
            found += _judged(_cubes(runs), context, judge, reasons) or _judged(_squares(runs), context, judge, reasons)
    told = tuple(reason for (kind, text), sets in reasons.items() for reason in _told(kind, text, sets))
    if not found:
        raise NoAblation(told)
    return Analysed(tuple(found), told)


def _told(kind: Lack, text: str, sets: Sequence[str]) -> Iterator[Reason]:
    """A reason for each set of runs that is no 2 x 2 for it; a search in a rate has one a trial."""
    if len(sets) > _MOST:
        sets = (f"{sets[0]} and {len(sets) - 1} other settings",)
    return (Reason(kind, what, text) for what in sets)


def _usual_metrics(gathered: Gathered, runs: Sequence[Run]) -> tuple[Metric, ...]:
    """What runs of one protocol are judged by; () if they measured none of it."""
    try:
        return choose_metrics(gathered.runs, gathered.plan, runs, None)
    except ValueError:
        return ()


def _judged(
    attempts: Iterable["_Attempt"],
    context: Mapping[str, str],
    judge: Callable[..., Factorial],
    reasons: _Reasons,
) -> list[Factorial]:
    """The ablations among some attempts; why the others are none is added to the reasons."""
    found = []
    for others, runs, more in attempts:
        described = {**context, **more}
        try:
            found.append(judge(runs, others, described))
        except NoFactorial as error:
            what = " ".join(f"{key}={value}" for key, value in described.items())
            reasons.setdefault((error.kind, str(error)), []).append(what)
    return found


_Attempt = tuple[tuple[str, ...], Sequence[Run], Mapping[str, str]]
"""What stands beside the terms as a factor, the runs, and what they have in common besides their settings."""


def _cubes(runs: Sequence[Run]) -> list[_Attempt]:
    """The ablations of the terms with something beside them and without it."""
    by_others = _by_others(runs)
    plain = by_others.pop((), [])
    return [(others, [*plain, *own], {}) for others, own in by_others.items() if plain and _varies(own)]


def _squares(runs: Sequence[Run]) -> list[_Attempt]:
    """The ablations of the terms alone, and beside each thing that all runs have."""
    by_others = _by_others(runs)
    plain = by_others.pop((), [])
    beside: list[_Attempt] = [
        ((), own, {"beside": "+".join(others)}) for others, own in by_others.items() if _varies(own)
    ]
    return [((), plain, {}), *beside] if plain or not beside else beside


def _by_others(runs: Sequence[Run]) -> dict[tuple[str, ...], list[Run]]:
    grouped: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(others_of(run), []).append(run)
    return grouped


def _varies(runs: Sequence[Run]) -> bool:
    """Whether some of the runs have a term that others have not."""
    return len({tuple((run[f"lambda_{term}"] or 0) > 0 for term in TERMS) for run in runs}) > 1
