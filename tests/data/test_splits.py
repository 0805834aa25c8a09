"""Stratified, seeded, disjoint; and judged on the same pictures whatever is trained on."""

from hashlib import sha256

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from tffd.data.splits import Split, draw_stratified, split_training_set

# Three classes of 100, 60 and 40 pictures, in no order.
LABELS = np.random.default_rng(7).permutation(np.repeat([0, 1, 2], [100, 60, 40]))


def shares(indices: np.ndarray) -> list[int]:
    return np.bincount(LABELS[indices], minlength=3).tolist()


@pytest.mark.parametrize(
    ("val_fraction", "train_size", "val", "train"),
    [
        (None, None, [0, 0, 0], [100, 60, 40]),
        (0.1, None, [10, 6, 4], [90, 54, 36]),
        (0.3, None, [30, 18, 12], [70, 42, 28]),
        (0.1, 90, [10, 6, 4], [45, 27, 18]),
        (None, 50, [0, 0, 0], [25, 15, 10]),
        (0.1, 180, [10, 6, 4], [90, 54, 36]),
    ],
)
def test_is_stratified_disjoint_and_sorted(
    val_fraction: float | None, train_size: int | None, val: list[int], train: list[int]
) -> None:
    split = split_training_set(LABELS, val_fraction, train_size, seed=3)
    assert shares(split.val) == val
    assert shares(split.train) == train
    together = np.concatenate([split.train, split.val])
    assert len(np.unique(together)) == len(together)
    for part in (split.train, split.val):
        assert part.dtype == np.int64
        assert part.tolist() == sorted(part)


def test_everything_is_in_one_of_both() -> None:
    split = split_training_set(LABELS, 0.25, None, seed=0)
    assert sorted([*split.train, *split.val]) == list(range(200))


def test_the_seed_decides() -> None:
    first, same, other = (split_training_set(LABELS, 0.2, 100, seed=seed) for seed in (0, 0, 1))
    assert first.train.tolist() == same.train.tolist()
    assert first.val.tolist() == same.val.tolist()
    assert first.val.tolist() != other.val.tolist()
    assert first.train.tolist() != other.train.tolist()


def test_val_does_not_depend_on_train_size() -> None:
    whole = split_training_set(LABELS, 0.2, None, seed=0)
    for train_size in (10, 80, 150):
        cut = split_training_set(LABELS, 0.2, train_size, seed=0)
        assert cut.val.tolist() == whole.val.tolist()
        assert len(cut.train) == train_size
        assert set(cut.train) <= set(whole.train)


@pytest.mark.parametrize(
    ("val_fraction", "train_size", "message"),
    [
        (0.2, 161, r"train_size=161 asks for more pictures than the 160 that remain after 40 are held out"),
        (None, 201, r"train_size=201 .* the 200 that remain after 0"),
        (0.01, None, r"protocol\.val_fraction=0\.01 divides 200 pictures into 198 and 2, .* each of the 3 classes"),
        (0.995, None, r"protocol\.val_fraction=0\.995 divides 200 pictures into 1 and 199"),
        (0.2, 2, r"dataset\.train_size=2 divides 160 pictures into 158 and 2"),
        (0.2, 159, r"dataset\.train_size=159 divides 160 pictures into 1 and 159"),
    ],
)
def test_refuses_what_cannot_be_divided(val_fraction: float | None, train_size: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_training_set(LABELS, val_fraction, train_size, seed=0)


def test_refuses_a_class_of_one_picture() -> None:
    labels = np.array([0] * 20 + [1] + [2] * 20)
    with pytest.raises(ValueError, match=r"protocol\.val_fraction=0\.2 .* class with label 1 has one picture left"):
        split_training_set(labels, 0.2, None, seed=0)
    assert len(split_training_set(labels, None, None, seed=0).train) == 41


@pytest.mark.parametrize(
    ("counts", "val_fraction", "train_size", "val", "train"),
    [
        # In shares alone, train would be [11, 0, 1]: a class that is never seen and yet judged.
        ([198, 6, 6], None, 12, [0, 0, 0], [10, 1, 1]),
        ([198, 6, 6], 0.05, None, [8, 1, 1], [190, 5, 5]),
        # The held-out part may be the greater one.
        ([198, 2, 2], 0.95, None, [190, 1, 1], [8, 1, 1]),
        ([500, 3, 3, 3, 3], 0.02, 5, [6, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
    ],
)
def test_every_part_has_every_class(
    counts: list[int], val_fraction: float | None, train_size: int | None, val: list[int], train: list[int]
) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    for seed in range(5):
        split = split_training_set(labels, val_fraction, train_size, seed)
        for part, expected in ((split.val, val), (split.train, train)):
            assert np.bincount(labels[part], minlength=len(counts)).tolist() == expected
            assert part.tolist() == sorted({*part.tolist()})
        assert not {*split.val} & {*split.train}


def test_a_message_names_a_class_by_its_folder() -> None:
    labels = np.array([0] * 20 + [1] + [2] * 20)
    with pytest.raises(ValueError, match="but the class lynx has one picture left"):
        split_training_set(labels, 0.2, None, seed=0, classes=("cat", "lynx", "dog"))


def test_record_tells_splits_apart() -> None:
    split = Split(train=np.array([0, 2, 5]), val=np.array([1], dtype=np.int64))
    expected = sha256(np.array([0, 2, 5], dtype="<i8").tobytes()).hexdigest()[:16]
    assert split.record(np.arange(6)) == {
        "train": 3,
        "val": 1,
        "train_sha256": expected,
        "val_sha256": sha256(np.array([1], dtype="<i8").tobytes()).hexdigest()[:16],
        "all_sha256": sha256(np.arange(6, dtype="<i8").tobytes()).hexdigest()[:16],
    }
    assert Split(train=np.array([0, 2, 4]), val=split.val).record(np.arange(6))["train_sha256"] != expected


def test_record_of_a_seed_is_fixed() -> None:
    # Runs of different days are comparable only while these stay: scikit-learn draws the split.
    record = split_training_set(np.arange(100) % 10, 0.1, 50, seed=0).record(np.arange(100))
    assert record == {
        "train": 50,
        "val": 10,
        "train_sha256": "079f8ceee04524b2",
        "val_sha256": "0a7d886ba0b76fdd",
        "all_sha256": "96bdba67cd0b5e6d",
    }


@pytest.mark.parametrize("classes", [2, 7, 10, 100])
def test_draws_what_scikit_learn_draws(classes: int) -> None:
    random = np.random.default_rng(classes)
    for seed in range(10):
        labels = random.permutation(
            np.concatenate([np.repeat(np.arange(classes), 2), random.integers(classes, size=300)])
        )
        size = int(random.integers(classes, len(labels) - classes))
        rest, drawn = train_test_split(np.arange(len(labels)), test_size=size, stratify=labels, random_state=seed)
        ours = draw_stratified(labels, size, seed)
        assert (ours[0].tolist(), ours[1].tolist()) == (rest.tolist(), drawn.tolist())
