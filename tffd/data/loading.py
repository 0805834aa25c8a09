"""From a data set's config to normalised batches on the device."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tffd.data.arrays import labelled_digests
from tffd.data.pictures import Pictures
from tffd.data.reading import load_arrays
from tffd.data.room import bytes_on_device, require_room
from tffd.data.sources import Source
from tffd.data.splits import Split, split_training_set

_MEASURED_PIXELS = 1000 * 32 * 32  # in a block of the statistics; they are exact, whatever it is


@dataclass(frozen=True)
class Data:
    """What one run trains on and is judged on.

    Attributes:
        val: None under a protocol that holds nothing out.
        test: None under a protocol that does not read the test set: none of its pictures is then touched.
        content: What the source says of the identity of the whole data set.
        split_record: Sizes of the split's parts, and digests of the pictures and labels in them.
    """

    train: Pictures
    val: Pictures | None
    test: Pictures | None
    classes: tuple[str, ...]
    channels: int
    split: Split
    content: str = ""
    split_record: dict[str, int | str] = field(default_factory=dict)


def load_data(
    source: Source,
    *,
    cache: str | Path,
    mean: list[float] | None,
    std: list[float] | None,
    train_size: int | None,
    val_fraction: float | None,
    split_seed: int,
    read_test: bool,
    device: torch.device,
    eval_batch_size: int | None = None,
) -> Data:
    """Load a data set, split it and move what a run needs to its device.

    Args:
        mean, std: Per channel; None measures them on the pictures that are trained on.
        read_test: Whether the protocol reads the test set at all.
        eval_batch_size: Pictures that are evaluated at once; None for a number that suits their size.
    Raises:
        ValueError: If the source cannot be read, or cannot be split as asked.
        DataTooLarge: If the pictures do not fit the free memory of a card.
    """
    arrays = load_arrays(source, cache)
    train_labels = np.asarray(arrays.train_labels)
    split = split_training_set(train_labels, val_fraction, train_size, split_seed, arrays.classes)
    if device.type == "cuda":
        require_room(bytes_on_device(arrays, split, read_test), torch.cuda.mem_get_info(device)[0], "free")
    chosen = arrays.train_images[split.train]
    channels = chosen.shape[-1]
    centre, spread = _statistics(chosen, mean, std)

    def on_device(images: np.ndarray, labels: np.ndarray) -> Pictures:
        tensors: list[Any] = [torch.from_numpy(array).to(device) for array in (images, labels)]
        return Pictures(tensors[0], tensors[1], centre.to(device), spread.to(device), eval_batch_size)

    return Data(
        train=on_device(chosen, arrays.train_labels[split.train]),
        val=on_device(arrays.train_images[split.val], arrays.train_labels[split.val]) if len(split.val) else None,
        test=on_device(arrays.test_images, arrays.test_labels) if read_test else None,
        classes=arrays.classes,
        channels=channels,
        split=split,
        content=arrays.content,
        split_record=split.record(labelled_digests(arrays)),
    )


def _statistics(images: np.ndarray, mean: list[float] | None, std: list[float] | None) -> tuple[Tensor, Tensor]:
    channels = images.shape[-1]
    for name, numbers in (("mean", mean), ("std", std)):
        if numbers is not None and len(numbers) != channels:
            raise ValueError(
                f"dataset.{name} has {len(numbers)} values, the pictures have {channels} channels. "
                f"Give one a channel, or null to measure it."
            )
    if mean is None or std is None:
        measured_mean, measured_std = _measure(images)
        mean = measured_mean if mean is None else mean
        std = measured_std if std is None else std
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def _measure(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, exactly and in little memory: from a histogram, block by block."""
    counts = np.zeros((images.shape[-1], 256))
    at_once = max(1, _MEASURED_PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), at_once):
        block = images[start : start + at_once]
        for channel, count in enumerate(counts):
            count += np.bincount(block[..., channel].ravel(), minlength=256)
    values, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ values / total
    variance = counts @ values**2 / total - mean**2
    # A channel that never varies is not to be divided by 0, nor by the rounding error of the line above.
    return mean.tolist(), np.sqrt(variance.clip(min=1 / 255**2)).tolist()
