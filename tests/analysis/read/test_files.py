"""Odd files among results are named, and the others are read; what is written replaces nothing but its own kind."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.figures.saliency import read_saliency
from analysis.read import files as writing
from analysis.read.configs import read_config, read_last_row
from analysis.read.curves import read_curves
from analysis.read.faults import Fault, Unreadable
from analysis.read.files import LIMIT, SMALL, read_file, write_file
from analysis.read.gather import gather
from analysis.read.overrides import read_overrides
from analysis.read.tree import scan

ODD = {
    "fifo": os.mkfifo,
    "endless": lambda path: os.symlink("/dev/zero", path),
    "terminal": lambda path: os.symlink("/dev/tty", path),
    "socket": lambda path: _socket(path),
    "directory": os.mkdir,
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
        with pytest.raises((Unreadable, OSError)):
            read(str(run))
    assert read_overrides(str(run)) == ()
    for skipped in (read_curves(gathered).skipped, read_saliency(gathered).skipped):
        assert len(skipped) == 1


def test_only_a_regular_trial_json_gives_a_trial_up(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "trial.json")
    given_up = scan(str(tmp_path)).given_up
    assert given_up == ([str(tmp_path)] if (tmp_path / "trial.json").is_file() else [])


@pytest.mark.parametrize(
    ("odd", "fault", "reason"),
    [
        ("fifo", Fault.IRREGULAR, "is a FIFO, not a file"),
        ("endless", Fault.IRREGULAR, "is a device, not a file"),
        ("huge", Fault.TOO_LARGE, "has 953674.3 MiB; no file of a run has more than 32 MiB"),
    ],
)
def test_the_reason_is_one_sentence(tmp_path: Path, odd: str, fault: Fault, reason: str) -> None:
    ODD[odd](tmp_path / "odd")
    with pytest.raises(Unreadable) as raised:
        read_file(str(tmp_path / "odd"))
    assert (raised.value.kind, str(raised.value)) == (fault, reason)


def test_a_link_to_a_file_is_read_and_a_limit_is_exact(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("file")
    assert read_file(str(tmp_path / "link"), 10) == b"x" * 10
    with pytest.raises(Unreadable) as raised:
        read_file(str(tmp_path / "link"), 9)
    assert raised.value.kind is Fault.TOO_LARGE
    assert SMALL < LIMIT


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs a file that tells no size")
def test_a_file_that_tells_no_size_is_read_to_its_end_or_limit() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    assert read_file("/proc/self/status").endswith(b"\n")
    with pytest.raises(Unreadable, match="0 MiB") as raised:
        read_file("/proc/self/status", 10)
    assert raised.value.kind is Fault.TOO_LARGE


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
    assert {bad.kind for bad in gathered.skipped} <= {Fault.TOO_DEEP, Fault.NOT_JSON}


# --- writing

PAGE = b"<!DOCTYPE html>new"
OURS = b"<!DOCTYPE html>old"


@pytest.fixture
def runs(tmp_path: Path, write_run: Any) -> Path:
    """A directory with two complete runs."""
    for seed in range(2):
        write_run(f"runs/{seed}", seed=seed)
    return tmp_path / "runs"


COMMANDS = {"report": ["report", "--out"], "plot": ["plot", "--kind", "ablation,learning", "--out"]}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/full", path)], ids=["fifo", "device"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_or_a_fifo_stays_what_it_is(runs: Path, tmp_path: Path, capsys: Any, make: Any, command: str) -> None:
    odd = tmp_path / ("odd" if command == "report" else "learning.png")
    make(odd)
    before = os.lstat(odd)[:3]  # kind, inode and device; following a link changes its time of access
    assert main([*COMMANDS[command], str(odd if command == "report" else tmp_path), str(runs)]) == 2
    assert "and only a file is replaced; choose another --out" in capsys.readouterr().err
    assert os.lstat(odd)[:3] == before


@pytest.mark.parametrize(("kind", "there"), [("dangling", False), ("link", True), ("link to a link", True)])
def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path, kind: str, there: bool) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "page.html"
    if there:
        target.write_bytes(OURS)
    (tmp_path / "link").symlink_to("far/page.html")
    if kind == "link to a link":
        (tmp_path / "link").rename(tmp_path / "first")
        (tmp_path / "link").symlink_to("first")
    assert write_file(str(tmp_path / "link"), PAGE) == str(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == PAGE
    assert os.listdir(tmp_path / "far") == ["page.html"]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match=r"loop cannot be written \(Too many levels of symbolic links\)"):
        write_file(str(tmp_path / "loop"), PAGE)


@pytest.mark.parametrize("content", [b'{"status": "complete"}', b"#!/bin/sh\n", b"\x00\x00", b"\n"])
def test_what_is_no_page_is_not_replaced(runs: Path, tmp_path: Path, capsys: Any, content: bytes) -> None:
    """A mistyped --out, or a link that someone else has planted."""
    (tmp_path / "mine").write_bytes(content)
    (runs / "report.html").symlink_to(tmp_path / "mine")
    for out in ([], ["--out", str(tmp_path / "mine")]):
        assert main(["report", str(runs), *out]) == 2
        assert "is there and holds something else, which stays as it is" in capsys.readouterr().err
    assert (tmp_path / "mine").read_bytes() == content


@pytest.mark.parametrize("format_", ["png", "pdf", "html"])
def test_pictures_replace_those_of_before_and_nothing_else(runs: Path, capsys: Any, format_: str) -> None:
    command = ["plot", str(runs), "--kind", "learning", "--format", format_]
    for _ in range(2):
        assert main(command) == 0
    picture = runs / "figures" / f"learning.{format_}"
    picture.write_text("notes on the curves\n")
    assert main(command) == 2
    assert picture.read_text() == "notes on the curves\n"
    assert f"{picture} is there and holds something else" in capsys.readouterr().err


def test_an_unfinished_file_is_not_written_through_a_link(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(writing.secrets, "token_hex", lambda _: "known")
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".page.html.{os.getpid()}-known").symlink_to("victim")
    with pytest.raises(ValueError, match=r"page.html cannot be written \(File exists\)"):
        write_file(str(tmp_path / "page.html"), PAGE)
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_full_disk_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "page.html").write_bytes(OURS)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "replace", full)
    with pytest.raises(ValueError, match=r"page.html cannot be written \(No space left on device\)"):
        write_file(str(tmp_path / "page.html"), PAGE)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"page.html": OURS}


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_file(str(tmp_path / "page.html"), PAGE)
    finally:
        os.umask(old)
    assert os.stat(tmp_path / "page.html").st_mode & 0o777 == 0o644
