"""What we use of Optuna that has no public name. A new version of Optuna is tried here first.

Each of these is exercised by a test: `tests/sweep/test_optuna_private.py` names them, and the versions.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import CmaEsSampler
from optuna.storages._rdb.models import NOT_FOUND_MSG, BaseModel
from optuna.storages.journal._file import LOCK_FILE_SUFFIX
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

__all__ = ["LOCK_FILE_SUFFIX", "NOT_FOUND_MSG"]

CHECKED_ON = ("4.9.0", "5.0.0")
"""Versions of Optuna that the tests have passed with."""

TABLES = frozenset(BaseModel.metadata.tables)
"""Names of the tables of Optuna's databases."""


def take_up(study: Study, trial: FrozenTrial) -> Trial:
    """Return the handle of a trial that was asked for before, perhaps by another process."""
    return Trial(study, trial._trial_id)


def begin_waiting(study: Study, trial: FrozenTrial) -> None:
    """Let a trial that waits in line begin; `Study.ask` would take any that waits."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)


def reported_values(study: Study, trial: Trial) -> dict[int, float]:
    """Return what has been reported of a trial, by any process: step to value."""
    return study._storage.get_trial(trial._trial_id).intermediate_values


def read_marks(study: Study) -> dict[str, Any]:
    """Return the attributes of a study that are for programs; its own are for people."""
    return study._storage.get_study_system_attrs(study._study_id)


def write_mark(study: Study, name: str, value: Any) -> None:
    """Write one of the attributes of a study that are for programs."""
    study._storage.set_study_system_attr(study._study_id, name, value)


def lies_within(distribution: BaseDistribution, number: float) -> bool:
    """Tell whether a number lies within the bounds of a distribution, and on its steps."""
    return distribution._contains(number)


def first_judged(pruner: BasePruner, argument: str) -> int | None:
    """Return the step before which a pruner stops no trial; None where it is set later, or there is none.

    Args:
        pruner: Any.
        argument: That sets the step, min_resource or n_warmup_steps.
    """
    first = getattr(pruner, f"_{argument}", None)
    return first if isinstance(first, int) else None


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
        generations = defaultdict(list)  # once: to look for each among all trials is quadratic in their number
        for trial in completed_trials:
            generation = trial.system_attrs.get(self._attr_key_generation)
            if isinstance(generation, int):
                generations[generation].append(trial)
        while True:
            told = generations[optimizer.generation][: optimizer.population_size]
            if len(told) < optimizer.population_size:
                return optimizer
            points = [
                t.system_attrs["x_for_tell"] if self._with_margin else transform.transform(t.params) for t in told
            ]
            values = [sign * t.value for t in told if t.value is not None]
            optimizer.tell([(np.asarray(x, dtype=float), y) for x, y in zip(points, values, strict=True)])
