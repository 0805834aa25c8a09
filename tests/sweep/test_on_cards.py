"""Runs on the CUDA devices of a machine: who has which, and what becomes of a device that is broken."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock
from omegaconf import OmegaConf
from optuna.trial import TrialState

from tests.sweep import fakes
from tests.sweep.fakes import Act, FakeExecutor, acts, config, failing, good, grid, name_of, run_config, states
from tffd.failures import FailureKind
from tffd.machine import cuda_device_key
from tffd.records import LOCK
from tffd.sweep.executors import ClusterError, choose
from tffd.sweep.executors.cards import Cards
from tffd.sweep.executors.on_cards import CardExecutor, CardRun
from tffd.sweep.worker import Job

BROKEN = "AcceleratorError: CUDA error: an illegal memory access was encountered"


def broken() -> Act:
    return failing(BROKEN, FailureKind.DEVICE)


Pinned = Callable[..., tuple[CardExecutor, FakeExecutor]]


def card_of(job: Job) -> str:
    card: str = job.composed.hydra.job.env_set["CUDA_VISIBLE_DEVICES"]
    return card


@pytest.fixture
def pinned(tmp_path: Path) -> Pinned:
    """An executor of fakes on cards a, b, ..., whose locks lie in one folder for all commands of a test."""

    def make(script: fakes.Script = good, devices: str = "ab", each: int = 1) -> tuple[CardExecutor, FakeExecutor]:
        cards = Cards([(name, f"GPU-{name}") for name in devices], each, tmp_path / "cards")
        inner = FakeExecutor(script, slots=len(devices) * each)
        return CardExecutor(inner, cards), inner

    return make


def job(directory: Path, name: str = "0000") -> Job:
    cfg = OmegaConf.create({"hydra": {"job": {"env_set": {"OTHER": "1"}}}})
    return Job(run_config(), cfg, "hash", directory / "search" / name, (None, None), "search", int(name), None)


def finish(run: CardRun) -> None:
    for _ in range(20):
        if run.has_ended():
            return
    raise AssertionError(f"{run.job.run_dir} did not end")


def test_each_run_has_a_device(tmp_path: Path, pinned: Pinned) -> None:
    executor, _ = pinned(each=2)
    jobs = [job(tmp_path, f"{number:04d}") for number in range(4)]
    for one in jobs:
        executor.start(one)
    assert [card_of(one) for one in jobs] == ["a", "b", "a", "b"]
    assert jobs[0].composed.hydra.job.env_set.OTHER == "1"
    assert (executor.slots, executor.threads, executor.on_this_machine) == (4, 1, True)


def test_two_commands_do_not_pin_the_same_device(tmp_path: Path, pinned: Pinned, capsys: Any) -> None:
    (first, _), (second, played) = pinned(), pinned()
    ours, theirs = [job(tmp_path, "0000"), job(tmp_path, "0001")], [job(tmp_path, "0002"), job(tmp_path, "0003")]
    run = first.start(ours[0])
    waiting = [second.start(one) for one in theirs]
    assert [card_of(one) for one in (ours[0], theirs[0])] == ["a", "b"]
    assert played.started == ["search/0002"]
    assert (waiting[1].has_ended(), waiting[1].seconds()) == (False, 0.0)
    finish(run)
    assert not waiting[1].has_ended()
    assert card_of(theirs[1]) == "a"

    third, _ = pinned()
    stuck = third.start(ours[1])
    assert not stuck.has_ended()
    assert "All CUDA devices are taken by other commands" in capsys.readouterr().err
    stuck.stop()
    assert stuck.has_ended() and stuck.failure().reason == "it was stopped before a device was free"
    second.close(cancel=False)
    assert third.start(job(tmp_path, "0004")).seconds() == 1.0


def test_a_place_is_free_once_the_process_has_ended(tmp_path: Path, pinned: Pinned) -> None:
    executor, played = pinned(acts(Act(end=fakes.HANGS)), devices="a")
    run = executor.start(job(tmp_path, "0000"))
    with FileLock(run.job.run_dir / LOCK):  # as its process does
        run.stop()
        assert run.has_ended()
        following = executor.start(job(tmp_path, "0001"))
        assert not following.has_ended()
        assert played.started == ["search/0000"]
    following.has_ended()
    assert played.started == ["search/0000", "search/0001"]


@pytest.mark.parametrize("act", [failing(), broken()])
def test_a_retry_goes_to_another_device(tmp_path: Path, pinned: Pinned, act: Act) -> None:
    executor, _ = pinned(acts(act, Act()))
    seen = []
    for _ in range(2):
        run = executor.start(job(tmp_path))
        seen.append(card_of(run.job))
        finish(run)
        (run.job.run_dir / "result.json").unlink()
    assert seen == ["a", "b"]


def test_after_an_error_of_the_accelerator_a_retry_waits_for_another_device(tmp_path: Path, pinned: Pinned) -> None:
    by_name = {"search/0000": broken(), "search/0002": failing("ValueError: no such file")}
    executor, _ = pinned(lambda job, attempt: by_name.get(name_of(job), Act()) if attempt == 0 else Act())
    first, second = executor.start(job(tmp_path, "0000")), executor.start(job(tmp_path, "0001"))
    finish(first)
    (first.job.run_dir / "result.json").unlink()
    again = executor.start(job(tmp_path, "0000"))
    assert (again.has_ended(), again.seconds()) == (False, 0.0)  # though device a is free
    finish(second)
    assert card_of(again.job) == "b"
    other = executor.start(job(tmp_path, "0002"))
    finish(other)
    (other.job.run_dir / "result.json").unlink()
    assert card_of(executor.start(job(tmp_path, "0002")).job) == "a"  # at once, on the device that is free


def test_a_broken_device_is_retired_and_the_sweep_goes_on(
    tmp_path: Path, pinned: Pinned, no_waiting: None, capsys: Any
) -> None:
    executor, played = pinned(lambda job, attempt: broken() if card_of(job) == "a" else good(job, attempt))
    opened = fakes.open_sweep(tmp_path, grid(*range(8)), config(retries=2), slots=2)
    opened.scheduler._executor = executor
    copy_of = opened.scheduler._make_job
    opened.scheduler._make_job = lambda *arguments: own_config(copy_of(*arguments))
    assert opened.run() == 0
    assert states(opened) == [TrialState.COMPLETE] * 8
    assert len(played.started) == 8 + 3
    errors = capsys.readouterr().err
    assert errors.count("CUDA device a is retired after 3 errors in a row; 1 of 2 devices are left. The last") == 1
    assert BROKEN in errors
    assert executor.slots == 1


def test_a_success_ends_a_row_of_errors_and_the_last_device_ends_the_sweep(tmp_path: Path, pinned: Pinned) -> None:
    sequence = [
        broken(),
        broken(),
        Act(),
        *[broken()] * 3,
    ]
    executor, _ = pinned(lambda job, attempt: sequence[job.number], devices="a")
    for number in range(6):
        finish(executor.start(job(tmp_path, f"{number:04d}")))
    with pytest.raises(ClusterError, match="Every CUDA device was retired after 3 errors in a row. What has ended is"):
        executor.start(job(tmp_path, "0006"))


def own_config(one: Job) -> Job:
    """The jobs of the fakes share a config, in which a device is written."""
    return Job(**{**vars(one), "composed": OmegaConf.create({**one.composed, "hydra": {"job": {"env_set": {}}}})})


def test_devices_are_told_apart_whatever_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid{5 - index}"))
    monkeypatch.setattr(choose, "Cards", lambda devices, each: (devices, each))
    monkeypatch.setattr(choose, "CardExecutor", lambda executor, cards: cards)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,4")
    played = FakeExecutor(good)
    pinned: Any = choose.pin_to_devices(played, config(trials_per_device=3))
    assert pinned == ([("5", "uuid5"), ("4", "uuid4")], 3)
    played.on_this_machine = False
    assert choose.pin_to_devices(played, config()) is played


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_device_is_known_by_more_than_its_number() -> None:
    assert len(cuda_device_key(0, "0")) >= 32  # a UUID
