"""CIFAR from small archives in the official format; nothing leaves this machine."""

import hashlib
import io
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from tffd.data import load_arrays
from tffd.data.arrays import Arrays, Summary
from tffd.data.sources import Cifar

PER_BATCH = 6


@dataclass
class Archive:
    """A small archive, and the arrays that it holds."""

    path: Path
    arrays: Arrays


def batch_of(seed: int, label_key: str, classes: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "data": random.integers(0, 256, size=(PER_BATCH, 3072), dtype=np.uint8),
        label_key: random.integers(0, classes, size=PER_BATCH).tolist(),
    }


def official(variant: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Write an archive as the official one is built, and let torchvision take it for that."""
    kind = getattr(torchvision.datasets, variant)
    label_key = {"CIFAR10": "labels", "CIFAR100": "fine_labels"}[variant]
    classes = [f"class {number}" for number in range({"CIFAR10": 10, "CIFAR100": 100}[variant])]
    lists = {"train_list": [name for name, _ in kind.train_list], "test_list": [name for name, _ in kind.test_list]}
    names = [*lists["train_list"], *lists["test_list"]]
    batches = {name: batch_of(seed, label_key, len(classes)) for seed, name in enumerate(names)}
    files = {name: pickle.dumps(batch, protocol=2) for name, batch in batches.items()}
    files[kind.meta["filename"]] = pickle.dumps({kind.meta["key"]: classes}, protocol=2)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}

    directory.mkdir(exist_ok=True)
    path = directory / kind.filename
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{kind.base_folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    for attribute, names in lists.items():
        monkeypatch.setattr(kind, attribute, [[name, md5[name]] for name in names])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5[kind.meta["filename"]]})
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(kind, "url", f"http://127.0.0.1:{closed_port()}/{kind.filename}")

    def part(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        planes = np.concatenate([batches[name]["data"] for name in names]).reshape(-1, 3, 32, 32)
        labels = [label for name in names for label in batches[name][label_key]]
        return planes.transpose(0, 2, 3, 1), np.array(labels, dtype=np.int64)

    return Archive(path, Arrays(*part(lists["train_list"]), *part(lists["test_list"]), tuple(classes)))


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(params=["CIFAR10", "CIFAR100"])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def archive(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    return official(variant, tmp_path / "elsewhere", monkeypatch)


@dataclass
class Mirror:
    address: str
    requests: list[str]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """A server on this machine that holds the archive."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            requests.append(self.path)
            super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "elsewhere"))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Mirror(f"http://127.0.0.1:{server.server_port}", requests)
        server.shutdown()
        thread.join()


def assert_same(found: Arrays, expected: Arrays) -> None:
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype
    assert found.classes == expected.classes


