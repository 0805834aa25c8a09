"""Files that are the old one or the new one, whenever the machine stops."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of another only once it is whole and on the disk."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
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
