"""Files that are the old one or the new one whenever the machine stops, and reading that no odd file holds up."""

import hashlib
import io
import os
import secrets
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MIB = 2**20
LIMIT = 32 * MIB  # of a record, a plan or a metrics.csv
PICTURE_LIMIT = 512 * MIB  # of one picture's file
WEIGHTS_LIMIT = 8192 * MIB  # of weights and checkpoints
_ARCHIVE = b"PK\x03\x04"  # what begins with this torch.load takes for an archive

# A FIFO or a terminal that nobody writes to would let `open` wait for ever.
_AT_ONCE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of another only once it is whole and on the disk.

    Until then it has a name that nobody can know before, and is not opened if someone has taken that or linked it.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        flush_names(path.parent)
    except BaseException:  # a full disk, or Ctrl-C: what was written so far helps nobody
        unfinished.unlink(missing_ok=True)
        raise


def flush_names(directory: Path) -> None:
    """Put the new name on the disk too: what is written elsewhere afterwards may say that the file is there."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_regular(path: str | Path, limit: int = LIMIT) -> bytes:
    """The content of a regular file, or of one that a link leads to.

    Args:
        path: The file, or a link to it.
        limit: Bytes that it may have.
    Raises:
        OSError: If it cannot be opened or read, as a directory.
        ValueError: If it is a device, a FIFO or a socket, or larger; the message says so.
    """
    descriptor = os.open(path, _AT_ONCE)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is a device, a FIFO or a socket, not a file. Remove it, or give another path.")
        content = b""
        if found.st_size <= limit:
            content = file.read(found.st_size + 1)  # in a buffer of its size: one of the limit takes as long again
        if found.st_size < len(content):  # it grows, or has no size, as files of the system
            content += file.read(limit + 1 - len(content))
        if found.st_size <= limit and len(content) <= limit:
            return content
    raise ValueError(f"{path} has {_size(found.st_size)}, more than the {_size(limit)} that are read of such a file.")


def read_archive(path: Path) -> BinaryIO:
    """The content of a file that `torch.load` may read: one that holds no more than it weighs.

    `torch.save` compresses nothing, so a file whose parts unpack to more was made to fill the memory.

    Raises:
        OSError: As in `read_regular`.
        zipfile.BadZipFile: If it begins as an archive and cannot be read as one.
        ValueError: As in `read_regular`, or if the parts of an archive are larger than it.
    """
    content = io.BytesIO(read_regular(path, WEIGHTS_LIMIT))
    size = content.getbuffer().nbytes
    inside = _unpacked(content) if bytes(content.getbuffer()[:4]) == _ARCHIVE else 0
    if inside > size:
        raise ValueError(
            f"{path} has {_size(size)} and unpacks to {_size(inside)}; torch.save compresses nothing. Where you trust "
            "it, load it elsewhere and save it again."
        )
    content.seek(0)
    return content


def _unpacked(archive: BinaryIO) -> int:
    """The bytes of all parts together, as the archive's directory tells before anything is unpacked."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(part.file_size for part in opened.infolist())
    except Exception as error:  # the reader of arbitrary bytes fails in arbitrary ways
        raise zipfile.BadZipFile(str(error)) from error


def _size(number: int) -> str:
    return f"{number / MIB:.1f} MiB"


def writable_fault(directory: str) -> str | None:
    """Say why files cannot be written below a directory, which need not exist; None if they can. Leaves nothing."""
    existing = Path(directory).absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is a file"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"{existing} is not writable ({error.strerror})"


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(read_regular(Path(path), WEIGHTS_LIMIT)).hexdigest()
