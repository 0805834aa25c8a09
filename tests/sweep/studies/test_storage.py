"""Where studies are kept: what opens, what is refused, and what many processes do to it at once."""

import importlib.util
import json
import os
import secrets
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from tests.sweep.fakes import config, forkserver, search
from tests.waiting import PATIENCE
from tffd.refusal import ConfigError
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.recognise import require_journal
from tffd.sweep.studies.storage import Storage, _PostgresLock, name_storage, open_storage
from tffd.sweep.studies.study import ResumableStudy

POSTGRES = os.environ.get("TFFD_TEST_POSTGRES")
postgres = pytest.param(
    "postgres",
    marks=[
        pytest.mark.postgres,
        pytest.mark.skipif(POSTGRES is None, reason="TFFD_TEST_POSTGRES holds no address of a PostgreSQL server"),
    ],
)
KINDS = ["sqlite", "journal", postgres]


def address_of(kind: str) -> str | None:
    return {"sqlite": None, "journal": "journal", "postgres": POSTGRES}[kind]


def finish_a_trial(storage: Storage, name: str) -> None:
    study = optuna.create_study(study_name=name, storage=storage.optuna, load_if_exists=True)
    study.tell(study.ask(), 1.0)


def count(storage: Storage, name: str) -> int:
    return len(optuna.load_study(study_name=name, storage=storage.optuna).trials)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Storage]]:
    """Open a storage; connections to a server are closed at the end."""
    storages = []

    def open_kind(kind: str) -> Storage:
        storages.append(open_storage(address_of(kind), tmp_path))
        return storages[-1]

    yield open_kind
    for storage in storages:
        if isinstance(storage.optuna, RDBStorage):
            storage.optuna.remove_session()
            storage.optuna.engine.dispose()


@pytest.fixture
def name() -> str:
    """A study's name that no other test has, for a server that keeps them."""
    return f"test-{secrets.token_hex(6)}"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_there_when_it_is_opened_again(
    kind: str, opened: Callable[[str], Storage], name: str
) -> None:
    finish_a_trial(opened(kind), name)
    again = opened(kind)
    finish_a_trial(again, name)
    assert count(again, name) == 2


def test_files_lie_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    for address, path in [
        (None, tmp_path / "sweep" / "study.db"),
        ("journal", tmp_path / "sweep" / "study.journal"),
        (f"journal://{tmp_path}/far/j.log", tmp_path / "far" / "j.log"),
        (f"sqlite:///{tmp_path}/other.db", tmp_path / "other.db"),
    ]:
        storage = open_storage(address, tmp_path / "sweep")
        assert path.exists()
        assert (tmp_path / "sweep" / name_storage(address, tmp_path / "sweep")).resolve() == path
        assert path.with_name(f".{path.name}.lock").exists()
        assert isinstance(storage.optuna, JournalStorage) == (address is not None and address.startswith("journal"))


def test_a_busy_study_is_a_journal_unless_there_is_a_database_already(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    assert isinstance(open_storage(None, first, busy=True).optuna, JournalStorage)
    assert isinstance(open_storage(None, first).optuna, JournalStorage)  # the pruner was left out later
    assert isinstance(open_storage(None, second).optuna, RDBStorage)
    assert isinstance(open_storage(None, second, busy=True).optuna, RDBStorage)


@pytest.mark.parametrize(
    "address",
    ["mysql://user@host/db", "mysql+pymysql://user@host/db", "sqlite://", "redis://host", "x"],
)
def test_other_kinds_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(address, tmp_path)
    (fault,) = caught.value.faults
    assert fault.startswith(f"the study's storage {address} cannot be opened (")
    assert "name another with sweep.storage=..." in fault
    if "://" in address and "redis" not in address:
        assert "journal:///path, sqlite:///path or postgresql+psycopg://user@host/db" in fault
    assert list(tmp_path.iterdir()) == []


def test_a_database_in_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is of no kind that several commands can share"):
        open_storage("sqlite:///:memory:", tmp_path)


def test_the_name_of_a_storage_holds_no_password_and_no_place(tmp_path: Path) -> None:
    assert name_storage(None, tmp_path / "a") == name_storage(None, tmp_path / "b") == "study.db"
    assert name_storage(f"sqlite:///{tmp_path}/study.db", tmp_path) == "study.db"
    assert name_storage("journal", tmp_path) == "study.journal"
    for address in ("postgresql+psycopg://user:secret@host:1/db", "postgresql+psycopg://user@other/db"):
        assert name_storage(address, tmp_path) == "postgresql:///db"


@pytest.mark.parametrize(
    "name",
    [
        "two words",
        "a#b@c",
        "100%25",
        "a?b",
    ],
)
def test_the_database_lies_in_the_sweeps_directory_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    open_storage(None, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "study.db").exists()


def test_a_journal_whose_slashes_are_forgotten_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        open_storage("journal:study.log", tmp_path)


def test_a_database_in_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/file/study.db", tmp_path)


def test_a_server_that_is_not_there_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage("postgresql+psycopg://user:secret@127.0.0.1:1/db", tmp_path)
    assert "postgresql+psycopg://user:***@127.0.0.1:1/db cannot be opened" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("psycopg2") is not None, reason="the other driver is installed here")
