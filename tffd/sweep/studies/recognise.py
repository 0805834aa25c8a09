"""Tells our files from other people's before anything is written to them: an address may name any file by mistake."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from tffd.sweep.optuna_private import LOCK_FILE_SUFFIX, TABLES

_BEGINNING = b'{"op_code":'  # of every line of a journal
_LONGEST_LINE = 2**24  # bytes, of the first line, which creates a study
_HEADER = b"SQLite format 3\0"
_SECONDS_TO_WAIT = 60  # for another process's write


def require_journal(path: Path) -> None:
    """Check that a file which is there is Optuna's journal, or empty, and that its lock is Optuna's.

    A last line that was torn off is no fault; nor is a first one, as far as it goes.

    Raises:
        ValueError: If it is anything else.
        OSError: If it cannot be read.
    """
    lock = path.with_name(path.name + LOCK_FILE_SUFFIX)
    if os.path.lexists(lock) and not _leads_to(lock, path.name):
        raise ValueError(f"{lock} is no lock of a journal, and it would be removed")
    if not path.exists():
        return
    _require_regular(path)
    with path.open("rb") as file:
        line = file.readline(_LONGEST_LINE)
    is_torn = not line.endswith(b"\n")
    if not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line) if is_torn else is_of_journal(line)):
        raise ValueError("the file is there, and it is no journal of a study")


def is_of_journal(line: bytes) -> bool:
    """Tell whether a whole line is one of a journal."""
    try:
        return isinstance(json.loads(line)["op_code"], int)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def require_sqlite(path: Path) -> None:
    """Check that a file which is there is an SQLite database of Optuna, or an empty one.

    Raises:
        ValueError: If it is anything else.
        OSError, sqlite3.Error: If it cannot be read.
    """
    if not path.exists():
        return
    _require_regular(path)
    with path.open("rb") as file:
        header = file.read(len(_HEADER))
    if header == b"":
        return
    if header != _HEADER:
        raise ValueError("the file is there, and it is no SQLite database")
    address = f"file:{quote(str(path.absolute()))}?mode=rw"  # read only, it could not roll back what a crash has left
    with closing(sqlite3.connect(address, uri=True, timeout=_SECONDS_TO_WAIT)) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    foreign = {name for name in tables if not name.startswith("sqlite_")} - {
        *TABLES,
        "alembic_version",
    }
    if foreign:
        raise ValueError(f"the database is there, and it is of another program: it has a table {min(foreign)!a}")


def _leads_to(link: Path, name: str) -> bool:
    """Tell whether a link leads to a file of that name, wherever: other machines may have other paths to it."""
    try:
        return os.path.basename(os.readlink(link)) == name
    except FileNotFoundError:
        return True  # it was released just now
    except OSError:
        return False  # it is no link


def _require_regular(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} is no regular file")
