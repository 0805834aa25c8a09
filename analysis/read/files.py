"""The one way in which the analysis reads and writes files.

Read are regular files alone, whole and of a size that results have. Written is at once, where a link leads, and over
nothing but a file of the same kind.
"""

import errno
import json
import os
import secrets
import stat
from typing import Any

from analysis.read.faults import Fault, Unreadable
from analysis.read.passwords import may_hold_passwords, without_passwords

MIB = 2**20
LIMIT = 32 * MIB  # of a file: a metrics.csv of 150,000 epochs, or a sweep.json of 100,000 cells
SMALL = 1 * MIB  # of YAML, which takes long to parse; a run's config has 2 KiB

# A FIFO or a terminal that nobody writes to would let `open` wait for ever.
_AT_ONCE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def read_file(path: str, limit: int = LIMIT) -> bytes:
    """The content of a regular file; a link to one counts as one.

    Args:
        path: Where.
        limit: Bytes that it may have.
    Raises:
        OSError: If it cannot be opened or read, as a directory.
        Unreadable: If it is a device, a FIFO or the like, or larger.
    """
    descriptor = os.open(path, _AT_ONCE)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if kind := irregular(found.st_mode):
            raise Unreadable(Fault.IRREGULAR, f"is {kind}, not a file")
        content = b""
        # Some files tell no size, and others grow while they are read.
        while found.st_size <= limit and len(content) <= limit:
            part = os.read(descriptor, max(found.st_size, 4096) + 1)
            content = content + part if content else part
            if not part:
                return content
    finally:
        os.close(descriptor)
    size = f"{found.st_size / MIB:.1f} MiB" if found.st_size > limit else "more"
    raise Unreadable(Fault.TOO_LARGE, f"has {size}; no file of a run has more than {limit / MIB:.0f} MiB")


def irregular(mode: int) -> str:
    """What a file is that is no regular one, by its mode; "" for a regular one."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def read_json(path: str) -> Any:
    """What a JSON file says, but for passwords.

    Raises:
        OSError: As in `read_file`.
        Unreadable: As in `read_file`, or if it is empty, no JSON, or nested too deeply.
    """
    content = read_file(path)
    if not content.strip():
        raise Unreadable(Fault.EMPTY, "is empty")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(Fault.NOT_JSON, f"is not JSON ({error})") from error
    return without_passwords(value) if may_hold_passwords(content) else value


_BEGINNING = 4  # bytes, which tell a page, a PNG, a PDF and a script


def write_file(path: str, content: bytes) -> str:
    """Write a file, or replace one of the same kind at once: a reader sees the old one or the new one.

    A link stays one; what it leads to is written.

    Returns:
        The path.
    Raises:
        ValueError: If it cannot be written, or something else lies there; the message names another way.
    """
    place = find_place(path, content)
    # Hidden, so that no one takes it for the file, and in the same directory, so that it can be renamed. The name
    # cannot be known before, and a file or link that has it all the same is not opened.
    draft = os.path.join(os.path.dirname(place), f".{os.path.basename(place)}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(draft, place)
        except BaseException:  # a full disk, or Ctrl-C
            os.unlink(draft)
            raise
    except OSError as error:
        raise unwritable(path, error.strerror) from error
    return path


def find_place(path: str, content: bytes) -> str:
    """Where a file is written: the path, or what it leads to as a link.

    Args:
        path: Of the file.
        content: What it will hold, or how that begins.
    Raises:
        ValueError: If something lies there that is no file, or that begins differently.
    """
    place = os.path.realpath(path)
    try:
        found = os.stat(place)
        if kind := irregular(found.st_mode):
            raise ValueError(f"{path} is {kind}, and only a file is replaced; choose another --out")
        with open(place, "rb") as file:
            beginning = file.read(_BEGINNING)
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(place)):
            return place
        raise unwritable(path, os.strerror(errno.ENOENT)) from None
    except OSError as error:
        raise unwritable(path, error.strerror) from error
    if beginning and beginning != content[:_BEGINNING]:
        raise ValueError(f"{path} is there and holds something else, which stays as it is; choose another --out")
    return place


def unwritable(path: str, reason: str | None) -> ValueError:
    """The error of a path that cannot be written."""
    return ValueError(f"{path} cannot be written ({reason}); choose another --out")
