"""From gathered runs to what a table says: rows, differences and the notes below."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.gather import Gathered
from analysis.groups import Key, Run, choose_by, context, find_baselines, group_runs, plain_runs, sortable
from analysis.metrics import Metric, choose_metric
from analysis.notes import below, counts_line, left_out
from analysis.results import is_measured
from analysis.statistics import Difference, Sample, compare, mean_and_sd


@dataclass(frozen=True)
class Row:
    """One group of runs.

    Attributes:
        key: Its values in the table's columns `by`.
        n: Number of complete runs that measured the metric.
        mean: Their mean; None if n is 0.
        sd: Their sample standard deviation; None if n < 2.
        runs: Number of complete runs, measured or not.
        settings: Number of different settings among them, the seed apart.
        is_baseline: Whether other rows are compared to this one.
        difference: To the baseline; None if there is none, and for the baseline itself.
    """

    key: tuple[Any, ...]
    n: int
    mean: float | None
    sd: float | None
    runs: int
    settings: int
    is_baseline: bool = False
    difference: Difference | None = None


@dataclass(frozen=True)
class Table:
    """Everything that a table shows. `baseline` is a kd_mode, None if nothing is compared."""

    metric: Metric
    by: tuple[str, ...]
    baseline: str | None
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def summarise(
    gathered: Gathered,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    baseline: str | None = None,
) -> Table:
    """Group the complete runs and compare each group to its baseline.

    Args:
        gathered: The runs.
        by: Columns that make a row; None for kd_mode and the settings that vary.
        metric: Column to average; None for the sweep's objective.
        baseline: kd_mode to compare to; None for "none", if there is such a run.
    Raises:
        ValueError: If there is nothing to tabulate, or if a column, the metric or the baseline cannot be had.
    """
    complete = _complete_runs(gathered)
    chosen = choose_metric(gathered, complete, metric)
    columns = choose_by(complete, by, gathered.runs.columns)
    groups = group_runs(complete, columns)
    baselines = find_baselines(groups, columns, baseline)
    samples = {key: _sample(runs, chosen.name) for key, runs in groups.items()}
    rows = [_row(key, runs, samples, baselines.get(context(key, columns))) for key, runs in groups.items()]
    rows = _in_order(rows, columns, chosen, bool(baselines))
    compared = (baseline or "none") if any(row.difference for row in rows) else None
    table = Table(chosen, columns, compared, tuple(rows))
    return replace(table, notes=tuple(below(table, gathered, complete)))


def _complete_runs(gathered: Gathered) -> list[Run]:
    runs = gathered.runs
    complete = plain_runs(runs[runs["status"] == "complete"])
    if complete:
        return complete
    if runs.empty and not gathered.malformed and not gathered.missing:
        raise ValueError(
            f"{gathered.directory} holds no run: nothing below it has a result.json or a .hydra/config.yaml."
        )
    head = f"{gathered.directory} has no complete run to tabulate: {counts_line(gathered)}"
    raise ValueError("\n".join([head, *left_out(gathered)]))


def _sample(runs: Sequence[Run], metric: str) -> Sample:
    return [(run["seed"], float(run[metric])) for run in runs if is_measured(run[metric])]


def _row(key: Key, runs: Sequence[Run], samples: dict[Key, Sample], baseline: Key | None) -> Row:
    sample = samples[key]
    mean, sd = mean_and_sd([value for _, value in sample])
    settings = len({run["settings_hash"] for run in runs if run["settings_hash"] is not None})
    difference = None
    if baseline is not None and key != baseline and sample and samples[baseline]:
        difference = compare(sample, samples[baseline])
    return Row(key, len(sample), mean, sd, len(runs), settings, key == baseline, difference)


def _in_order(rows: Sequence[Row], by: Sequence[str], metric: Metric, compared: bool) -> list[Row]:
    """The baseline first, then by mean, best first; rows stay together with the baseline they have."""

    def place(row: Row) -> tuple[Any, ...]:
        block = tuple(sortable(value) for value in context(row.key, by)) if compared else ()
        score = 0.0 if row.mean is None else row.mean if metric.smaller_is_better else -row.mean
        return block, not row.is_baseline, row.mean is None, score, [sortable(value) for value in row.key]

    return sorted(rows, key=place)
