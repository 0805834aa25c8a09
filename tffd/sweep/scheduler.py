"""Hands trials out as soon as there is room, and watches them until nothing is left to do."""

import time

from optuna.trial import TrialState

from tffd.data.sources import DataChanged
from tffd.failures import FailureKind
from tffd.schema import SweepSection
from tffd.sweep.display import SweepDisplay
from tffd.sweep.executors import Executor
from tffd.sweep.jobs import MakeJob
from tffd.sweep.processes import StopRequests
from tffd.sweep.running import RunningTrial
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import STORAGE_ERRORS, StorageLost, is_of_storage, reason_of
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.trial_state import State

_POLL_SECONDS = 0.01  # between two looks at what is at work
_MOST_LOOKS_TOGETHER = 32  # beyond it a command looks less often, so that a thousand jobs take it no core
_LOOK_SECONDS = 1.0  # how often a command with nothing to do looks what the others that share its study have left


class Scheduler:
    """Does what is left to do of a sweep.

    Args:
        sweep: Its settings.
        studies: Its studies, in the order in which their trials begin.
        executor: Trains them.
        lease: The lease of this command.
        make_job: Composes a run.
        display: Shown what happens.
    """

    def __init__(
        self,
        sweep: SweepSection,
        studies: list[ResumableStudy],
        executor: Executor,
        lease: Lease,
        make_job: MakeJob,
        display: SweepDisplay,
    ) -> None:
        self._sweep, self._studies, self._executor, self._lease = sweep, studies, executor, lease
        self._make_job, self._display = make_job, display
        self._running: list[RunningTrial] = []
        self._failed = 0
        self._interrupted = self._gave_up = False
        self._next_look = 0.0

    def run(self) -> int:
        """Run until nothing is left to do, here or in commands that share a study.

        Returns:
            How many trials failed.
        Raises:
            KeyboardInterrupt: If the user interrupts; what has ended is recorded, what has not can go on.
            DataChanged: If a trial would not see the pictures that those before it saw; what has ended is recorded.
            StorageLost: If the study or a file cannot be read or written; what has ended is recorded.
        """
        with StopRequests() as signals:
            try:
                while True:
                    if signals.count and not self._interrupted:
                        self._interrupt()
                    if signals.count > 1:
                        break
                    is_open = self._fill()
                    if not self._running and not is_open:
                        break
                    before = len(self._running)
                    for running in list(self._running):
                        running.look()
                        self._let_go_if_ended(running)
                    self._display.refresh()
                    if len(self._running) == before:  # otherwise there is room for the next one
                        time.sleep(_POLL_SECONDS * max(1, before / _MOST_LOOKS_TOGETHER))
            except DataChanged as error:
                self._wait_for_checkpoints(signals, str(error))
                raise
            except (*STORAGE_ERRORS, KeyError) as error:
                if not is_of_storage(error):
                    raise
                reason = reason_of(error)
                self._wait_for_checkpoints(signals, f"the study cannot be read or written any more: {reason}")
                raise StorageLost(reason) from error
            finally:
                self._executor.close(cancel=signals.count > 1)
            if signals.count:
                raise KeyboardInterrupt
        return self._failed

    def _fill(self) -> bool:
        """Start trials while there is room; tell whether there is, or may yet be, something to do."""
        if self._interrupted or self._gave_up:
            return False
        if time.monotonic() < self._next_look:
            return True
        while len(self._running) < self._executor.slots and not self._gave_up:
            if not any(self._start_next(study) for study in self._studies):
                self._next_look = time.monotonic() + _LOOK_SECONDS
                if self._running:
                    return True
                elsewhere = sum(study.at_work() for study in self._studies)
                if elsewhere:
                    self._display.waits(elsewhere, self._sweep.heartbeat_timeout)
                return elsewhere > 0 or any(study.is_open() for study in self._studies)
        return True

    def _waits(self, study: ResumableStudy) -> bool:
        """Tell whether a study begins only when another one has ended."""
        return any(other.plan.key == study.plan.after and other.is_open() for other in self._studies)

    def _start_next(self, study: ResumableStudy) -> bool:
        if study.plan.after is not None and self._waits(study):
            return False
        claim = study.claim(self._lease)
        if claim is None:
            return False
        running = RunningTrial(study, claim, self._sweep, self._executor, self._make_job, self._display)
        self._running.append(running)
        running.begin()
        self._let_go_if_ended(running)
        return True

    def _let_go_if_ended(self, running: RunningTrial) -> None:
        if not running.state.is_end:
            return
        self._running.remove(running)
        self._next_look = 0.0
        if running.state is State.FAILED:
            self._failed += 1
            is_of_teacher = running.failure is not None and running.failure.kind is FailureKind.TEACHER
            self._give_up_if_too_many_failed(is_of_teacher)

    def _give_up_if_too_many_failed(self, lacks_teacher: bool) -> None:
        failed = sum(study.counts()[TrialState.FAIL] for study in self._studies)
        total = sum(study.plan.n_trials for study in self._studies)
        is_open = any(study.is_open() for study in self._studies)
        awaited = {study.plan.after for study in self._studies}
        lost = any(s.plan.key in awaited and s.counts()[TrialState.FAIL] and not s.is_open() for s in self._studies)
        if self._gave_up:
            return
        if lost or (lacks_teacher and is_open):
            self._gave_up = True  # what runs may end
            self._display.lacks_teacher()
        elif failed > self._sweep.max_failure_rate * total and is_open:
            self._gave_up = True
            self._display.gave_up(failed, total)

    def _interrupt(self) -> None:
        """Begin nothing more, and let what runs end with a checkpoint after its epoch."""
        self._interrupted = True
        self._display.interrupted(len(self._running))
        for running in self._running:
            running.interrupt()

    def _wait_for_checkpoints(self, signals: StopRequests, reason: str) -> None:
        """Let what runs end well without a word to the study; the next command finds what it left.

        A cluster's jobs go on: it finds them too.
        """
        if not self._executor.on_this_machine:
            return
        self._interrupted = True
        self._display.cannot_go_on(reason, len(self._running))
        for running in self._running:
            running.interrupt()
        before = signals.count
        while signals.count == before and any(running.is_training() for running in self._running):
            time.sleep(_POLL_SECONDS)
