"""Pictures as uint8 arrays, and the cache of them that trials memory-map."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from filelock import FileLock

from tffd.data.seal import Manifest, open_sealed, seal
from tffd.files import flush_names, replacing

_FILES = ("train_images", "train_labels", "test_images", "test_labels", "train_digests")
_MISSING_OR_DAMAGED = (FileNotFoundError, EOFError, ValueError)

DIGEST_BYTES = 16
"""Of one picture."""


@dataclass(frozen=True)
class Arrays:
    """A decoded data set.

    Attributes:
        train_images, test_images: uint8, [N, H, W, C].
        train_labels, test_labels: int64, [N].
        classes: Names, in the order of the labels.
        content: What the source's `content()` says of exactly these pictures; empty where decoding does not tell.
        train_digests: uint8, [N, DIGEST_BYTES]: what tells the training pictures apart, such as digests of their files;
            None for digests of their pixels.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    content: str = ""
    train_digests: np.ndarray | None = None


@dataclass(frozen=True)
class Summary:
    """What a data source can say of itself before anything is decoded.

    Attributes:
        notice: A line for the user, of what was found and what was passed over; empty if there is nothing to say.
    """

    train_pictures: int
    classes: int
    channels: int
    image_size: int
    notice: str = field(default="", compare=False)


def cached(directory: Path, read: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored in a directory, memory-mapped; build them with `read` if they are missing or damaged.

    Several processes may ask at once: one builds, the others wait. The directory appears complete or not at all, on the
    disk too; a change of one of its files since is noticed (see `tffd.data.seal`).

    Raises:
        ValueError: If the directory cannot be written or read, or what was read does not fit together; and whatever
            `read` raises.
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
        _require_sound(arrays)
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
    manifest = open_sealed(directory)
    # Copy-on-write, for torch warns about arrays that it cannot write to; the pages stay shared among trials.
    stored = {name: np.load(directory / f"{name}.npy", mmap_mode="c") for name in _FILES}
    arrays = Arrays(**stored, classes=tuple(manifest.classes), content=manifest.content)
    _require_sound(arrays)
    return arrays


def _write(directory: Path, arrays: Arrays) -> None:
    digests = arrays.train_digests if arrays.train_digests is not None else _digests_of_pixels(arrays.train_images)
    unfinished = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        for name in _FILES:
            with replacing(unfinished / f"{name}.npy") as file:
                np.save(file, digests if name == "train_digests" else getattr(arrays, name))
        seal(unfinished, Manifest.of(unfinished, _FILES, arrays.content, arrays.classes))
        unfinished.chmod(0o755)  # mkdtemp's is private, and a lab shares its data directory
        shutil.rmtree(directory, ignore_errors=True)  # a damaged one
        unfinished.rename(directory)
        flush_names(directory.parent)
    except BaseException:  # a full disk, or Ctrl-C: half a cache helps nobody
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def labelled_digests(arrays: Arrays) -> np.ndarray:
    """What tells the training pictures and their labels apart, a row each, uint8, [N, DIGEST_BYTES + 8]."""
    digests = arrays.train_digests if arrays.train_digests is not None else _digests_of_pixels(arrays.train_images)
    labels = np.ascontiguousarray(arrays.train_labels, dtype="<i8")
    return np.concatenate([digests, labels[:, None].view(np.uint8)], axis=1)


def _digests_of_pixels(images: np.ndarray) -> np.ndarray:
    digests = b"".join(sha256(image.tobytes()).digest()[:DIGEST_BYTES] for image in images)
    return np.frombuffer(digests, dtype=np.uint8).reshape(len(images), DIGEST_BYTES)


def _require_sound(arrays: Arrays) -> None:
    """Refuse arrays that do not fit together: they would train on some of the pictures, or on wrong labels."""
    for split in ("train", "test"):
        images, labels = getattr(arrays, f"{split}_images"), getattr(arrays, f"{split}_labels")
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"{split} pictures must be uint8 [N, H, W, C], got {images.dtype} {images.shape}.")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{split} needs an int64 label for each of its {len(images)} pictures, got {labels.dtype} "
                f"{labels.shape}."
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(arrays.classes):
            raise ValueError(
                f"{split} labels must lie in 0 to {len(arrays.classes) - 1}, one for each class, got {labels.min()} to "
                f"{labels.max()}."
            )
    digests, expected = arrays.train_digests, (len(arrays.train_images), DIGEST_BYTES)
    if digests is not None and (digests.dtype != np.uint8 or digests.shape != expected):
        raise ValueError(f"train_digests must be uint8 {expected}, got {digests.dtype} {digests.shape}.")
