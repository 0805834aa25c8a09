"""Runs of this machine, each pinned to a CUDA device with a place for it."""

from pathlib import Path

from omegaconf import open_dict

from tffd.failures import Failure, FailureKind
from tffd.records import LOCK
from tffd.sweep.executors.base import Executor, Handle
from tffd.sweep.executors.cards import Cards, Place, is_held
from tffd.sweep.outcome import read_outcome
from tffd.sweep.worker import Job


class CardExecutor:
    """Gives each run a device and starts it elsewhere; a run for which no device is free waits.

    A run that did not end well goes to another device next time if one is free, and waits for one after an error of
    the accelerator. A device that brings such errors in a row gets no more runs.

    Args:
        executor: Trains the runs.
        cards: The devices.
    """

    on_this_machine = True

    def __init__(self, executor: Executor, cards: Cards) -> None:
        self.threads = executor.threads
        self._executor, self._cards = executor, cards
        self._waiting: list[CardRun] = []
        self._leaving: list[tuple[Place, Path]] = []
        self._avoided: dict[Path, tuple[str, bool]] = {}

    @property
    def slots(self) -> int:
        """As many as the devices that are left have room for; with none left, the next start says so."""
        return max(1, min(self._executor.slots, self._cards.places))

    def start(self, job: Job) -> "CardRun":
        run = CardRun(self, job)
        self._waiting.append(run)
        self.serve()
        return run

    def close(self, cancel: bool) -> None:
        self._executor.close(cancel)
        self._leaving.clear()
        self._cards.leave_all()

    def serve(self) -> None:
        """Start those that wait, the first one first, on the devices that are free."""
        self._take_back()
        for run in list(self._waiting):
            if run.was_stopped:
                self._waiting.remove(run)
                continue
            avoid, strictly = self._avoided.get(run.job.run_dir, (None, False))
            place = self._cards.take(avoid, strictly)
            if place is None:
                continue
            self._waiting.remove(run)
            with open_dict(run.job.composed):
                run.job.composed.hydra.job.env_set["CUDA_VISIBLE_DEVICES"] = place.card.name
            run.begin(self._executor.start(run.job), place)

    def has_left(self, run: "CardRun", handle: Handle, place: Place) -> None:
        """Take a device back from a run whose process has ended, and give it to one that waits."""
        outcome = read_outcome(run.job)
        failure = handle.failure() if outcome is None else outcome.failure
        if failure is None:
            self._cards.note(place.card, None)
            self._avoided.pop(run.job.run_dir, None)
        else:
            broke = failure.kind is FailureKind.DEVICE
            self._avoided[run.job.run_dir] = (place.card.name, broke)
            if broke:
                self._cards.note(place.card, failure.reason)
        self._leaving.append((place, run.job.run_dir / LOCK))
        self.serve()

    def _take_back(self) -> None:
        """Free the places of processes that are gone; one that was just told to end may take a moment."""
        for place, lock in list(self._leaving):
            if not is_held(lock):
                self._leaving.remove((place, lock))
                self._cards.leave(place)


class CardRun:
    """A run that waits for a device, or has one."""

    def __init__(self, executor: CardExecutor, job: Job) -> None:
        self.job = job
        self.was_stopped = False
        self._executor = executor
        self._started: tuple[Handle, Place] | None = None
        self._has_ended = False

    def begin(self, handle: Handle, place: Place) -> None:
        """Go on as a process on a device."""
        self._started = handle, place

    def has_ended(self) -> bool:
        if self._has_ended or self.was_stopped:
            return True
        self._executor.serve()
        if self._started is None:
            return False
        handle, place = self._started
        if handle.has_ended():
            self._has_ended = True
            self._executor.has_left(self, handle, place)
        return self._has_ended

    def failure(self) -> Failure:
        if self._started is not None:
            return self._started[0].failure()
        return Failure(FailureKind.LOST, "it was stopped before a device was free")

    def seconds(self) -> float:
        return self._started[0].seconds() if self._started else 0.0

    def stop(self) -> None:
        if self._started is None:
            self.was_stopped = True
        else:
            self._started[0].stop()
