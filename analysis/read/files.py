"""The one way in which the analysis reads a file of results: whole, regular, and of a size that such files have."""

import errno
import json
import os
import stat
from typing import Any

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
        ValueError: If it is a device, a FIFO or the like, or larger; the message says so.
    """
    descriptor = os.open(path, _AT_ONCE)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if kind := irregular(found.st_mode):
            raise ValueError(f"is {kind}, not a file")
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
    raise ValueError(f"has {size}; no file of a run has more than {limit / MIB:.0f} MiB")


def irregular(mode: int) -> str:
    """What a file is that is no regular one, by its mode; "" for a regular one."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def read_json(path: str) -> Any:
    """What a JSON file says.

    Raises:
        OSError: As in `read_file`.
        ValueError: As in `read_file`, or if it is empty, no JSON, or nested too deeply.
    """
    content = read_file(path)
    if not content.strip():
        raise ValueError("is empty")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error
