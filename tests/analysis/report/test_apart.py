"""Work in a copy of the process gives what it would give here."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.report import apart
from analysis.report.apart import Apart

ROOT = Path(analysis.__file__).parents[1]
CODE = """
import os, sys, time
from analysis.report import apart

if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
    assert apart._can_be_copied()
apart._can_be_copied = lambda: True

def refuse():
    raise ValueError("no such thing")


me = os.getpid()
slow = apart.Apart(lambda: (os.getpid(), time.sleep(0.1)))
assert slow.result()[0] != os.getpid()
killed = apart.Apart(lambda: os.getpid() if os.getpid() == me else os._exit(9))
try:
    apart.Apart(refuse).result()
except ValueError as error:
    print(error)
"""


def test_in_a_copy() -> None:
    code = CODE + "print(killed.result() == me)\n"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert (run.stdout, run.stderr) == ("no such thing\nTrue\n", "")


def test_here(monkeypatch: Any) -> None:
    def refuse() -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(apart, "_can_be_copied", lambda: False)
    assert Apart(lambda: 3).result() == 3
    with pytest.raises(ValueError, match="no such thing"):
        Apart(refuse).result()
