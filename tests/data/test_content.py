"""The identity of pictures: their bytes, labels and the rules of decoding, wherever and whenever they lie."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import compose_config
from tffd.config import require_config
from tffd.data import content, content_of, load_arrays
from tffd.data.sources import Digits, ImageFolder, image_folder
from tffd.data.sources.image_folder import _read_each
from tffd.identity import hash_config

SIZE = 8
TIME = 10**18


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    os.utime(path, ns=(TIME, TIME))  # as a tree that was unpacked may be: only inodes and ctimes tell


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for split, first in (("train", 0), ("test", 100)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(3):
                picture(root / split / name / f"{number}.bmp", first + 10 * label + number)
    return root


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from other tests."""
    monkeypatch.setattr(content, "_known", {})


def _swap(root: Path) -> None:
    cat, dog, between = root / "train" / "cat" / "0.bmp", root / "train" / "dog" / "0.bmp", root / "between"
    cat.rename(between)
    dog.rename(cat)
    between.rename(dog)


def _swap_bytes(root: Path) -> None:
    paths = [root / "train" / name / "1.bmp" for name in ("cat", "dog")]
    for path, data in zip(paths, [path.read_bytes() for path in reversed(paths)], strict=True):
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(TIME, TIME))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "swapped between classes": _swap,
    "swapped in place, times kept": _swap_bytes,
    "another picture": lambda root: picture(root / "test" / "dog" / "2.bmp", 77),
    "moved to the other split": lambda root: (root / "test" / "cat" / "0.bmp").rename(root / "train" / "cat" / "9.bmp"),
    "a class renamed": lambda root: [
        (root / split / "cat").rename(root / split / "cow") for split in ("train", "test")
    ],
    "read in another order": lambda root: (root / "train" / "cat" / "0.bmp").rename(root / "train" / "cat" / "9.bmp"),
    "removed": lambda root: (root / "test" / "dog" / "1.bmp").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("is_cached", [True, False])
def test_every_change_of_the_data_changes_its_content(
    tree: Path, tmp_path: Path, change: Callable[[Path], Any], is_cached: bool
) -> None:
    source, cache = ImageFolder(str(tree), SIZE), tmp_path / "cache"
    if is_cached:
        load_arrays(source, cache)
    before = content_of(source, cache)
    assert content_of(source, cache) == before
    change(tree)
    now = content_of(source, cache)
    assert now != before
    assert load_arrays(source, cache).content == now


def _copied(root: Path) -> Path:
    return Path(shutil.copytree(root, root.with_name("copy"), copy_function=shutil.copyfile))  # as cp -r: new times


def _touched(root: Path) -> Path:
    for path in root.rglob("*.bmp"):
        path.touch()
    return root


def _restored(root: Path) -> Path:
    _swap(root)
    _swap(root)
    return root


def _noisy(root: Path) -> Path:
    (root / "train" / "cat" / "notes.txt").write_text("no picture")
    return root


SAME: dict[str, Callable[[Path], Path]] = {
    "copied": _copied,
    "moved": lambda root: root.rename(root.with_name("moved")),
    "touched": _touched,
    "swapped there and back": _restored,
    "with other files": _noisy,
}


@pytest.mark.parametrize("keep", SAME.values(), ids=SAME)
def test_a_tree_of_the_same_bytes_is_the_same_data_and_the_same_run(
    tree: Path, tmp_path: Path, keep: Callable[[Path], Path]
) -> None:
    def hashes(root: Path, cache: str) -> Any:
        overrides = ("dataset=image_folder", f"dataset.root={root}", f"dataset.cache={tmp_path / cache}")
        return hash_config(require_config(compose_config(*overrides)))

    before = hashes(tree, "cache")
    assert len(before.data) == 12
    now = keep(tree)
    assert hashes(now, "cache") == before
    assert hashes(now, "cache of another machine") == before


def test_size_and_rules_of_decoding_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {ImageFolder(str(tree), size).content() for size in (8, 9)}
    monkeypatch.setattr(image_folder, "RULES", 99)
    assert len(contents | {ImageFolder(str(tree), SIZE).content()}) == 3


def test_decoding_finds_out_what_reading_does(tree: Path, tmp_path: Path) -> None:
    source = ImageFolder(str(tree), SIZE)
    assert load_arrays(source, tmp_path / "cache").content == source.read().content == source.content()
    assert source.content().startswith("folder8-6+6-")


def test_files_are_read_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    monkeypatch.setattr(
        image_folder, "_read_each", lambda paths, use: reads.append(len(paths)) or _read_each(paths, use)
    )
    source = ImageFolder(str(tree), SIZE)
    content_of(source, tmp_path / "absent")
    content_of(source, tmp_path / "absent")
    assert reads == [12]  # without a cache, once a process
    assert not (tmp_path / "absent").exists()

    content._known.clear()
    load_arrays(source, tmp_path / "cache")
    for _ in range(2):
        content._known.clear()  # as in other processes
        content_of(source, tmp_path / "cache")
    assert reads == [12, 12]  # with one, once for all


def test_a_cache_that_was_changed_tells_no_content(tree: Path, tmp_path: Path) -> None:
    source, cache = ImageFolder(str(tree), SIZE), tmp_path / "cache"
    load_arrays(source, cache)
    manifest = cache / source.fingerprint() / "manifest.json"
    manifest.write_text(manifest.read_text().replace("folder8-6+6-", "folder8-6+6-f"))
    assert content_of(source, cache) == source.content()


def test_held_out_pictures_are_told_by_their_files(tree: Path, tmp_path: Path) -> None:
    digests = load_arrays(ImageFolder(str(tree), SIZE), tmp_path / "cache").train_digests
    assert digests is not None
    larger = load_arrays(ImageFolder(str(tree), 2 * SIZE), tmp_path / "cache").train_digests
    np.testing.assert_array_equal(larger, digests)  # the same pictures at another size
    _swap(tree)
    swapped = load_arrays(ImageFolder(str(tree), SIZE), tmp_path / "cache").train_digests
    assert swapped is not None
    np.testing.assert_array_equal(swapped[[3, 1, 2, 0, 4, 5]], digests)


def test_other_sources_are_what_their_settings_say() -> None:
    assert content_of(Digits(), "nowhere") == Digits().content() != content_of(Digits(400), "nowhere")
