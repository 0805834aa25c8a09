"""Optuna studies that can be left and taken up again: how one is opened, and what is still to do in it."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tffd.build import build_source
from tffd.config import Config, ConfigError
from tffd.sweep.plan import StudyPlan, make_sampler
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
        earlier = self._study.get_trials(deepcopy=False)
        self._require_same(_identity(plan, config, objective), earlier)
        if plan.cells is None:
            self._study.sampler = make_sampler(config, len(earlier))
        self._left_running = deque(trial for trial in earlier if trial.state is TrialState.RUNNING)
        self._enqueue_known(earlier)

    def next_trial(self) -> tuple[Trial, Mapping[str, Value]] | None:
        """Return a trial to run and its values, or None when all have been handed out."""
        while self._left_running or self._remaining() > 0:
            if self._left_running:
                left = self._left_running.popleft()
                trial = Trial(self._study, left._trial_id)  # Optuna's way to take up a trial by its id
            else:
                trial = self._study.ask()
            if self.plan.cells is None:
                return trial, suggest(trial, self.plan.space)
            if _cell(trial) in self.plan.cells:
                return trial, _cell(trial)
            self.fail(trial, "a later command left this cell out")
        return None

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
        for cell, identity in zip(self.plan.cells, self.plan.identities, strict=True):
            if cell not in present:
                # As attributes, not parameters: Optuna fixes the choices of a parameter for good, but grids grow.
                self._study.enqueue_trial({}, user_attrs={_CELL: cell, _IDENTITY: identity})

    def _require_same(self, identity: dict[str, str], earlier: list[FrozenTrial]) -> None:
        before: dict[str, str] | None = self._study.user_attrs.get(_IDENTITY)
        if before is None:
            self._study.set_user_attr(_IDENTITY, identity)
        changes = _changes(before or identity, identity)
        now = {str(cell): known for cell, known in zip(self.plan.cells or [], self.plan.identities, strict=True)}
        for trial in earlier if self.plan.cells is not None and not changes else []:
            changes += _changes(trial.user_attrs[_IDENTITY], now.get(str(_cell(trial)), trial.user_attrs[_IDENTITY]))
        if changes:
            differences = "; ".join(dict.fromkeys(changes))
            raise ConfigError(
                [f"{self.name} was begun with other settings; choose another name=..., or restore {differences}"]
            )


def open_storage(url: str | None, directory: Path) -> optuna.storages.BaseStorage:
    """Open the storage of a sweep: a database address, or study.db in its directory.

    Raises:
        ConfigError: If there is no such database, or the file is damaged.
    """
    address = url or f"sqlite:///{directory / 'study.db'}"
    try:
        return optuna.storages.RDBStorage(address)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            [f"the study's storage {address} cannot be opened ({reason}); move a damaged file away, or name another "
             "database with sweep.storage=..."]
        ) from error  # fmt: skip


def _identity(plan: StudyPlan, config: Config, objective: str) -> dict[str, str]:
    """What a study's trials share. A grid may grow new cells, a search may not move its bounds."""
    settings: dict[str, Any] = {
        section: getattr(config, section).model_dump(by_alias=True)
        for section in ("model", "dataset", "kd_mode", "trainer", "protocol")
    }
    del settings["dataset"]["source"]
    if not any(key.startswith("dataset") for key in plan.keys):  # else the hashes of the cells tell the pictures
        settings["pictures"] = build_source(config).content()
    settings["seed"] = config.seed
    if plan.cells is None:
        settings |= {"lambda_intra": config.lambda_intra, "lambda_inter": config.lambda_inter}
        settings |= {f"space of {key}": repr(distribution) for key, distribution in plan.space.items()}
    # Of no consequence, or, as the kd_mode's weights, named above or in the identities of a grid's cells.
    idle = ("dataset.root.", "dataset.cache.", "trainer.checkpoint_every.", "kd_mode.lambda_")
    varied = tuple(f"{key}." for key in plan.keys)
    shared = {key: value for key, value in _flatten(settings).items() if not f"{key}.".startswith((*idle, *varied))}
    return shared | {"objective": objective, "direction": config.sweep.direction}


def _changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return [
        f"{key}: was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat


def _cell(trial: Trial | FrozenTrial) -> Cell:
    cell: Cell = trial.user_attrs[_CELL]
    return cell