def test_a_driver_that_is_not_there_is_named_with_what_brings_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"pip install -e '\.\[cluster\]' brings the driver of postgresql\+psycopg://"
    ):
        open_storage("postgresql+psycopg2://user@127.0.0.1:1/db", tmp_path)


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "work', b"\0" * 100, b"{"])
def test_a_torn_last_line_of_a_journal_is_dropped_and_the_study_goes_on(tmp_path: Path, torn: bytes) -> None:
    finish_a_trial(open_storage("journal", tmp_path), "study")
    path = tmp_path / "study.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    again = open_storage("journal", tmp_path)
    assert path.read_bytes() == whole
    finish_a_trial(again, "study")
    assert count(again, "study") == 2
    lines = path.read_bytes().splitlines()
    assert all(json.loads(line) for line in lines)
    assert count(open_storage("journal", tmp_path), "study") == 2


def test_a_journal_cut_off_in_its_first_line_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_bytes(b'{"op_code"')
    storage = open_storage("journal", tmp_path)
    assert (tmp_path / "study.journal").read_bytes() == b""
    finish_a_trial(storage, "study")
    assert count(storage, "study") == 1


JOURNAL_LINE = b'{"op_code":0,"worker_id":"a","study_name":"x","directions":[2]}\n'


@pytest.mark.parametrize(
    "content",
    [
        b"a shopping list without an end of line",
        b'{"notes": "JSON of another program"}',
        b'{"notes": 1}\n{"op_code": 0}',
        b"\0" * 100,
        b"[1]\n2",
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any file"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="it is no journal of a study"):
        open_storage(f"journal://{path}", tmp_path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_is_not_the_journals_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text("mine")
    with pytest.raises(ConfigError, match="poetry.lock is no lock of a journal"):
        open_storage(f"journal://{tmp_path}/poetry", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["poetry.lock"]


def test_the_lock_that_a_killed_command_left_beside_a_journal_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_bytes(JOURNAL_LINE)
    (tmp_path / "study.journal.lock").symlink_to("/elsewhere/study.journal")
    require_journal(tmp_path / "study.journal")


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_text("Dear all,\n" * 1000)
    with pytest.raises(ConfigError, match="it is no SQLite database"):
        open_storage(f"sqlite:///{path}", tmp_path)
    assert path.read_text() == "Dear all,\n" * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "places.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table bookmarks (title text)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is of another program: it has a table 'bookmarks'"):
        open_storage(f"sqlite:///{path}", tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(ConfigError, match="is no regular file"):
        open_storage(f"{kind}:///{tmp_path}/x".replace("journal:////", "journal:///"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_directory_that_takes_no_files_is_refused_at_once(tmp_path: Path) -> None:
    for address in ("sqlite:////proc/x.db", "journal:///proc/x"):
        with pytest.raises(ConfigError, match="/proc is not writable"):
            open_storage(address, tmp_path)


def test_a_database_that_is_empty_or_that_optuna_made_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.touch()
    finish_a_trial(open_storage(None, tmp_path), "study")
    assert count(open_storage(None, tmp_path), "study") == 1


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_bytes(b"no journal\nat all\n")
    with pytest.raises(ConfigError, match="the study's storage journal cannot be opened"):
        open_storage("journal", tmp_path)


@pytest.mark.parametrize(
    "line", [b"no journal", b"[1,2]", b"null", b'{"op_code":777}', b'{"op_code":4}', b'{"op_code":9,"trial_id":[]}']
)
def test_a_journal_with_a_line_of_another_form_is_refused(tmp_path: Path, line: bytes) -> None:
    finish_a_trial(open_storage("journal", tmp_path), "study")
    path = tmp_path / "study.journal"
    before = path.read_bytes() + line + b"\n"
    path.write_bytes(before)
    with pytest.raises(ConfigError, match="is of no form that a study has"):
        open_storage("journal", tmp_path)
    assert path.read_bytes() == before


def use(address: str | None, directory: Path, name: str, together: Barrier, answer: Connection) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    together.wait(timeout=PATIENCE)
    try:
        finish_a_trial(open_storage(address, directory), name)
        answer.send("fine")
    except BaseException as error:
        answer.send(f"{type(error).__name__}: {error}")


@pytest.fixture
def unused(name: str) -> Iterator[Callable[[str], str | None]]:
    """The address of a database of some kind in which there is nothing yet, not even a table."""
    engines = []

    def make(kind: str) -> str | None:
        if POSTGRES is None or kind != "postgres":
            return address_of(kind)
        engines.append(sqlalchemy.create_engine(POSTGRES, isolation_level="AUTOCOMMIT", poolclass=NullPool))
        with engines[0].connect() as server:
            server.execute(sqlalchemy.text(f'create database "{name}"'))
        return make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)

    yield make
    for engine in engines:
        with engine.connect() as server:
            server.execute(sqlalchemy.text(f'drop database "{name}" with (force)'))


@pytest.mark.parametrize("kind", KINDS)
def test_six_processes_create_one_database_at_once(
    tmp_path: Path, kind: str, unused: Callable[[str], str | None], name: str
) -> None:
    address = unused(kind)
    context = forkserver()
    together = context.Barrier(6)
    pipes = [context.Pipe(duplex=False) for _ in range(6)]
    processes = [context.Process(target=use, args=(address, tmp_path, name, together, end)) for _, end in pipes]
    for process in processes:
        process.start()
    answers = [pipe.recv() if pipe.poll(PATIENCE) else "silence" for pipe, _ in pipes]
    for process in processes:
        process.join(timeout=PATIENCE)
    assert answers == ["fine"] * 6
    storage = open_storage(address, tmp_path).optuna
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def hold(kind: str, directory: Path, answer: Connection) -> None:
    with open_storage(address_of(kind), directory).lock:
        answer.send("held")
        signal.pause()


@pytest.mark.parametrize("kind", KINDS)
def test_the_lock_keeps_other_processes_out_and_is_free_when_its_holder_is_killed(
    tmp_path: Path, kind: str, opened: Callable[[str], Storage]
) -> None:
    ours = opened(kind)
    context = forkserver()
    there, here = context.Pipe(duplex=False)
    holder = context.Process(target=hold, args=(kind, tmp_path, here))
    holder.start()
    assert there.poll(60)
    assert there.recv() == "held"
    if isinstance(ours.lock, FileLock):
        with pytest.raises(Timeout):
            ours.lock.acquire(timeout=0.1)
    else:
        assert isinstance(ours.lock, _PostgresLock)
        tried = sqlalchemy.text("select pg_try_advisory_lock(:key)")
        with sqlalchemy.create_engine(str(POSTGRES), poolclass=NullPool).connect() as server:
            assert server.execute(tried, {"key": ours.lock._key}).scalar() is False
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(timeout=PATIENCE)
    with ours.lock:
        if isinstance(ours.lock, _PostgresLock):
            assert ours.lock._connection is not None
            idle = ours.lock._connection.execute(sqlalchemy.text("show tcp_keepalives_idle")).scalar()
            assert idle in ("30", "0")  # by a socket of this machine there are none


@pytest.mark.parametrize("kind", [postgres])
def test_a_server_has_a_lock_for_each_study(kind: str, opened: Callable[[str], Storage], name: str) -> None:
    tried = sqlalchemy.text("select pg_try_advisory_lock(:key)")
    storage = opened(kind)
    with storage.lock_of(name), storage.lock, storage.lock_of("another"):  # none of them waits for the others
        ours = storage.lock_of(name)
        assert isinstance(ours, _PostgresLock)
        with sqlalchemy.create_engine(str(POSTGRES), poolclass=NullPool).connect() as server:
            assert server.execute(tried, {"key": ours._key}).scalar() is False


def test_a_file_has_one_lock_for_all_its_studies(tmp_path: Path) -> None:
    storage = open_storage("journal", tmp_path)
    assert storage.lock_of("a") is storage.lock_of("b") is storage.lock


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_is_kept_in_every_kind(tmp_path: Path, kind: str, opened: Callable[[str], Storage], name: str) -> None:
    settings = config().model_copy(update={"name": name})
    for done in (2, 1):
        study = ResumableStudy(search(3, 8e-4), settings, opened(kind))
        with Lease(tmp_path, [study.optuna], timeout=60) as lease:
            for _ in range(done):
                claim = study.claim(lease)
                assert claim is not None
                study.succeed(claim.trial, [float(claim.number)])
    assert [(trial.number, trial.state, trial.value) for trial in study.trials()] == [
        (number, TrialState.COMPLETE, float(number)) for number in range(3)
    ]
    assert study.trials()[0].params == {"lambda_intra": 8e-4}
