"""Which commands that share a study are alive."""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from filelock import FileLock

from tests.sweep.fakes import forkserver
from tests.waiting import PATIENCE, wait_for
from tffd.sweep.studies import lease as lease_module
from tffd.sweep.studies.attributes import ForeignEntry
from tffd.sweep.studies.lease import Lease, is_locked
from tffd.sweep.studies.storage import open_storage

ELSEWHERE = "another-host:1-2:99-abcd"
BEAT = "tffd:beat:"


def study_in(directory: Path) -> optuna.Study:
    storage = open_storage("journal", directory).optuna
    return optuna.create_study(study_name="study", storage=storage, load_if_exists=True)


def beat(study: optuna.Study, count: int, token: str = ELSEWHERE) -> None:
    study._storage.set_study_system_attr(study._study_id, BEAT + token, count)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for the lease alone."""
    moved = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return 1000.0 + moved[0]

    monkeypatch.setattr(lease_module, "time", Clock)

    def pass_time(seconds: float) -> None:
        moved[0] += seconds

    return pass_time


def test_a_command_knows_itself_and_leaves_no_file(tmp_path: Path) -> None:
    lease = Lease(tmp_path, [study_in(tmp_path)], timeout=60)
    assert lease.is_alive(lease.token)
    with lease:
        assert lease.is_alive(lease.token)
        assert lease.path.parent == tmp_path / ".commands"
        assert is_locked(lease.path)
    assert list((tmp_path / ".commands").iterdir()) == []


def test_a_process_in_another_directory_finds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    with Lease(Path("results"), [study], timeout=60) as lease:
        monkeypatch.chdir("/")
        assert is_locked(lease.path)
        monkeypatch.chdir(tmp_path)


def test_two_commands_on_one_machine_see_each_other(tmp_path: Path) -> None:
    first, second = (Lease(tmp_path, [study_in(tmp_path)], timeout=60) for _ in range(2))
    assert first.token != second.token
    with first:
        with second:
            assert first.is_alive(second.token)
            assert second.is_alive(first.token)
        assert not first.is_alive(second.token)  # at once, whatever the timeout


def test_a_token_that_never_was_at_work_here_is_dead(tmp_path: Path) -> None:
    lease = Lease(tmp_path, [study_in(tmp_path)], timeout=60)
    place = lease.token.rpartition(":")[0]
    assert not lease.is_alive(f"{place}:1-abcd")


@pytest.mark.parametrize("file", ["../victim", "victim", "/etc/hostname", "1-abcd/../../victim", "1-abcd\n"])
def test_an_owner_that_leads_to_another_file_is_refused_and_removes_nothing(tmp_path: Path, file: str) -> None:
    lease = Lease(tmp_path, [study_in(tmp_path)], timeout=60)
    victims = [tmp_path / "victim", tmp_path / ".commands" / "victim"]
    for victim in victims:
        victim.touch()
    place = lease.token.rpartition(":")[0]
    with pytest.raises(ForeignEntry, match="which no sweep command writes"):
        lease.is_alive(f"{place}:{file}")
    assert all(victim.exists() for victim in victims)


def test_a_machine_with_an_odd_name_knows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a:b/../c d")
    first, second = (Lease(tmp_path, [study_in(tmp_path)], timeout=60) for _ in range(2))
    with first:
        assert second.is_alive(first.token)
    assert not second.is_alive(first.token)


def hold(directory: Path, answer: Connection) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Lease(directory, [study_in(directory)], timeout=60) as lease:
        answer.send(lease.token)
        signal.pause()


def test_a_killed_command_on_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    lease = Lease(tmp_path, [study_in(tmp_path)], timeout=600)
    context = forkserver()
    there, here = context.Pipe(duplex=False)
    process = context.Process(target=hold, args=(tmp_path, here))
    process.start()
    assert there.poll(60)
    token = there.recv()
    assert token.rpartition(":")[0] == lease.token.rpartition(":")[0]
    assert lease.is_alive(token)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    assert not lease.is_alive(token)
    assert list((tmp_path / ".commands").iterdir()) == []  # what it left is cleared away


def test_a_command_elsewhere_lives_while_its_counter_moves(tmp_path: Path, clock: Callable[[float], None]) -> None:
    study = study_in(tmp_path)
    lease = Lease(tmp_path, [study], timeout=60)
    for count in range(5):
        beat(study, count)
        assert lease.is_alive(ELSEWHERE)
        clock(59)
        assert lease.is_alive(ELSEWHERE)
    clock(1)
    assert not lease.is_alive(ELSEWHERE)
    beat(study, 5)  # it was only slow
    assert lease.is_alive(ELSEWHERE)


def test_a_command_elsewhere_that_never_counted_is_dead_after_the_timeout(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    lease = Lease(tmp_path, [study_in(tmp_path)], timeout=60)
    assert lease.is_alive(ELSEWHERE)
    clock(59)
    assert lease.is_alive(ELSEWHERE)
    clock(2)
    assert not lease.is_alive(ELSEWHERE)


def test_a_command_that_shares_only_one_of_its_studies_is_seen(tmp_path: Path, clock: Callable[[float], None]) -> None:
    (tmp_path / "other").mkdir()
    shared = study_in(tmp_path)
    alone = optuna.create_study(study_name="alone", storage=shared._storage)
    there = Lease(tmp_path / "other", [alone, shared], timeout=60)
    here = Lease(tmp_path, [shared], timeout=60)
    for count in range(3):
        there._write(count)
        assert here.is_alive(there.token)
        clock(50)
    clock(50)
    assert not here.is_alive(there.token)


def test_a_machine_of_the_same_name_with_another_file_system_is_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    study = study_in(tmp_path)
    here, there = Lease(tmp_path, [study], timeout=60), Lease(tmp_path / "other", [study], timeout=60)
    assert here.is_alive(there.token)  # its lock file cannot be seen from here, so its counter is waited for


def test_a_command_at_work_moves_its_counter(tmp_path: Path) -> None:
    study = study_in(tmp_path)

    def count() -> int:
        counted: int = study._storage.get_study_system_attrs(study._study_id).get(BEAT + lease.token, -1)
        return counted

    with Lease(tmp_path, [study], timeout=0.08) as lease:
        wait_for(lambda: count() >= 3)
    last = count()
    time.sleep(0.05)
    assert count() == last


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a counter that ended is seen here
@pytest.mark.parametrize(
    "error",
    [
        optuna.exceptions.StorageInternalError(),
        sqlalchemy.exc.OperationalError("update", {}, Exception("database is locked")),
        OSError(28, "No space left on device"),  # as the journal's file raises it
    ],
    ids=["optuna", "database", "disk"],
)
def test_a_storage_that_is_away_for_a_moment_does_not_end_the_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    study = study_in(tmp_path)
    write = study._storage.set_study_system_attr
    calls, written = [], []

    def away_at_first(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) < 3:
            raise error
        write(*arguments)  # type: ignore[arg-type]
        written.append(arguments[2])

    monkeypatch.setattr(study._storage, "set_study_system_attr", away_at_first)
    with Lease(tmp_path, [study], timeout=0.08) as lease:
        wait_for(lambda: len(written) >= 2 or not lease._beating.is_alive())
    assert written[:2] == [2, 3]


def test_a_lock_file_that_nobody_holds_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    path.touch()
    assert not is_locked(path)
    assert not path.exists()
    with FileLock(path):
        assert is_locked(path)
        assert path.exists()
