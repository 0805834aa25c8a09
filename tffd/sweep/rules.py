"""The rules of a sweep: settings that would do nothing, or something else than they say, are refused."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

from tffd.identity import hash_config
from tffd.records import COST_OBJECTIVES, VALIDATION_OBJECTIVES
from tffd.schema import Config, SweepSection
from tffd.sweep.arguments import (
    Arguments,
    Conditions,
    Value,
)
from tffd.sweep.optuna_private import first_judged
from tffd.sweep.plan import GridPlan, Point, SearchPlan, StudyPlan
from tffd.sweep.samplers import make_pruner
from tffd.sweep.space import applies, corners

_OF_THE_COMMAND = ("sweep", "ablation", "hydra", "name", "results_dir")
"""Keys and groups that hold for all trials of a sweep."""

_OF_NO_RUN = {"name", "results_dir", "sweep", "ablation", "lambda_intra", "lambda_inter", "pair"}
"""What a run takes from a config only by way of its other sections."""

_OF_SEARCHES = (
    "sweep.n_trials",
    "sweep.enqueue",
    "sweep.when",
    "sweep.baseline",
    "sweep.sampler",
    "sweep.weights",
    "sweep.per_mode",
)

_OF_STOCK_SWEEPERS = {"hydra.sweeper": "sweep.n_trials and its neighbours", "hydra.sweep": "results_dir and name"}
"""Settings of Hydra's own sweepers, and what takes their place here."""

_SAME_AS_OURS = {"params": "space", "n_trials": "n_trials", "n_jobs": "n_jobs", "direction": "direction"}
"""Settings of the stock sweeper in files, and what they have to agree with below `sweep`."""


def require_effect(arguments: Arguments, base: DictConfig) -> None:
    """Refuse to search settings of the sweep itself, and settings of other sweepers.

    Raises:
        ValueError: If the command has one.
    """
    for key, text in arguments.varied.items():
        if key.replace("/", ".").partition(".")[0] in _OF_THE_COMMAND:
            raise ValueError(f"{key}={text}: holds for a whole sweep; start one command for each value")
    for override in OmegaConf.select(base, "hydra.overrides.hydra") or ():
        for key, instead in _OF_STOCK_SWEEPERS.items():
            if override.lstrip("+").startswith(f"{key}."):
                raise ValueError(f"{override}: is for Hydra's own sweepers; use {instead}, or hydra/sweeper=optuna")
    _require_same_for_stock_sweeper(base)


def _require_same_for_stock_sweeper(base: DictConfig) -> None:
    """A file may set the stock sweeper too; beside ours it says the same, or it would be passed over."""
    stock = OmegaConf.select(base, "hydra.sweeper") or {}
    for name in stock:
        ours = _SAME_AS_OURS.get(name)
        theirs, own = stock[name], OmegaConf.select(base, f"sweep.{ours}")
        if theirs in (None, own) or name == "_target_" or (name, theirs) == ("n_jobs", 1):  # as conf/sweep/lambdas has
            continue
        key, value = name, theirs
        if isinstance(theirs, DictConfig) and ours:
            differing = (str(key) for key in theirs if own is None or own.get(key) != theirs[key])
            key, value = next(((f"{name}.{key}", theirs[key]) for key in differing), (name, theirs))
        instead = f"set sweep.{ours}" if ours else "leave it out"
        raise ValueError(
            f"hydra.sweeper.{key}={value}: is for Hydra's own sweepers and does not hold here; {instead}, or use "
            "hydra/sweeper=optuna"
        )
    place, ours = OmegaConf.select(base, "hydra.sweep.dir"), f"{base.results_dir}/{base.name}"
    if place not in (None, ours):
        raise ValueError(f"hydra.sweep.dir={place}: does not hold here; set results_dir and name")


def require_fit_for_grid(sweep: SweepSection, arguments: Arguments) -> None:
    """Refuse what only searches have.

    Raises:
        ValueError: If a grid was given it.
    """
    if sweep.seeds:
        raise ValueError(f"sweep.seeds={sweep.seeds}: is for searches; a grid lists them, such as seed=1,2,3")
    if not isinstance(make_pruner(sweep), NopPruner):
        raise ValueError("sweep/pruner: a grid runs every cell to its end; leave the pruner out")
    for override in arguments.fixed:
        key = override.partition("=")[0].lstrip("+").replace("/", ".")
        if f"{key}.".startswith(tuple(f"{name}." for name in _OF_SEARCHES)):
            raise ValueError(f"{override}: is for searches; a grid runs each of its cells once. Leave it out")


def idle_dimensions(study: StudyPlan, config_at: Callable[[Point], Config]) -> list[str]:
    """Say which dimensions of a sound study reach no run, a line each.

    Those of a search have to change the identity of a run, or all its trials would be one; those of a grid may be
    settings that only cost time, such as the number of threads.

    Args:
        study: The study.
        config_at: The config of its trial at a point.
    """

    def run_at(point: Point) -> Any:
        config = config_at(point)
        return hash_config(config).run if isinstance(study, SearchPlan) else _settings(config)

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


