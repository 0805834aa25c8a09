"""Where studies are kept: SQLite, a journal file or PostgreSQL, each with a lock that spans processes and machines."""

import hashlib
import os
import re
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

from tffd.config import ConfigError

_KINDS = (
    "journal (a file in the sweep's directory), journal:///path, sqlite:///path or postgresql+psycopg://user@host/db"
)
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError, OSError)
"""What Optuna's storages raise while a server is away or a disk is full."""

_SECONDS_TO_WAIT = 60  # for another process's write to SQLite


@dataclass(frozen=True)
class Storage:
    """An open storage.

    Attributes:
        optuna: What Optuna's studies are opened with.
        lock: Held while one command of several decides what it does next; free again when its holder dies.
    """

    optuna: optuna.storages.BaseStorage
    lock: AbstractContextManager[object]


def open_storage(address: str | None, directory: Path, every_epoch: bool = False) -> Storage:
    """Open the storage of a sweep, and create it once, however many commands start together.

    Args:
        address: `sweep.storage`; None for study.db in the sweep's directory, or the journal that is there already.
        directory: Of the sweep.
        every_epoch: Whether every epoch will be reported to it, for which a new one is better a journal: SQLite takes
            ten times the processor time a report (benchmarks/README.md).
    Raises:
        ConfigError: If the address is of no known kind, there is no such database, or the file is damaged.
    """
    try:
        place = _locate(address, directory, every_epoch)
        if isinstance(place, Path):
            return _open_journal(place)
        if place.get_backend_name() == "sqlite":
            lock: AbstractContextManager[object] = _file_lock(Path(str(place.database)))
            settings = {"connect_args": {"timeout": _SECONDS_TO_WAIT}}
        else:
            lock = _PostgresLock(place)
            settings = {"pool_pre_ping": True}  # type: ignore[dict-item]  # a search outlives many a connection
        with lock:
            return Storage(optuna.storages.RDBStorage(place.render_as_string(False), engine_kwargs=settings), lock)
    except (SQLAlchemyError, ImportError, ValueError, OSError) as error:
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


def name_storage(address: str | None, directory: Path, every_epoch: bool = False) -> str:
    """Name what `open_storage` would open: the same wherever the sweep's directory lies, and without a password."""
    try:
        place = _locate(address, directory, every_epoch)
    except (SQLAlchemyError, ValueError):
        return str(address)  # opening it says what is wrong
    if isinstance(place, Path):
        return os.path.relpath(place, directory)
    if place.get_backend_name() == "sqlite":
        return os.path.relpath(str(place.database), directory)
    return f"postgresql:///{place.database}"  # hosts have many names


def _locate(address: str | None, directory: Path, every_epoch: bool) -> Path | URL:
    """The path of a journal, or the URL of a database.

    Raises:
        SQLAlchemyError, ValueError: If the address is of no known kind.
    """
    journal, database = directory / "study.journal", directory / "study.db"
    by_default = address is None and not database.exists() and (every_epoch or journal.exists())
    if address == "journal" or by_default:
        return journal
    if address is not None and address.startswith("journal:///"):
        return Path(address.removeprefix("journal://"))
    url = make_url(address) if address else URL.create("sqlite", database=str(database))
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    if not in_file and url.get_backend_name() != "postgresql":
        raise ValueError(f"is of no kind that several commands can share; there are {_KINDS}")
    return url


def without_password(address: object) -> str:
    """Write an address so that it can be shown and kept."""
    without = re.sub(r"(://[^:/@]*:)[^@?]+@", r"\1***@", str(address))
    return re.sub(r"([?&]password=)[^&]+", r"\1***", without)


class StorageLost(Exception):
    """The storage of a running sweep does not answer any more, or the disk is full. What is there can go on later."""


class _PostgresLock:
    """An advisory lock of the server, on a connection of its own: the server frees it when its holder is gone."""

    def __init__(self, url: URL) -> None:
        self._engine = sqlalchemy.create_engine(url, poolclass=NullPool)
        self._key = int.from_bytes(hashlib.sha256(b"tffd").digest()[:4])
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


def _open_journal(path: Path) -> Storage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _file_lock(path)
    with lock:
        backend = JournalFileBackend(str(path))
        _drop_torn_line(path)
        return Storage(optuna.storages.JournalStorage(backend), lock)


def _drop_torn_line(path: Path) -> None:
    """Cut off what a machine that stopped in the middle of a write left: the next line would be glued to it."""
    writers = JournalFileSymlinkLock(str(path))
    writers.acquire()
    try:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        writers.release()


def _file_lock(database: Path) -> FileLock:
    return FileLock(database.with_name(f".{database.name}.lock"))
