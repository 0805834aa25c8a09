"""How a command ends that is interrupted, or whose output has no place to go: one line, a status, no traceback."""

import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.__main__ import main

ROOT = Path(analysis.__file__).parents[1]


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
def test_output_without_a_place(tmp_path: Path, write_run: Any, where: str) -> None:
    """One process for all commands: starting one takes longer than they do."""
    write_run("0")
    code = (
        "import os, sys\n"
        "from analysis.__main__ import main\n"
        "ends = {}\n"
        "for command in ('table', 'runs', 'status', 'report'):\n"
        f"    out = {'None' if where == 'closed' else 'os.dup(1)'}\n"
        "    sys.stdout = out if out is None else open(out, 'w')\n"
        f"    ends[command] = main([command, {str(tmp_path)!r}])\n"
        "print(ends, file=sys.stderr)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    place = os.open("/dev/full", os.O_WRONLY) if where == "/dev/full" else writer
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=place, stderr=subprocess.PIPE, text=True, check=False
    )
    *lines, ends = done.stderr.splitlines()
    status = 0 if where == "closed" else 1
    assert ends == str(dict.fromkeys(("table", "runs", "status", "report"), status))
    assert done.returncode == 0
    told = [line for line in lines if not line.startswith("1 complete")]
    full = "analysis: the output cannot be written (No space left on device)"
    assert told == ([full] * 4 if where == "/dev/full" else [])
    assert (tmp_path / "report.html").exists()