def _pairs(study: StudyPlan, key: str) -> Iterator[tuple[Point, Point]]:
    """Points that differ in one dimension, lazily: the first pair tells, as a rule."""
    match study:
        case GridPlan(cells=cells):
            first: dict[tuple[Any, ...], Point] = {}
            for cell in cells:
                others = tuple((name, value) for name, value in cell.items() if name != key)
                if (one := first.setdefault(others, cell)) is not cell:
                    yield one, cell
        case SearchPlan(space=space, when=when):
            for point in corners(space, when):
                for end in _ends(space[key]) if key in point else ():
                    if end != point[key]:
                        other = {**point, key: end}
                        yield point, {name: value for name, value in other.items() if applies(name, other, when)}


def _ends(distribution: BaseDistribution) -> list[Value]:
    match distribution:
        case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
            return [low, high]
        case CategoricalDistribution(choices=choices):
            return list(choices)
    return []


def _settings(config: Config) -> dict[str, Any]:
    return config.model_dump(by_alias=True, exclude=_OF_NO_RUN)


def objective_faults(sweep: SweepSection) -> list[str]:
    """Say why trials may not be judged by the objectives that were asked for."""
    faults = []
    for objective in sweep.objectives:
        if objective not in (*VALIDATION_OBJECTIVES, *COST_OBJECTIVES):
            test = "is a test metric, and no choice may see the test set"
            reason = test if "test" in objective else "is no objective"
            faults.append(f"sweep.objective={objective}: {reason}; use one of {', '.join(VALIDATION_OBJECTIVES)}")
    if not faults and not set(sweep.objectives) & set(VALIDATION_OBJECTIVES):
        faults.append(f"sweep.objective={sweep.objective}: would choose the cheapest trial, however bad; add val_top1")
    return faults


def require_fit(
    sweep: SweepSection,
    sampler: BaseSampler,
    pruner: BasePruner,
    space: Mapping[str, BaseDistribution],
    when: Conditions,
) -> None:
    """Check that sampler, pruner, space, objectives and seeds of a search go together.

    Raises:
        ValueError: If not. Optuna itself would fall back to random draws, or never prune.
    """
    choices = [key for key, distribution in space.items() if isinstance(distribution, CategoricalDistribution)]
    if isinstance(sampler, CmaEsSampler) and choices:
        raise ValueError(f"sweep/sampler=cmaes: is for numbers, and {choices[0]} is a choice; use sweep/sampler=tpe")
    if isinstance(sampler, CmaEsSampler) and len(sweep.objectives) > 1:
        raise ValueError("sweep/sampler=cmaes: takes one objective; use sweep/sampler=tpe")
    if when and type(sampler) not in (TPESampler, RandomSampler):
        raise ValueError("sweep.when: conditional dimensions need sweep/sampler=tpe or random")
    if isinstance(pruner, NopPruner):
        return
    if len(sweep.objectives) > 1:
        raise ValueError("sweep/pruner: with several objectives no trial is the worse one early; use sweep/pruner=none")
    if isinstance(pruner, WilcoxonPruner) and not sweep.seeds:
        raise ValueError("sweep/pruner=wilcoxon: compares trials seed by seed; set sweep.seeds, such as [1,2,3,4,5]")
    if sweep.seeds and not isinstance(pruner, WilcoxonPruner):
        raise ValueError("sweep.seeds: trials of several seeds are pruned between seeds; use sweep/pruner=wilcoxon")


def require_epochs(pruner: BasePruner, epochs: int) -> None:
    """Check that a pruner that judges epochs may stop a trial before the last one.

    Raises:
        ValueError: If not: it would never stop any.
    """
    for name, before in (("min_resource", "the first rung"), ("n_warmup_steps", "any epoch is judged")):
        first = first_judged(pruner, name)
        if first is not None and first >= epochs:
            raise ValueError(
                f"sweep.pruner.{name}={first}: trials of trainer.epochs={epochs} end before {before}, so none is "
                f"pruned; {f'use at most {epochs - 1}, or ' if epochs > 1 else ''}leave the pruner out"
            )


def require_conditions(space: Mapping[str, BaseDistribution], when: Conditions) -> None:
    """Check that conditions ask for choices that are there.

    Raises:
        ValueError: If not.
    """
    for key, condition in when.items():
        for other, allowed in condition.items():
            distribution = space.get(other)
            if not isinstance(distribution, CategoricalDistribution) or other in when:
                raise ValueError(
                    f"sweep.when.{key}: {other} is no unconditional choice of this search; add it to sweep.space, such "
                    f'as {other}: "{",".join(allowed)}"'
                )
            unknown = set(allowed) - set(map(str, distribution.choices))
            if unknown:
                raise ValueError(
                    f"sweep.when.{key}.{other}={sorted(unknown)[0]}: is none of its choices, "
                    f"{', '.join(map(str, distribution.choices))}"
                )
