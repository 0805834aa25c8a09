"""What a table says, before anything is rendered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from analysis.means.cost import Cost
from analysis.means.published import PublishedCell
from analysis.read.values import sortable
from analysis.select.conditions import Conditions
from analysis.select.groups import Baseline, Key
from analysis.select.metrics import Metric
from analysis.sheets.notes import Note
from analysis.statistics.differences import Difference, Sample


@dataclass(frozen=True)
class Cell:
    """One group of runs, judged by one metric.

    Attributes:
        row: Its values in the table's `rows`.
        col: Its values in the table's `cols`.
        metric: Name of the metric.
        sample: Seed and value of each complete run that measured it.
        mean: Their mean; None if there are none.
        sd: Their sample standard deviation; None if there are fewer than 2.
        runs: Number of complete runs, measured or not.
        settings: Number of different settings among them, the seed apart.
        is_baseline: Whether other cells are compared to this one.
        difference: To the baseline; None if there is none, and for the baseline itself.
        is_best: Whether it is the best of those it competes with, or cannot be told from it.
        to_best: Difference to the best of those it competes with; None for that one, and without a competitor.
    """

    row: Key
    col: Key
    metric: str
    sample: Sample
    mean: float | None
    sd: float | None
    runs: int
    settings: int
    is_baseline: bool = False
    difference: Difference | None = None
    is_best: bool = False
    to_best: Difference | None = None

    @property
    def n(self) -> int:
        """Number of values that the mean is taken over."""
        return len(self.sample)

    @property
    def key(self) -> Key:
        """Its values in the columns `by`."""
        return (*self.row, *self.col)


@dataclass(frozen=True)
class Table:
    """Everything that a table shows.

    Attributes:
        rows: Columns of the runs that make a row.
        cols: Columns of the runs that make a column; () for a table that goes down only.
        metrics: Each has its own columns.
        baseline: What is compared to; None if nothing is.
        cells: Row by row; a group of runs has one for each metric.
        costs: By key, in the columns `by`; {} if they were not asked for.
        published: Numbers of others.
        conditions: Of the runs in the table.
        notes: What the numbers rest on, and what to be careful about.
        left_out: Every run and file that is not in the table, by path.
    """

    rows: tuple[str, ...]
    cols: tuple[str, ...]
    metrics: tuple[Metric, ...]
    baseline: Baseline | None
    cells: tuple[Cell, ...]
    costs: Mapping[Key, Cost] = field(default_factory=dict)
    published: tuple[PublishedCell, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """All columns that tell cells apart."""
        return (*self.rows, *self.cols)

    @property
    def row_keys(self) -> tuple[Key, ...]:
        """The rows, from the top."""
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def col_keys(self) -> tuple[Key, ...]:
        """The columns, from the left; one, (), without `cols`."""
        return tuple(sorted({cell.col for cell in self.cells}, key=lambda key: [sortable(value) for value in key]))

    def __getitem__(self, place: tuple[Key, Key, str]) -> Cell | None:
        """The cell of a row, a column and a metric; None where there are no runs."""
        return self._places.get(place)

    @cached_property
    def _places(self) -> dict[tuple[Key, Key, str], Cell]:
        return {(cell.row, cell.col, cell.metric): cell for cell in self.cells}
