"""Handwritten digits that come with scikit-learn."""

import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tffd.data.arrays import Arrays, Summary
from tffd.data.splits import draw_stratified


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

    def content(self) -> str:
        return self.fingerprint()

    def read(self) -> Arrays:
        with gzip.open(_scans(), "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",")  # a row a scan: 64 grey values from 0 to 16, and the digit
        images = np.rint(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        labels = table[:, -1].astype(np.int64)
        train, test = map(np.sort, draw_stratified(labels, self.test_pictures, seed=0))
        classes = tuple(map(str, range(10)))
        return Arrays(images[train], labels[train], images[test], labels[test], classes)


def _scans() -> Path:
    """The file that scikit-learn's load_digits reads; the package is found and not imported, which takes 1.5 s."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ValueError("the digits come with scikit-learn, which is not installed; install it")
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
