"""Trees of pictures, against torchvision's ImageFolder."""

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image

from tffd.data import load_arrays
from tffd.data.arrays import Summary
from tffd.data.sources.image_folder import PICTURE_SUFFIXES, ImageFolder

SIZE = 16


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def save(path: Path, picture: Image.Image | np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes, three training and two test pictures of each, all of the same size on the disk."""
    root = tmp_path / "tree"
    for seed, split in enumerate(("train", "test")):
        for number in range(3 - seed):
            for label, name in enumerate(("cat", "dog")):
                save(root / split / name / f"{number}.bmp", noise(100 * seed + 10 * number + label, SIZE, SIZE, 3))
    for path in root.rglob("*.bmp"):
        os.utime(path, ns=(10**18, 10**18))  # as a tree that was unpacked may be
    return root


def torchvisions(directory: Path, size: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    folder = torchvision.datasets.ImageFolder(str(directory))
    pictures, labels = zip(*folder, strict=True)
    images = [np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)) for picture in pictures]
    return np.stack(images), np.array(labels, dtype=np.int64), tuple(folder.classes)


def test_equals_torchvisions_image_folder(tmp_path: Path) -> None:
    train = tmp_path / "train"
    # Class names in an order that differs with the case; suffixes in capitals; modes; sizes; a directory within.
    save(train / "b" / "1.PNG", noise(0, 20, 30, 3))
    save(train / "b" / "10.jpg", noise(1, 40, 16, 3))
    save(train / "b" / "2.jpeg", noise(2, 16, 16))
    save(train / "B" / "grey.JPG", noise(3, 9, 9))
    opaque = noise(4, 16, 16, 4)
    opaque[..., 3] = 255
    save(train / "B" / "alpha.png", opaque)
    save(train / "a" / "palette.png", Image.fromarray(noise(5, 16, 16, 3)).quantize(16))
    save(train / "a" / "one_bit.png", Image.fromarray(noise(6, 16, 16)).convert("1"))
    save(train / "a" / "print.tif", Image.fromarray(noise(7, 16, 16, 3)).convert("CMYK"))
    save(train / "a" / "deep" / "5.ppm", noise(8, 16, 16, 3))
    save(train / "a" / "deep" / "er" / "4.webp", noise(9, 24, 24, 3), lossless=True)
    save(train / "a" / "deep-er" / "4.pgm", noise(10, 24, 24))
    (train / "a" / "empty").mkdir()
    (train / "a" / "README.txt").write_text("not a picture")
    for name in ("a", "b", "B"):
        save(tmp_path / "test" / name / "x.tiff", noise(11, 50, 50, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arrays = ImageFolder(str(tmp_path), SIZE).read()
    assert arrays.classes == ("B", "a", "b")
    for split, images, labels in (
        ("train", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        expected_images, expected_labels, classes = torchvisions(tmp_path / split, SIZE)
        assert arrays.classes == classes
        np.testing.assert_array_equal(labels, expected_labels)
        np.testing.assert_array_equal(images, expected_images)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
    assert len(arrays.train_labels) == 11
    assert ImageFolder(str(tmp_path), SIZE).check() == Summary(11, 3, channels=3, image_size=SIZE)


def test_suffixes_include_torchvisions() -> None:
    assert set(PICTURE_SUFFIXES) > set(torchvision.datasets.folder.IMG_EXTENSIONS)


def test_links_are_followed(tree: Path, tmp_path: Path) -> None:
    plain = ImageFolder(str(tree), SIZE).read()
    (tree / "train" / "cat").rename(tmp_path / "cats")
    (tree / "train" / "cat").symlink_to(tmp_path / "cats")
    (tmp_path / "one.bmp").write_bytes((tmp_path / "cats" / "0.bmp").read_bytes())
    (tmp_path / "cats" / "0.bmp").unlink()
    (tmp_path / "cats" / "0.bmp").symlink_to(tmp_path / "one.bmp")
    linked = ImageFolder(str(tree), SIZE).read()
    np.testing.assert_array_equal(linked.train_images, plain.train_images)
    assert linked.classes == ("cat", "dog")


def test_hidden_names_are_passed_over(tree: Path) -> None:
    plain = ImageFolder(str(tree), SIZE).fingerprint()
    save(tree / "train" / ".ipynb_checkpoints" / "0.png", noise(0, SIZE, SIZE, 3))
    save(tree / "train" / "cat" / ".ipynb_checkpoints" / "0.png", noise(0, SIZE, SIZE, 3))
    (tree / "train" / ".DS_Store").write_bytes(b"x")
    (tree / "train" / "cat" / "._0.png").write_bytes(b"written beside every file by macOS")
    assert ImageFolder(str(tree), SIZE).check() == Summary(6, 2, channels=3, image_size=SIZE)
    assert ImageFolder(str(tree), SIZE).fingerprint() == plain


def _truncated_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(0, 64, 64, 3)).save(buffer, "jpeg")
    return buffer.getvalue()[:-400]


def _huge_bmp() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(0, 2, 2, 3)).save(buffer, "bmp")
    content = bytearray(buffer.getvalue())
    content[18:26] = (60_000).to_bytes(4, "little") * 2  # a header that promises 3.6 billion pixels
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.png", b"this is text"),
        ("empty.png", b""),
        ("truncated.jpg", _truncated_jpeg()),
        ("huge.bmp", _huge_bmp()),
    ],
)
def test_a_broken_picture_is_named(tree: Path, tmp_path: Path, name: str, content: bytes) -> None:
    path = tree / "test" / "dog" / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is not a readable picture .*Replace or remove it"):
        load_arrays(ImageFolder(str(tree), SIZE), tmp_path / "cache")
    path.unlink()
    assert len(load_arrays(ImageFolder(str(tree), SIZE), tmp_path / "cache").test_labels) == 4


def test_a_link_to_nothing_is_named(tree: Path, tmp_path: Path) -> None:
    path = tree / "train" / "cat" / "gone.png"
    path.symlink_to(tree / "nowhere.png")
    with pytest.raises(ValueError, match=f"{path} is not a readable picture .No such file.*Replace or remove it"):
        load_arrays(ImageFolder(str(tree), SIZE), tmp_path / "cache")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is a device, a FIFO or a socket, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, a FIFO or a socket, not a file"),
        (lambda path: path.touch() or os.truncate(path, 2**30), "more than the 512.0 MiB"),
    ],
)
def test_an_odd_file_under_the_name_of_a_picture_is_named_unread(tree: Path, make: Any, reason: str) -> None:
    path = tree / "train" / "dog" / "odd.png"
    make(path)
    with pytest.raises(ValueError) as caught:
        ImageFolder(str(tree), SIZE).read()
    assert str(path) in str(caught.value) and reason in str(caught.value)


def test_directories_that_lead_round_in_a_circle_are_named(tree: Path, tmp_path: Path) -> None:
    first, second = tree / "train" / "dog", tmp_path / "second"
    second.mkdir()
    (first / "to").symlink_to(second)
    (second / "fro").symlink_to(first)
    with pytest.raises(ValueError, match="to/fro is .*/train/dog, whose pictures are in this class already"):
        ImageFolder(str(tree), SIZE).check()


def _remove(path: Path) -> None:
    for entry in path.iterdir():
        entry.unlink()
    path.rmdir()


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no root": (lambda root: root.rename(root.with_name("moved")), r"tree/train is missing\. .*dataset\.root"),
    "no train": (lambda root: (root / "train").rename(root / "training"), r"tree/train is missing"),
    "no test": (lambda root: (root / "test").rename(root / "testing"), r"tree/test is missing"),
    "no class": (lambda root: [_remove(path) for path in (root / "train").iterdir()], r"train is empty of classes"),
    "empty class": (
        lambda root: [path.unlink() for path in (root / "test" / "dog").iterdir()],
        r"no picture \(.*\.jpg.*\) in test/dog of",
    ),
    "class in train alone": (lambda root: _remove(root / "test" / "cat"), r"without a counterpart: train/cat\."),
    "class in test alone": (lambda root: (root / "test" / "eel").mkdir(), r"without a counterpart: test/eel\."),
    "many classes": (
        lambda root: [(root / "test" / f"eel{number}").mkdir() for number in range(7)],
        r"test/eel0, test/eel1, test/eel2, test/eel3, test/eel4 and 2 more",
    ),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_a_tree_of_another_shape_is_refused(tree: Path, change: Callable[[Path], Any], message: str) -> None:
    change(tree)
    source = ImageFolder(str(tree), SIZE)
    for action in (source.check, source.read):
        with pytest.raises(ValueError, match=message):
            action()


def test_a_size_of_nothing_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="image_size must be at least 1, got 0"):
        ImageFolder(str(tree), 0).check()


def _swap(root: Path) -> None:
    cat, dog, between = root / "train" / "cat" / "0.bmp", root / "train" / "dog" / "0.bmp", root / "between"
    cat.rename(between)
    dog.rename(cat)
    between.rename(dog)


def _rewrite(root: Path) -> None:
    save(root / "train" / "cat" / "0.bmp", noise(77, SIZE, SIZE, 3))  # the same size; only the time tells


def _resize(root: Path) -> None:
    path = save(root / "train" / "cat" / "0.bmp", noise(77, SIZE + 1, SIZE, 3))
    os.utime(path, ns=(10**18, 10**18))  # the same time; only the size tells


CHANGES: dict[str, Callable[[Path], Any]] = {
    "added": lambda root: save(root / "train" / "cat" / "9.bmp", noise(9, SIZE, SIZE, 3)),
    "added below": lambda root: save(root / "test" / "cat" / "more" / "9.bmp", noise(9, SIZE, SIZE, 3)),
    "removed": lambda root: (root / "test" / "cat" / "0.bmp").unlink(),
    "renamed": lambda root: (root / "test" / "cat" / "0.bmp").rename(root / "test" / "cat" / "00.bmp"),
    "class renamed": lambda root: [(root / split / "cat").rename(root / split / "eel") for split in ("train", "test")],
    "moved": lambda root: (root / "test" / "cat" / "0.bmp").rename(root / "train" / "cat" / "9.bmp"),
    "rewritten": _rewrite,
    "resized": _resize,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fingerprint_follows_every_change(tree: Path, change: Callable[[Path], Any]) -> None:
    before = ImageFolder(str(tree), SIZE).fingerprint()
    assert ImageFolder(str(tree), SIZE).fingerprint() == before
    change(tree)
    assert ImageFolder(str(tree), SIZE).fingerprint() != before


def test_fingerprint_tells_two_pictures_that_change_places(tree: Path) -> None:
    os.utime(tree / "train" / "cat" / "0.bmp", ns=(10**18 + 5, 10**18 + 5))
    before = ImageFolder(str(tree), SIZE).fingerprint()
    _swap(tree)
    assert ImageFolder(str(tree), SIZE).fingerprint() != before


def test_fingerprint_tells_sizes_and_places_but_not_spellings(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ImageFolder(str(tree), SIZE).fingerprint()
    assert ImageFolder(str(tree), SIZE + 1).fingerprint() != before
    monkeypatch.chdir(tree.parent)
    for spelling in ("tree", "./tree", "tree/", "tree/../tree"):
        assert ImageFolder(spelling, SIZE).fingerprint() == before
    tree.rename(tree.with_name("other"))
    assert ImageFolder("other", SIZE).fingerprint() != before


def test_neither_order_nor_noise_of_a_directory_matters(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ImageFolder(str(tree), SIZE)
    before, arrays = source.fingerprint(), source.read()
    (tree / "train" / "cat" / "notes.txt").write_text("no picture")
    scandir = os.scandir

    @contextmanager
    def backwards(path: Any) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(path) as entries:
            yield sorted(entries, key=lambda entry: entry.name, reverse=True)

    monkeypatch.setattr(os, "scandir", backwards)
    assert source.fingerprint() == before
    again = source.read()
    np.testing.assert_array_equal(again.train_images, arrays.train_images)
    np.testing.assert_array_equal(again.train_labels, arrays.train_labels)


def test_a_changed_tree_is_decoded_again_and_an_unchanged_one_is_not(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ImageFolder(str(tree), SIZE)
    assert len(load_arrays(source, tmp_path / "cache").train_labels) == 6
    CHANGES["added"](tree)
    assert len(load_arrays(source, tmp_path / "cache").train_labels) == 7

    def refuse(_: ImageFolder) -> None:
        raise AssertionError("decoded a second time")

    monkeypatch.setattr(ImageFolder, "read", refuse)
    assert len(load_arrays(source, tmp_path / "cache").train_labels) == 7
