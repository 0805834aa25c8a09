"""How a search chooses its points, and when it gives one up: Optuna's samplers and pruners from their config groups."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hydra.utils import instantiate
from optuna._transform import _SearchSpaceTransform  # as CmaEsSampler uses it; it has no public name
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from tffd.config import SweepSection
from tffd.parts import blaming
from tffd.sweep.space import Conditions
from tffd.trust import trusted_targets

Point = dict[str, Any]


def make_sampler(sweep: SweepSection, number: int = 0) -> BaseSampler:
    """Build a search's sampler for one of its trials.

    Args:
        number: Of the trial. A seed moves on with it, so that neither a continued search nor two commands that share
            one repeat themselves, and an interrupted search asks for the same points as one that was not.
    """
    if sweep.sampler is None:
        return TPESampler(seed=number)
    arguments = sweep.sampler.arguments()
    if (seed := arguments.get("seed")) is not None:
        if not isinstance(seed, int):
            raise ValueError(f"sweep.sampler.seed={seed}: needs a whole number, or null for another search every time")
        if sweep.sampler.target.endswith("QMCSampler"):
            # It counts its points, and one seed scrambles them all. What it draws by itself is another matter.
            points: BaseSampler = _make(arguments, independent_sampler=RandomSampler(seed=seed + number))
            return points
        arguments["seed"] = seed + number
    sampler = _make(arguments)
    if not isinstance(sampler, BaseSampler):
        raise ValueError(
            f"sweep/sampler: {sweep.sampler.target} made a {type(sampler).__name__}; a sampler is an "
            "optuna.samplers.BaseSampler"
        )
    return require_harmless(sampler)


def require_harmless(sampler: BaseSampler) -> BaseSampler:
    """Refuse Optuna's own CMA-ES, alone or inside another sampler: it would run code that others put into a study.

    Raises:
        ValueError: If it is one, or has one.
    """
    if isinstance(sampler, CmaEsSampler) and not isinstance(sampler, ReplayedCmaEs):
        raise ValueError(
            "sweep.sampler: Optuna's CmaEsSampler unpickles what it finds in a study, and so runs the code of whoever "
            "can write to it; use sweep/sampler=cmaes, which does not"
        )
    for part in vars(sampler).values():
        if isinstance(part, BaseSampler):
            require_harmless(part)
    return sampler


def make_pruner(sweep: SweepSection) -> BasePruner:
    """Build a search's pruner."""
    if sweep.pruner is None:
        return NopPruner()
    pruner: BasePruner = _make(sweep.pruner.arguments())
    return pruner


def judges_epochs(sweep: SweepSection) -> bool:
    """Tell whether the pruner is told of every epoch; with several seeds it is told of every seed."""
    return sweep.seeds is None and not isinstance(make_pruner(sweep), NopPruner)


def auto_pruner(seeds: Sequence[int] | None, objective: str | Sequence[str]) -> BasePruner:
    """Nothing is pruned, but trials of several seeds by Wilcoxon's signed-rank test against the best trial.

    k seeds that are all worse give p = 0.5 ** k, so a threshold of 0.1 takes four. With fewer seeds it is raised to
    what all seeds but the last can reach: being worse on each of them. One seed of two tells nothing.
    """
    if not seeds or len(seeds) < 3 or not isinstance(objective, str):
        return NopPruner()
    reachable = 0.5 ** (len(seeds) - 1)
    return WilcoxonPruner(p_threshold=max(0.1, min(1.0, 1.01 * reachable)))


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
    """Check that a pruner with rungs has one before the last epoch.

    Raises:
        ValueError: If not: it would never stop a trial.
    """
    first = getattr(pruner, "_min_resource", None)
    if isinstance(pruner, HyperbandPruner | SuccessiveHalvingPruner) and isinstance(first, int) and first >= epochs:
        raise ValueError(
            f"sweep.pruner.min_resource={first}: trials of trainer.epochs={epochs} end before the first rung, so none "
            f"is pruned; {f'use at most {epochs - 1}, or ' if epochs > 1 else ''}leave the pruner out"
        )


class ReplayedCmaEs(CmaEsSampler):
    """Optuna's CMA-ES, which finds where it stands from the values of a study's trials.

    Optuna keeps the pickled optimiser in a trial's attributes. To unpickle it is to run what anybody who can write to
    the study has put there, so here nothing is read from them: the generations are told to a new optimiser again, some
    0.1 ms each, and it has then nothing left to be told, so that nothing is pickled either.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose a point; see CmaEsSampler."""
        self._asked = study, search_space
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        study, space = self._asked
        transform = _SearchSpaceTransform(space, transform_step=not self._with_margin, transform_0_1=True)
        optimizer = self._init_optimizer(transform, study.direction)
        sign = 1 if study.direction is StudyDirection.MINIMIZE else -1
        while True:
            told = self._get_solution_trials(completed_trials, optimizer.generation)[: optimizer.population_size]
            if len(told) < optimizer.population_size:
                return optimizer
            points = [
                t.system_attrs["x_for_tell"] if self._with_margin else transform.transform(t.params) for t in told
            ]
            values = [sign * t.value for t in told if t.value is not None]
            optimizer.tell([(np.asarray(x, dtype=float), y) for x, y in zip(points, values, strict=True)])


class EvenGrid(RandomSampler):
    """Every combination of evenly spaced values; the engine puts them in line, so that nothing is left to sample.

    Args:
        points: Values an interval, its ends among them, spaced on a log scale where the interval has one.
    """

    def __init__(self, points: int) -> None:
        super().__init__(seed=0)
        if not isinstance(points, int) or points < 2:
            raise ValueError(f"sweep.sampler.points={points}: a grid needs at least 2 points an interval")
        self._points = points

    def points_of(self, space: Mapping[str, BaseDistribution]) -> list[Point]:
        """List the grid of a space, the last dimension varying fastest."""
        columns = [[(key, value) for value in self._values(distribution)] for key, distribution in space.items()]
        return [dict(point) for point in itertools.product(*columns)]

    def _values(self, distribution: BaseDistribution) -> list[Any]:
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            raise TypeError(f"{distribution} is no dimension of a grid")
        low, high, step = distribution.low, distribution.high, distribution.step
        spaced = (np.geomspace if distribution.log else np.linspace)(low, high, self._points).tolist()
        if step is not None:
            spaced = [low + step * round((value - low) / step) for value in spaced]
        return list(dict.fromkeys(spaced))


def _make(arguments: dict[str, Any], **objects: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the config names them on purpose, and we test them
        with blaming(arguments["_target_"], "making it"):
            return instantiate(arguments, **objects, _execution_whitelist_=trusted_targets())
