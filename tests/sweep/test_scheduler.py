"""How trials are handed out, with runs played from a script: totals, failures, commands that share a study."""

import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from tests.sweep.fakes import (
    COMPLETE_STATE,
    FAIL,
    MEDIAN,
    RUNNING,
    Act,
    Opened,
    acts,
    config,
    failing,
    good,
    grid,
    open_sweep,
    record_of,
    search,
    states,
)
from tests.waiting import PATIENCE, wait_for
from tffd import records
from tffd.failures import FailureKind
from tffd.records import RESULT
from tffd.sweep import scheduler as scheduler_module
from tffd.sweep.studies.attributes import ForeignEntry
from tffd.sweep.studies.storage import StorageLost, open_storage
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.summary import summary_lines
from tffd.sweep.worker import Job

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def signals_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the main thread may set handlers; commands that run in others here get none."""

    class NoRequests:
        count = 0

        def __enter__(self) -> "NoRequests":
            return self

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(scheduler_module, "StopRequests", NoRequests)


def test_complete_trials_have_the_values_of_their_records(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(4, 8e-4), config(), slots=2)
    assert sweep.run() == 0
    trials = sweep.studies[0].trials()
    assert states(sweep) == [COMPLETE_STATE] * 4
    assert [trial.value for trial in trials] == [
        record_of(tmp_path, f"search/{number:04d}")["val_top1"] for number in range(4)
    ]
    assert trials[0].params == {"lambda_intra": 8e-4}
    assert sweep.executor.started == [f"search/{number:04d}" for number in range(4)]
    assert sweep.executor.closed
    assert "[4/4] search/0003" in sweep.output.getvalue()


def test_the_same_command_again_starts_nothing(tmp_path: Path) -> None:
    open_sweep(tmp_path, grid(0, 1), config()).run()
    again = open_sweep(tmp_path, grid(0, 1), config())
    assert again.run() == 0
    assert again.executor.started == []


def test_a_record_that_is_gone_is_named(tmp_path: Path) -> None:
    """The study has its value and runs it no more, so that "2 of 2 complete" alone would hide what tables lack."""
    sweep = open_sweep(tmp_path, grid(0, 1), config())
    sweep.run()
    plan: Any = SimpleNamespace(objectives=["val_top1"])
    assert not any(line.startswith("caution") for line in summary_lines(plan, sweep.studies, tmp_path))
    (tmp_path / "grid" / "0001" / RESULT).unlink()
    (told,) = (line for line in summary_lines(plan, sweep.studies, tmp_path) if line.startswith("caution"))
    assert "1 complete trial without a record" in told and "grid/0001" in told and "grid/0000" not in told


def test_too_many_failures_stop_the_sweep(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, grid(*range(10)), config(retries=0, max_failure_rate=0.2), acts(failing()))
    assert sweep.run() == 3
    assert states(sweep) == [FAIL] * 3 + [TrialState.WAITING] * 7
    assert "Stopping: 3 of 10 trials failed, more than sweep.max_failure_rate=0.2 allows" in sweep.output.getvalue()


def test_a_teacher_that_nobody_can_learn_from_is_refused_once(tmp_path: Path) -> None:
    """Not tried again, nor by the other students, though as many may fail as will."""
    weak = acts(failing("WeakTeacher: the teacher has 10.00 % right", FailureKind.TEACHER))
    sweep = open_sweep(tmp_path, grid(*range(10)), config(retries=1, max_failure_rate=1), weak)
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"]
    assert states(sweep) == [FAIL] + [TrialState.WAITING] * 9
    assert "Stopping: there is no teacher to learn from, for the trials to come either." in sweep.output.getvalue()


def test_what_runs_may_end_when_too_many_failed(tmp_path: Path) -> None:
    def script(job: Job, attempt: int) -> Act:
        return failing() if job.number < 2 else Act([4.0] * 9)

    sweep = open_sweep(tmp_path, grid(*range(10)), config(retries=0, max_failure_rate=0.1), script, slots=3)
    assert sweep.run() == 2
    assert [trial.state for trial in sweep.studies[0].trials()[:4]] == [FAIL, FAIL, COMPLETE_STATE, TrialState.WAITING]


def in_commit(cause: Exception) -> Exception:
    """An error as Optuna raises it, whatever the cause."""
    error = optuna.exceptions.StorageInternalError("This typically happens due to invalid data in the commit")
    error.__cause__ = sqlalchemy.exc.OperationalError("insert", {}, cause)
    error.__cause__.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (optuna.exceptions.StorageInternalError("gone"), "gone"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (in_commit(sqlite3.OperationalError("database or disk is full")), "database or disk is full"),
        (
            in_commit(sqlite3.OperationalError("attempt to write a readonly database")),
            "attempt to write a readonly database; was its file removed?",
        ),
        (KeyError("Record does not exist."), "the study was deleted"),
        (ForeignEntry("trial 3", "owner", 1), "trial 3 has owner=1, which no sweep command writes"),
    ],
    ids=["server", "disk", "full", "removed", "deleted", "foreign"],
)
def test_a_study_that_is_lost_leaves_checkpoints_and_the_next_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    script = acts(Act([1.0] * 50, after_epoch=lambda epoch: lose() if epoch == 2 else None))
    sweep = open_sweep(tmp_path, search(3), config(pruner=MEDIAN), script, slots=2)

    def lose() -> None:
        def lost(*arguments: object) -> None:
            raise error

        monkeypatch.setattr(sweep.studies[0], "report", lost)

    with pytest.raises(StorageLost, match=re.escape(reason)):
        sweep.run()
    assert f"cannot be read or written any more: {reason}" in sweep.output.getvalue()
    assert "The trials at work (2) write a checkpoint after this epoch" in sweep.output.getvalue()
    assert "Interrupted" not in sweep.output.getvalue()  # for nobody did
    assert "invalid data" not in sweep.output.getvalue()
    assert sweep.executor.closed
    assert [(tmp_path / "search" / f"{number:04d}" / RESULT).exists() for number in range(2)] == [False] * 2
    monkeypatch.undo()
    again = open_sweep(tmp_path, search(3), config(), good)
    assert again.run() == 0
    assert again.executor.started == [f"search/{number:04d}" for number in range(3)]
    assert states(again) == [COMPLETE_STATE] * 3


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lambda study, path: path.unlink(), "was its file removed"),
        (lambda study, path: optuna.delete_study(study_name=study.name, storage=study.optuna._storage), "was deleted"),
    ],
    ids=["file", "study"],
)
def test_a_study_that_somebody_removes_is_told(
    tmp_path: Path, lose: Callable[[ResumableStudy, Path], None], reason: str
) -> None:
    act = Act(after_epoch=lambda epoch: lose(sweep.studies[0], tmp_path / "study.db") if epoch == 2 else None)
    sweep = open_sweep(tmp_path, grid(0, 1), config(), acts(act), storage=open_storage(None, tmp_path))
    with pytest.raises(StorageLost, match=reason):
        sweep.run()


def test_a_disk_without_room_even_for_the_request_to_stop_ends_the_sweep_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = acts(Act([1.0] * 50, after_epoch=lambda epoch: fill() if epoch == 2 else None))
    sweep = open_sweep(tmp_path, search(3), config(pruner=MEDIAN), script, slots=2)

    def fill() -> None:
        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(sweep.studies[0], "report", full)
        monkeypatch.setattr(records, "ask_to_stop", full)

    with pytest.raises(StorageLost, match="No space left on device"):
        sweep.run()
    assert sweep.executor.closed
    monkeypatch.undo()
    assert states(open_sweep(tmp_path, search(3), config())) == [RUNNING] * 2  # the next command goes on with them


def test_an_error_of_ours_is_none_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = open_sweep(tmp_path, grid(0), config())

    def broken(*arguments: object) -> None:
        raise KeyError("epoch")

    monkeypatch.setattr(sweep.studies[0], "succeed", broken)
    with pytest.raises(KeyError, match="epoch"):
        sweep.run()


@pytest.mark.parametrize(("slots", "pause"), [(1, 1.0), (32, 1.0), (64, 2.0)])
def test_the_more_is_at_work_the_less_often_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int, pause: float
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(scheduler_module, "_POLL_SECONDS", 1.0)
    monkeypatch.setattr(scheduler_module, "time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic))
    open_sweep(tmp_path, grid(*range(slots)), config(), slots=slots).run()
    assert pauses[0] == pause


def test_the_next_trial_begins_as_soon_as_one_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, events = open_sweep(tmp_path, grid(0, 1, 2), config()), []

    def noting(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (events.append(name), work(*arguments))[1]

    monkeypatch.setattr(sweep.studies[0], "succeed", noting("end", sweep.studies[0].succeed))
    monkeypatch.setattr(sweep.executor, "start", noting("begin", sweep.executor.start))
    clock = SimpleNamespace(sleep=noting("pause", time.sleep), monotonic=time.monotonic)
    monkeypatch.setattr(scheduler_module, "time", clock)
    sweep.run()
    assert [event for before, event in pairwise(events) if before == "end"] == ["begin"] * 2


def test_a_command_that_waits_for_another_says_so_once(tmp_path: Path, signals_in_threads: None) -> None:
    first = open_sweep(tmp_path, grid(0), config())
    with first.lease:
        claim = first.studies[0].claim(first.lease)
        assert claim is not None
        second = open_sweep(tmp_path, grid(0), config())
        waiting = threading.Thread(target=second.run)
        waiting.start()
        told = "Waiting: what is left (1) is at work for another command."
        wait_for(lambda: told in second.output.getvalue())
        time.sleep(0.1)
        first.studies[0].succeed(claim.trial, [1.0])
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    assert second.output.getvalue().count("at work for another command.") == 1
    assert second.executor.started == []


def meeting() -> Callable[[Job, int], Act]:
    """Every run waits in its first epoch until two commands have one, but for the last one that is left alone."""
    both = threading.Barrier(2)

    def wait(epoch: int) -> None:
        if not both.broken:
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=10)
                both.abort()

    return lambda job, attempt: Act(after_epoch=wait)


@pytest.mark.parametrize("address", [None, "journal"])
def test_two_commands_make_the_trials_of_a_search_together(
    tmp_path: Path, signals_in_threads: None, address: str | None
) -> None:
    script = meeting()
    sweeps = [
        open_sweep(tmp_path, search(9), config(), script, slots=2, storage=open_storage(address, tmp_path))
        for _ in range(2)
    ]
    run_together(sweeps)
    check_shared(sweeps, "search", 9)
    points = [str(trial.params) for trial in sweeps[0].studies[0].trials()]
    assert len(set(points)) == 9


def test_two_commands_make_the_cells_of_a_grid_together(tmp_path: Path, signals_in_threads: None) -> None:
    script = meeting()
    sweeps = [open_sweep(tmp_path, grid(*range(9)), config(), script, slots=2) for _ in range(2)]
    run_together(sweeps)
    check_shared(sweeps, "grid", 9)


def run_together(sweeps: list[Opened]) -> None:
    errors: list[BaseException] = []

    def run(sweep: Opened) -> None:
        try:
            assert sweep.run() == 0
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(sweep,)) for sweep in sweeps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []


def check_shared(sweeps: list[Opened], key: str, n_trials: int) -> None:
    started = [name for sweep in sweeps for name in sweep.executor.started]
    assert sorted(started) == [f"{key}/{number:04d}" for number in range(n_trials)]
    assert [trial.state for trial in sweeps[0].studies[0].trials()] == [COMPLETE_STATE] * n_trials
    assert all(sweep.executor.started for sweep in sweeps)


def test_a_command_waits_for_trials_of_another_and_takes_up_what_it_leaves(
    tmp_path: Path, signals_in_threads: None
) -> None:
    first, second = (open_sweep(tmp_path, search(1), config()) for _ in range(2))
    with first.lease:
        claim = first.studies[0].claim(first.lease)
        thread = threading.Thread(target=second.run)
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        assert second.executor.started == []
    thread.join(PATIENCE)  # the first has ended without a word
    assert not thread.is_alive()
    assert claim is not None
    assert second.executor.started == ["search/0000"]
    assert second.studies[0].trials()[0].params == dict(claim.values)
