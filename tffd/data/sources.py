"""Where pictures come from: one class a data set, each able to check itself cheaply and to read itself whole."""

import os
import tarfile
import urllib.error
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tffd.data.arrays import Arrays, Summary

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


class Source(Protocol):
    """A data set that can be decoded into `Arrays`."""

    def check(self) -> Summary:
        """Say what is there, without decoding. Raises ValueError with what to do if it cannot be read."""
        ...

    def fingerprint(self) -> str:
        """A text that changes whenever `read` would return something else; it names the cache."""
        ...

    def read(self) -> Arrays:
        """Decode everything. Raises ValueError with what to do."""
        ...


@dataclass(frozen=True)
class Digits:
    """1797 scans of handwritten digits, 8x8 grey, shipped with scikit-learn: nothing is downloaded.

    The package makes no split, so `test_pictures` of them, stratified and drawn once for all with a fixed seed, are the
    test set.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test part).
    """

    test_pictures: int = 500

    def check(self) -> Summary:
        return Summary(train_pictures=1797 - self.test_pictures, classes=10, channels=1, image_size=8)

    def fingerprint(self) -> str:
        return f"digits-test{self.test_pictures}"

    def read(self) -> Arrays:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        scans = load_digits()
        images = np.rint(scans.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = scans.target.astype(np.int64)
        train, test = train_test_split(
            np.arange(len(labels)), test_size=self.test_pictures, stratify=labels, random_state=0
        )
        train, test = np.sort(train), np.sort(test)
        classes = tuple(str(name) for name in scans.target_names)
        return Arrays(images[train], labels[train], images[test], labels[test], classes)


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100 in their official binary form, downloaded once and verified by torchvision.

    Args:
        variant: The torchvision class, "CIFAR10" or "CIFAR100".
        root: Directory that holds or receives the archive.
        mirror: Address of the archive, where the official one cannot be reached.
    """

    variant: str
    root: str
    mirror: str | None = None

    def check(self) -> Summary:
        classes = {"CIFAR10": 10, "CIFAR100": 100}
        if self.variant not in classes:
            raise ValueError(f"variant must be CIFAR10 or CIFAR100, got {self.variant!r}.")
        return Summary(train_pictures=50_000, classes=classes[self.variant], channels=3, image_size=32)

    def fingerprint(self) -> str:
        return self.variant.lower()

    def read(self) -> Arrays:
        train, test = self._open(train=True), self._open(train=False)
        return Arrays(
            train.data,
            np.asarray(train.targets, dtype=np.int64),
            test.data,
            np.asarray(test.targets, dtype=np.int64),
            tuple(train.classes),
        )

    def _open(self, train: bool) -> Any:
        import torchvision

        official = getattr(torchvision.datasets, self.variant)
        dataset: Any = type(self.variant, (official,), {"url": self.mirror} if self.mirror else {})
        try:
            # Present and verified: no word about it. torchvision prints and warns only when it downloads.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="dtype\\(\\): align should be passed")
                return dataset(self.root, train=train, download=True)
        except (urllib.error.URLError, OSError, RuntimeError, EOFError, tarfile.TarError) as error:
            archive = Path(self.root) / official.filename
            raise ValueError(
                f"{self.variant} is not in {self.root} and could not be downloaded from {dataset.url} ({error}). "
                f"Put the official archive at {archive} (md5 {official.tgz_md5}), or name another address with "
                "dataset.source.mirror."
            ) from error


@dataclass(frozen=True)
class ImageFolder:
    """Any tree `train/<class>/*` and `test/<class>/*` of pictures, each resized to a square.

    The layout is that of torchvision's ImageFolder: classes are the sorted names of the sub-directories.

    Args:
        root: Directory that holds train/ and test/.
        image_size: Pixels a side after resizing (bilinear, with antialiasing).
    """

    root: str
    image_size: int = 32

    def check(self) -> Summary:
        train, test = self._classes("train"), self._classes("test")
        if train != test:
            alone = [f"train/{name}" for name in train if name not in test]
            alone += [f"test/{name}" for name in test if name not in train]
            raise ValueError(
                f"train and test of {self.root} must hold the same classes; without a counterpart: {_some(alone)}. "
                "Add the missing directories or remove these."
            )
        counts = {split: [len(self._pictures(split, name)) for name in train] for split in ("train", "test")}
        for split, numbers in counts.items():
            empty = [f"{split}/{name}" for name, number in zip(train, numbers, strict=True) if number == 0]
            if empty:
                raise ValueError(
                    f"{_some(empty)} of {self.root} holds no picture ({', '.join(PICTURE_SUFFIXES)}). "
                    "Fill it or remove the class from both splits."
                )
        return Summary(sum(counts["train"]), len(train), channels=3, image_size=self.image_size)

    def fingerprint(self) -> str:
        """Names, sizes and times of all files; sums do not care for the order in which a directory lists them."""
        count = size = times = names = 0
        for split in ("train", "test"):
            for name in self._classes(split):
                prefix = zlib.crc32(f"{split}/{name}".encode())
                for entry in self._pictures(split, name):
                    status = entry.stat()
                    count += 1
                    size += status.st_size
                    times += status.st_mtime_ns
                    names += zlib.crc32(entry.name.encode(), prefix)
        where = zlib.crc32(str(Path(self.root).resolve()).encode())
        return f"folder{self.image_size}-{where:08x}-{count}-{size:x}-{times % 2**64:016x}-{names % 2**64:016x}"

    def read(self) -> Arrays:
        classes = self._classes("train")
        train_images, train_labels = self._decode("train", classes)
        test_images, test_labels = self._decode("test", classes)
        return Arrays(train_images, train_labels, test_images, test_labels, tuple(classes))

    def _classes(self, split: str) -> list[str]:
        directory = Path(self.root) / split
        if not directory.is_dir():
            raise ValueError(
                f"{directory} is missing. An image folder holds train/<class>/ and test/<class>/; "
                "name it with dataset.root."
            )
        classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        if not classes:
            raise ValueError(f"{directory} is empty: it needs one sub-directory of pictures a class.")
        return classes

    def _pictures(self, split: str, name: str) -> list[os.DirEntry[str]]:
        with os.scandir(Path(self.root) / split / name) as entries:
            return [entry for entry in entries if entry.name.lower().endswith(PICTURE_SUFFIXES)]

    def _decode(self, split: str, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
        paths = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted(entry.path for entry in self._pictures(split, name))
        ]
        images = np.empty((len(paths), self.image_size, self.image_size, 3), dtype=np.uint8)
        for index, (path, _) in enumerate(paths):
            images[index] = _decode_picture(path, self.image_size)
        return images, np.asarray([label for _, label in paths], dtype=np.int64)


@dataclass(frozen=True)
class Synthetic:
    """Noise with a mean that depends on the class: as much of it as asked for, of any size. For benchmarks."""

    train_pictures: int = 1024
    test_pictures: int = 256
    classes: int = 10
    channels: int = 3
    image_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("train_pictures", "test_pictures", "classes", "channels", "image_size"):
            if getattr(self, field) < 1:
                raise ValueError(f"synthetic pictures need {field} of at least 1, got {getattr(self, field)}.")

    def check(self) -> Summary:
        return Summary(self.train_pictures, self.classes, self.channels, self.image_size)

    def fingerprint(self) -> str:
        return (
            f"synthetic-{self.train_pictures}-{self.test_pictures}-{self.classes}-{self.channels}"
            f"-{self.image_size}-{self.seed}"
        )

    def read(self) -> Arrays:
        random = np.random.default_rng(self.seed)
        tints = random.integers(64, 192, size=(self.classes, 1, 1, self.channels))

        def split(pictures: int) -> tuple[np.ndarray, np.ndarray]:
            labels = np.arange(pictures, dtype=np.int64) % self.classes
            noise = random.integers(-64, 64, size=(pictures, self.image_size, self.image_size, self.channels))
            return (tints[labels] + noise).astype(np.uint8), labels

        return Arrays(
            *split(self.train_pictures), *split(self.test_pictures), tuple(str(i) for i in range(self.classes))
        )


def _decode_picture(path: str, size: int) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is not a readable picture ({error}). Replace or remove it.") from error
    # Pillow's bilinear filter widens with the reduction, as torchvision's Resize(antialias=True) does.
    return np.asarray(rgb if rgb.size == (size, size) else rgb.resize((size, size), Image.Resampling.BILINEAR))


def _some(names: list[str], shown: int = 5) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
