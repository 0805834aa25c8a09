"""CIFAR-10 and CIFAR-100."""

import tarfile
import warnings
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from tffd.data.arrays import Arrays, Summary


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

    def content(self) -> str:
        return self.fingerprint()

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
