"""Where pictures come from: one class a data set, each able to check itself cheaply and to read itself whole."""

import os
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tffd.data.arrays import Arrays, Summary

if TYPE_CHECKING:
    from PIL import Image

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
        if not 10 <= self.test_pictures <= 1787:
            raise ValueError(
                f"test_pictures={self.test_pictures}: both parts of the 1797 scans need one of each of the 10 classes, "
                "so choose 10 to 1787."
            )
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
        mirror: Address of the archive (http or https), where the official one cannot be reached.
    """

    variant: str
    root: str
    mirror: str | None = None

    def check(self) -> Summary:
        classes = {"CIFAR10": 10, "CIFAR100": 100}
        if self.variant not in classes:
            raise ValueError(f"variant must be CIFAR10 or CIFAR100, got {self.variant!r}.")
        if self.mirror is not None and not self.mirror.startswith(("http://", "https://")):
            raise ValueError(
                f"mirror={self.mirror}: downloads begin with http:// or https://. An archive that is already on this "
                f"machine belongs in {self.root}."
            )
        return Summary(train_pictures=50_000, classes=classes[self.variant], channels=3, image_size=32)

    def fingerprint(self) -> str:
        return self.variant.lower()

    def read(self) -> Arrays:
        self.check()
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
            # The official batches hold arrays pickled in a way that NumPy warns about.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="dtype\\(\\): align should be passed")
                return dataset(self.root, train=train, download=True)
        except (OSError, HTTPException, RuntimeError, ValueError, EOFError, tarfile.TarError) as error:
            archive = Path(self.root) / official.filename
            raise ValueError(
                f"{self.variant} is not in {self.root}, or not whole, and could not be downloaded from {dataset.url} "
                f"({error}). Put the official archive at {archive} (md5 {official.tgz_md5}), or name another address "
                "with dataset.source.mirror."
            ) from error


@dataclass(frozen=True)
class ImageFolder:
    """Any tree `train/<class>/*` and `test/<class>/*` of pictures, each resized to a square.

    The layout is that of torchvision's ImageFolder: classes are the sorted names of the sub-directories, and all
    pictures below one belong to it, however deep. Unlike there, names that begin with a dot, such as
    .ipynb_checkpoints, are passed over.

    Args:
        root: Directory that holds train/ and test/.
        image_size: Pixels a side after resizing (bilinear, with antialiasing).
    """

    root: str
    image_size: int = 32

    def check(self) -> Summary:
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}.")
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
                    f"no picture ({', '.join(PICTURE_SUFFIXES)}) in {_some(empty)} of {self.root}. "
                    "Add some or remove the class from both splits."
                )
        return Summary(sum(counts["train"]), len(train), channels=3, image_size=self.image_size)

    def fingerprint(self) -> str:
        """Paths, sizes and times of all pictures; sums do not care for the order in which a directory lists them.

        The products tie a time and a size to a name: two pictures that change places change the sum.
        """
        count = names = products = 0
        start = len(os.path.join(self.root, ""))
        for split in ("train", "test"):
            for name in self._classes(split):
                pictures = self._pictures(split, name)
                count += len(pictures)
                with _readable():
                    for entry in pictures:
                        status = entry.stat()
                        path = zlib.crc32(entry.path[start:].encode(errors="surrogateescape"))
                        names += path
                        products += path * (status.st_mtime_ns + status.st_size)
        where = zlib.crc32(os.fsencode(Path(self.root).resolve()))
        return f"folder{self.image_size}-{where:08x}-{count}-{names:x}-{products % 2**64:016x}"

    def read(self) -> Arrays:
        self.check()
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
        with _readable(), os.scandir(directory) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        if not classes:
            raise ValueError(f"{directory} is empty of classes: it needs one sub-directory of pictures a class.")
        return classes

    def _pictures(self, split: str, name: str) -> list[os.DirEntry[str]]:
        """All pictures of a class, in no order."""
        found, unseen = [], [os.path.join(self.root, split, name)]
        while unseen:
            with _readable(), os.scandir(unseen.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        unseen.append(entry.path)
                    elif entry.name.lower().endswith(PICTURE_SUFFIXES):
                        found.append(entry)
        return found

    def _decode(self, split: str, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
        paths = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((entry.path for entry in self._pictures(split, name)), key=os.path.split)
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


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read ({error.strerror}). Repair or remove it.") from error


def _decode_picture(path: str, size: int) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            rgb = _to_rgb(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable picture ({error}). Replace or remove it.") from error
    # Pillow's bilinear filter widens with the reduction, as torchvision's Resize(antialias=True) does.
    return np.asarray(rgb if rgb.size == (size, size) else rgb.resize((size, size), Image.Resampling.BILINEAR))


def _to_rgb(picture: "Image.Image") -> "Image.Image":
    """Convert to 8 bits a channel. Pillow alone cuts values above 255 off: a picture of 16 bits would turn white."""
    from PIL import Image

    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise ValueError(f"its values are of mode {picture.mode}, without a known range; save it with 8 or 16 bits")
    elif picture.mode == "P":
        picture = picture.convert("RGBA")  # a palette with transparency makes Pillow warn, else
    return picture.convert("RGB")


def _some(names: list[str], shown: int = 5) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
