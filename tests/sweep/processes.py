"""Sweeps as processes: starting, watching and killing them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tests.support import command, results


def study_of(directory: Path, name: str) -> optuna.Study:
    """Open a study of the one sweep below a directory."""
    if journals := list(directory.rglob("study.journal")):
        backend = optuna.storages.journal.JournalFileBackend(str(journals[0]))
        return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))
    (database,) = directory.rglob("study.db")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{database}")


def pruned_search(directory: Path, n_trials: int) -> list[tuple[FrozenTrial, dict[str, Any]]]:
    """The trials of the one pruned search below a directory, each ended as its record says, with that record."""
    trials = study_of(directory, "lambdas_pruned.search").trials
    assert [trial.number for trial in trials] == list(range(n_trials))
    records = {result["trial"]: result for result in results(directory)}
    for trial in trials:
        record = records[trial.number]
        assert trial.state is {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}[record["status"]]
        assert trial.value == record["val_top1"]
    assert any(trial.state is TrialState.PRUNED for trial in trials)
    return [(trial, records[trial.number]) for trial in trials]


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
