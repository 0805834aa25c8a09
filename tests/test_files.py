"""Files of runs: written whole under names that nobody knows, and read without being held up by odd ones."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tffd import files
from tffd.files import read_archive, read_regular, replacing
from tffd.models import create_model, load_weights
from tffd.records import METRICS, RESULT, STOP, asked_to_stop, read_last_metrics, read_result
from tffd.sweep.outcome import _read, last_epoch
from tffd.training.checkpoint import load_checkpoint


def test_a_planted_link_is_not_written_through(tmp_path: Path, monkeypatch: Any) -> None:
    """Whoever guesses the name of the unfinished file gains nothing: it is refused, and nothing is removed."""
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "known")
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".result.json.{os.getpid()}-known").symlink_to("victim")
    with pytest.raises(FileExistsError), replacing(tmp_path / "result.json"):
        raise AssertionError("opened")
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / f".result.json.{os.getpid()}-known").is_symlink()


def test_names_of_unfinished_files_differ_each_time(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with replacing(tmp_path / "file"):
            names |= {path.name for path in tmp_path.iterdir()} - {"file"}
    assert len(names) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["fifo", "endless"])
def test_an_odd_file_in_a_run_holds_nothing_up(tmp_path: Path, make: Any) -> None:
    for name in (RESULT, METRICS, STOP, "weights.pt"):
        make(tmp_path / name)
    with pytest.raises(ValueError, match="result.json is damaged .*is a device, a FIFO or a socket, not a file"):
        read_result(tmp_path)
    assert read_last_metrics(tmp_path) == {}
    assert asked_to_stop(tmp_path) is None
    assert _read(tmp_path / METRICS, "val_top1") == []
    for load in (
        lambda path: load_checkpoint(path, "hash"),
        lambda path: load_weights(create_model("resnet8", 10), path),
    ):
        with pytest.raises(ValueError, match="is a device, a FIFO or a socket, not a file"):
            load(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    "content",
    [None, "epoch,val_top1\n1,many\n", "epoch,val_top1\n1.5,2\n", "val_top1,epoch\n2,1,3\n", "val_top1,epoch\n2,one\n"],
)
def test_metrics_that_are_no_numbers_or_a_directory_tell_a_sweep_nothing(tmp_path: Path, content: str | None) -> None:
    for name in (METRICS, STOP):
        (tmp_path / name).mkdir() if content is None else (tmp_path / name).write_text(content)
    assert read_last_metrics(tmp_path) == {}
    assert last_epoch(tmp_path) == 0
    assert _read(tmp_path / METRICS, "val_top1") in ([], [(1, 2.0)])
    assert asked_to_stop(tmp_path) in (None, content)


def test_epochs_without_numbers_are_not_reported(tmp_path: Path) -> None:
    for content in ("val_top1\n2\n", "val_top1,epoch\n2\n"):
        (tmp_path / METRICS).write_text(content)
        assert _read(tmp_path / METRICS, "val_top1") == []


def test_a_file_beyond_the_limit_is_refused_with_both_figures(tmp_path: Path) -> None:
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", 40 * files.MIB)
    with pytest.raises(ValueError, match=r"big has 40\.0 MiB, more than the 32\.0 MiB that are read"):
        read_regular(tmp_path / "big")
    assert len(read_regular(tmp_path / "big", 40 * files.MIB)) == 40 * files.MIB


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs a file that tells no size")
def test_a_file_that_tells_no_size_is_read_whole_up_to_the_limit() -> None:
    limits = Path("/proc/self/limits")  # which stay the same, unlike most that stands there
    assert limits.stat().st_size == 0
    assert read_regular(limits) == limits.read_bytes() != b""
    with pytest.raises(ValueError, match="are read of such a file"):
        read_regular(limits, 100)


def _bomb(path: Path, repeated: bool) -> None:
    """Archives that unpack to much more than they weigh: by compression, or by naming the same bytes many times."""
    content = io.BytesIO()
    torch.save({"format": "tffd", "model": {"fc.weight": torch.zeros(2**20)}}, content)
    with zipfile.ZipFile(content) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part), zipfile.ZIP_STORED if repeated else zipfile.ZIP_DEFLATED)
        if repeated:
            large = max(packed.infolist(), key=lambda part: part.file_size)
            packed.filelist += [large] * 40


@pytest.mark.parametrize(("repeated", "unpacked"), [(False, "4.0 MiB"), (True, "164.0 MiB")])
def test_a_checkpoint_that_unpacks_to_more_is_refused_unread(
    tmp_path: Path, monkeypatch: Any, repeated: bool, unpacked: str
) -> None:
    _bomb(tmp_path / "weights.pt", repeated)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was opened"))
    for load in (
        lambda path: load_checkpoint(path, "hash"),
        lambda path: load_weights(create_model("resnet8", 10), path),
    ):
        with pytest.raises(ValueError, match=rf"has [0-9.]+ MiB and unpacks to {unpacked}; torch.save compresses"):
            load(tmp_path / "weights.pt")


@pytest.mark.parametrize("as_zip", [True, False])
def test_what_torch_saves_holds_no_more_than_it_weighs(tmp_path: Path, as_zip: bool) -> None:
    for content in ({}, create_model("resnet8", 10).state_dict(), {"many": [torch.ones(1) for _ in range(300)]}):
        torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=as_zip)
        assert read_archive(tmp_path / "w.pt").read() == (tmp_path / "w.pt").read_bytes()
