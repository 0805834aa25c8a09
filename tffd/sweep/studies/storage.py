"""Where studies are kept: SQLite, a journal file or PostgreSQL, each with a lock that spans processes and machines."""

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from tffd.files import writable_fault
from tffd.passwords import without_password
from tffd.refusal import ConfigError
from tffd.sweep.optuna_private import NOT_FOUND_MSG
from tffd.sweep.studies.attributes import ForeignEntry
from tffd.sweep.studies.recognise import is_of_journal, require_journal, require_sqlite

_KINDS = (
    "journal (a file in the sweep's directory), journal:///path, sqlite:///path or postgresql+psycopg://user@host/db"
)
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError, OSError, ForeignEntry)
"""What Optuna's storages raise while a server is away or a disk is full, and what we raise over a foreign entry."""

_WITHOUT_FILE = ("attempt to write a readonly database", "no such table")
"""What SQLite says when its file has been removed."""

_SECONDS_TO_WAIT = 60  # for another process's write to SQLite


@dataclass(frozen=True)
class Storage:
    """An open storage.

    Attributes:
        optuna: What Optuna's studies are opened with.
        lock: Held by one process at a time; free again when its holder dies.
        lock_of_study: From a study's name to a lock of its own, where the storage can have many.
    """

    optuna: optuna.storages.BaseStorage
    lock: AbstractContextManager[object]
    lock_of_study: Callable[[str], AbstractContextManager[object]] | None = None

    def lock_of(self, study: str) -> AbstractContextManager[object]:
        """What is held while one command of several decides what it does next in a study."""
        return self.lock if self.lock_of_study is None else self.lock_of_study(study)

    def count_trials(self, study: str) -> int:
        """How many trials a study has, 0 if there is no such study."""
        try:
            return self.optuna.get_n_trials(self.optuna.get_study_id_from_name(study))
        except KeyError:
            return 0


