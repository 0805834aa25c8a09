"""The pictures of one split on the device, and the augmented batches that an epoch makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
import numpy as np
import torch
from torch import Tensor
from tffd.data.arrays import Arrays, cached, labelled_digests
from tffd.data.augment import PadMode, crop_and_flip, normalise
from tffd.data.room import bytes_on_device, require_room
from tffd.data.sources import DataChanged, Source
from tffd.data.splits import Split, split_training_set


Partner = Literal["same_class", "previous"]

_MOST_EVALUATED = 1000
_EVALUATED_PIXELS = _MOST_EVALUATED * 32 * 32  # bounds the memory of a forward pass without gradients
_MADE_AT_ONCE = 2**25  # bytes of normalised pictures


@dataclass(frozen=True)
class Augmentation:
    """Changes to training pictures: padding by `pad` pixels in `mode`, a random crop, mirroring half of the time."""

    pad: int
    mode: PadMode
    flip: bool


@dataclass(frozen=True)
class Batch:
    """Pictures of one training step.

    Attributes:
        inputs: Normalised and augmented, [B, C, H, W].
        labels: int64, [B].
        index: Place of each picture in its split, int64, [B].
        partner: Another picture of each one's class, augmented too, [B, C, H, W]; None where nobody asked for them.
        repeated: How many of the pictures, at the beginning, are those of the batch before.
    """

    inputs: Tensor
    labels: Tensor
    index: Tensor
    partner: Tensor | None = None
    repeated: int = 0


class Pictures:
    """Pictures of one split on the device, with their normalisation.

    Args:
        images: uint8, [N, H, W, C].
        labels: int64, [N].
        mean, std: Per channel, in units of the full range 0 to 1.
        eval_batch_size: Pictures that are evaluated at once; None for as many as hold the pixels of 1,000 pictures of
            32x32, but at most 1,000. It decides over memory, and over no more of a result than the last bits of sums.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, mean: Tensor, std: Tensor, eval_batch_size: int | None = None
    ) -> None:
        self.images, self.labels, self.mean, self.std = images, labels, mean, std
        fitting = _EVALUATED_PIXELS // (images.shape[1] * images.shape[2])
        self.eval_batch_size = eval_batch_size or max(1, min(fitting, _MOST_EVALUATED))

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Pictures":
        """Return the first pictures of the split."""
        return Pictures(self.images[:count], self.labels[:count], self.mean, self.std, self.eval_batch_size)

    def epoch(
        self, batch_size: int, augmentation: Augmentation, seed: int, partner: Partner | None = None
    ) -> Iterator[Batch]:
        """Yield one epoch of shuffled, augmented batches.

        All random numbers of an epoch are drawn at once, on the CPU, from `seed` alone: the epoch is the same on every
        device and after every restart. One picture left over at the end is left out, for batch norm needs two.

        Args:
            partner: "same_class" adds to each picture another of its class (itself, where that has no other);
                "previous" puts the pictures of the batch before, augmented anew, at the beginning of each but the
                first. Neither changes the batches themselves.
        """
        views = _Views(self, augmentation, torch.Generator().manual_seed(seed))
        others = _Views(self, augmentation, torch.Generator().manual_seed(~seed)) if partner else None
        before: tuple[Tensor, Tensor] | None = None  # the batch before: its places, and its pictures augmented anew
        for start in range(0, len(self), at_once := self._made_at_once(batch_size)):
            place = slice(start, start + at_once)
            order = views.order[place]
            made = [order, self.labels[order], views.show(order, place)]
            if others is not None:
                made.append(others.show(others.of_same_class(order) if partner == "same_class" else order, place))
            for index, labels, inputs, *other in zip(*(tensor.split(batch_size) for tensor in made), strict=True):
                if len(index) == 1 < min(batch_size, len(self)):
                    return
                if partner == "same_class":
                    yield Batch(inputs, labels, index, *other)
                elif before is None:
                    yield Batch(inputs, labels, index)
                else:
                    both = torch.cat([before[0], index])
                    yield Batch(torch.cat([before[1], inputs]), self.labels[both], both, repeated=len(before[0]))
                if partner == "previous":
                    before = index, *other

    def _made_at_once(self, batch_size: int) -> int:
        """Return how many pictures are augmented together: on a card some batches, for it does so in the same time."""
        if self.images.device.type == "cpu":
            return batch_size
        return batch_size * max(1, _MADE_AT_ONCE // (4 * batch_size * self.images[0].numel()))

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all pictures as they are, in order, in batches for evaluation."""
        for start in range(0, len(self), self.eval_batch_size):
            batch = slice(start, start + self.eval_batch_size)
            yield normalise(self.images[batch], self.mean, self.std), self.labels[batch]


class _Views:
    """The order of an epoch and how each of its pictures is augmented, all drawn from one generator."""

    def __init__(self, pictures: Pictures, augmentation: Augmentation, generator: torch.Generator) -> None:
        count, device = len(pictures), pictures.images.device
        order = torch.randperm(count, generator=generator)
        top, left = torch.randint(0, 2 * augmentation.pad + 1, (2, count), generator=generator)
        flips = torch.rand(count, generator=generator) < (0.5 if augmentation.flip else 0.0)
        self.order, self._top, self._left, self._flips = (_send(n, device) for n in (order, top, left, flips))
        self._pictures, self._augmentation = pictures, augmentation

    def show(self, picks: Tensor, place: slice) -> Tensor:
        """Return pictures as those at some places of the epoch are augmented."""
        pictures = self._pictures
        windows = crop_and_flip(
            pictures.images, picks, self._top[place], self._left[place], self._flips[place],
            pad=self._augmentation.pad, mode=self._augmentation.mode,
        )  # fmt: skip
        return normalise(windows, pictures.mean, pictures.std)

    def of_same_class(self, picks: Tensor) -> Tensor:
        """Return for each picture the next of its class in this order, which is a random one."""
        labels = self._pictures.labels[self.order]
        by_class = labels.argsort(stable=True)  # the order again, class by class
        sorted_labels = labels[by_class]
        ordered = self.order[by_class]
        rank = torch.empty_like(ordered).scatter_(0, ordered, torch.arange(len(ordered), device=ordered.device))
        after = rank[picks] + 1
        own = self._pictures.labels[picks]
        first = torch.searchsorted(sorted_labels, own)  # where the class begins: the last is followed by the first
        ends = torch.searchsorted(sorted_labels, own, right=True)
        return ordered[torch.where(after < ends, after, first)]


def _send(numbers: Tensor, device: torch.device) -> Tensor:
    """Copy to the device without waiting for it."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers
