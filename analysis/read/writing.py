"""The one way in which the analysis writes a file: at once, where a link leads, and over nothing but its own kind."""

import errno
import os
import secrets

from analysis.read.files import irregular

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
