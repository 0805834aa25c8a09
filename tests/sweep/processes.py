"""Sweeps as processes: starting, watching and killing them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import optuna

from tests.support import command


def study_of(directory: Path, name: str) -> optuna.Study:
    """Open a study of the one sweep below a directory."""
    if journals := list(directory.rglob("study.journal")):
        backend = optuna.storages.journal.JournalFileBackend(str(journals[0]))
        return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))
    (database,) = directory.rglob("study.db")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{database}")


def start(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start run.py in a session of its own, with Ctrl-C enabled as on a terminal."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, **(environment or {})},
    )


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait for something that happens while a process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()[0]}"
        assert time.monotonic() < deadline, f"nothing happened for {seconds} s"
        time.sleep(0.05)


def trial_processes(directory: Path) -> list[int]:
    """The processes that train runs below a directory: those that have a run's log open."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and any(str(directory) in name and name.endswith("run.log") for name in _open_files(entry))
    ]


def _open_files(process: Path) -> list[str]:
    try:
        return [os.readlink(link) for link in (process / "fd").iterdir()]
    except OSError:  # it has ended meanwhile
        return []
