"""Odd files among results: each is named, and the others are read."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.saliency import read_saliency
from analysis.read.configs import read_config, read_last_row
from analysis.read.curves import read_curves
from analysis.read.files import LIMIT, SMALL, read_file
from analysis.read.gather import gather
from analysis.read.overrides import read_overrides
from analysis.read.tree import scan

ODD = {
    "fifo": os.mkfifo,
    "endless": lambda path: os.symlink("/dev/zero", path),
    "terminal": lambda path: os.symlink("/dev/tty", path),
    "socket": lambda path: _socket(path),
    "huge": lambda path: (path.touch(), os.truncate(path, 10**12)),
    "log of the kernel": lambda path: os.symlink("/proc/kmsg", path),
}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # an address has 107 letters at most
        one.bind(path.name)
        os.chdir(here)


@pytest.fixture(params=ODD)
def make(request: Any) -> Iterator[Any]:
    """Put an odd file in the place of another one."""

    def replace(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        ODD[request.param](path)

    return replace


def test_an_odd_result_or_plan_is_named_and_the_others_are_read(
    tmp_path: Path, write_run: Any, write_sweep: Any, make: Any
) -> None:
    write_run("0000")
    make(write_run("0001") / "result.json")
    make(tmp_path / "sweep.json")
    gathered = gather(tmp_path)
    assert [os.path.basename(path) for path in gathered.runs["path"]] == ["0000"]
    paths = [os.path.relpath(bad.path, tmp_path) for bad in gathered.skipped]
    assert paths == ["0001/result.json", "sweep.json"]


def test_an_odd_file_of_a_run_is_named(tmp_path: Path, write_run: Any, make: Any) -> None:
    run = write_run("0000")
    for name in ("metrics.csv", "saliency.csv", ".hydra/config.yaml", ".hydra/overrides.yaml"):
        make(run / name)
    gathered = gather(tmp_path)
    for read in (read_config, read_last_row):
        with pytest.raises((ValueError, OSError)):
            read(str(run))
    assert read_overrides(str(run)) == ()
    for skipped in (read_curves(gathered).skipped, read_saliency(gathered).skipped):
        assert len(skipped) == 1


def test_only_a_regular_trial_json_gives_a_trial_up(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "trial.json")
    given_up = scan(str(tmp_path)).given_up
    assert given_up == ([str(tmp_path)] if (tmp_path / "trial.json").is_file() else [])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("fifo", "is a FIFO, not a file"),
        ("endless", "is a device, not a file"),
        ("huge", "has 953674.3 MiB; no file of a run has more than 32 MiB"),
    ],
)
def test_the_reason_is_one_sentence(tmp_path: Path, kind: str, reason: str) -> None:
    ODD[kind](tmp_path / "odd")
    with pytest.raises(ValueError) as raised:
        read_file(str(tmp_path / "odd"))
    assert str(raised.value) == reason


def test_a_link_to_a_file_is_read_and_a_limit_is_exact(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("file")
    assert read_file(str(tmp_path / "link"), 10) == b"x" * 10
    with pytest.raises(ValueError, match="no file of a run has more than"):
        read_file(str(tmp_path / "link"), 9)
    assert SMALL < LIMIT


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs a file that tells no size")
def test_a_file_that_tells_no_size_is_read_to_its_end_or_limit() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    assert read_file("/proc/self/status").endswith(b"\n")
    with pytest.raises(ValueError, match="has more; no file of a run has more than 0 MiB"):
        read_file("/proc/self/status", 10)


DOUBLING = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DOUBLING, "YAML with an alias"),
        (DOUBLING.replace("[", "{p: ").replace(", ", ", q: ").replace("]", "}"), "YAML with an alias"),
        ("a: &x {b: *x}\n", "YAML with an alias"),
        ("base: &x {b: 1}\nother: {<<: *x}\n", "YAML with an alias"),
        ("- " * 100_000 + "x\n", "not YAML"),
        ("{a: " * 60 + "1" + "}" * 60, "nested more than 50 levels deep"),
        ("a: 1\n" * 250_000, "no file of a run has more than 1 MiB"),
    ],
)
def test_a_config_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, write_run: Any, text: str, reason: str
) -> None:
    run = write_run("0000")
    for name in ("config", "overrides"):
        (run / ".hydra" / f"{name}.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"has a config that (is |has ).*{reason}"):
        read_config(str(run))
    assert not [word for word in read_overrides(str(run)) if not word.startswith("a")]


def test_a_run_below_a_thousand_directories_is_found(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        for name in ("top", *"d" * 1200):
            os.mkdir(tmp_path / "top" if name == "top" else name)
            os.chdir(tmp_path / "top" if name == "top" else name)
        Path("result.json").write_text('{"status": "complete"}')
    finally:
        os.chdir(here)
    (run,) = gather(tmp_path).runs["path"]
    assert run.endswith("/d/d")
    for end in range(len(run), len(str(tmp_path)), -2):  # pytest would recurse to remove it
        if run[:end].endswith("/d/d"):
            Path(run[:end], "result.json").unlink(missing_ok=True)
            os.rmdir(run[:end])


@pytest.mark.parametrize("depth", [900, 980, 20_000])
def test_json_of_any_depth_is_named(tmp_path: Path, write_run: Any, depth: int) -> None:
    deep = '{"a": ' * depth + "1" + "}" * depth
    write_run("0000")
    (write_run("0001") / "result.json").write_text('{"status": "complete", "extra": ' + deep + "}")
    cell = f'{{"study": "x", "kind": "grid", "cells": [{{"a": {deep}}}]}}'
    (tmp_path / "sweep.json").write_text(f'{{"studies": [{cell}]}}')
    gathered = gather(tmp_path)
    assert len(gathered.runs) + len(gathered.skipped) in (3, 2)
    assert len(gathered.skipped) >= (2 if depth > 10_000 else 0)
