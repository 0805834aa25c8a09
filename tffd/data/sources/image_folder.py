"""Pictures in directories."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np

from tffd.data.arrays import DIGEST_BYTES, Arrays, Summary
from tffd.data.sources.decoding import RULES, UnreadablePicture, decode
from tffd.data.sources.picture_tree import PICTURE_SUFFIXES, PassedOver, list_classes, list_pictures
from tffd.files import PICTURE_LIMIT, read_regular

_SHOWN = 20  # broken pictures that a message names


@dataclass(frozen=True)
class ImageFolder:
    """Any tree `train/<class>/*` and `test/<class>/*` of pictures, each resized to a square.

    The layout is that of torchvision's ImageFolder: classes are the sorted names of the sub-directories, and all
    pictures below one belong to it, however deep. Unlike there, hidden names (.ipynb_checkpoints) and the folders of
    systems (@eaDir, __MACOSX) are passed over. `tffd.data.sources.decoding` has the rule for every kind of picture.

    The identity of the data is the bytes of the files in the order in which they are read, their classes, the size and
    the rules of decoding: a copy of a tree is the same data. Whether files have changed since they were read is told by
    path, inode, ctime, mtime and size together.

    Args:
        root: Directory that holds train/ and test/.
        image_size: Pixels a side after resizing.
    """

    root: str
    image_size: int = 32

    def check(self) -> Summary:
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}.")
        passed_over = PassedOver()
        train, test = self._classes("train", passed_over), self._classes("test", passed_over)
        if train != test:
            alone = [f"train/{name}" for name in train if name not in test]
            alone += [f"test/{name}" for name in test if name not in train]
            raise ValueError(
                f"train and test of {self.root} must hold the same classes; without a counterpart: {_some(alone)}. "
                "Add the missing directories or remove these."
            )
        counts = {
            split: [len(self._pictures(split, name, passed_over)) for name in train] for split in ("train", "test")
        }
        for split, numbers in counts.items():
            empty = [f"{split}/{name}" for name, number in zip(train, numbers, strict=True) if number == 0]
            if empty:
                raise ValueError(
                    f"no picture ({', '.join(PICTURE_SUFFIXES)}) in {_some(empty)} of {self.root}. "
                    "Add some or remove the class from both splits."
                )
        totals = {split: sum(numbers) for split, numbers in counts.items()}
        notice = (
            f"Pictures in {self.root}: {totals['train']} in train and {totals['test']} in test, of {len(train)} "
            f"classes. Passed over: {passed_over}."
        )
        return Summary(totals["train"], len(train), channels=3, image_size=self.image_size, notice=notice)

    def files(self) -> dict[str, tuple[int, ...]]:
        start = len(os.path.join(self.root, ""))
        return {entry.path[start:]: _state(entry) for pictures in self._by_class() for entry in pictures}

    def fingerprint(self) -> str:
        """Sums, for they do not care for the order in which a directory lists its files."""
        start, count, states = len(os.path.join(self.root, "")), 0, 0
        for pictures in self._by_class():
            count += len(pictures)
            for entry in pictures:
                name = crc32(entry.path[start:].encode("utf-8", "surrogateescape"))
                states += hash((name, *_state(entry)))  # integers alone hash alike in every process
        where = crc32(os.fsencode(Path(self.root).resolve()))
        return f"folder{self.image_size}-rules{RULES}-{count}-{states % 2**64:016x}-{where:08x}"

    def content(self) -> str:
        classes = self._classes("train")
        paths, labels, train = self._listed(classes)
        return self._identity(classes, labels, train, _read_each(paths, lambda index, content: None))

    def read(self) -> Arrays:
        self.check()
        classes = self._classes("train")
        paths, labels, train = self._listed(classes)
        images = np.empty((len(paths), self.image_size, self.image_size, 3), dtype=np.uint8)

        def keep(index: int, content: bytes) -> None:
            images[index] = decode(content, self.image_size)

        digests = _read_each(paths, keep)
        return Arrays(
            images[:train], labels[:train], images[train:], labels[train:], tuple(classes),
            content=self._identity(classes, labels, train, digests), train_digests=digests[:train],
        )  # fmt: skip

    def _identity(self, classes: list[str], labels: np.ndarray, train: int, digests: np.ndarray) -> str:
        identity = sha256(repr((RULES, self.image_size, train, classes)).encode(errors="surrogateescape"))
        identity.update(labels.tobytes())
        identity.update(digests.tobytes())
        return f"folder{self.image_size}-{train}+{len(labels) - train}-{identity.hexdigest()[:16]}"

    def _classes(self, split: str, passed_over: PassedOver | None = None) -> list[str]:
        directory = Path(self.root) / split
        if not directory.is_dir():
            raise ValueError(
                f"{directory} is missing. An image folder holds train/<class>/ and test/<class>/; "
                "name it with dataset.root."
            )
        classes = list_classes(directory, passed_over or PassedOver())
        if not classes:
            raise ValueError(f"{directory} is empty of classes: it needs one sub-directory of pictures a class.")
        return classes

    def _pictures(self, split: str, name: str, passed_over: PassedOver | None = None) -> list[os.DirEntry[str]]:
        return list_pictures(os.path.join(self.root, split, name), passed_over or PassedOver())

    def _by_class(self) -> Iterator[list[os.DirEntry[str]]]:
        for split in ("train", "test"):
            for name in self._classes(split):
                yield self._pictures(split, name)

    def _listed(self, classes: list[str]) -> tuple[list[str], np.ndarray, int]:
        """All pictures in the order in which they are read, their labels, and how many of them are for training."""
        paths, labels, counts = [], [], []
        for split in ("train", "test"):
            for label, name in enumerate(classes):
                found = sorted((entry.path for entry in self._pictures(split, name)), key=os.path.split)
                paths += found
                labels += [label] * len(found)
            counts.append(len(paths))
        return paths, np.asarray(labels, dtype=np.int64), counts[0]


def _state(entry: os.DirEntry[str]) -> tuple[int, ...]:
    try:
        status = entry.stat()
    except OSError:  # a link to nothing, say: named with all that is broken once the pictures are read
        return ()
    return status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size


def _read_each(paths: list[str], use: Callable[[int, bytes], None]) -> np.ndarray:
    """Read all files, use each, and return their digests, uint8, [N, DIGEST_BYTES].

    Raises:
        ValueError: If some cannot be read or used; it names them.
    """
    digests = np.zeros((len(paths), DIGEST_BYTES), dtype=np.uint8)
    broken = []
    for index, path in enumerate(paths):
        try:
            content = _content(path)
            use(index, content)
        except (OSError, UnreadablePicture) as error:
            broken.append((path, error.strerror if isinstance(error, OSError) else error))
        else:
            digests[index] = np.frombuffer(sha256(content).digest()[:DIGEST_BYTES], dtype=np.uint8)
    if len(broken) == 1:
        raise ValueError(f"{broken[0][0]} is not a readable picture ({broken[0][1]}). Replace or remove it.")
    if broken:
        named = _some([f"{path} ({reason})" for path, reason in broken], _SHOWN)
        raise ValueError(f"{len(broken)} files are no readable pictures: {named}. Replace or remove them.")
    return digests


def _content(path: str) -> bytes:
    try:
        return read_regular(path, PICTURE_LIMIT)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path} ").partition(". ")[0].rstrip(".")
        raise UnreadablePicture(reason) from None


def _some(names: list[str], shown: int = 5) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
