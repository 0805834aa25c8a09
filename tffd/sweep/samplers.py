"""How a search chooses its points, and when it gives one up: Optuna's samplers and pruners from their config groups."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hydra.utils import instantiate
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

from tffd.blaming import blaming
from tffd.schema import SweepSection
from tffd.sweep.optuna_private import ReplayedCmaEs
from tffd.trust import trusted_targets

Point = dict[str, Any]

_LARGEST_SEED = 2**32 - 1  # that NumPy takes


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
        if not 0 <= seed <= _LARGEST_SEED - sweep.n_trials:
            raise ValueError(
                f"sweep.sampler.seed={seed}: needs a whole number from 0 to {_LARGEST_SEED - sweep.n_trials}, because "
                "trial n draws with this seed plus n"
            )
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
