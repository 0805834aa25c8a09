"""Pictures in directories."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tffd.data.arrays import Arrays, Summary

if TYPE_CHECKING:
    from PIL import Image

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


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
        where = zlib.crc32(os.fsencode(Path(self.root).resolve()))
        return f"{self.content()}-{where:08x}"

    def content(self) -> str:
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
        return f"folder{self.image_size}-{count}-{names:x}-{products % 2**64:016x}"

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
