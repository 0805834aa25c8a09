"""From a sweep command to its plan, of which every config is checked before anything is written."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution

from tffd.checks import check_config, find_faults, trains_elsewhere
from tffd.choices import Options, describe_composition
from tffd.config import read_config
from tffd.identity import hash_config
from tffd.instantiation import uses_teacher
from tffd.records import TEACHER
from tffd.refusal import ConfigError
from tffd.schema import Config, SweepSection
from tffd.sweep.arguments import Arguments, Cell, as_overrides, expand_globs, is_interval, merge, settle, sort_arguments
from tffd.sweep.pinned import PinnedData
from tffd.sweep.plan import Compose, StudyPlan, SweepPlan
from tffd.sweep.rules import (
    idle_dimensions,
    objective_faults,
    require_conditions,
    require_effect,
    require_epochs,
    require_fit,
    require_fit_for_grid,
)
from tffd.sweep.samplers import EvenGrid, make_pruner, make_sampler
from tffd.sweep.space import contains, corners, parse_distribution, parse_grid
from tffd.sweep.teachers import DROPPED, Teachers

_NOTHING_VARIES = (
    "nothing varies in this sweep: choose one with sweep=lambdas or ablation=terms, or list values, such as seed=0,1,2"
)


def make_plan(
    arguments: Sequence[str], base: DictConfig, compose: Compose, options: Options = lambda group: []
) -> SweepPlan:
    """Read a sweep command and check every config that it can lead to, without writing anything.

    Args:
        arguments: Overrides as typed.
        base: Composed config of the command, without what varies.
        compose: Composes the config of a trial.
        options: The names in a config group.
    Raises:
        ConfigError: With every fault found.
    """
    reading, elsewhere = read_config(base), trains_elsewhere(base)
    faults = objective_faults(reading.sound["sweep"]) if "sweep" in reading.sound else []
    if reading.config is None:
        raise ConfigError([*faults, *find_faults(reading, elsewhere)])
    config = reading.config
    try:
        sorted_arguments = sort_arguments(arguments, options)
        require_effect(sorted_arguments, base)
        studies = _studies(config, sorted_arguments, options)
    except (ValueError, TypeError, InstantiationException) as error:
        raise ConfigError([*faults, str(error).strip().splitlines()[0], *find_faults(reading, elsewhere)]) from error
    data, teachers = PinnedData(), Teachers(sorted_arguments.fixed, compose)
    studies = [_checked(study, sorted_arguments.fixed, compose, elsewhere, faults, data, teachers) for study in studies]
    if teachers.cells and not faults:
        keys = tuple(dict.fromkeys(key for cell in teachers.cells for key in cell))
        first = StudyPlan(TEACHER, keys, len(teachers.cells), cells=teachers.cells, drops=DROPPED)
        studies.insert(0, _checked(first, sorted_arguments.fixed, compose, elsewhere, faults, data, teachers))
    if not faults:
        faults = [fault for study in studies for fault in idle_dimensions(study, sorted_arguments.fixed, compose)]
    if faults:
        raise ConfigError(dict.fromkeys(faults))
    return SweepPlan(config, sorted_arguments.fixed, studies, config.sweep.objectives, data)


def _studies(config: Config, arguments: Arguments, options: Options) -> list[StudyPlan]:
    sweep, grid = config.sweep, config.ablation.grid
    if sweep.space and grid:
        raise ValueError("a search and an ablation were asked for at once; start one with sweep=..., then the other")
    searches = bool(sweep.space) or (not grid and any(is_interval(key, text) for key, text in arguments.varied.items()))
    dimensions = merge(expand_globs(sweep.space or grid, options), arguments)
    if not dimensions:
        raise ValueError(_NOTHING_VARIES)
    if not searches:
        require_fit_for_grid(sweep, arguments)
        return [_grid("grid", dimensions)]
    if "trainer.epochs" not in dimensions:
        require_epochs(make_pruner(sweep), config.trainer.epochs)
    search = _search(sweep, dimensions, arguments)
    if not sweep.baseline:
        return [search]
    # Each trial is compared with the baseline seed by seed.
    seeds = {"seed": ",".join(map(str, sweep.seeds))} if sweep.seeds else {}
    return [_grid("baseline", expand_globs(sweep.baseline, options) | seeds), search]


def _search(sweep: SweepSection, dimensions: dict[str, str], arguments: Arguments) -> StudyPlan:
    if "seed" in dimensions:
        raise ValueError(
            f"seed={dimensions['seed']}: a search over seeds would choose luck. Fix one, such as seed=1, average over "
            "some with sweep.seeds=[1,2,3], or compare seeds with ablation=terms"
        )
    if idle := sweep.when.keys() - sweep.space.keys() - dimensions.keys():
        raise ValueError(f"sweep.when.{sorted(idle)[0]}: this search has no such dimension")
    dimensions, when = settle(dimensions, sweep.when, arguments)
    if not dimensions:
        raise ValueError(_NOTHING_VARIES)
    space = {key: parse_distribution(key, text) for key, text in dimensions.items()}
    require_conditions(space, when)
    known = [_known_point(point, space, sweep.space) for point in sweep.enqueue]
    known = [point for point in known if point]
    sampler = make_sampler(sweep)
    if isinstance(sampler, EvenGrid):
        known = sampler.points_of(space)
        if sweep.n_trials != len(known):
            raise ValueError(f"sweep.n_trials={sweep.n_trials}: this grid has {len(known)} points; set that number")
    require_fit(sweep, sampler, make_pruner(sweep), space, when)
    return StudyPlan("search", tuple(space), sweep.n_trials, space=space, texts=dimensions, when=when, enqueue=known)


def _known_point(
    point: dict[str, Any], space: dict[str, BaseDistribution], configured: dict[str, str]
) -> dict[str, Any]:
    """Reduce a known point to what is searched; {} where the command line has narrowed that to leave it out."""
    unknown = point.keys() - space.keys() - configured.keys()
    if unknown:
        raise ValueError(f"sweep.enqueue has {sorted(unknown)[0]}, which this search does not vary")
    for key, value in point.items():
        meant = [space[key]] if key in space else []
        meant += [parse_distribution(key, configured[key])] if key in configured else []
        if not any(contains(distribution, value) for distribution in meant):
            raise ValueError(
                f"sweep.enqueue: {key}={value} lies outside what is searched, {configured.get(key, meant[0])}"
            )
    reduced = {key: point[key] for key in space if key in point}
    return reduced if all(contains(space[key], value) for key, value in reduced.items()) else {}


def _grid(key: str, dimensions: dict[str, str]) -> StudyPlan:
    cells = parse_grid(dimensions)
    return StudyPlan(key, tuple(dimensions), len(cells), cells=cells)


def _checked(
    study: StudyPlan,
    fixed: list[str],
    compose: Compose,
    elsewhere: bool,
    faults: list[str],
    data: PinnedData,
    teachers: Teachers,
) -> StudyPlan:
    """Check the config of every cell, bound and known point, pin its data, and give a grid's cells their hashes.

    Faults are added to the list, each with a point where it shows.
    """
    points = study.cells if study.cells is not None else [*corners(study.space, study.when), *study.enqueue]
    configs = []
    for point in points:
        where = f"  [in {' '.join(as_overrides(point))}]"
        try:
            config = check_config(compose(study.overrides(fixed, point)), elsewhere)
            data.pin(config)
        except (ConfigError, HydraException) as error:
            found = error.faults if isinstance(error, ConfigError) else [describe_composition(error)]
            known = {fault.split("  [in ")[0] for fault in faults}
            faults += [f"{fault}{where}" for fault in found if fault not in known]
            continue
        configs.append(config)
        if teachers.waits_for(config, study.overrides(fixed, point)):
            study = replace(study, after=TEACHER)
        if study.cells is None and config.protocol.test != "never":
            faults.append(
                f"protocol={config.protocol.name}: reads the test set, which no search may; use protocol=validation"
            )
    if study.cells is None or len(configs) < len(points):
        return study
    cells, configs = without_idle_settings(study.cells, configs)
    return replace(study, cells=cells, n_trials=len(cells), identities=[_identify(config) for config in configs])


def _identify(config: Config) -> dict[str, str]:
    """What must not change when a cell is run again, with its weights and teacher, so that a message says what did."""
    told = {f"weight of {term}": str(weight) for term, weight in config.term_weights.items()}
    if uses_teacher(config):
        teacher = config.teacher
        told |= {"teacher": teacher.name, "teacher.checkpoint": str(teacher.checkpoint)}
        told |= {f"teacher.trainer.{key}": str(value) for key, value in teacher.trainer.items()}
    return {"hash": hash_config(config).run} | told


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
