"""Optuna studies that can be left, taken up again and shared: what is still to do in one, and what became of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from tffd.schema import Config
from tffd.sweep.arguments import Value
from tffd.sweep.optuna_private import begin_waiting, reported_values, take_up
from tffd.sweep.plan import GridPlan, SearchPlan, StudyPlan
from tffd.sweep.samplers import make_pruner, make_sampler
from tffd.sweep.space import contains, suggest
from tffd.sweep.studies.attributes import (
    ATTEMPTS,
    CELL,
    FINAL,
    IDENTITY,
    OWNER,
    Claim,
    ForeignEntry,
    attempts_of,
    cell_of,
    fixed_values,
    identity_in,
    is_final,
    key_of_cell,
    require_ours,
)
from tffd.sweep.studies.continuation import name_study, require_same_settings, shared_settings
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import Storage, is_of_storage

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class ResumableStudy:
    """One study of a plan in its storage, which several commands may share.

    Args:
        plan: What the study consists of.
        config: The sweep's base config.
        storage: The storage that keeps it.
    Raises:
        ConfigError: If the storage holds a study of that name with another space, base config or objective.
        ForeignEntry: If that study holds what no sweep command writes.
    """

    def __init__(self, plan: StudyPlan, config: Config, storage: Storage) -> None:
        self.plan = plan
        self.name = name_study(config, plan)
        self._config, self._lock = config, storage.lock_of(self.name)
        with self._lock:
            self.optuna = optuna.create_study(
                study_name=self.name,
                storage=storage.optuna,
                directions=config.sweep.directions,
                pruner=make_pruner(config.sweep) if isinstance(plan, SearchPlan) else optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            self._require_same(shared_settings(plan, config))
        self._cells = {key_of_cell(cell) for cell in plan.cells} if isinstance(plan, GridPlan) else set()
        self._is_in_line = False

    def claim(self, lease: Lease) -> Claim | None:
        """Take a trial to run: one that a dead command left, under its number, or else the next.

        Returns:
            None when all have been handed out.
        """
        with self._lock:
            if not self._is_in_line:  # not before: another study of the command may yet be refused
                self._put_in_line()
            trials = self._ours()
            known = next((trial for trial in trials if lease.is_left(trial)), None)
            if known is None:
                if not self._remaining(trials):
                    return None
                known = next((trial for trial in trials if trial.state is TrialState.WAITING), None)
            if known is None and (point := self.plan.in_turn(list(map(fixed_values, trials)))):
                self.optuna.enqueue_trial(dict(point))
                known = self._ours()[-1]
            number = len(trials) if known is None else known.number
            self.optuna.sampler = make_sampler(self._config.sweep, number)
            trial = self._begin(known)
            trial.set_user_attr(OWNER, lease.token)
            return Claim(trial.number, self._values_of(trial), trial)

    def _begin(self, known: FrozenTrial | None) -> Trial:
        """Go on with a trial that was left, begin one that waits in line, or else (None) a new one."""
        if known is None:
            return self.optuna.ask()
        if known.state is TrialState.WAITING:
            begin_waiting(self.optuna, known)
        return take_up(self.optuna, known)

    def _values_of(self, trial: Trial) -> Mapping[str, Value]:
        """The point of a trial: the cell that it carries, or what the sampler chooses."""
        plan = self.plan
        if not isinstance(plan, SearchPlan):
            return cell_of(trial)
        values = suggest(trial, plan.space, plan.when)
        for key, value in values.items():  # a trial that was left has brought its own
            if not contains(plan.space[key], value):
                raise ForeignEntry(f"trial {trial.number}", key, value)
        return values

    def is_open(self) -> bool:
        """Tell whether trials are to be handed out, or at work, here or elsewhere."""
        return bool(self._remaining(self._ours())) or self.at_work() > 0

    def at_work(self) -> int:
        """How many trials are at work, here or elsewhere, or were left by a command that ended."""
        return sum(trial.state is TrialState.RUNNING for trial in self._ours())

    def report(self, trial: Trial, value: float, step: int) -> bool:
        """Record a value on the way, and tell whether the pruner gives the trial up."""
        with _if_not_ended_elsewhere():
            trial.report(value, step)
        return trial.should_prune()

    def prunes(self) -> bool:
        """Tell whether trials of this study may be given up early."""
        return not isinstance(self.optuna.pruner, optuna.pruners.NopPruner)

    def intermediate_values(self, trial: Trial) -> dict[int, float]:
        """Return what has been reported of a trial, also by an earlier command: step to value."""
        return reported_values(self.optuna, trial)

    def succeed(self, trial: Trial, values: Sequence[float]) -> None:
        """Record a trial's values."""
        self._end(trial, list(values), TrialState.COMPLETE)

    def prune(self, trial: Trial, epochs_run: int) -> None:
        """Record that a trial was given up; the last value that it reported is its value."""
        with _if_not_ended_elsewhere():
            trial.set_user_attr("epochs_run", epochs_run)
        self._end(trial, None, TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str, final: bool = False) -> None:
        """Record that a trial failed, and why.

        Args:
            final: Whether the same would happen again.
        """
        with _if_not_ended_elsewhere():
            trial.set_user_attr("error", reason)
            trial.set_user_attr(FINAL, final)
        self._end(trial, None, TrialState.FAIL)

    def count_attempt(self, trial: Trial, reason: str) -> int:
        """Record that a trial is about to be tried again, and return how often it has been."""
        attempts = [*attempts_of(trial), reason]
        with _if_not_ended_elsewhere():
            trial.set_user_attr(ATTEMPTS, attempts)
        return len(attempts)

    def attempts(self, trial: Trial) -> int:
        """How often a trial has failed and been tried again."""
        return len(attempts_of(trial))

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in any of the states (all by default), in the order of their numbers.

        Raises:
            ForeignEntry: If one of them holds what no sweep command writes.
        """
        try:
            trials = self.optuna.get_trials(deepcopy=False, states=states or None)
        except Exception as error:  # Optuna reads what others have written, and fails at it in arbitrary ways
            if is_of_storage(error):
                raise
            raise ForeignEntry(self.name, "a trial", error) from error
        for trial in trials:
            space = self.plan.space if isinstance(self.plan, SearchPlan) else None
            require_ours(trial, space, len(self.optuna.directions))
        return trials

    def counts(self) -> dict[TrialState, int]:
        """Count the trials that ended, by state; of a grid, the planned cells, each by the best that became of it."""
        ended = self.trials(*ENDED)
        if not isinstance(self.plan, GridPlan):
            return {state: sum(trial.state is state for trial in ended) for state in ENDED}
        became: dict[frozenset[tuple[str, str]], TrialState] = {}
        for state in reversed(ENDED):
            became |= {key_of_cell(cell_of(trial)): state for trial in ended if trial.state is state}
        outcomes = [became.get(key_of_cell(cell)) for cell in self.plan.cells]
        return {state: outcomes.count(state) for state in ENDED}

    def best(self) -> list[FrozenTrial]:
        """Return the best complete trial, or with several objectives the Pareto front; empty if none is complete."""
        if not any(trial.state is TrialState.COMPLETE for trial in self.trials()):
            return []
        return self.optuna.best_trials

    def _end(self, trial: Trial, values: list[float] | None, state: TrialState) -> None:
        self.optuna.tell(trial, values, state=state, skip_if_finished=True)

    def _ours(self) -> list[FrozenTrial]:
        """The trials that this plan has: a grid leaves the cells of a larger one to those who want them."""
        trials = self.trials()
        if not isinstance(self.plan, GridPlan):
            return trials
        return [trial for trial in trials if key_of_cell(cell_of(trial)) in self._cells]

    def _remaining(self, trials: list[FrozenTrial]) -> int:
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        if isinstance(self.plan, GridPlan):
            return waiting
        return max(0, self.plan.n_trials - (len(trials) - waiting))  # an earlier command may have asked for more

    def _put_in_line(self) -> None:
        """Put in line a search's known points, and a grid's cells that have no trial, or none that may yet succeed."""
        if isinstance(self.plan, SearchPlan):
            for point in self.plan.known_points:
                self.optuna.enqueue_trial(dict(point), skip_if_exists=True)
        if isinstance(self.plan, GridPlan):
            kept = [trial for trial in self.trials() if trial.state is not TrialState.FAIL or is_final(trial)]
            present = {key_of_cell(cell_of(trial)) for trial in kept}
            for cell, identity in zip(self.plan.cells, self.plan.identities, strict=True):
                if key_of_cell(cell) not in present:
                    # As attributes, not parameters: Optuna fixes the choices of a parameter for good, but grids grow.
                    self.optuna.enqueue_trial({}, user_attrs={CELL: cell, IDENTITY: identity})
        self._is_in_line = True

    def _require_same(self, identity: dict[str, str]) -> None:
        before = identity_in(self.optuna.user_attrs, self.name)
        if before is None:
            self.optuna.set_user_attr(IDENTITY, identity)
        require_same_settings(self.name, before or identity, identity, self._identities_of_cells())
        self.trials()  # which checks them, with what they are known to have in common

    def _identities_of_cells(self) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
        """Yield what each planned cell that has a trial was, and what it is now."""
        if not isinstance(self.plan, GridPlan):
            return
        now = {key_of_cell(cell): wanted for cell, wanted in zip(self.plan.cells, self.plan.identities, strict=True)}
        for trial in self.trials():
            known = identity_in(trial.user_attrs, f"trial {trial.number}") or {}
            yield known, now.get(key_of_cell(cell_of(trial)), known)


def _if_not_ended_elsewhere() -> AbstractContextManager[None]:
    """A command that was taken for dead may find its trial ended by the one that took it up, whose word counts."""
    return suppress(UpdateFinishedTrialError)
