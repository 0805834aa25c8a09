"""The cache of decoded pictures: built once, complete or not at all, rebuilt when damaged."""

import dataclasses
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tffd.data import arrays as module
from tffd.data import seal
from tffd.data.arrays import Arrays, cached

NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def pictures() -> Arrays:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, size=(30, 4, 5, 3), dtype=np.uint8)
    labels = np.arange(30, dtype=np.int64) % 3
    return Arrays(images[:20], labels[:20], images[20:], labels[20:], ("ant", "bée", "cat"))


class Reader:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return pictures()


def assert_same(found: Arrays, expected: Arrays) -> None:
    for name in NAMES:
        array = getattr(found, name)
        np.testing.assert_array_equal(array, getattr(expected, name))
        assert array.dtype == getattr(expected, name).dtype
    assert found.classes == expected.classes


def left_behind(directory: Path) -> set[str]:
    """What lies in a cache directory but for locks."""
    return {path.name for path in directory.iterdir() if path.suffix != ".lock"}


def test_is_memory_mapped_and_read_once(tmp_path: Path) -> None:
    read = Reader()
    for _ in range(2):
        found = cached(tmp_path / "deep" / "cache" / "set", read)
        assert_same(found, pictures())
        assert all(isinstance(getattr(found, name), np.memmap) for name in NAMES)
    assert read.calls == 1
    assert left_behind(tmp_path / "deep" / "cache") == {"set"}


def test_arrays_that_are_not_contiguous_survive(tmp_path: Path) -> None:
    planes = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    labels = np.zeros(2, dtype=np.int64)
    images = planes.transpose(0, 2, 3, 1)  # as torchvision gives CIFAR
    found = cached(tmp_path / "set", lambda: Arrays(images, labels, images, labels, ("one",)))
    np.testing.assert_array_equal(found.train_images, images)
    assert found.train_images.flags.c_contiguous


def test_a_write_does_not_reach_the_file(tmp_path: Path) -> None:
    first = cached(tmp_path / "set", pictures)
    first.train_images[:] = 0
    assert_same(cached(tmp_path / "set", pictures), pictures())


@pytest.mark.parametrize(
    "error", [ValueError("broken picture"), OSError("no such disk"), KeyboardInterrupt()], ids=repr
)
def test_a_failed_read_leaves_nothing_and_is_not_renamed(tmp_path: Path, error: BaseException) -> None:
    def fail() -> Arrays:
        raise error

    with pytest.raises(type(error)) as caught:
        cached(tmp_path / "set", fail)
    assert caught.value is error
    assert left_behind(tmp_path) == set()
    assert_same(cached(tmp_path / "set", pictures), pictures())


def test_a_full_disk_leaves_nothing_and_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = np.save, []

    def fill(path: Path, array: np.ndarray) -> None:
        if saved:
            raise OSError(28, "No space left on device")
        saved.append(path)
        save(path, array)

    monkeypatch.setattr(module.np, "save", fill)
    with pytest.raises(ValueError, match="No space left on device.*dataset.cache"):
        cached(tmp_path / "set", pictures)
    assert len(saved) == 1
    assert left_behind(tmp_path) == set()


def test_a_file_in_the_way_is_explained_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("not a directory")
    read = Reader()
    with pytest.raises(ValueError, match=r"occupied/cache/set cannot be used .*dataset\.cache"):
        cached(tmp_path / "occupied" / "cache" / "set", read)
    assert read.calls == 0


def test_no_permission_is_explained_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by chmod, which does not stop root.
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Path, "mkdir", refuse)
    read = Reader()
    with pytest.raises(ValueError, match=r"Permission denied.*dataset\.cache"):
        cached(tmp_path / "cache" / "set", read)
    assert read.calls == 0


def test_a_complete_cache_is_read_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path / "set", pictures)

    def refuse(*_: Any) -> None:
        raise PermissionError("a shared cache may be read-only")

    monkeypatch.setattr(module, "FileLock", refuse)
    assert_same(cached(tmp_path / "set", pictures), pictures())


def _truncate(directory: Path) -> None:
    path = directory / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-100])


