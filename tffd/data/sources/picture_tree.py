"""Which files of a tree are pictures, and what is passed over."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm",
    ".tif", ".tiff", ".webp", ".avif", ".jp2", ".tga",
)  # fmt: skip

_SYSTEM_NAMES = frozenset(
    ("@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found")
)
"""Folders, in lower case, in which file servers and operating systems keep thumbnails and deleted files."""

_SUFFIXES_SHOWN = 5


@dataclass
class PassedOver:
    """What is not read of a tree.

    Attributes:
        system: Names that begin with a dot, or that systems use for themselves.
        others: Files that are no pictures, by suffix.
        outside: Files beside the folders of classes.
    """

    system: int = 0
    others: Counter[str] = field(default_factory=Counter)
    outside: int = 0

    def __str__(self) -> str:
        parts = [_count(self.system, "hidden or system name")] if self.system else []
        if self.others:
            most = sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
            named = [f"{suffix or 'without suffix'} {count}" for suffix, count in most[:_SUFFIXES_SHOWN]]
            rest = ", ..." if len(most) > len(named) else ""
            parts.append(f"{_count(self.others.total(), 'file')} of other suffixes ({', '.join(named)}{rest})")
        if self.outside:
            parts.append(f"{_count(self.outside, 'file')} outside the folders of classes")
        return ", ".join(parts) or "nothing"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def list_classes(directory: Path, passed_over: PassedOver) -> list[str]:
    """Return the sorted names of a directory's folders, but for those of systems."""
    classes = []
    with readable(), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_NAMES:
                passed_over.system += 1
            elif entry.is_dir():
                classes.append(entry.name)
            else:
                passed_over.outside += 1
    return sorted(classes)


def list_pictures(directory: str, passed_over: PassedOver) -> list[os.DirEntry[str]]:
    """Return all pictures below a directory, however deep, in no order.

    Raises:
        ValueError: If a directory cannot be read, or links lead to it a second time, which might go on for ever.
    """
    found, unseen = [], [directory]
    real = {os.path.realpath(directory)}
    while unseen:
        with readable(), os.scandir(unseen.pop()) as entries:
            for entry in entries:
                name = entry.name.lower()
                if name.startswith("."):
                    passed_over.system += 1
                elif entry.is_dir():
                    if name in _SYSTEM_NAMES:
                        passed_over.system += 1
                    elif (path := os.path.realpath(entry.path)) in real:
                        raise ValueError(
                            f"{entry.path} is {path}, whose pictures are in this class already. Remove it."
                        )
                    else:
                        real.add(path)
                        unseen.append(entry.path)
                elif name.endswith(PICTURE_SUFFIXES):
                    found.append(entry)
                else:
                    passed_over.others[os.path.splitext(name)[1]] += 1
    return found


@contextmanager
def readable() -> Iterator[None]:
    """Make a file or directory that cannot be read a user's matter."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read ({error.strerror}). Repair or remove it.") from error
