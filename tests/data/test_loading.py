"""Epochs, statistics, and what a protocol lets a run see."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import compose_config
from tffd import build
from tffd.schema import Config
from tffd.config import require_config
from tffd.data import (
    Arrays,
    Augmentation,
    Data,
    DataChanged,
    Pictures,
    Source,
    Summary,
    load_arrays,
    load_data,
    loading,
)
from tffd.data.loading import _statistics
from tffd.data.sources import Digits, Synthetic
from tffd.models import create_model
from tffd.identity import hash_config
from tffd.training.saliency import saliency_by_rank

CPU = torch.device("cpu")
STILL = Augmentation(pad=0, mode="reflect", flip=False)
MIRRORED = Augmentation(pad=0, mode="reflect", flip=True)
SOURCE = Synthetic(train_pictures=60, test_pictures=20, classes=4, channels=3, image_size=8)


def numbered(count: int, size: int = 1) -> Pictures:
    """Pictures whose label is their number, and so is every pixel (of two digits to the base 256)."""
    numbers = torch.arange(count)
    images = torch.stack([numbers // 256, numbers % 256], dim=1).to(torch.uint8)
    images = images[:, None, None, :].repeat(1, size, size, 1)
    return Pictures(images, numbers, torch.zeros(2), torch.ones(2))


def epoch_of(pictures: Pictures, batch_size: int, augmentation: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
    batches = list(pictures.epoch(batch_size, augmentation, seed))
    inputs, labels = [batch.inputs for batch in batches], [batch.labels for batch in batches]
    return torch.cat(inputs), torch.cat(labels)


def numbers_in(inputs: Tensor) -> Tensor:
    values = (inputs[:, :, 0, 0] * 255).round().long()
    return values[:, 0] * 256 + values[:, 1]


@pytest.mark.parametrize("batch_size", [7, 100, 300])
def test_an_epoch_visits_every_picture_once_with_its_label(batch_size: int) -> None:
    pictures = numbered(300)
    inputs, labels = epoch_of(pictures, batch_size, STILL, seed=0)
    assert labels.tolist() != list(range(300))
    assert sorted(labels.tolist()) == list(range(300))
    assert torch.equal(numbers_in(inputs), labels)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (10, 4, [4, 4, 2]),
        (12, 4, [4, 4, 4]),
        (9, 4, [4, 4]),  # one picture left over is dropped
        (3, 4, [3]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),  # asked for, so it is done
        (1, 1, [1]),
    ],
)
def test_sizes_of_batches(count: int, batch_size: int, sizes: list[int]) -> None:
    batches = numbered(count).epoch(batch_size, STILL, seed=0)
    assert [(len(batch.inputs), len(batch.labels)) for batch in batches] == [(size, size) for size in sizes]


def test_the_seed_alone_decides() -> None:
    pictures = Pictures(
        torch.randint(0, 256, (50, 8, 8, 3), dtype=torch.uint8), torch.arange(50), torch.zeros(3), torch.ones(3)
    )
    augmentation = Augmentation(pad=2, mode="zero", flip=True)
    first = epoch_of(pictures, 16, augmentation, seed=5)
    torch.manual_seed(99)  # the global generator has no say
    same = epoch_of(pictures, 16, augmentation, seed=5)
    other = epoch_of(pictures, 16, augmentation, seed=6)
    assert torch.equal(first[0], same[0])
    assert torch.equal(first[1], same[1])
    assert not torch.equal(first[1], other[1])
    # The batch size cuts the same stream: what happens to a picture does not depend on it.
    assert torch.equal(first[0], epoch_of(pictures, 50, augmentation, seed=5)[0])


def test_draws_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    epoch_of(numbered(20), 5, MIRRORED, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_offsets_are_uniform_and_independent() -> None:
    # Each pixel holds its own place, so the upper left one of a window tells top and left; zero padding of 1 would blur
    # that, so the window is read one pixel further in.
    places = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8, 1).repeat(9000, 1, 1, 1)
    pictures = Pictures(places, torch.arange(9000), torch.zeros(1), torch.ones(1))
    inputs, _ = epoch_of(pictures, 3000, Augmentation(pad=1, mode="reflect", flip=False), seed=0)
    corner = (inputs[:, 0, 1, 1] * 255).round().long()
    counts = torch.bincount((corner // 8) * 3 + corner % 8, minlength=9)
    assert counts.sum() == 9000
    # 1000 expected of each of the 9 windows, with a standard deviation of 30: five of them either way.
    assert counts.min() > 850
    assert counts.max() < 1150


def test_flip_mirrors_about_half_and_without_it_none() -> None:
    ramp = torch.tensor([0, 100, 200], dtype=torch.uint8).reshape(1, 1, 3, 1).repeat(2000, 3, 1, 1)
    pictures = Pictures(ramp, torch.zeros(2000, dtype=torch.long), torch.zeros(1), torch.ones(1))

    def mirrored(augmentation: Augmentation) -> int:
        inputs, _ = epoch_of(pictures, 500, augmentation, seed=0)
        starts = (inputs[:, 0, 0, 0] * 255).round()
        assert set(starts.tolist()) <= {0.0, 200.0}
        return int((starts == 200).sum())

    assert mirrored(STILL) == 0
    assert 900 < mirrored(MIRRORED) < 1100  # 1000 expected, standard deviation 22


def test_in_order_covers_all_unchanged() -> None:
    pictures = numbered(300)
    pictures.eval_batch_size = 128
    batches = list(pictures.in_order())
    assert [len(labels) for _, labels in batches] == [128, 128, 44]
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert labels.tolist() == list(range(300))
    assert torch.equal(numbers_in(inputs), labels)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, 1000), (8, 1000), (32, 1000), (33, 940), (64, 250), (224, 20), (1024, 1)],
)
def test_evaluation_takes_as_many_pictures_as_their_size_allows(size: int, expected: int) -> None:
    images = torch.zeros(1, dtype=torch.uint8).expand(1, size, size, 3)
    nothing = torch.zeros(3)
    assert Pictures(images, torch.zeros(1), nothing, nothing).eval_batch_size == expected
    assert Pictures(images, torch.zeros(1), nothing, nothing, eval_batch_size=7).eval_batch_size == 7


def test_batches_are_normalised_and_channels_last() -> None:
    images = torch.randint(0, 256, (6, 4, 4, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    pictures = Pictures(images, torch.arange(6), mean, std)
    expected = (images.permute(0, 3, 1, 2) / 255 - mean[:, None, None]) / std[:, None, None]
    inputs, labels = epoch_of(pictures, 6, STILL, seed=0)
    # rtol of two float32 roundings.
    torch.testing.assert_close(inputs, expected[labels], rtol=1e-6, atol=1e-6)
    (batch, _), *_ = pictures.in_order()
    torch.testing.assert_close(batch, expected, rtol=1e-6, atol=1e-6)
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
def test_measured_statistics_equal_numpys(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_MEASURED_PIXELS", 64 * 8 * 6)  # several blocks, the last one partial
    images = np.random.default_rng(0).integers(0, 200, size=(150, 8, 6, channels), dtype=np.uint8)
    images[..., 0] //= 2
    mean, std = _statistics(images, None, None)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-6)
    assert mean.dtype == std.dtype == torch.float32


@pytest.mark.parametrize(("size", "at_once"), [(8, [7]), (512, [3, 3, 1]), (1024, [1] * 7)])
def test_measuring_takes_as_many_pictures_as_their_size_allows(
    size: int, at_once: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, bincount = [], np.bincount

    def count(values: np.ndarray, minlength: int) -> np.ndarray:
        counted.append(len(values) / size**2)
        return bincount(values, minlength=minlength)

    monkeypatch.setattr(np, "bincount", count)
    _statistics(np.zeros((7, size, size, 1), dtype=np.uint8), None, None)
    assert counted == at_once


@pytest.mark.parametrize("value", [0, 1, 77, 128, 200, 255])
def test_a_channel_that_never_varies_is_not_divided_by_zero(value: int) -> None:
    mean, std = _statistics(np.full((5, 4, 4, 1), value, dtype=np.uint8), None, None)
    assert mean.item() == pytest.approx(value / 255)
    assert std.item() == pytest.approx(1 / 255)


def test_given_statistics_are_taken_and_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.full((2, 4, 4, 3), 51, dtype=np.uint8)
    mean, std = _statistics(images, [0.1, 0.2, 0.3], None)
    torch.testing.assert_close(mean, torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(std, torch.full((3,), 1 / 255))
    mean, std = _statistics(images, None, [0.4, 0.5, 0.6])
    torch.testing.assert_close(mean, torch.full((3,), 0.2))
    torch.testing.assert_close(std, torch.tensor([0.4, 0.5, 0.6]))

    def refuse(_: np.ndarray) -> None:
        raise AssertionError("a pass over all pictures for nothing")

    monkeypatch.setattr(loading, "_measure", refuse)
    mean, std = _statistics(images, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    torch.testing.assert_close(std, torch.tensor([0.4, 0.5, 0.6]))


@pytest.mark.parametrize(("key", "values"), [("mean", [0.5]), ("std", [0.5, 0.5])])
def test_a_wrong_number_of_means_is_refused(key: str, values: list[float], tmp_path: Path) -> None:
    given: dict[str, Any] = {"mean": None, "std": None, key: values}
    with pytest.raises(ValueError, match=rf"dataset\.{key} has {len(values)} values, the pictures have 3 channels"):
        load(tmp_path, **given)


class Given:
    """A source of arrays that are there."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays, self.name = arrays, "given"

    def check(self) -> Summary:
        return Summary(60, 4, 3, 8)

    def fingerprint(self) -> str:
        return self.name

    def content(self) -> str:
        return self.name

    def read(self) -> Arrays:
        return self._arrays