def _edit(path: Path, before: bytes, after: bytes | None = None) -> None:
    """Write into a file, of the same size and with its times kept."""
    status, content = path.stat(), path.read_bytes()
    assert before in content
    with path.open("r+b") as file:
        file.write(content.replace(before, bytes(len(before)) if after is None else after, 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "truncated": _truncate,
    "empty": lambda directory: (directory / "test_images.npy").write_bytes(b""),
    "not an array": lambda directory: (directory / "train_labels.npy").write_bytes(b"x" * 200),
    "missing array": lambda directory: (directory / "test_labels.npy").unlink(),
    "missing manifest": lambda directory: (directory / "manifest.json").unlink(),
    "half of the manifest": lambda directory: (directory / "manifest.json").write_text('{"classes": ["ant", "b'),
    "other classes": lambda directory: _edit(directory / "manifest.json", b"ant", b"bee"),
    "missing seal": lambda directory: (directory / "seal.json").unlink(),
    "a seal of nothing": lambda directory: (directory / "seal.json").write_text("[]"),
    "zeroed pixels": lambda directory: _edit(directory / "train_images.npy", pictures().train_images.tobytes()[:99]),
    "zeroed digests": lambda directory: np.save(directory / "train_digests.npy", np.zeros((20, 16), dtype=np.uint8)),
    "fewer labels": lambda directory: np.save(directory / "train_labels.npy", pictures().train_labels[:3]),
    "labels of another type": lambda directory: np.save(directory / "test_labels.npy", np.zeros(10, dtype=np.int32)),
    "another data set's labels": lambda directory: np.save(directory / "train_labels.npy", np.ones(20, dtype=np.int64)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    read = Reader()
    cached(tmp_path / "set", read)
    damage(tmp_path / "set")
    assert_same(cached(tmp_path / "set", read), pictures())
    assert read.calls == 2
    assert_same(cached(tmp_path / "set", read), pictures())
    assert read.calls == 2
    assert left_behind(tmp_path) == {"set"}


def test_a_copy_of_a_cache_is_read_once_and_then_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, digested = Reader(), []
    cached(tmp_path / "set", read)
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    digest = seal._digest
    monkeypatch.setattr(seal, "_digest", lambda path: digested.append(path.name) or digest(path))
    assert_same(cached(tmp_path / "copy", read), pictures())
    assert set(digested) == {f"{name}.npy" for name in (*NAMES, "train_digests")}
    digested.clear()
    assert_same(cached(tmp_path / "copy", read), pictures())
    assert digested == []  # the second trial costs no pass over the pictures
    assert read.calls == 1


def test_a_copy_that_may_only_be_read_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path / "set", pictures)
    shutil.copytree(tmp_path / "set", tmp_path / "copy")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(seal, "replacing", refuse)
    assert_same(cached(tmp_path / "copy", pictures), pictures())


def test_all_is_on_the_disk_before_the_name_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        events.append(os.path.basename(path).removeprefix(".").rsplit(".", 1)[0])
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        events.append(f"named {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    cached(tmp_path / "cache" / "set", pictures)
    named = events.index("named set")
    assert {*events[:named]} >= {*(f"{name}.npy" for name in NAMES), "manifest.json", "seal.json"}
    assert events[named + 1 :] == ["cache"]


UNSOUND: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "fewer labels": (
        {"train_labels": np.zeros(3, dtype=np.int64)},
        r"label for each of its 20 pictures, got int64 \(3,\)",
    ),
    "labels that count anew": ({"test_labels": np.full(10, 3)}, "test labels must lie in 0 to 2, .* got 3 to 3"),
    "negative labels": ({"train_labels": np.full(20, -1)}, "train labels must lie in 0 to 2"),
    "floats": ({"test_images": np.zeros((10, 4, 5, 3))}, "test pictures must be uint8 .* got float64"),
    "no channels": ({"train_images": np.zeros((20, 4, 5), dtype=np.uint8)}, r"train pictures must be .* \(20, 4, 5\)"),
    "digests of others": ({"train_digests": np.zeros((9, 16), dtype=np.uint8)}, r"train_digests must be .* \(20, 16\)"),
}


@pytest.mark.parametrize(("changes", "message"), UNSOUND.values(), ids=UNSOUND)
def test_a_source_whose_arrays_do_not_fit_together_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cached(tmp_path / "set", lambda: dataclasses.replace(pictures(), **changes))
    assert left_behind(tmp_path) == set()


def _ask(directory: Path, journal: Path, barrier: Any) -> None:
    def read() -> Arrays:
        with journal.open("a") as file:
            file.write("read\n")
        time.sleep(0.3)  # the others arrive meanwhile
        return pictures()

    barrier.wait()
    assert_same(cached(directory, read), pictures())


def test_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2, timeout=60)
    journal = tmp_path / "journal"
    task = (tmp_path / "cache" / "set", journal, barrier)
    other = context.Process(target=_ask, args=task)
    other.start()
    _ask(*task)
    other.join(60)
    assert other.exitcode == 0
    assert journal.read_text() == "read\n"
    assert left_behind(tmp_path / "cache") == {"set"}
