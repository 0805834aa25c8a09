"""Optuna studies that can be left and taken up again: how one is opened, and what is still to do in it."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from hydra.utils import instantiate
from optuna.trial import FrozenTrial, Trial, TrialState

from tffd.app import TRUSTED_TARGETS
from tffd.config import Config, ConfigError
from tffd.sweep.plan import StudyPlan
from tffd.sweep.space import Cell, Value, suggest

_IDENTITY = "tffd"
"""User attribute of a study: what may not change while it grows."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

_CELL = "cell"
"""User attribute of a grid's trial: its place in the grid."""


class ResumableStudy:
    """One study of a plan in its storage.

    Trials that an interrupted sweep left RUNNING are handed out again under their numbers before new ones are made;
    their directories hold the checkpoints.

    Args:
        plan: What the study consists of.
        config: The sweep's base config.
        storage: Optuna storage.
        objective: The metric that its values are.
    Raises:
        ConfigError: If the storage holds a study of that name with another space, base config or objective.
    """

    def __init__(self, plan: StudyPlan, config: Config, storage: optuna.storages.BaseStorage, objective: str) -> None:
        self.plan = plan
        self.name = f"{config.name}.{plan.key}"
        self._study = optuna.create_study(
            study_name=self.name, storage=storage, direction=config.sweep.direction, load_if_exists=True
        )
        self._require_same(_identity(plan, config, objective))
        earlier = self._study.get_trials(deepcopy=False)
        self._study.sampler = _make_sampler(config, plan, len(earlier))
        self._left_running = deque(trial for trial in earlier if trial.state is TrialState.RUNNING)
        self._enqueue_known(earlier)

    def next_trial(self) -> tuple[Trial, Mapping[str, Value]] | None:
        """Return a trial to run and its values, or None when all have been handed out."""
        if self._left_running:
            left = self._left_running.popleft()
            trial = Trial(self._study, left._trial_id)  # Optuna's way to take up a trial by its id
        elif self._remaining() > 0:
            trial = self._study.ask()
        else:
            return None
        return trial, suggest(trial, self.plan.space) if self.plan.cells is None else _cell(trial)

    def succeed(self, trial: Trial, value: float) -> None:
        """Record a trial's value."""
        self._study.tell(trial, value)

    def fail(self, trial: Trial, reason: str) -> None:
        """Record that a trial failed, and why."""
        trial.set_user_attr("error", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in any of the states (all by default), in the order of their numbers."""
        return self._study.get_trials(deepcopy=False, states=states or None)

    def counts(self) -> dict[TrialState, int]:
        """Count the trials that ended, by state; of a grid, the planned cells, each by the best that became of it."""
        if self.plan.cells is None:
            return {state: len(self.trials(state)) for state in ENDED}
        became: dict[str, TrialState] = {}
        for state in reversed(ENDED):
            for trial in self.trials(state):
                became[str(_cell(trial))] = state
        outcomes = [became.get(str(cell)) for cell in self.plan.cells]
        return {state: outcomes.count(state) for state in ENDED}

    def best(self) -> FrozenTrial | None:
        """Return the best complete trial."""
        complete = self.trials(TrialState.COMPLETE)
        if not complete:
            return None
        pick = max if self._study.direction is optuna.study.StudyDirection.MAXIMIZE else min
        return pick(complete, key=lambda trial: trial.values[0])

    def _remaining(self) -> int:
        if self.plan.cells is not None:
            return len(self.trials(TrialState.WAITING))
        handed_out = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return self.plan.n_trials - len(self.trials(*handed_out))

    def _enqueue_known(self, earlier: list[FrozenTrial]) -> None:
        """Put in line a grid's cells that have no trial, or failed ones only; or what a new search begins with."""
        if self.plan.cells is None:
            if not earlier:
                for point in self.plan.enqueue:
                    self._study.enqueue_trial(point)
            return
        present = [_cell(trial) for trial in earlier if trial.state is not TrialState.FAIL]
        for cell in self.plan.cells:
            if cell not in present:
                # As attributes, not parameters: Optuna fixes the choices of a parameter for good, but grids grow.
                self._study.enqueue_trial({}, user_attrs={_CELL: cell})

    def _require_same(self, identity: dict[str, str]) -> None:
        earlier: dict[str, str] | None = self._study.user_attrs.get(_IDENTITY)
        if earlier is None:
            self._study.set_user_attr(_IDENTITY, identity)
            return
        changes = [
            f"{key}: was {earlier.get(key)}, is {identity.get(key)}"
            for key in sorted(earlier.keys() | identity.keys())
            if earlier.get(key) != identity.get(key)
        ]
        if changes:
            raise ConfigError(
                [f"{self.name} was begun with other settings; choose another name=..., or restore {'; '.join(changes)}"]
            )


def open_storage(url: str | None, directory: Path) -> optuna.storages.BaseStorage:
    """Open the storage of a sweep: a database address, or study.db in its directory."""
    return optuna.storages.RDBStorage(url or f"sqlite:///{directory / 'study.db'}")


def _make_sampler(config: Config, plan: StudyPlan, earlier: int) -> optuna.samplers.BaseSampler | None:
    """Build a search's sampler. A seed moves on with the number of trials, lest a continued search repeat itself."""
    if plan.cells is not None or config.sweep.sampler is None:
        return optuna.samplers.RandomSampler(seed=0)  # never asked by a grid: every cell is enqueued
    arguments = config.sweep.sampler.arguments()
    if arguments.get("seed") is not None:
        arguments["seed"] += earlier
    sampler: optuna.samplers.BaseSampler = instantiate(arguments, _execution_whitelist_=TRUSTED_TARGETS)
    return sampler


def _identity(plan: StudyPlan, config: Config, objective: str) -> dict[str, str]:
    """What a study's trials share. A grid may grow new cells, a search may not move its bounds."""
    settings: dict[str, Any] = {
        section: getattr(config, section).model_dump(by_alias=True)
        for section in ("model", "dataset", "kd_mode", "trainer", "protocol")
    }
    varied = tuple(f"{key}." for key in plan.keys)
    shared = {key: value for key, value in _flatten(settings).items() if not f"{key}.".startswith(varied)}
    # The kd_mode's weights are interpolations of the lambdas, which vary, or are of no consequence to a baseline.
    shared = {key: value for key, value in shared.items() if not key.startswith("kd_mode.lambda_")}
    for key in (
        "dataset.root",
        "dataset.cache",
        "dataset.source.root",
        "dataset.source.mirror",
        "trainer.checkpoint_every",
    ):
        shared.pop(key, None)
    if "seed" not in plan.keys:
        shared["seed"] = str(config.seed)
    if plan.cells is None:
        shared |= {f"space of {key}": repr(distribution) for key, distribution in plan.space.items()}
    return shared | {"objective": objective, "direction": config.sweep.direction}


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat


def _cell(trial: Trial | FrozenTrial) -> Cell:
    cell: Cell = trial.user_attrs[_CELL]
    return cell
