"""The same table for two trees of runs, of two commits or machines: what moved, and under which other conditions."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.compare.differing import Setting, Sides, compare_configs, compare_records
from analysis.read.gather import Gathered
from analysis.read.method import DEFAULT_BY, is_method
from analysis.read.results import Run
from analysis.read.settings import Settings
from analysis.select.comparing import Pair, compare_runs
from analysis.select.conditions import Conditions, conditions_of
from analysis.select.doubts import doubtful_numbers
from analysis.select.groups import Key, choose_by, group_runs, refuse_mixed_protocols
from analysis.select.inventory import counts_line, left_out, listed
from analysis.select.metrics import Metric, choose_metrics, sample_of
from analysis.select.request import Request, selected_runs
from analysis.sheets.notes import Note
from analysis.statistics.differences import Difference, Sample, by_seed, corrected, paired_differences
from analysis.statistics.paired import ALPHA

IN_PART = "identical on 1 shared seed"


@dataclass(frozen=True)
class Change:
    """One metric of one setting that both sides have.

    Attributes:
        key: Its values in the columns `rows`.
        metric: Name of the metric.
        a: Seed and value of the runs of the first side.
        b: Those of the second.
        difference: The second side minus the first, by seed where both have at least two of the same; None where a
            side has not measured the metric.
        verdict: On the runs whose difference is shown: "identical" if all of the same seed have the same value to the
            last digit; "moved" if p, corrected for all rows, is below 0.05; "not told apart" if it is not. `IN_PART` if
            the only shared seed is identical and the difference is of other runs too; "" where there is no p-value.
    """

    key: Key
    metric: str
    a: Sample
    b: Sample
    difference: Difference | None
    verdict: str


@dataclass(frozen=True)
class Compared:
    """Two trees side by side.

    Attributes:
        names: The directories.
        rows: Columns of the runs that make a row.
        metrics: What is compared.
        changes: Row by row; a row has one for each metric.
        only: Keys that one side alone has.
        settings: Keys of the config in which runs of the same row and seed differ.
        records: Devices, versions, commits and the like in which the sides differ.
        doubts: What makes the numbers themselves doubtful.
        conditions: Of all runs in the table.
        counts: Number of runs by status, in words.
        left_out: Every run and file that was not used, by path.
    """

    names: Sides[str]
    rows: tuple[str, ...]
    metrics: tuple[Metric, ...]
    changes: tuple[Change, ...]
    only: Sides[tuple[Key, ...]]
    settings: tuple[Setting, ...]
    records: tuple[Setting, ...]
    doubts: tuple[Note, ...]
    conditions: Conditions
    counts: Sides[str]
    left_out: tuple[str, ...]


def compare_trees(a: Gathered, b: Gathered, request: Request | None = None) -> Compared:
    """Compare the complete runs of two trees, row by row and seed by seed.

    Args:
        a: What is compared to.
        b: What is compared.
        request: Rows, metrics and a selection of runs.
    Raises:
        ValueError: If one directory lies in the other, if a side lacks what was asked for, if protocols are mixed, or
            if no row is on both sides.
    """
    request = request or Request()
    _refuse_overlap(a.directory, b.directory)
    a, runs_a = _selected(a, request)
    b, runs_b = _selected(b, request)
    metrics = _metrics(a, runs_a, b, runs_b, request)
    rows = _rows(a, runs_a, b, runs_b, request)
    of_runs = a.settings
    runs_a, runs_b = (_with_columns(runs, rows, of_runs) for runs in (runs_a, runs_b))
    if not request.mix:
        refuse_mixed_protocols([*runs_a, *runs_b], rows)
    groups_a, groups_b = group_runs(runs_a, rows), group_runs(runs_b, rows)
    shared = [key for key in groups_a if key in groups_b]
    if not shared:
        raise ValueError(
            f"{a.directory} and {b.directory} have no row in common by {','.join(rows)}; choose other columns: --rows."
        )
    changes = _changes(shared, groups_a, groups_b, metrics, of_runs, request.mix)
    in_a = [run for key in shared for run in groups_a[key]]
    in_b = [run for key in shared for run in groups_b[key]]
    settings, unread = compare_configs([pair for key in shared for pair in _pairs(groups_a[key], groups_b[key])])
    return Compared(
        names=(a.directory, b.directory),
        rows=rows,
        metrics=metrics,
        changes=tuple(changes),
        only=(
            tuple(key for key in groups_a if key not in groups_b),
            tuple(key for key in groups_b if key not in groups_a),
        ),
        settings=settings,
        records=compare_records(in_a, in_b),
        doubts=tuple(doubtful_numbers([*in_a, *in_b], metrics)),
        conditions=conditions_of([*in_a, *in_b], metrics),
        counts=(counts_line(a), counts_line(b)),
        left_out=(*left_out(a), *left_out(b), *listed("config not compared: ", map(str, unread))),
    )


def _refuse_overlap(a: str, b: str) -> None:
    real = [os.path.realpath(directory) for directory in (a, b)]
    common = os.path.commonpath(real)
    if common in real:
        which = "are the same directory" if real[0] == real[1] else "lie one in the other"
        raise ValueError(f"{a} and {b} {which}; give two, such as results/a results/b.")


def _selected(gathered: Gathered, request: Request) -> tuple[Gathered, list[Run]]:
    try:
        return selected_runs(gathered, request)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(gathered.directory) else f"{gathered.directory}: {text}") from error


def _metrics(
    a: Gathered, runs_a: Sequence[Run], b: Gathered, runs_b: Sequence[Run], request: Request
) -> tuple[Metric, ...]:
    """Those of the first side, which the second has to have too."""
    metrics = choose_metrics(a.runs, (*a.plan, *b.plan), runs_a, request.metrics)
    try:
        choose_metrics(b.runs, b.plan, runs_b, [metric.name for metric in metrics])
    except ValueError as error:
        raise ValueError(f"{b.directory}: {error}") from error
    return metrics


def _rows(a: Gathered, runs_a: Sequence[Run], b: Gathered, runs_b: Sequence[Run], request: Request) -> tuple[str, ...]:
    """What varies on a side makes rows; what differs between the sides alone is a difference to be named."""
    if request.rows is not None:
        return choose_by(runs_a, request.rows, [column for column in a.runs.columns if column in b.runs.columns])
    varying = {*choose_by(runs_a, None, a.runs.columns), *choose_by(runs_b, None, b.runs.columns)}
    columns = dict.fromkeys((*DEFAULT_BY, *a.runs.columns, *b.runs.columns))
    return tuple(column for column in sorted(columns, key=is_method) if column in varying)


def _with_columns(runs: Sequence[Run], columns: Sequence[str], settings: Settings) -> list[Run]:
    """The runs with the settings that vary on the other side alone."""
    return [
        run.having({column: settings.of(run).get(column) for column in columns if column not in run.columns()})
        for run in runs
    ]


def _changes(
    shared: Sequence[Key],
    groups_a: Mapping[Key, Sequence[Run]],
    groups_b: Mapping[Key, Sequence[Run]],
    metrics: Sequence[Metric],
    settings: Settings,
    mix: bool,
) -> list[Change]:
    """The changes, with a verdict on those whose sides have the same settings."""
    changes = [
        Change(key, metric.name, sample_of(groups_a[key], metric.name), sample_of(groups_b[key], metric.name), None, "")
        for key in shared
        for metric in metrics
    ]
    measured = [place for place, change in enumerate(changes) if change.a and change.b]
    keys = [(changes[place].key, changes[place].metric) for place in measured]
    pairs = [Pair(groups_b[key], groups_a[key], metric, compared=()) for key, metric in keys]
    differences = corrected(compare_runs(pairs, settings, mix))
    for place, difference in zip(measured, differences, strict=True):
        changes[place] = replace(changes[place], difference=difference, verdict=_verdict(changes[place], difference))
    return changes


def _verdict(change: Change, difference: Difference) -> str:
    by_seed_alone = paired_differences(change.b, change.a)
    if by_seed_alone and not any(by_seed_alone):
        return "identical" if difference.pairs or _same_seeds(change) else IN_PART
    if difference.p_holm is None:
        return ""
    return "moved" if difference.p_holm < ALPHA else "not told apart"


def _same_seeds(change: Change) -> bool:
    """Whether every run has one of the same seed on the other side, so that means are of these runs alone."""
    seeds_a, seeds_b = ({seed for seed, _ in side} for side in (change.a, change.b))
    return seeds_a == seeds_b and None not in seeds_a


def shared_seeds(change: Change) -> int:
    """Number of seeds that both sides have."""
    return len(by_seed(change.a).keys() & by_seed(change.b).keys())


def _pairs(runs_a: Sequence[Run], runs_b: Sequence[Run]) -> list[tuple[Run, Run]]:
    """One pair a seed that both sides have; where they share none, their first runs."""
    of_a, of_b = ({run.seed: run for run in reversed(runs)} for runs in (runs_a, runs_b))
    pairs = [(run, of_b[seed]) for seed, run in of_a.items() if seed in of_b]
    return pairs or [(runs_a[0], runs_b[0])]
