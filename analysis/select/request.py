"""What a question is asked about: which runs, columns and metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.select.columns import with_columns
from analysis.select.groups import keep_where, read_baseline
from analysis.select.inventory import complete_runs
from analysis.select.settings import with_settings


@dataclass(frozen=True)
class Request:
    """What a table should show; the defaults are what the command line's are.

    Attributes:
        rows: Columns that make a row; None for kd_mode and every setting that varies.
        cols: Columns that make a column.
        metrics: Columns to average; None for the sweep's objectives.
        baseline: kd_mode to compare to, or column=value; None for "none", if there is such a run.
        where: Only runs whose columns have these values.
        mix: Whether runs of several protocols may share a cell, and runs be compared that differ in other settings.
        published: Whether to add published numbers.
        cost: Whether to add what the runs cost.
    """

    rows: Sequence[str] | None = None
    cols: Sequence[str] = ()
    metrics: Sequence[str] | None = None
    baseline: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    mix: bool = False
    published: bool = True
    cost: bool = False


def selected_runs(gathered: Gathered, request: Request) -> tuple[Gathered, list[Run]]:
    """The runs with a column for all that varies or is named, and the complete ones among them that are asked for.

    Raises:
        ValueError: If a column does not exist, or no run is complete and selected.
    """
    columns = (*(request.rows or ()), *request.cols, *request.where, read_baseline(request.baseline).column)
    gathered = with_columns(with_columns(with_settings(gathered), columns), request.metrics or (), kind="metric")
    return gathered, keep_where(complete_runs(gathered), request.where, gathered.runs.columns)
