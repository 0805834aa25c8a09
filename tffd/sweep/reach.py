"""Finds what a sweep varies without any effect: dimensions at whose two ends the run is the same."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tffd.config import Config, require_config
from tffd.identity import hash_config
from tffd.sweep.space import Cell, Value, applies, corners

if TYPE_CHECKING:
    from tffd.sweep.plan import StudyPlan

_OF_THE_COMMAND = {"name", "results_dir", "sweep", "ablation", "lambda_intra", "lambda_inter", "pair"}
"""What a run takes from a config only by way of its other sections."""


def idle_dimensions(study: "StudyPlan", fixed: list[str], compose: Callable[[list[str]], DictConfig]) -> list[str]:
    """Say which dimensions of a sound study reach no run, a line each.

    Those of a search have to change the identity of a run, or all its trials would be one; those of a grid may be
    settings that only cost time, such as the number of threads.
    """
    known: dict[tuple[str, ...], Any] = {}

    def run_at(point: Mapping[str, Value]) -> Any:
        overrides = study.overrides(fixed, point)
        key = tuple(overrides)
        if key not in known:
            config = require_config(compose(overrides))
            known[key] = hash_config(config).run if study.cells is None else _settings(config)
        return known[key]

    faults = []
    for key in study.keys:
        shown = None
        for pair in _pairs(study, key):
            shown = shown or pair
            if run_at(pair[0]) != run_at(pair[1]):
                break
        else:
            if shown is None:
                continue  # it has one value
            ends = [f"{key}={point[key]}" for point in shown]
            faults.append(
                f"{key}: reaches no run, which is the same with {ends[0]} and with {ends[1]}; what it stands for is "
                "set elsewhere, or not used. Leave it out, or what replaces it"
            )
    return faults


def without_idle_settings(cells: Sequence[Cell], configs: Sequence[Config]) -> tuple[list[Cell], list[Config]]:
    """Take out of a grid's cells the settings of kd_modes that they do not have, and then what is there twice.

    A setting of a mode that no cell has stays, so that it is found to reach no run.

    Args:
        cells: Of the grid.
        configs: Of each.
    """
    known = {mode for config in configs for mode in config.kd_mode}
    kept: dict[tuple[tuple[str, str], ...], Config] = {}
    for cell, config in zip(cells, configs, strict=True):
        idle = tuple(f"kd_mode.{mode}." for mode in known - config.kd_mode.keys())
        kept.setdefault(tuple(pair for pair in cell.items() if not pair[0].startswith(idle)), config)
    return [dict(pairs) for pairs in kept], list(kept.values())


def _pairs(study: "StudyPlan", key: str) -> Iterator[tuple[Mapping[str, Value], Mapping[str, Value]]]:
    """Points that differ in one dimension, lazily: the first pair tells, as a rule."""
    if study.cells is not None:
        first: dict[tuple[Any, ...], Mapping[str, Value]] = {}
        for cell in study.cells:
            others = tuple((name, value) for name, value in cell.items() if name != key)
            if (one := first.setdefault(others, cell)) is not cell:
                yield one, cell
        return
    for point in corners(study.space, study.when):
        for end in _ends(study, key) if key in point else ():
            if end != point[key]:
                other = {**point, key: end}
                yield point, {name: value for name, value in other.items() if applies(name, other, study.when)}


def _ends(study: "StudyPlan", key: str) -> list[Value]:
    match study.space[key]:
        case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
            return [low, high]
        case CategoricalDistribution(choices=choices):
            return list(choices)
    return []


def _settings(config: Config) -> dict[str, Any]:
    return config.model_dump(by_alias=True, exclude=_OF_THE_COMMAND)
