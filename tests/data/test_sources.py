"""Sources that need no file: the digits and synthetic pictures; and the files in conf/dataset."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support import CONF, compose_config
from tffd import build, instantiation
from tffd.schema import Config
from tffd.config import require_config
from tffd.data.arrays import Summary
from tffd.data.sources import Cifar, Digits, ImageFolder, Synthetic

FILES = sorted((CONF / "dataset").rglob("*.yaml"))
PUBLISHED = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def config_of(*overrides: str) -> Config:
    config = require_config(compose_config(*overrides))
    return config


def test_there_are_dataset_files() -> None:
    assert {path.stem for path in FILES} >= {"digits", "cifar10", "cifar100", "image_folder", "synthetic"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_dataset_file_builds_its_source(path: Path) -> None:
    config = config_of(f"dataset={path.stem}", "dataset.root=some/where")
    source = instantiation.build_source(config)
    assert config.dataset.name == path.stem
    expected = {
        "cifar10": Cifar("CIFAR10", "some/where"),
        "cifar100": Cifar("CIFAR100", "some/where"),
        "digits": Digits(),
        "image_folder": ImageFolder("some/where", 32),
        "synthetic": Synthetic(),
    }
    assert source == expected[path.stem]
    mean, std = PUBLISHED.get(path.stem, (None, None))
    assert config.dataset.mean == (mean and list(mean))
    assert config.dataset.std == (std and list(std))


def test_a_mirrored_digit_is_none() -> None:
    assert config_of("dataset=digits").dataset.augment.flip is False
    assert config_of("dataset=cifar100").dataset.augment.flip is True
    assert config_of("dataset=digits").dataset.augment.pad == 1
    assert config_of("dataset=cifar100").dataset.augment.pad == 4


def test_digits_are_sklearns_scans_scaled() -> None:
    scans = load_digits()
    arrays = Digits().read()
    assert arrays.train_images.shape == (1297, 8, 8, 1)
    assert arrays.test_images.shape == (500, 8, 8, 1)
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_labels.dtype == np.int64
    assert (arrays.train_images.min(), arrays.train_images.max()) == (0, 255)
    assert arrays.classes == tuple("0123456789")
    # Both parts together are the 1797 scans, each with its label: 0 to 16 became 0 to 255.
    found = np.concatenate([arrays.train_images, arrays.test_images])[..., 0]
    labels = np.concatenate([arrays.train_labels, arrays.test_labels])
    rows = sorted((label, *np.rint(image.ravel() * (16 / 255))) for label, image in zip(labels, found, strict=True))
    assert rows == sorted((label, *image) for label, image in zip(scans.target, scans.data, strict=True))
    np.testing.assert_array_equal(np.unique(found), np.rint(np.arange(17) * 255 / 16))


def test_digits_are_split_stratified_and_always_alike() -> None:
    arrays, again = Digits().read(), Digits().read()
    totals = np.bincount(load_digits().target)
    shares = np.bincount(arrays.test_labels)
    assert np.abs(shares - totals * 500 / 1797).max() < 1
    np.testing.assert_array_equal(arrays.test_images, again.test_images)
    np.testing.assert_array_equal(arrays.train_labels, again.train_labels)
    # The figures of different days belong to the same test set only while this stays.
    assert sha256(arrays.test_labels.tobytes() + arrays.test_images.tobytes()).hexdigest()[:16] == "2f9b97f8af2d4990"


def test_digits_say_what_they_are() -> None:
    assert Digits().check() == Summary(train_pictures=1297, classes=10, channels=1, image_size=8)
    assert Digits(100).check().train_pictures == len(Digits(100).read().train_labels) == 1697
    assert Digits().fingerprint() != Digits(100).fingerprint()


@pytest.mark.parametrize("test_pictures", [0, 9, 1788, 5000])
def test_digits_refuse_a_split_without_all_classes(test_pictures: int) -> None:
    with pytest.raises(ValueError, match=f"test_pictures={test_pictures}: .* choose 10 to 1787"):
        Digits(test_pictures).check()


def test_synthetic_pictures_are_what_was_asked_for() -> None:
    source = Synthetic(train_pictures=200, test_pictures=30, classes=4, channels=1, image_size=6, seed=3)
    arrays = source.read()
    assert arrays.train_images.shape == (200, 6, 6, 1)
    assert arrays.test_images.shape == (30, 6, 6, 1)
    assert arrays.train_images.dtype == np.uint8
    assert np.bincount(arrays.train_labels).tolist() == [50] * 4
    assert arrays.classes == ("0", "1", "2", "3")
    assert source.check() == Summary(train_pictures=200, classes=4, channels=1, image_size=6)
    # Uniform noise over 128 values, of standard deviation 37: nothing was cut off or wrapped around.
    tints = [arrays.train_images[arrays.train_labels == label].astype(float) for label in range(4)]
    assert all(35 < tint.std() < 39 for tint in tints)
    np.testing.assert_array_equal(arrays.train_images, source.read().train_images)


def test_synthetic_fingerprints_differ_with_every_setting() -> None:
    base = {"train_pictures": 8, "test_pictures": 8, "classes": 2, "channels": 3, "image_size": 4, "seed": 0}
    prints = {Synthetic(**{**base, key: base[key] + 1}).fingerprint() for key in base}
    assert len(prints | {Synthetic(**base).fingerprint()}) == 7


@pytest.mark.parametrize("field", ["train_pictures", "test_pictures", "classes", "channels", "image_size"])
def test_synthetic_refuses_none(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} of at least 1, got 0"):
        Synthetic(**{field: 0})


def test_synthetic_refuses_a_negative_seed() -> None:
    with pytest.raises(ValueError, match="need a seed of at least 0, got -1"):
        Synthetic(seed=-1)
