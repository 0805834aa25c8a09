"""What a sweep command will do: its studies, checked completely before anything is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig
from optuna.distributions import BaseDistribution

from tffd.checks import check_config
from tffd.config import Config, ConfigError, read_config
from tffd.records import VALIDATION_OBJECTIVES
from tffd.sweep.space import (
    Arguments,
    Cell,
    as_overrides,
    corners,
    merge,
    parse_distribution,
    parse_grid,
    sort_arguments,
    trial_overrides,
)

Compose = Callable[[list[str]], DictConfig]
"""Overrides on top of the primary config to a composed config with Hydra's node."""


@dataclass(frozen=True)
class StudyPlan:
    """One Optuna study: a search or a grid.

    Attributes:
        key: "search", "grid" or "baseline": the directory of its trials, and the study in their records.
        keys: What varies.
        n_trials: Total number of trials, those of earlier commands included.
        cells: Every trial of a grid; None for a search.
        space: Of a search.
        enqueue: Points that a search tries first.
    """

    key: str
    keys: tuple[str, ...]
    n_trials: int
    cells: list[Cell] | None = None
    space: dict[str, BaseDistribution] = field(default_factory=dict)
    enqueue: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class SweepPlan:
    """A sweep command.

    Attributes:
        config: The base config, without what varies.
        fixed: Overrides that hold for every trial.
        studies: In the order in which they run.
        objective: The field of result.json that is each trial's value.
    """

    config: Config
    fixed: list[str]
    studies: list[StudyPlan]
    objective: str


def make_plan(arguments: Sequence[str], base: DictConfig, compose: Compose) -> SweepPlan:
    """Read a sweep command and check every config that it can lead to, without writing anything.

    Raises:
        ConfigError: With every fault found.
    """
    sorted_arguments = sort_arguments(arguments)
    config, faults, _ = read_config(base)
    if config is None:
        raise ConfigError(faults)
    try:
        studies = _studies(config, sorted_arguments)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    objective, faults = _objective(config, studies)
    _check_all(studies, sorted_arguments.fixed, compose, faults)
    return SweepPlan(config, sorted_arguments.fixed, studies, objective)


def _studies(config: Config, arguments: Arguments) -> list[StudyPlan]:
    sweep, grid = config.sweep, config.ablation.grid
    if sweep.space and grid:
        raise ValueError("a search and an ablation were asked for at once; start one with sweep=..., then the other")
    dimensions = merge(sweep.space or grid, arguments)
    if not dimensions:
        raise ValueError(
            "nothing varies in this sweep: choose one with sweep=lambdas or ablation=terms, or list values, "
            "such as seed=0,1,2"
        )
    if not sweep.space:
        return [_grid("grid", dimensions)]
    if "seed" in dimensions:
        raise ValueError(
            f"seed={dimensions['seed']}: a search over seeds would choose luck. Fix one, such as seed=1, or compare "
            "seeds with ablation=terms"
        )
    space = {key: parse_distribution(key, text) for key, text in dimensions.items()}
    known = [{key: point[key] for key in space} for point in sweep.enqueue if space.keys() <= point.keys()]
    search = StudyPlan("search", tuple(space), sweep.n_trials, space=space, enqueue=known)
    return [_grid("baseline", sweep.baseline), search] if sweep.baseline else [search]


def _grid(key: str, dimensions: dict[str, str]) -> StudyPlan:
    cells = parse_grid(dimensions)
    return StudyPlan(key, tuple(dimensions), len(cells), cells=cells)


def _objective(config: Config, studies: list[StudyPlan]) -> tuple[str, list[str]]:
    """Return what a trial's value is, and why a search may not use it."""
    objective, held_out = config.sweep.objective, config.protocol.val_fraction is not None
    if objective not in VALIDATION_OBJECTIVES:
        reason = "is a test metric, and no choice may see the test set" if "test" in objective else "is no objective"
        return objective, [f"sweep.objective={objective}: {reason}; use one of {', '.join(VALIDATION_OBJECTIVES)}"]
    if held_out:
        return objective, []
    if any(study.cells is None for study in studies):
        return objective, [
            f"protocol={config.protocol.name}: holds nothing out, so a search would be judged on the test set; "
            "use protocol=validation"
        ]
    return "test_top1", []  # a grid chooses nothing: under these protocols its trials are test results


def _check_all(studies: list[StudyPlan], fixed: list[str], compose: Compose, faults: list[str]) -> None:
    """Check the config of every cell, bound and known point; tell each fault once, with the point where it shows."""
    found: dict[str, Cell | None] = dict.fromkeys(faults)
    for study in studies:
        points = study.cells if study.cells is not None else [*corners(study.space), *study.enqueue]
        for point in points:
            try:
                check_config(compose(trial_overrides(fixed, point)))
            except ConfigError as error:
                for fault in error.faults:
                    found.setdefault(fault, point)
    if found:
        raise ConfigError(
            fault if point is None else f"{fault}  [in {' '.join(as_overrides(point))}]"
            for fault, point in found.items()
        )
