"""Pictures out of a random generator."""

from dataclasses import dataclass

import numpy as np

from tffd.data.arrays import Arrays, Summary


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
        if self.seed < 0:
            raise ValueError(f"synthetic pictures need a seed of at least 0, got {self.seed}.")

    def check(self) -> Summary:
        return Summary(self.train_pictures, self.classes, self.channels, self.image_size)

    def fingerprint(self) -> str:
        return (
            f"synthetic-{self.train_pictures}-{self.test_pictures}-{self.classes}-{self.channels}"
            f"-{self.image_size}-{self.seed}"
        )

    def content(self) -> str:
        return self.fingerprint()

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
