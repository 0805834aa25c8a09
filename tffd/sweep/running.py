"""A trial at work: its runs, one after the other, and what the study is told of them."""

from collections.abc import Sequence

from tffd import records
from tffd.failures import Failure, FailureKind
from tffd.schema import SweepSection
from tffd.sweep.display import SweepDisplay, TrialLine
from tffd.sweep.executors import Executor, Handle
from tffd.sweep.jobs import MakeJob
from tffd.sweep.outcome import EpochReports, Losses, Outcome, outcome_of, read_outcome, values_of
from tffd.sweep.plan import GridPlan, SearchPlan
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.trial_state import State
from tffd.sweep.worker import Job
from tffd.trial import RunInUse, record_loss

_MOST_LOSSES = 5  # of a run's process in a row, without a new epoch in between


class RunningTrial:
    """One trial that this command has claimed: a run, or with `sweep.seeds` one run a seed.

    Args:
        study: The study of the trial.
        claim: The trial.
        sweep: The sweep's settings.
        executor: Trains the runs.
        make_job: Composes them.
        display: Shown what happens.

    Attributes:
        state: Where it stands.
        failure: Why it failed, if it did.
    """

    def __init__(
        self,
        study: ResumableStudy,
        claim: Claim,
        sweep: SweepSection,
        executor: Executor,
        make_job: MakeJob,
        display: SweepDisplay,
    ) -> None:
        self.state = State.CLAIMED
        self.failure: Failure | None = None
        self._study, self._claim, self._trial = study, claim, claim.trial
        self._sweep, self._executor, self._display = sweep, executor, display
        self._seeds: Sequence[int | None] = (sweep.seeds if isinstance(study.plan, SearchPlan) else None) or [None]
        self._make = lambda seed: make_job(study, claim, seed)
        self._job = self._make(self._seeds[0])
        epochs = self._job.config.trainer.epochs
        self._line = TrialLine(study.plan.key, claim.number, claim.values, self._job.run_dir, epochs, len(self._seeds))
        self._is_judged_by_epochs = study.prunes() and len(self._seeds) == 1
        self._handle: Handle | None = None
        self._reports: EpochReports | None = None
        self._values: list[list[float]] = []
        self._seconds, self._losses = 0.0, Losses(self._job.run_dir)

    def begin(self) -> None:
        """Start the first run, or take what an earlier command left of it."""
        self._display.started(self._line)
        self._begin(self._job)

    def look(self) -> None:
        """Act on what has become of the run since the last look."""
        if (handle := self._handle) is None:
            return
        if handle.has_ended():
            outcome = read_outcome(self._job)
            if outcome is not None:
                self._conclude(outcome)
            else:
                self._go_on_without_record(handle.failure())
        elif self.state is State.INTERRUPTED:
            if handle.seconds() == 0 or self._takes_too_long(handle):  # at 0 the cluster has put it back into its queue
                handle.stop()
        elif self.state is not State.OVERTIME and self._takes_too_long(handle):
            self.state = State.OVERTIME
            handle.stop()
        elif self.state is State.TRAINING and self._reports is not None and self._reports.should_prune():
            self.state = State.GIVEN_UP
            records.ask_to_stop(self._job.run_dir, records.PRUNE)

    def interrupt(self) -> None:
        """Let the run end with a checkpoint after its epoch, and begin no other."""
        if self._handle is None:
            self.state = State.LEFT
            return
        self.state = State.INTERRUPTED
        if self._handle.seconds() == 0:
            self._handle.stop()  # it waits in a queue
            return
        try:
            records.ask_to_stop(self._job.run_dir, records.INTERRUPT)
        except OSError:  # a full disk takes neither the request nor a checkpoint
            self._handle.stop()

    def is_training(self) -> bool:
        """Tell whether a process is still at work."""
        return self._handle is not None and not self._handle.has_ended()

    def _begin(self, job: Job) -> None:
        self._job, self._line.run_dir = job, job.run_dir
        self._losses = Losses(job.run_dir)
        if self._is_judged_by_epochs:
            self._reports = self._make_reports()
        outcome = read_outcome(job)
        if outcome is not None:
            self._conclude(outcome)
        else:
            self._train()

    def _train(self) -> None:
        asked = records.asked_to_stop(self._job.run_dir)
        if asked == records.INTERRUPT:  # by an earlier command; what was given up stays so
            (self._job.run_dir / records.STOP).unlink(missing_ok=True)
        self._handle = self._executor.start(self._job)
        self.state = State.GIVEN_UP if asked == records.PRUNE else State.TRAINING

    def _make_reports(self) -> EpochReports:
        return EpochReports(self._study, self._claim, self._job.run_dir, self._sweep.objectives[0])

    def _takes_too_long(self, handle: Handle) -> bool:
        limit = self._sweep.trial_timeout
        return limit is not None and handle.seconds() > limit

    def _conclude(self, outcome: Outcome) -> None:
        """Record how a run ended, and go on with the trial's next seed if there is one."""
        if outcome.failure is not None:
            self._retry_or_fail(outcome.failure)
            return
        record = outcome.record
        self._seconds += record.get("train_seconds") or 0.0
        if self._is_judged_by_epochs:
            self._make_reports().flush()
        if outcome.status != records.COMPLETE:
            self._prune(record["epochs_run"])
            return
        values = values_of(record, self._sweep.objectives, in_grid=isinstance(self._study.plan, GridPlan))
        if values is None:
            failure = Failure(FailureKind.SAME_AGAIN, f"NotFinite: {self._sweep.objective} is not a finite number")
            records.write_json(self._job.run_dir / records.RESULT, record | failure.record())
            self._fail(failure)
            return
        self._values.append(values)
        self._go_on_with_seeds(record["epochs_run"])

    def _go_on_with_seeds(self, epochs_run: int) -> None:
        done = len(self._values)
        is_behind = len(self._seeds) > 1 and self._study.prunes() and self._report_seed()
        if done == len(self._seeds):
            means = [sum(column) / done for column in zip(*self._values, strict=True)]
            self._study.succeed(self._trial, means)
            self._end(State.COMPLETE)
            self._display.completed(self._line, means, self._seconds)
        elif is_behind:
            self._prune(done * epochs_run)
        elif self.state is State.INTERRUPTED:
            self._end(State.LEFT)
        else:
            self._begin(self._make(self._seeds[done]))

    def _report_seed(self) -> bool:
        """Report the last seed, and tell whether the pruner gives the trial up; seeds are steps, counted from 1."""
        step = len(self._values)
        reported = max(self._study.intermediate_values(self._trial), default=0)
        if step <= reported:  # by a command that was killed, perhaps before it could judge the last one
            return step == reported and self._trial.should_prune()
        return self._study.report(self._trial, self._values[-1][0], step)

    def _go_on_without_record(self, failure: Failure) -> None:
        """Go on with a run whose process ended without a record, unless it does so time and again."""
        match self.state:
            case State.INTERRUPTED:
                self._end(State.LEFT)  # it was asked to end, and goes on from its checkpoint next time
                return
            case State.OVERTIME:
                reason = f"Timeout: took longer than sweep.trial_timeout={self._sweep.trial_timeout:g} s"
                failure = Failure(FailureKind.OVERTIME, reason)
        if self._losses.count() < _MOST_LOSSES and not failure.kind.is_of_the_run:
            self._require_same_data()
            self._display.lost(self._line, failure.reason)
            self._train()
            return
        job = self._job
        try:
            record_loss(job.config, job.run_dir, failure, study=job.study, trial=job.number)
        except RunInUse:
            return  # its process is about to end; the next look will find it gone
        self._conclude(outcome_of(records.read_result(job.run_dir) or failure.record()))

    def _require_same_data(self) -> None:
        """Raise DataChanged rather than to try again on other pictures."""
        self._make(self._seeds[len(self._values)])

    def _retry_or_fail(self, failure: Failure) -> None:
        is_interrupted = self.state is State.INTERRUPTED
        if not is_interrupted:
            self._require_same_data()
        if not failure.kind.may_go_away or self._study.attempts(self._trial) >= self._sweep.retries:
            self._fail(failure)
        elif is_interrupted:
            self._end(State.LEFT)  # the next command finds its record
        else:
            self._retry(failure.reason)

    def _retry(self, reason: str) -> None:
        # In this order: a command that is killed in between may try once more than it should, but not once less.
        (self._job.run_dir / records.RESULT).unlink(missing_ok=True)
        attempts = self._study.count_attempt(self._trial, reason)
        self._display.retried(self._line, reason, attempts, self._sweep.retries)
        self._losses.forget()
        self._train()

    def _prune(self, epochs_run: int) -> None:
        if len(self._seeds) > 1:  # its runs are complete: nothing else in the files would tell
            done = list(self._seeds[: len(self._values)])
            record = {"status": records.PRUNED, "seeds": done, "epochs_run": epochs_run}
            records.write_json(self._job.run_dir.parent / records.TRIAL, record)
        self._study.prune(self._trial, epochs_run)
        self._end(State.PRUNED)
        self._display.pruned(self._line, epochs_run)

    def _fail(self, failure: Failure) -> None:
        self._study.fail(self._trial, failure.reason, final=failure.kind is FailureKind.SAME_AGAIN)
        self.failure = failure
        self._end(State.FAILED)
        self._display.failed(self._line, failure.reason)

    def _end(self, state: State) -> None:
        self._handle, self.state = None, state
