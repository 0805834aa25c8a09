"""What a sweep command will do, as values: its studies, their trials, and where the data stood when it was checked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution

from tffd.schema import Config
from tffd.sweep.arguments import Cell, Conditions, Value, trial_overrides, write_value
from tffd.sweep.pinned import PinnedData
from tffd.sweep.space import corners
from tffd.sweep.teachers import kept

Compose = Callable[[list[str]], DictConfig]
"""Overrides on top of the primary config to a composed config with Hydra's node."""

Point = Mapping[str, Value]
"""What varies in a sweep, each at one value."""


@dataclass(frozen=True)
class StudyPlan(ABC):
    """One Optuna study: a search or a grid.

    Attributes:
        key: "teacher", "baseline", "search" or "grid": the directory of its trials, and the study in their records.
        keys: What varies.
        n_trials: Total number of trials, those of earlier commands included.
        drops: Sections whose fixed settings do not hold for it.
        after: Key of a study that has to end before this one begins.
    """

    key: str
    keys: tuple[str, ...]
    n_trials: int
    drops: tuple[str, ...] = field(default=(), kw_only=True)
    after: str | None = field(default=None, kw_only=True)

    @abstractmethod
    def points(self) -> Sequence[Point]:
        """The points at which its configs are checked before anything is written."""

    @abstractmethod
    def write(self, point: Point) -> Point:
        """The values of a point, texts among them in Hydra's grammar."""

    def in_turn(self, had: Sequence[Point]) -> Point:
        """What the next trial must have, after those with the given values; nothing, unless choices take turns."""
        return {}

    def overrides(self, fixed: Sequence[str], point: Point) -> list[str]:
        """Return the overrides of the trial at a point."""
        return trial_overrides(kept(fixed, self.drops), self.write(point))


@dataclass(frozen=True)
class GridPlan(StudyPlan):
    """A grid: every trial is known beforehand.

    Attributes:
        cells: The point of each trial, as it was typed.
        identities: What may not change when a cell is run again, for each.
    """

    cells: list[Cell]
    identities: list[dict[str, str]] = field(default_factory=list)

    def points(self) -> Sequence[Point]:
        return self.cells

    def write(self, point: Point) -> Point:
        return point


@dataclass(frozen=True)
class SearchPlan(StudyPlan):
    """A search: a sampler chooses the points, but for some that are known beforehand.

    Attributes:
        space: The dimensions.
        texts: The dimensions as they were written.
        when: Dimensions that apply only for some choices of others.
        known_points: What it tries first; Optuna chooses the dimensions that they leave open.
        evenly: A choice each value of which has as many trials; None if the sampler weighs them all.
    """

    space: dict[str, BaseDistribution]
    texts: dict[str, str] = field(default_factory=dict)
    when: Conditions = field(default_factory=dict)
    known_points: list[Point] = field(default_factory=list)
    evenly: str | None = None

    def in_turn(self, had: Sequence[Point]) -> Point:
        choice = self.space[self.evenly] if self.evenly is not None else None
        if self.evenly is None or not isinstance(choice, CategoricalDistribution):
            return {}
        numbers = [values.get(self.evenly) for values in had]
        return {self.evenly: min(choice.choices, key=numbers.count)}

    def points(self) -> Sequence[Point]:
        return [*corners(self.space, self.when), *self.known_points]

    def write(self, point: Point) -> Point:
        return {
            key: write_value(key, value, self.texts[key]) if key in self.texts else value
            for key, value in point.items()
        }


@dataclass(frozen=True)
class SweepPlan:
    """A sweep command.

    Attributes:
        config: The base config, without what varies.
        fixed: Overrides that hold for every trial.
        studies: Its studies, in the order in which they run.
        objectives: The fields of result.json that are each trial's values; in a grid, whose trials may read the test
            set, the test accuracy stands in where nothing was held out.
        data: What its trials train on, as it was checked.
    """

    config: Config
    fixed: list[str]
    studies: list[StudyPlan]
    objectives: list[str]
    data: PinnedData = field(default_factory=PinnedData)

    @property
    def search(self) -> SearchPlan | None:
        """The search, where it has one."""
        return next((study for study in self.studies if isinstance(study, SearchPlan)), None)
