"""Handwritten digits that come with scikit-learn."""

from dataclasses import dataclass

import numpy as np

from tffd.data.arrays import Arrays, Summary


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
