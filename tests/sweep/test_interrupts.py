"""What Ctrl-C does to a sweep, with runs played from a script."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.sweep.fakes import (
    COMPLETE_STATE,
    HANGS,
    RUNNING,
    Act,
    acts,
    config,
    grid,
    open_sweep,
    search,
    states,
)
from tests.waiting import PATIENCE
from tffd.failures import Failure, FailureKind
from tffd.records import FAILED, read_result
from tffd.sweep.processes import without_interrupts
from tffd.sweep.worker import Job

pytestmark = pytest.mark.usefixtures("no_waiting")


def interrupt(*numbers: int) -> Callable[[int], None]:
    """Send signals to this process after the first epoch."""

    def after_epoch(epoch: int) -> None:
        if epoch == 1:
            for number in numbers:
                os.kill(os.getpid(), number)

    return after_epoch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_lets_runs_end_after_their_epoch_and_keeps_them(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(number)
    long = Act([float(epoch) for epoch in range(9)], after_epoch=interrupt(number))
    sweep = open_sweep(tmp_path, grid(0, 1, 2), config(), acts(long), slots=2)
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING, RUNNING, TrialState.WAITING]
    assert sweep.executor.closed
    assert "Interrupted: 2 trials write a checkpoint after this epoch" in sweep.output.getvalue()
    assert [read_result(tmp_path / "grid" / f"{i:04d}") for i in (0, 1)] == [None, None]
    assert signal.getsignal(number) is before

    again = open_sweep(tmp_path, grid(0, 1, 2), config(), acts(Act([2.0] * 9)), slots=2)
    assert again.run() == 0
    assert states(again) == [COMPLETE_STATE] * 3
    assert sorted(again.executor.started) == ["grid/0000", "grid/0001", "grid/0002"]


def test_a_sweep_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        act = Act(after_epoch=interrupt(signal.SIGHUP))
        assert open_sweep(tmp_path, grid(0, 1), config(), acts(act)).run() == 0
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_a_sweep_in_the_background_of_a_script_can_be_asked_to_end(tmp_path: Path) -> None:
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        act = Act([float(epoch) for epoch in range(9)], after_epoch=interrupt(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            open_sweep(tmp_path, grid(0, 1), config(), acts(act)).run()
    finally:
        signal.signal(signal.SIGINT, earlier)


def test_a_process_that_is_started_apart_never_sees_what_a_terminal_sends(tmp_path: Path) -> None:
    with without_interrupts():
        process = subprocess.Popen(["sleep", "60"])
    for number in (signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    blocked = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigBlk" in line)
    assert int(blocked.split()[1], 16) & 0b11 == 0b11  # signals 1 and 2
    process.terminate()
    assert process.wait(PATIENCE) == -signal.SIGTERM


def test_a_run_that_ends_at_the_interrupt_is_recorded(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(0, 1), config(), acts(Act((6.0, 7.0), after_epoch=interrupt(signal.SIGINT))))
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [COMPLETE_STATE, TrialState.WAITING]
    assert sweep.executor.started == ["grid/0000"]


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    endless = Act((1.0,), HANGS, after_epoch=interrupt(signal.SIGINT, signal.SIGTERM))
    sweep = open_sweep(tmp_path, grid(0, 1), config(), acts(endless))
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING, TrialState.WAITING]
    assert sweep.executor.cancelled


def test_only_a_second_interrupt_cancels_jobs(tmp_path: Path) -> None:
    """What goes on elsewhere is found by the next command, whatever went wrong in this one."""
    for name in ("once", "surprised"):
        (tmp_path / name).mkdir()
    act = Act((6.0, 7.0), after_epoch=interrupt(signal.SIGINT))
    once = open_sweep(tmp_path / "once", grid(0), config(), acts(act))
    with pytest.raises(KeyboardInterrupt):
        once.run()

    def broken(job: Job, attempt: int) -> Act:
        raise RuntimeError("a bug")

    surprised = open_sweep(tmp_path / "surprised", grid(0), config(), broken)
    with pytest.raises(RuntimeError, match="a bug"):
        surprised.run()
    for sweep in (once, surprised):
        assert (sweep.executor.closed, sweep.executor.cancelled) == (True, False)
    assert states(surprised) == [RUNNING]


def test_a_failure_at_the_interrupt_is_left_to_the_next_command(tmp_path: Path) -> None:
    act = Act((1.0, 2.0), FAILED, after_epoch=interrupt(signal.SIGINT))
    sweep = open_sweep(tmp_path, grid(0), config(retries=1), acts(act))
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING]
    again = open_sweep(tmp_path, grid(0), config(retries=1))
    assert again.run() == 0, again.output.getvalue()
    assert again.studies[0].trials()[0].user_attrs["failed_attempts"] == ["RuntimeError: broken"]


def test_an_interrupt_begins_no_further_seed(tmp_path: Path) -> None:
    act = Act((6.0, 7.0), after_epoch=interrupt(signal.SIGINT))
    sweep = open_sweep(tmp_path, search(1), config(seeds=[1, 2, 3]), lambda job, attempt: act)
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert sweep.executor.started == ["search/0000/seed1"]
    assert states(sweep) == [RUNNING]
    again = open_sweep(tmp_path, search(1), config(seeds=[1, 2, 3]))
    assert again.run() == 0
    assert again.executor.started == ["search/0000/seed2", "search/0000/seed3"]


def test_an_interrupt_before_a_run_has_made_its_directory(tmp_path: Path) -> None:
    class Slow:
        """A process that has not come to its first line."""

        def __init__(self) -> None:
            self.looks = 0

        def has_ended(self) -> bool:
            self.looks += 1
            if self.looks == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return self.looks > 3

        def failure(self) -> Failure:
            return Failure(FailureKind.LOST, "it was stopped")

        def seconds(self) -> float:
            return 0.1

        def stop(self) -> None:
            pass

    sweep = open_sweep(tmp_path, grid(0), config())
    sweep.executor.start = lambda job: Slow()  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert states(sweep) == [RUNNING]


def test_jobs_that_wait_in_a_queue_are_taken_out_of_it_by_an_interrupt(tmp_path: Path) -> None:
    class Waiting:
        stopped = False

        def has_ended(self) -> bool:
            if not self.stopped:
                os.kill(os.getpid(), signal.SIGINT)
            return self.stopped

        def failure(self) -> Failure:
            return Failure(FailureKind.LOST, "it was cancelled")

        def seconds(self) -> float:
            return 0.0

        def stop(self) -> None:
            self.stopped = True

    sweep = open_sweep(tmp_path, grid(0), config())
    waiting = Waiting()
    sweep.executor.start = lambda job: waiting  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert waiting.stopped
    assert states(sweep) == [RUNNING]


def test_a_job_that_is_back_in_the_queue_is_taken_out_of_it_after_an_interrupt(tmp_path: Path) -> None:
    class Requeued:
        looks = 0
        stopped = False

        def has_ended(self) -> bool:
            self.looks += 1
            if self.looks == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return self.stopped

        def failure(self) -> Failure:
            return Failure(FailureKind.LOST, "it was cancelled")

        def seconds(self) -> float:
            return 5.0 if self.looks < 4 else 0.0

        def stop(self) -> None:
            self.stopped = True

    sweep = open_sweep(tmp_path, grid(0), config())
    requeued = Requeued()
    sweep.executor.start = lambda job: requeued  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    assert (requeued.stopped, requeued.looks >= 4) == (True, True)
    assert states(sweep) == [RUNNING]
