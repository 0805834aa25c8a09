"""Where pages and pictures are written, and what is never replaced."""

import os
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.read import files as writing
from analysis.read.files import write_file

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
