"""Stratified, seeded choices of pictures: the held-out part of the training set, and subsets of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np


@dataclass(frozen=True)
class Split:
    """Indices into the training set, sorted, int64.

    Attributes:
        train: Pictures that are trained on.
        val: Pictures held out for validation; empty where a protocol holds none out.
    """

    train: np.ndarray
    val: np.ndarray

    def record(self, pictures: np.ndarray) -> dict[str, int | str]:
        """Sizes and digests of both parts and of all, by which two runs can be shown to have used the same pictures.

        Args:
            pictures: What tells each picture of the training set, and its label, from all others, [N, ...].
        """
        return {
            "train": len(self.train),
            "val": len(self.val),
            "train_sha256": sha256(pictures[self.train].tobytes()).hexdigest()[:16],
            "val_sha256": sha256(pictures[self.val].tobytes()).hexdigest()[:16],
            "all_sha256": sha256(pictures.tobytes()).hexdigest()[:16],
        }


def split_training_set(
    labels: np.ndarray,
    val_fraction: float | None,
    train_size: int | None,
    seed: int,
    classes: Sequence[str] | None = None,
) -> Split:
    """Hold out a stratified fraction for validation, then cut what remains to a stratified subset.

    The order matters: the held-out part does not shrink with `train_size`, so a search on few pictures is still judged
    on many. Both parts have at least one picture of every class: where its share of a part is less than one picture, a
    class gets one, at the cost of the class that has most.

    Args:
        labels: Class of every training picture, [N].
        val_fraction: Share to hold out, in (0, 1); None holds nothing out.
        train_size: Pictures to keep for training; None keeps all that remain.
        seed: The seed of both draws.
        classes: Names of the labels, for messages.
    Raises:
        ValueError: If a part would hold fewer pictures than there are classes, a class has but one picture to divide,
            or too few pictures remain.
    """
    everything = np.arange(len(labels), dtype=np.int64)
    rest, val = everything, everything[:0]
    if val_fraction is not None:
        held_out = round(val_fraction * len(labels))
        rest, val = _draw(everything, labels, held_out, seed, f"protocol.val_fraction={val_fraction}", classes)
    if train_size is not None and train_size != len(rest):
        if train_size > len(rest):
            raise ValueError(
                f"dataset.train_size={train_size} asks for more pictures than the {len(rest)} that remain after "
                f"{len(val)} are held out; use at most {len(rest)}, or null for all."
            )
        _, rest = _draw(rest, labels, train_size, seed, f"dataset.train_size={train_size}", classes)
    return Split(train=rest, val=val)


def draw_stratified(labels: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide pictures into what is left and a draw of `size` that has each class in proportion, both in random order.

    It draws what `train_test_split(..., test_size=size, stratify=labels, random_state=seed)` of scikit-learn 1.5 to
    1.9 draws, whose import would take a second and a half. NumPy promises that RandomState's numbers stay the same.

    Args:
        labels: Class of every picture, [N].
        size: Pictures to draw, below N.
        seed: The seed of the draw.
    Returns:
        Indices into `labels`.
    Source: scikit-learn, StratifiedShuffleSplit and _approximate_mode (at 1.9.1).
    """
    random = np.random.RandomState(seed)
    _, places, counts = _classes_of(labels)
    members = np.split(np.argsort(places, kind="stable"), np.cumsum(counts)[:-1])
    left = _shares(counts, len(labels) - size, random)
    taken = _shares(counts - left, size, random)
    rest, drawn = [], []
    for pictures, first, others in zip(members, left, taken, strict=True):
        shuffled = pictures[random.permutation(len(pictures))]
        rest.append(shuffled[:first])
        drawn.append(shuffled[first : first + others])
    return random.permutation(np.concatenate(rest)), random.permutation(np.concatenate(drawn))


def _classes_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes that there are, the place of each label among them, and how often each occurs.

    np.unique tells the same, and imports NumPy's masked arrays.
    """
    present = np.array(sorted(set(labels.tolist())), dtype=labels.dtype)
    places = np.searchsorted(present, labels)
    return present, places, np.bincount(places, minlength=len(present))


def _shares(counts: np.ndarray, size: int, random: np.random.RandomState) -> np.ndarray:
    """Divide `size` among classes in proportion to their counts; ties for the last ones are decided by lot."""
    exact = counts / counts.sum() * size
    shares: np.ndarray = np.floor(exact)
    missing = int(size - shares.sum())
    remainders = exact - shares
    for remainder in sorted(set(remainders.tolist()), reverse=True):
        if missing == 0:
            break
        equal = np.flatnonzero(remainders == remainder)
        chosen = random.choice(equal, size=min(len(equal), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    return shares.astype(np.int64)


def _draw(
    pool: np.ndarray, labels: np.ndarray, size: int, seed: int, setting: str, classes: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Divide a pool into what is left and a stratified draw of `size`, both sorted, with every class in both."""
    present, _, counts = _classes_of(labels[pool])
    if size < len(present) or len(pool) - size < len(present):
        raise ValueError(
            f"{setting} divides {len(pool)} pictures into {len(pool) - size} and {size}, but both parts need one "
            f"picture of each of the {len(present)} classes at least."
        )
    if counts.min() < 2:
        rarest = present[counts.argmin()]
        name = f"with label {rarest}" if classes is None else classes[rarest]
        raise ValueError(
            f"{setting} divides every class, but the class {name} has one picture left. Add pictures to it or remove "
            "it."
        )
    rest, drawn = (pool[places] for places in draw_stratified(labels[pool], size, seed))
    for label in present:
        for part, other in ((drawn, rest), (rest, drawn)):
            if label not in labels[part]:
                _give_one(label, labels, part, other)
    return np.sort(rest), np.sort(drawn)


def _give_one(label: np.int64, labels: np.ndarray, part: np.ndarray, other: np.ndarray) -> None:
    """Exchange the first picture of the class that a part has most of, for the first of a class that it lacks.

    Both parts are in the random order of the draw, so the first is as good as any.
    """
    most = np.bincount(labels[part]).argmax()
    given, taken = np.flatnonzero(labels[part] == most)[0], np.flatnonzero(labels[other] == label)[0]
    part[given], other[taken] = other[taken], part[given]
