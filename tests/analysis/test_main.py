"""The command line: output, exit status, and what it costs to start."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.__main__ import main

ROOT = Path(analysis.__file__).parents[1]


def _python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, **pipes | options)


def test_markdown_and_its_notes_go_to_stdout(tmp_path: Path, write_runs: Any, capsys: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_runs("tfd", [61.0, 63.0])
    assert main(["table", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "| tfd       |                62.00 ± 1.41 |" in out
    assert out.splitlines()[5] == "- 4 complete, 0 pruned, 0 failed, 0 unfinished, 0 missing"
    assert err == ""


def test_csv_sends_its_notes_to_stderr(tmp_path: Path, write_runs: Any, capsys: Any) -> None:
    write_runs("none", [60.0], epochs=2)
    write_runs("none", [61.0], epochs=4)
    assert main(["table", str(tmp_path), "--format", "csv", "--by", "epochs, kd_mode", "--metric", "val_top1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == ["2,none,val_top1,60.0,,1,,,,", "4,none,val_top1,61.0,,1,,,,"]
    assert err.startswith("2 complete, 0 pruned")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a directory"),
        (["."], ". holds no run"),
        (["runs", "--metric", "val_top"], "unknown metric 'val_top'"),
        (["runs", "--by", "kdmode"], "unknown column 'kdmode'"),
        (["runs", "--by", ","], "--by names no column"),
        (["runs", "--baseline", "st"], "no complete run has kd_mode=st"),
        (["runs", "--metric", "test_top1"], "test_top1 is null in the one complete run"),
        (["failed"], "no complete run to tabulate: 0 complete, 0 pruned, 1 failed"),
    ],
)
def test_mistakes_end_in_one_message(
    tmp_path: Path, write_run: Any, capsys: Any, monkeypatch: Any, arguments: list[str], message: str
) -> None:
    if arguments[0] != ".":
        write_run("runs/0000")
        write_run("failed/0000", status="failed")
    monkeypatch.chdir(tmp_path)
    assert main(["table", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("analysis: ")
    assert message in err


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['analysis', '--help']\n"
        "try: runpy.run_module('analysis', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print(sorted({'torch', 'tffd', 'hydra', 'optuna', 'pandas', 'scipy'} & set(sys.modules)))\n"
    )
    out, err = _python("-c", code).communicate()
    assert err == ""
    assert "usage: python -m analysis" in out
    assert out.splitlines()[-1] == "[]"


def test_a_table_needs_no_training_library_and_no_reader(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_runs("tfd", [61.0, 63.0])
    code = (
        "import sys\n"
        "from analysis.__main__ import main\n"
        f"status = main(['table', {str(tmp_path)!r}])\n"
        "print(status, sorted({'torch', 'tffd', 'hydra', 'optuna'} & set(sys.modules)), file=sys.stderr)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -0` does: the first byte that is written breaks the pipe
    process = _python("-c", code, stdout=writer)
    os.close(writer)
    _, err = process.communicate()
    assert err == "1 []\n"
    assert process.returncode == 0
