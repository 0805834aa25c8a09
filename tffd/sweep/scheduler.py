"""Hands trials out as soon as there is room, watches them, and records what becomes of each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import TrialState

from tffd.config import SweepSection
from tffd.records import (
    COMPLETE,
    FAILED,
    INTERRUPT,
    PRUNE,
    PRUNED,
    RESULT,
    STOP,
    TRIAL,
    ask_to_stop,
    asked_to_stop,
    read_result,
    write_json,
)
from tffd.sweep.display import SweepDisplay, TrialLine
from tffd.sweep.executors import Executor, Handle
from tffd.sweep.lease import Lease
from tffd.sweep.outcome import is_final, is_loss, last_epoch, may_be_retried, read_outcome, values_of
from tffd.sweep.reports import EpochReports
from tffd.sweep.signals import StopRequests
from tffd.sweep.storage import STORAGE_ERRORS, StorageLost
from tffd.sweep.study import Claim, ResumableStudy
from tffd.sweep.worker import Job
from tffd.trial import RunInUse, record_loss

MakeJob = Callable[[ResumableStudy, Claim, int | None, int], Job]
"""Study, trial, seed (None: that of the config) and slot to a run."""

_POLL_SECONDS = 0.02
_LOOK_SECONDS = 1.0  # how often a command with nothing to do looks what the others that share its study have left
_MOST_LOSSES = 5  # of a trial's process in a row, without a new epoch in between


@dataclass
class _Running:
    """A trial at work: one run after the other, one a seed."""

    study: ResumableStudy
    claim: Claim
    slot: int
    line: TrialLine
    seeds: Sequence[int | None]
    job: Job
    handle: Handle | None = None
    reports: EpochReports | None = None
    values: list[list[float]] = field(default_factory=list)
    losses: int = 0
    last_epoch: int = 0
    overtime: bool = False
    seconds: float = 0.0


class Scheduler:
    """Does what is left to do of a sweep.

    Args:
        sweep: Its settings.
        studies: In the order in which their trials begin.
        executor: Trains them.
        lease: Of this command.
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
        self._running: list[_Running] = []
        self._failed = 0
        self._interrupted = self._gave_up = False
        self._next_look = 0.0

    def run(self) -> int:
        """Run until nothing is left to do, here or in commands that share a study.

        Returns:
            How many trials failed.
        Raises:
            KeyboardInterrupt: If the user interrupts; what has ended is recorded, what has not can go on.
            StorageLost: If the study or a file cannot be read or written; likewise.
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
                    for running in list(self._running):
                        self._look_at(running)
                    self._display.refresh()
                    time.sleep(_POLL_SECONDS)
            except STORAGE_ERRORS as error:
                self._wait_for_checkpoints(signals)
                raise StorageLost(str(error).strip().splitlines()[0]) from error
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

    def _start_next(self, study: ResumableStudy) -> bool:
        claim = study.claim(self._lease)
        if claim is None:
            return False
        slot = min(set(range(len(self._running) + 1)) - {other.slot for other in self._running})
        seeds: Sequence[int | None] = (self._sweep.seeds if study.plan.cells is None else None) or [None]
        job = self._make_job(study, claim, seeds[0], slot)
        line = TrialLine(study.plan.key, claim.number, claim.values, job.run_dir, job.config.trainer.epochs, len(seeds))
        running = _Running(study, claim, slot, line, seeds, job)
        self._running.append(running)
        self._display.started(line)
        self._begin(running, job)
        return True

    def _begin(self, running: _Running, job: Job) -> None:
        """Start a run of a trial, or take what an earlier command left of it."""
        running.job, running.line.run_dir, running.overtime = job, job.run_dir, False
        running.losses, running.last_epoch = 0, last_epoch(job.run_dir)
        if running.study.prunes() and len(running.seeds) == 1:
            running.reports = EpochReports(running.study, running.claim, job.run_dir, self._sweep.objectives[0])
        result = read_outcome(job)
        if result is not None:
            self._conclude(running, result)
        else:
            self._train(running)

    def _train(self, running: _Running) -> None:
        if asked_to_stop(running.job.run_dir) == INTERRUPT:  # an earlier command; what was given up stays so
            (running.job.run_dir / STOP).unlink(missing_ok=True)
        running.handle = self._executor.start(running.job)

    def _look_at(self, running: _Running) -> None:
        handle = running.handle
        if handle is None:
            return
        if handle.has_ended():
            result = read_outcome(running.job)
            if result is not None:
                self._conclude(running, result)
            else:
                self._mourn(running, handle.reason())
        elif self._interrupted and handle.seconds() == 0:
            handle.stop()  # the cluster has put it back into its queue
        elif self._is_overtime(running, handle):
            running.overtime = True
            handle.stop()
        elif running.reports is not None and not self._interrupted and running.reports.should_prune():
            running.reports = None
            ask_to_stop(running.job.run_dir, PRUNE)

    def _is_overtime(self, running: _Running, handle: Handle) -> bool:
        limit = self._sweep.trial_timeout
        return limit is not None and not running.overtime and handle.seconds() > limit

    def _conclude(self, running: _Running, result: dict[str, Any]) -> None:
        """Record how a run ended, and go on with the trial's next seed if there is one."""
        study, claim = running.study, running.claim
        if result["status"] == FAILED:
            self._retry_or_fail(running, result["error"] or "no reason was recorded")
            return
        running.seconds += result.get("train_seconds") or 0.0
        if study.prunes() and len(running.seeds) == 1:
            EpochReports(study, claim, running.job.run_dir, self._sweep.objectives[0]).flush()
        if result["status"] != COMPLETE:
            self._prune(running, result["epochs_run"])
            return
        values = values_of(result, self._sweep.objectives, in_grid=study.plan.cells is not None)
        if values is None:
            reason = f"NotFinite: {self._sweep.objective} is not a finite number"
            write_json(running.job.run_dir / RESULT, result | {"status": FAILED, "error": reason})
            self._fail(running, reason, final=True)
            return
        running.values.append(values)
        done = len(running.values)
        if done < len(running.seeds):
            if study.prunes() and self._is_behind(running):
                self._prune(running, done * result["epochs_run"])
            elif self._interrupted:
                self._leave(running)
            else:
                self._begin(running, self._make_job(study, claim, running.seeds[done], running.slot))
            return
        if study.prunes() and done > 1:
            self._is_behind(running)  # for the trials that will be compared with this one
        means = [sum(column) / done for column in zip(*running.values, strict=True)]
        study.succeed(claim.trial, means)
        self._leave(running)
        self._display.completed(running.line, means, running.seconds)

    def _is_behind(self, running: _Running) -> bool:
        """Report the last seed, and tell whether the pruner gives the trial up; seeds are steps, counted from 1."""
        trial, step = running.claim.trial, len(running.values)
        reported = max(running.study.intermediate_values(trial), default=0)
        if step <= reported:  # by a command that was killed, perhaps before it could judge the last one
            return step == reported and trial.should_prune()
        return running.study.report(trial, running.values[-1][0], step)

    def _mourn(self, running: _Running, reason: str) -> None:
        """Go on with a run whose process ended without a record, unless it does so time and again."""
        if self._interrupted:
            self._leave(running)  # it was asked to, and goes on from its checkpoint next time
            return
        if running.overtime:
            reason = f"Timeout: took longer than sweep.trial_timeout={self._sweep.trial_timeout:g} s"
        epoch = last_epoch(running.job.run_dir)
        running.losses = 1 if epoch > running.last_epoch else running.losses + 1
        running.last_epoch = max(epoch, running.last_epoch)
        if is_loss(reason) and running.losses < _MOST_LOSSES:
            self._display.lost(running.line, reason)
            self._train(running)
            return
        job = running.job
        try:
            record_loss(job.config, job.run_dir, reason, study=job.study, trial=job.number)
        except RunInUse:
            return  # its process is about to end; the next look will find it gone
        self._conclude(running, read_result(job.run_dir) or {"status": FAILED, "error": reason})

    def _retry_or_fail(self, running: _Running, reason: str) -> None:
        study, trial = running.study, running.claim.trial
        retried = may_be_retried(reason) and study.attempts(trial) < self._sweep.retries
        if self._interrupted and retried:
            self._leave(running)  # the next command finds its record
            return
        if not retried:
            self._fail(running, reason, final=is_final(reason))
            return
        # In this order: a command that is killed in between may try once more than it should, but not once less.
        (running.job.run_dir / RESULT).unlink(missing_ok=True)
        attempts = study.count_attempt(trial, reason)
        self._display.retried(running.line, reason, attempts, self._sweep.retries)
        running.losses, running.overtime = 0, False
        self._train(running)

    def _prune(self, running: _Running, epochs_run: int) -> None:
        if len(running.seeds) > 1:  # its runs are complete: nothing else in the files would tell
            done = running.seeds[: len(running.values)]
            record = {"status": PRUNED, "seeds": list(done), "epochs_run": epochs_run}
            write_json(running.job.run_dir.parent / TRIAL, record)
        running.study.prune(running.claim.trial, epochs_run)
        self._leave(running)
        self._display.pruned(running.line, epochs_run)

    def _fail(self, running: _Running, reason: str, final: bool) -> None:
        running.study.fail(running.claim.trial, reason, final)
        self._failed += 1
        self._leave(running)
        self._display.failed(running.line, reason)
        failed = sum(study.counts()[TrialState.FAIL] for study in self._studies)
        total = sum(study.plan.n_trials for study in self._studies)
        is_open = any(study.is_open() for study in self._studies)
        if failed > self._sweep.max_failure_rate * total and is_open and not self._gave_up:
            self._gave_up = True  # what runs may end
            self._display.gave_up(failed, total)

    def _leave(self, running: _Running) -> None:
        running.handle = None
        self._running.remove(running)
        self._next_look = 0.0

    def _interrupt(self) -> None:
        """Begin nothing more, and let what runs end with a checkpoint after its epoch."""
        self._interrupted = True
        self._display.interrupted(len(self._running))
        self._ask_for_checkpoints()

    def _wait_for_checkpoints(self, signals: StopRequests) -> None:
        """Let what runs end well without a word to the study; the next command finds what it left.

        A cluster's jobs go on: it finds them too.
        """
        if not self._executor.on_this_machine:
            return
        self._display.interrupted(len(self._running))
        self._ask_for_checkpoints()
        before = signals.count
        while signals.count == before and any(r.handle and not r.handle.has_ended() for r in self._running):
            time.sleep(_POLL_SECONDS)

    def _ask_for_checkpoints(self) -> None:
        for running in self._running:
            if running.handle is not None and running.handle.seconds() == 0:
                running.handle.stop()  # it waits in a queue
            else:
                ask_to_stop(running.job.run_dir, INTERRUPT)
