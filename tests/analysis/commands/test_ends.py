"""How a command ends that is interrupted, or whose output has no place to go: one line, a status, no traceback."""

import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main


def _interrupt_in_an_import() -> None:
    """Ctrl-C while a compiled package is imported, which makes an ImportError of it, as scipy does."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 1.0)
    except KeyboardInterrupt:
        raise ImportError("The `scipy` install you are using seems to be broken") from None


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 1.0)


@pytest.mark.parametrize("what", [_interrupt, _interrupt_in_an_import])
@pytest.mark.parametrize("command", ["table", "runs", "report", "plot", "best", "status", "ablation"])
def test_an_interrupt_ends_in_one_line(
    tmp_path: Path, write_run: Any, monkeypatch: Any, capsys: Any, what: Any, command: str
) -> None:
    write_run("0")
    monkeypatch.setattr("analysis.read.gather.scan", lambda _: what())
    assert main([command, str(tmp_path)]) == 130
    assert capsys.readouterr() == ("", "analysis: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_package_that_is_broken_is_no_interrupt(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "analysis.read.gather", types.ModuleType("analysis.read.gather"))
    with pytest.raises(ImportError):
        main(["status", str(tmp_path)])


def test_a_parent_that_ignores_interrupts_is_obeyed(tmp_path: Path, write_run: Any) -> None:
    """As with nohup, or in the background of a script."""
    write_run("0")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert main(["status", str(tmp_path)]) == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_standard_error_no_note_is_among_the_values(
    tmp_path: Path, write_run: Any, monkeypatch: Any, capsys: Any
) -> None:
    write_run("0")
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    values, notes = capsys.readouterr()
    assert notes
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["table", str(tmp_path), "--format", "csv"]) == 0
    sys.stderr.close()
    assert capsys.readouterr().out == values


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("where", ["/dev/full", "pipe", "closed"])
@pytest.mark.parametrize("command", ["table", "runs", "status", "report"])
def test_output_without_a_place(
    tmp_path: Path, write_run: Any, monkeypatch: Any, capsys: Any, command: str, where: str
) -> None:
    write_run("0")
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -0` does: the first byte that is written breaks the pipe
    place = os.open("/dev/full", os.O_WRONLY) if where == "/dev/full" else os.dup(writer)
    os.close(writer)
    with open(place, "w") as out:  # what is left in the buffer is written as it is closed, as at a process's exit
        monkeypatch.setattr(sys, "stdout", None if where == "closed" else out)
        assert main([command, str(tmp_path)]) == (0 if where == "closed" else 1)
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("analysis: ")]
    assert [("No space left on device" in line) for line in told] == ([True] if where == "/dev/full" else [])
    assert (tmp_path / "report.html").exists() is (command == "report")
    if where == "closed":
        sys.stdout.close()
