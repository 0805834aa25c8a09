"""Pictures as uint8 arrays, and the cache of them that trials memory-map."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

_FILES = ("train_images", "train_labels", "test_images", "test_labels")
_MISSING_OR_DAMAGED = (FileNotFoundError, EOFError, ValueError)


@dataclass(frozen=True)
class Arrays:
    """A decoded data set.

    Attributes:
        train_images, test_images: uint8, [N, H, W, C].
        train_labels, test_labels: int64, [N].
        classes: Names, in the order of the labels.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """What a data source can say of itself before anything is decoded; None where only decoding would tell."""

    train_pictures: int
    classes: int
    channels: int
    image_size: int


def cached(directory: Path, read: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored in a directory, memory-mapped; build them with `read` if they are missing or damaged.

    Several processes may ask at once: one builds, the others wait. The directory appears complete or not at all.

    Raises:
        ValueError: If the directory cannot be written or read; and whatever `read` raises.
    """
    with _explained(directory), suppress(*_MISSING_OR_DAMAGED):
        return _load(directory)
    with _explained(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory.with_suffix(".lock"))
        lock.acquire()
    try:
        with suppress(*_MISSING_OR_DAMAGED):
            return _load(directory)  # another process built it while this one waited
        arrays = read()
        with _explained(directory):
            _write(directory, arrays)
            return _load(directory)
    finally:
        lock.release()


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"the cache of decoded pictures {directory} cannot be used ({error}). "
            "Name a directory that can be written with dataset.cache."
        ) from error


def _load(directory: Path) -> Arrays:
    # Copy-on-write, for torch warns about arrays that it cannot write to; the pages stay shared among trials.
    arrays = {name: np.load(directory / f"{name}.npy", mmap_mode="c") for name in _FILES}
    classes = json.loads((directory / "classes.json").read_text(encoding="utf-8"))
    return Arrays(**arrays, classes=tuple(classes))


def _write(directory: Path, arrays: Arrays) -> None:
    unfinished = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        for name in _FILES:
            np.save(unfinished / f"{name}.npy", getattr(arrays, name))
        (unfinished / "classes.json").write_text(json.dumps(arrays.classes), encoding="utf-8")
        unfinished.chmod(0o755)  # mkdtemp's is private, and a lab shares its data directory
        shutil.rmtree(directory, ignore_errors=True)  # a damaged one
        unfinished.rename(directory)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