def open_storage(address: str | None, directory: Path, busy: bool = False) -> Storage:
    """Open the storage of a sweep, and create it once, however many commands start together.

    Args:
        address: `sweep.storage`; None for study.db in the sweep's directory, or the journal that is there already.
        directory: The directory of the sweep.
        busy: Whether so much will be told to it, or asked of it, that a new one is better a journal: SQLite takes ten
            times the processor time (benchmarks/README.md).
    Raises:
        ConfigError: If the address is of no known kind, there is no such database, or the file is damaged.
    """
    try:
        place = _locate(address, directory, busy)
        if isinstance(place, Path):
            return _open_journal(place)
        if place.get_backend_name() == "sqlite":
            return _open_sqlite(place)
        lock = _PostgresLock(place, "")
        with lock:
            # A search outlives many a connection.
            database = optuna.storages.RDBStorage(place.render_as_string(False), engine_kwargs={"pool_pre_ping": True})
        return Storage(database, lock, lambda study: _PostgresLock(place, study))
    except (SQLAlchemyError, sqlite3.Error, ImportError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        shown = without_password(address or directory / "study.db")
        raise ConfigError(
            [f"the study's storage {shown} cannot be opened ({reason}); {_remedy(error, shown)}"]
        ) from error


def _remedy(error: Exception, address: str) -> str:
    if isinstance(error, ImportError):
        return "pip install -e '.[cluster]' brings the driver of postgresql+psycopg://"
    damaged = "" if address.startswith("postgresql") else "move a damaged file away, or "
    return f"{damaged}name another with sweep.storage=..."


def name_storage(address: str | None, directory: Path, busy: bool = False) -> str:
    """Name what `open_storage` would open: the same wherever the sweep's directory lies, and without a password."""
    try:
        place = _locate(address, directory, busy)
    except ValueError:
        return without_password(address)  # opening it says what is wrong
    if isinstance(place, Path):
        return os.path.relpath(place, directory)
    if place.get_backend_name() == "sqlite":
        return os.path.relpath(str(place.database), directory)
    return f"postgresql:///{place.database}"  # hosts have many names


def is_lacking(address: str | None, directory: Path, busy: bool = False) -> bool:
    """Tell whether what `open_storage` would open is a file that is not there yet."""
    try:
        place = _locate(address, directory, busy)
    except ValueError:
        return False  # opening it says what is wrong
    path = place if isinstance(place, Path) else Path(str(place.database))
    return (isinstance(place, Path) or place.get_backend_name() == "sqlite") and not path.exists()


def _locate(address: str | None, directory: Path, busy: bool) -> Path | URL:
    """The path of a journal, or the URL of a database.

    Raises:
        ValueError: If the address is of no known kind.
    """
    journal, database = directory / "study.journal", directory / "study.db"
    by_default = address is None and not database.exists() and (busy or journal.exists())
    if address == "journal" or by_default:
        return journal
    if address is not None and address.startswith("journal:///"):
        return Path(address.removeprefix("journal://"))
    try:
        url = make_url(address) if address else URL.create("sqlite", database=str(database))
    except (SQLAlchemyError, ValueError):  # whose words may hold a part of the password
        raise ValueError(f"is no address; there are {_KINDS}") from None
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    if not in_file and url.get_backend_name() != "postgresql":
        raise ValueError(f"is of no kind that several commands can share; there are {_KINDS}")
    return url


def is_of_storage(error: BaseException) -> bool:
    """Tell whether an error is a storage's: it does not answer, or the study that it kept was deleted."""
    return isinstance(error, STORAGE_ERRORS) or (isinstance(error, KeyError) and NOT_FOUND_MSG in str(error))


def reason_of(error: BaseException) -> str:
    """Say in a line why a storage failed: in the words of its first cause, not of what was raised from it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, KeyError):
        return "the study was deleted"
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"{reason}; was its file removed?" if reason.startswith(_WITHOUT_FILE) else reason


class StorageLost(Exception):
    """The storage of a running sweep does not answer any more, or the disk is full. What is there can go on later."""


class _PostgresLock:
    """An advisory lock of the server, on a connection of its own: the server frees it when its holder is gone.

    Args:
        url: The address of the database.
        study: Whose lock it is; "" for that of the whole database.
    """

    def __init__(self, url: URL, study: str) -> None:
        self._engine = sqlalchemy.create_engine(url, poolclass=NullPool)
        self._key = int.from_bytes(hashlib.sha256(f"tffd {study}".encode()).digest()[:8], signed=True)
        self._connection: sqlalchemy.Connection | None = None

    def __enter__(self) -> None:
        self._connection = self._engine.connect()
        # A machine that loses its power does not say so: without this the server would keep the lock for hours.
        for setting, value in (("idle", 30), ("interval", 10), ("count", 3)):
            self._connection.execute(sqlalchemy.text(f"set tcp_keepalives_{setting} = {value}"))
        self._connection.execute(sqlalchemy.text("select pg_advisory_lock(:key)"), {"key": self._key})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()  # with NullPool this ends the session, and with it the lock


def _open_sqlite(url: URL) -> Storage:
    path = Path(str(url.database))
    require_sqlite(path)  # before a lock is put beside it
    lock = _file_lock(path)
    settings = {"connect_args": {"timeout": _SECONDS_TO_WAIT}}
    with lock:
        return Storage(optuna.storages.RDBStorage(url.render_as_string(False), engine_kwargs=settings), lock)


def _open_journal(path: Path) -> Storage:
    require_journal(path)  # before a lock is put beside it
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _file_lock(path)
    with lock:
        require_journal(path)  # nobody writes to it any more but those who append
        backend = JournalFileBackend(str(path))
        _drop_torn_line(path)
        try:
            return Storage(optuna.storages.JournalStorage(backend), lock)
        except OSError:
            raise
        except Exception as error:  # the reader of lines that anybody may have written fails in arbitrary ways
            raise ValueError(f"one of its lines is of no form that a study has: {type(error).__name__}") from error


def _drop_torn_line(path: Path) -> None:
    """Cut off what a machine that stopped in the middle of a write left: the next line would be glued to it."""
    writers = JournalFileSymlinkLock(str(path))
    writers.acquire()
    try:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
        elif content and not is_of_journal(content.splitlines()[-1]):  # Optuna fails only when another follows it
            raise ValueError("its last line is of no form that a study has")
    finally:
        writers.release()


def _file_lock(database: Path) -> FileLock:
    if fault := writable_fault(str(database.parent)):  # filelock would wait for ever
        raise ValueError(fault)
    return FileLock(database.with_name(f".{database.name}.lock"))
