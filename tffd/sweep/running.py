"""A trial at work: its runs, one after the other, and what the study is told of them."""

from collections.abc import Callable, Sequence
from typing import Any

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
from tffd.schema import SweepSection
from tffd.sweep.display import SweepDisplay, TrialLine
from tffd.sweep.executors import Executor, Handle
from tffd.sweep.outcome import EpochReports, is_final, is_loss, last_epoch, may_be_retried, read_outcome, values_of
from tffd.sweep.studies.study import Claim, ResumableStudy
from tffd.sweep.worker import Job
from tffd.trial import RunInUse, record_loss

MakeJob = Callable[[ResumableStudy, Claim, int | None, int], Job]
"""Study, trial, seed (None: that of the config) and slot to a run."""

_MOST_LOSSES = 5  # of a run's process in a row, without a new epoch in between


class RunningTrial:
    """One trial that this command has claimed: a run, or with `sweep.seeds` one run a seed.

    Args:
        study: Of the trial.
        claim: The trial.
        slot: Of the executor; no two trials at work have the same.
        sweep: The sweep's settings.
        executor: Trains the runs.
        make_job: Composes them.
        display: Shown what happens.

    Attributes:
        has_ended: Whether it is recorded, or left to a later command.
        has_failed: Whether it is recorded as failed.
    """

    def __init__(
        self,
        study: ResumableStudy,
        claim: Claim,
        slot: int,
        sweep: SweepSection,
        executor: Executor,
        make_job: MakeJob,
        display: SweepDisplay,
    ) -> None:
        self.slot = slot
        self.has_ended = self.has_failed = False
        self._study, self._claim, self._trial = study, claim, claim.trial
        self._sweep, self._executor, self._display = sweep, executor, display
        self._seeds: Sequence[int | None] = (sweep.seeds if study.plan.cells is None else None) or [None]
        self._make = lambda seed: make_job(study, claim, seed, slot)
        self._job = self._make(self._seeds[0])
        epochs = self._job.config.trainer.epochs
        self._line = TrialLine(study.plan.key, claim.number, claim.values, self._job.run_dir, epochs, len(self._seeds))
        self._is_judged_by_epochs = study.prunes() and len(self._seeds) == 1
        self._handle: Handle | None = None
        self._reports: EpochReports | None = None
        self._values: list[list[float]] = []
        self._seconds = 0.0
        self._losses = self._last_epoch = 0
        self._is_overtime = self._is_interrupted = False

    def begin(self) -> None:
        """Start the first run, or take what an earlier command left of it."""
        self._display.started(self._line)
        self._begin(self._job)

    def look(self) -> None:
        """Act on what has become of the run since the last look."""
        handle = self._handle
        if handle is None:
            return
        if handle.has_ended():
            result = read_outcome(self._job)
            if result is not None:
                self._conclude(result)
            else:
                self._mourn(handle.reason())
        elif self._is_interrupted and handle.seconds() == 0:
            handle.stop()  # the cluster has put it back into its queue
        elif self._takes_too_long(handle):
            self._is_overtime = True
            handle.stop()
        elif self._reports is not None and not self._is_interrupted and self._reports.should_prune():
            self._reports = None
            ask_to_stop(self._job.run_dir, PRUNE)

    def interrupt(self) -> None:
        """Let the run end with a checkpoint after its epoch, and begin no other."""
        self._is_interrupted = True
        if self._handle is not None and self._handle.seconds() == 0:
            self._handle.stop()  # it waits in a queue
        else:
            ask_to_stop(self._job.run_dir, INTERRUPT)

    def is_training(self) -> bool:
        """Tell whether a process is still at work."""
        return self._handle is not None and not self._handle.has_ended()

    def _begin(self, job: Job) -> None:
        self._job, self._line.run_dir, self._is_overtime = job, job.run_dir, False
        self._losses, self._last_epoch = 0, last_epoch(job.run_dir)
        if self._is_judged_by_epochs:
            self._reports = self._make_reports()
        result = read_outcome(job)
        if result is not None:
            self._conclude(result)
        else:
            self._train()

    def _train(self) -> None:
        if asked_to_stop(self._job.run_dir) == INTERRUPT:  # an earlier command; what was given up stays so
            (self._job.run_dir / STOP).unlink(missing_ok=True)
        self._handle = self._executor.start(self._job)

    def _make_reports(self) -> EpochReports:
        return EpochReports(self._study, self._claim, self._job.run_dir, self._sweep.objectives[0])

    def _takes_too_long(self, handle: Handle) -> bool:
        limit = self._sweep.trial_timeout
        return limit is not None and not self._is_overtime and handle.seconds() > limit

    def _conclude(self, result: dict[str, Any]) -> None:
        """Record how a run ended, and go on with the trial's next seed if there is one."""
        if result["status"] == FAILED:
            self._retry_or_fail(result["error"] or "no reason was recorded")
            return
        self._seconds += result.get("train_seconds") or 0.0
        if self._is_judged_by_epochs:
            self._make_reports().flush()
        if result["status"] != COMPLETE:
            self._prune(result["epochs_run"])
            return
        values = values_of(result, self._sweep.objectives, in_grid=self._study.plan.cells is not None)
        if values is None:
            reason = f"NotFinite: {self._sweep.objective} is not a finite number"
            write_json(self._job.run_dir / RESULT, result | {"status": FAILED, "error": reason})
            self._fail(reason, final=True)
            return
        self._values.append(values)
        self._go_on_with_seeds(result["epochs_run"])

    def _go_on_with_seeds(self, epochs_run: int) -> None:
        done = len(self._values)
        is_behind = self._study.prunes() and len(self._seeds) > 1 and self._report_seed()
        if done == len(self._seeds):
            means = [sum(column) / done for column in zip(*self._values, strict=True)]
            self._study.succeed(self._trial, means)
            self._leave()
            self._display.completed(self._line, means, self._seconds)
        elif is_behind:
            self._prune(done * epochs_run)
        elif self._is_interrupted:
            self._leave()
        else:
            self._begin(self._make(self._seeds[done]))

    def _report_seed(self) -> bool:
        """Report the last seed, and tell whether the pruner gives the trial up; seeds are steps, counted from 1."""
        step = len(self._values)
        reported = max(self._study.intermediate_values(self._trial), default=0)
        if step <= reported:  # by a command that was killed, perhaps before it could judge the last one
            return step == reported and self._trial.should_prune()
        return self._study.report(self._trial, self._values[-1][0], step)

    def _mourn(self, reason: str) -> None:
        """Go on with a run whose process ended without a record, unless it does so time and again."""
        if self._is_interrupted:
            self._leave()  # it was asked to, and goes on from its checkpoint next time
            return
        if self._is_overtime:
            reason = f"Timeout: took longer than sweep.trial_timeout={self._sweep.trial_timeout:g} s"
        job, epoch = self._job, last_epoch(self._job.run_dir)
        self._losses = 1 if epoch > self._last_epoch else self._losses + 1
        self._last_epoch = max(epoch, self._last_epoch)
        if is_loss(reason) and self._losses < _MOST_LOSSES:
            self._require_same_data()
            self._display.lost(self._line, reason)
            self._train()
            return
        try:
            record_loss(job.config, job.run_dir, reason, study=job.study, trial=job.number)
        except RunInUse:
            return  # its process is about to end; the next look will find it gone
        self._conclude(read_result(job.run_dir) or {"status": FAILED, "error": reason})

    def _require_same_data(self) -> None:
        """Raise DataChanged rather than to try again on other pictures."""
        self._make(self._seeds[len(self._values)])

    def _retry_or_fail(self, reason: str) -> None:
        if not self._is_interrupted:
            self._require_same_data()
        retried = may_be_retried(reason) and self._study.attempts(self._trial) < self._sweep.retries
        if self._is_interrupted and retried:
            self._leave()  # the next command finds its record
            return
        if not retried:
            self._fail(reason, final=is_final(reason))
            return
        # In this order: a command that is killed in between may try once more than it should, but not once less.
        (self._job.run_dir / RESULT).unlink(missing_ok=True)
        attempts = self._study.count_attempt(self._trial, reason)
        self._display.retried(self._line, reason, attempts, self._sweep.retries)
        self._losses, self._is_overtime = 0, False
        self._train()

    def _prune(self, epochs_run: int) -> None:
        if len(self._seeds) > 1:  # its runs are complete: nothing else in the files would tell
            done = self._seeds[: len(self._values)]
            record = {"status": PRUNED, "seeds": list(done), "epochs_run": epochs_run}
            write_json(self._job.run_dir.parent / TRIAL, record)
        self._study.prune(self._trial, epochs_run)
        self._leave()
        self._display.pruned(self._line, epochs_run)

    def _fail(self, reason: str, final: bool) -> None:
        self._study.fail(self._trial, reason, final)
        self.has_failed = True
        self._leave()
        self._display.failed(self._line, reason)

    def _leave(self) -> None:
        self._handle, self.has_ended = None, True