def load(cache: Path, source: Source = SOURCE, **changes: Any) -> Data:
    settings: dict[str, Any] = {
        "mean": None,
        "std": None,
        "train_size": None,
        "val_fraction": 0.2,
        "split_seed": 0,
        "read_test": False,
        "device": CPU,
    }
    return load_data(source, cache=cache, **{**settings, **changes})


def test_load_data_picks_what_the_split_says(tmp_path: Path) -> None:
    data = load(tmp_path, train_size=24, read_test=True)
    arrays = load_arrays(SOURCE, tmp_path)
    assert data.val is not None
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (24, 12, 20)
    assert (data.classes, data.channels) == (("0", "1", "2", "3"), 3)
    for part, images, labels in (
        (data.train, arrays.train_images[data.split.train], arrays.train_labels[data.split.train]),
        (data.val, arrays.train_images[data.split.val], arrays.train_labels[data.split.val]),
        (data.test, arrays.test_images, arrays.test_labels),
    ):
        np.testing.assert_array_equal(part.images, images)
        np.testing.assert_array_equal(part.labels, labels)
    # Measured on what is trained on alone; the same numbers for every part.
    expected = (arrays.train_images[data.split.train] / 255).mean(axis=(0, 1, 2))
    for part in (data.train, data.val, data.test):
        np.testing.assert_allclose(part.mean, expected, rtol=1e-6)