def test_an_archive_in_the_root_is_unpacked_without_a_word(
    variant: str, archive: Archive, capfd: pytest.CaptureFixture[str]
) -> None:
    root = archive.path.parent
    assert_same(Cifar(variant, str(root)).read(), archive.arrays)
    assert (root / getattr(torchvision.datasets, variant).base_folder).is_dir()
    archive.path.unlink()  # what is unpacked is enough
    assert_same(Cifar(variant, str(root)).read(), archive.arrays)
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_mirror_is_asked_once(
    variant: str, archive: Archive, mirror: Mirror, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = Cifar(variant, str(tmp_path / "root"), mirror=f"{mirror.address}/{archive.path.name}")
    assert_same(source.read(), archive.arrays)
    assert (tmp_path / "root" / archive.path.name).is_file()
    asked = len(mirror.requests)
    assert asked in (1, 2)  # torchvision asks where the address leads first
    assert_same(source.read(), archive.arrays)
    assert len(mirror.requests) == asked
    assert capfd.readouterr().out == ""  # progress goes to stderr


def test_a_mirror_with_another_archive_is_refused(
    variant: str, archive: Archive, mirror: Mirror, tmp_path: Path
) -> None:
    archive.path.write_bytes(archive.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"(?s)could not be downloaded from .*corrupted.*dataset\.source\.mirror"):
        Cifar(variant, str(tmp_path / "root"), mirror=f"{mirror.address}/{archive.path.name}").read()
    assert not (tmp_path / "root" / getattr(torchvision.datasets, variant).base_folder).exists()


def test_a_corrupted_archive_in_the_root_is_replaced(
    variant: str, archive: Archive, mirror: Mirror, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / archive.path.name).write_bytes(b"half of it")
    source = Cifar(variant, str(tmp_path / "root"), mirror=f"{mirror.address}/{archive.path.name}")
    assert_same(source.read(), archive.arrays)


def test_a_corrupted_batch_is_unpacked_again(variant: str, archive: Archive) -> None:
    root = archive.path.parent
    source = Cifar(variant, str(root))
    source.read()
    kind = getattr(torchvision.datasets, variant)
    (root / kind.base_folder / kind.test_list[0][0]).write_bytes(b"")
    assert_same(source.read(), archive.arrays)


@pytest.mark.parametrize("present", [None, b"half of it"], ids=["absent", "corrupted"])
def test_without_a_network_one_message_says_what_to_put_where(
    variant: str, archive: Archive, tmp_path: Path, present: bytes | None
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    if present is not None:
        (root / archive.path.name).write_bytes(present)
    kind = getattr(torchvision.datasets, variant)
    with pytest.raises(ValueError) as caught:
        load_arrays(Cifar(variant, str(root)), tmp_path / "cache")
    message = str(caught.value)
    for part in (variant, kind.url, str(root / kind.filename), kind.tgz_md5, "dataset.source.mirror"):
        assert part in message
    assert "\n" not in message
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_a_mirror_that_does_not_have_it(variant: str, archive: Archive, mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{mirror.address}/no.tar.gz .*404.*dataset.source.mirror"):
        Cifar(variant, str(tmp_path / "root"), mirror=f"{mirror.address}/no.tar.gz").read()


@pytest.mark.parametrize("address", ["file:///some/where/cifar-10-python.tar.gz", "/some/where", "nonsense"])
def test_a_mirror_that_is_no_address_is_refused_at_once(address: str, tmp_path: Path) -> None:
    source = Cifar("CIFAR10", str(tmp_path), mirror=address)
    for action in (source.check, source.read):
        with pytest.raises(ValueError, match=f"mirror={address}: .*http.* belongs in {tmp_path}"):
            action()


def test_a_root_that_is_a_file_is_explained(archive: Archive, variant: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Put the official archive at"):
        Cifar(variant, str(tmp_path / "file" / "root")).read()


def test_trials_that_start_together_download_once(
    archive: Archive, variant: str, mirror: Mirror, tmp_path: Path
) -> None:
    source = Cifar(variant, str(tmp_path / "root"), mirror=f"{mirror.address}/{archive.path.name}")
    barrier = threading.Barrier(4, timeout=30)

    def load(_: int) -> Arrays:
        barrier.wait()
        return load_arrays(source, tmp_path / "cache")

    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(load, range(4)))
    for arrays in loaded:
        assert_same(arrays, archive.arrays)
    assert len(mirror.requests) <= 2  # as one download: see above


def test_says_what_it_is_without_looking(tmp_path: Path) -> None:
    assert Cifar("CIFAR10", str(tmp_path)).check() == Summary(50_000, 10, 3, 32)
    assert Cifar("CIFAR100", str(tmp_path)).check() == Summary(50_000, 100, 3, 32)
    assert Cifar("CIFAR10", "a").fingerprint() != Cifar("CIFAR100", "a").fingerprint()
    with pytest.raises(ValueError, match="variant must be CIFAR10 or CIFAR100, got 'MNIST'"):
        Cifar("MNIST", str(tmp_path)).check()
