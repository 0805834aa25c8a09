"""From the words of a sweep command to its plan."""

from collections.abc import Sequence
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution

from tffd.checks import find_faults, trains_elsewhere
from tffd.choices import Options
from tffd.config import read_config
from tffd.refusal import ConfigError
from tffd.schema import Config, SweepSection
from tffd.sweep.arguments import (
    Arguments,
    decide_conditions,
    expand_globs,
    is_interval,
    listed,
    merge,
    sort_arguments,
)
from tffd.sweep.checking import SweepChecks
from tffd.sweep.plan import Compose, GridPlan, Point, SearchPlan, StudyPlan, SweepPlan
from tffd.sweep.rules import (
    objective_faults,
    require_conditions,
    require_effect,
    require_epochs,
    require_fit,
    require_fit_for_grid,
)
from tffd.sweep.samplers import EvenGrid, make_pruner, make_sampler
from tffd.sweep.space import contains, parse_distribution, parse_grid
from tffd.sweep.weights import MODE, search_weights

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
        studies = _studies(config, sorted_arguments, options, compose)
    except (ValueError, TypeError, InstantiationException) as error:
        raise ConfigError([*faults, str(error).strip().splitlines()[0], *find_faults(reading, elsewhere)]) from error
    checks = SweepChecks(sorted_arguments.fixed, compose, elsewhere, faults)
    checked = checks.check(studies)
    if lines := checks.faults():
        raise ConfigError(lines)
    return SweepPlan(config, sorted_arguments.fixed, checked, config.sweep.objectives, checks.data)


def _studies(config: Config, arguments: Arguments, options: Options, compose: Compose) -> list[StudyPlan]:
    sweep, grid = config.sweep, config.ablation.grid
    if sweep.space and grid:
        raise ValueError("a search and an ablation were asked for at once; start one with sweep=..., then the other")
    if sweep.weights is not None and not grid:
        sweep = _with_weights(sweep, sweep.weights, arguments, options, compose)
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


def _with_weights(
    sweep: SweepSection, factor: float, arguments: Arguments, options: Options, compose: Compose
) -> SweepSection:
    """Add the weights of its kd_modes to a search."""
    space = expand_globs(sweep.space, options)
    found = search_weights(factor, merge(space, arguments).get(MODE), arguments, compose)
    return sweep.model_copy(
        update={
            "space": space | found.space,
            "when": {**sweep.when, **found.when},
            "enqueue": [*sweep.enqueue, *found.points],
        }
    )


def _search(sweep: SweepSection, dimensions: dict[str, str], arguments: Arguments) -> SearchPlan:
    if "seed" in dimensions:
        raise ValueError(
            f"seed={dimensions['seed']}: a search over seeds would choose luck. Fix one, such as seed=1, average over "
            "some with sweep.seeds=[1,2,3], or compare seeds with ablation=terms"
        )
    if idle := sweep.when.keys() - sweep.space.keys() - dimensions.keys():
        raise ValueError(f"sweep.when.{sorted(idle)[0]}: this search has no such dimension")
    dimensions, when = decide_conditions(dimensions, sweep.when, arguments)
    if not dimensions:
        raise ValueError(_NOTHING_VARIES)
    space = {key: parse_distribution(key, text) for key, text in dimensions.items()}
    require_conditions(space, when)
    reduced = (_known_point(point, space, sweep.space) for point in sweep.enqueue)
    known: list[Point] = [point for point in reduced if point is not None]
    sampler = make_sampler(sweep)
    if isinstance(sampler, EvenGrid):
        known = list(sampler.points_of(space))
        if sweep.n_trials != len(known):
            raise ValueError(f"sweep.n_trials={sweep.n_trials}: this grid has {len(known)} points; set that number")
    require_fit(sweep, sampler, make_pruner(sweep), space, when)
    evenly = MODE if sweep.per_mode and MODE in space else None
    n_trials = sweep.n_trials * (len(listed(MODE, dimensions[MODE])) if evenly else 1)
    return SearchPlan("search", tuple(space), n_trials, space, dimensions, when, known, evenly)


def _known_point(point: dict[str, Any], space: dict[str, BaseDistribution], configured: dict[str, str]) -> Point | None:
    """Reduce a known point to what is searched; None where the command line has narrowed that to leave it out."""
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
    return reduced if reduced and all(contains(space[key], value) for key, value in reduced.items()) else None


def _grid(key: str, dimensions: dict[str, str]) -> GridPlan:
    cells = parse_grid(dimensions)
    return GridPlan(key, tuple(dimensions), len(cells), cells)