class Sealed(Arrays):
    """Arrays whose test set must not be touched."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("test_"):
            raise AssertionError(f"{name} was read")
        return super().__getattribute__(name)


def sealed(arrays: Arrays) -> Sealed:
    return Sealed(**{field.name: getattr(arrays, field.name) for field in dataclasses.fields(Arrays)})


def test_the_test_set_is_untouched_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_arrays", lambda source, cache: sealed(load_arrays(source, cache)))
    data = load(tmp_path, read_test=False)
    assert data.test is None
    assert len(data.train) == 48
    with pytest.raises(AssertionError, match="test_images was read"):
        load(tmp_path, read_test=True)


def config_of(*overrides: str) -> Config:
    config = require_config(compose_config(*overrides))
    return config


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield str(tmp_path_factory.mktemp("cache"))


def test_digits_under_the_validation_protocol(cache: str) -> None:
    data = build.build_data(config_of("dataset=digits", "protocol=validation", f"dataset.cache={cache}"), CPU)
    assert data.val is not None
    assert data.test is None
    assert (len(data.train), len(data.val)) == (200, 389)
    # Stratified exactly: the nearest whole numbers to the shares of the 1297.
    labels = Digits().read().train_labels
    whole = np.bincount(labels)
    for part in (data.train, data.val):
        shares = torch.bincount(part.labels, minlength=10).numpy()
        assert np.abs(shares - whole * len(part) / len(labels)).max() < 1
    assert not set(data.split.train) & set(data.split.val)
    assert data.channels == 1


@pytest.mark.parametrize("protocol", ["final", "paper"])
def test_digits_under_protocols_that_read_the_test_set(cache: str, protocol: str) -> None:
    overrides = ("dataset=digits", f"protocol={protocol}", f"dataset.cache={cache}", "dataset.train_size=null")
    data = build.build_data(config_of(*overrides), CPU)
    assert data.val is None
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (1297, 500)


def test_the_runs_seed_moves_no_picture_and_the_splits_does(cache: str) -> None:
    def split(*overrides: str) -> dict[str, int | str]:
        return build.build_data(config_of(f"dataset.cache={cache}", *overrides), CPU).split_record

    assert split("seed=0") == split("seed=1")
    assert split("seed=0")["val_sha256"] != split("protocol.split_seed=1")["val_sha256"]


def test_the_size_of_an_evaluation_comes_from_the_config_and_is_no_part_of_a_run(cache: str) -> None:
    plain, sized = (config_of(f"dataset.cache={cache}", *more) for more in ((), ("trainer.eval_batch_size=50",)))
    data = build.build_data(sized, CPU)
    assert data.val is not None
    assert [len(labels) for _, labels in data.val.in_order()] == [50] * 7 + [39]
    assert hash_config(plain) == hash_config(sized)


def test_the_digests_of_a_split_are_of_pictures_and_labels_not_of_places(tmp_path: Path) -> None:
    def record(seed: int, turn: int, cache: str) -> dict[str, int | str]:
        arrays = Synthetic(train_pictures=60, test_pictures=20, classes=4, channels=3, image_size=8, seed=seed).read()
        arrays = dataclasses.replace(arrays, train_labels=(arrays.train_labels + turn) % 4)
        return load(tmp_path / cache, source=Given(arrays)).split_record

    first = record(0, 0, "first")
    assert record(0, 0, "second") == first
    assert (first["train"], first["val"]) == (48, 12)
    for other in (record(1, 0, "pixels"), record(0, 1, "labels")):  # the split has the same places in all
        assert other["val_sha256"] != first["val_sha256"]
        assert other["train_sha256"] != first["train_sha256"]


def test_a_source_that_changes_while_it_is_decoded_is_refused(tmp_path: Path) -> None:
    source = Given(SOURCE.read())

    def read() -> Arrays:
        source.name = "changed"
        return SOURCE.read()

    source.read = read  # type: ignore[method-assign]
    with pytest.raises(DataChanged, match="changed while they were decoded"):
        load_arrays(source, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_the_saliency_of_channels_does_not_depend_on_the_size_of_an_evaluation() -> None:
    torch.manual_seed(0)
    model, images = create_model("resnet8", 4), torch.randint(0, 256, (30, 8, 8, 3), dtype=torch.uint8)
    at_once, by_seven = (
        saliency_by_rank(model, Pictures(images, torch.zeros(30), torch.zeros(3), torch.ones(3), size))
        for size in (30, 7)
    )
    for first, second in zip(at_once, by_seven, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4)  # sums of float32 in another order
