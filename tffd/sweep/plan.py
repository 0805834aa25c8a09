"""What a sweep command will do, as values: its studies, their trials, and where the data stood when it was checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig
from optuna.distributions import BaseDistribution

from tffd.schema import Config
from tffd.sweep.arguments import (
    Cell,
    Conditions,
    trial_overrides,
    write_value,
)
from tffd.sweep.pinned import PinnedData
from tffd.sweep.space import Value
from tffd.sweep.teachers import kept

Compose = Callable[[list[str]], DictConfig]
"""Overrides on top of the primary config to a composed config with Hydra's node."""


@dataclass(frozen=True)
class StudyPlan:
    """One Optuna study: a search or a grid.

    Attributes:
        key: "teacher", "baseline", "search" or "grid": the directory of its trials, and the study in their records.
        keys: What varies.
        n_trials: Total number of trials, those of earlier commands included.
        cells: Every trial of a grid; None for a search.
        space: Of a search.
        texts: Its dimensions as they were written.
        when: Its dimensions that apply only for some choices of others.
        enqueue: Points that a search tries first; Optuna chooses the dimensions that they leave open.
        identities: Of a grid's cells, what may not change when one is run again.
        drops: Sections whose fixed settings do not hold for it.
        after: Key of a study that has to end before this one begins.
    """

    key: str
    keys: tuple[str, ...]
    n_trials: int
    cells: list[Cell] | None = None
    space: dict[str, BaseDistribution] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    when: Conditions = field(default_factory=dict)
    enqueue: list[dict[str, Any]] = field(default_factory=list)
    identities: list[dict[str, str]] = field(default_factory=list)
    drops: tuple[str, ...] = ()
    after: str | None = None

    def overrides(self, fixed: Sequence[str], point: Mapping[str, Value]) -> list[str]:
        """Write the overrides of the trial at a point; those of a grid's cell are written as they were typed."""
        texts = {key: write_value(key, value, self.texts[key]) for key, value in point.items() if key in self.texts}
        return trial_overrides(kept(fixed, self.drops), {**point, **texts} if self.cells is None else point)


@dataclass(frozen=True)
class SweepPlan:
    """A sweep command.

    Attributes:
        config: The base config, without what varies.
        fixed: Overrides that hold for every trial.
        studies: In the order in which they run.
        objectives: The fields of result.json that are each trial's values; in a grid, whose trials may read the test
            set, the test accuracy stands in where nothing was held out.
        data: What its trials train on, as it was checked.
    """

    config: Config
    fixed: list[str]
    studies: list[StudyPlan]
    objectives: list[str]
    data: PinnedData = field(default_factory=PinnedData)
