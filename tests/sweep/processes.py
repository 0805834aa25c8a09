"""Sweeps as processes: starting, watching and killing them."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.support import command, results
from tests.waiting import PATIENCE, wait_for


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


def _as_on_a_terminal() -> None:
    """Heed Ctrl-C and a closed terminal, which a background process or nohup has taught the tests to ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start run.py in a session of its own, with signals as on a terminal."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_as_on_a_terminal,
        env={**os.environ, **(environment or {})},
    )


QUICK_THEN_SLOW = (
    "dataset=synthetic", "dataset.source.train_pictures=20000", "dataset.val_fraction=0.01", "model=resnet56",
    "device=cpu", "threads=1", "trainer.epochs=1", "dataset.train_size=256,18000", "seed=0,1", "sweep.n_jobs=2",
)  # fmt: skip
"""A grid of two runs that end soon and two whose only epoch takes minutes."""


def interrupt_twice_in_a_slow_epoch(process: subprocess.Popen[str], directory: Path) -> str:
    """Press Ctrl-C in a slow epoch of QUICK_THEN_SLOW, and again once that was noticed; return the last words."""
    configs = "grid/*/.hydra/config.yaml"
    wait_until(lambda: len(results(directory)) == 2 and len(list(directory.rglob(configs))) == 4, process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any("Interrupted: 2 trials write a checkpoint after this epoch" in line for line in lines)
    os.killpg(process.pid, signal.SIGINT)
    words = finish(process)
    assert not list(directory.rglob("checkpoint.pt"))  # which the end of the slow epoch would have written
    return words


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command to end by itself, and return what it printed."""
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        give_up(process, f"it did not end in {PATIENCE} s")


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that happens while a process runs."""

    def happened() -> bool:
        if condition():
            return True
        if process.poll() is not None:
            give_up(process, "it ended too early")
        return False

    try:
        wait_for(happened)
    except AssertionError as error:
        give_up(process, str(error))


def give_up(process: subprocess.Popen[str], reason: str) -> NoReturn:
    """Fail with what a command printed; neither it nor what it started runs on beside the next tests."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    pytest.fail(f"{reason}: {process.communicate()[0]}")


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
