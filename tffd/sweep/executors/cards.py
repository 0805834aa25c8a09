"""The CUDA devices of this machine, shared out among the runs of a sweep, and among the commands on it."""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from tffd.sweep.cluster.queue import ClusterError

_MOST_ERRORS = 3  # of the accelerator in a row, after which a device gets no more runs


@dataclass
class Card:
    """One CUDA device.

    Attributes:
        name: Its name in CUDA_VISIBLE_DEVICES.
        key: The same in every process of this machine, whatever CUDA_VISIBLE_DEVICES is there.
        locks: The locks of its places that are taken, by number.
        errors: How many errors of the accelerator it brought in a row.
    """

    name: str
    key: str
    locks: dict[int, FileLock] = field(default_factory=dict)
    errors: int = 0

    @property
    def is_retired(self) -> bool:
        """Whether it gets no more runs."""
        return self.errors >= _MOST_ERRORS


@dataclass(frozen=True)
class Place:
    """A run's part of a device."""

    card: Card
    number: int


class Cards:
    """Places on the CUDA devices, each taken by one run at a time, of whichever command on this machine.

    A place is a lock on a file in the temporary directory, so commands that have different ones, as in containers, do
    not see each other. The system frees the locks of a command that dies; its runs end within a second.

    Args:
        devices: Names and keys, see `Card`.
        each: Places on a device.
        folder: The folder of the locks.
    """

    def __init__(self, devices: Sequence[tuple[str, str]], each: int, folder: Path | None = None) -> None:
        self._cards = [Card(name, key) for name, key in devices]
        self._each = each
        self._folder = folder or Path(tempfile.gettempdir()) / "tffd-cards"
        self._folder.mkdir(parents=True, exist_ok=True)
        if os.access(self._folder, os.W_OK) and self._folder.stat().st_uid == os.getuid():
            self._folder.chmod(0o777)  # other users of the machine lock the same cards
        self._has_told = False

    @property
    def places(self) -> int:
        """How many runs at a time fit the devices that are left."""
        return self._each * sum(not card.is_retired for card in self._cards)

    def take(self, avoid: str | None = None, strictly: bool = False) -> Place | None:
        """Take a place on the device with the fewest runs of this command; None while there is none.

        Args:
            avoid: Name of a device that comes last.
            strictly: Whether to wait for another device instead of taking that one, if there is another.
        Raises:
            ClusterError: If every device is retired.
        """
        left = [card for card in self._cards if not card.is_retired]
        if not left:
            raise ClusterError(
                f"Every CUDA device was retired after {_MOST_ERRORS} errors in a row. What has ended is recorded. The "
                "same command goes on once the devices work, or with device=cpu under another name=..."
            )
        others = [card for card in left if card.name != avoid]
        chosen = others if strictly and others else left
        for card in sorted(chosen, key=lambda card: (card.name == avoid, len(card.locks))):
            for number in range(self._each):
                if number not in card.locks and self._lock(card, number):
                    return Place(card, number)
        if not self._has_told and not any(card.locks for card in self._cards):
            self._has_told = True
            print("All CUDA devices are taken by other commands on this machine; trials wait.", file=sys.stderr)
        return None

    def leave(self, place: Place) -> None:
        """Give a place back, once the process of its run has ended."""
        place.card.locks.pop(place.number).release()

    def leave_all(self) -> None:
        """Give every place back."""
        for card in self._cards:
            for number in list(card.locks):
                self.leave(Place(card, number))

    def note(self, card: Card, error: str | None) -> None:
        """Keep what became of a run on a device: None if it went well, else an error of the accelerator."""
        card.errors = 0 if error is None else card.errors + 1
        if card.errors == _MOST_ERRORS:
            left = sum(not other.is_retired for other in self._cards)
            print(
                f"CUDA device {card.name} is retired after {card.errors} errors in a row; {left} of {len(self._cards)} "
                f"devices are left. The last error: {error}",
                file=sys.stderr,
            )

    def _lock(self, card: Card, number: int) -> bool:
        lock = FileLock(self._folder / f"{card.key}.{number}", timeout=0, mode=0o666)
        try:
            lock.acquire()
        except Timeout:
            return False
        card.locks[number] = lock
        return True


def is_held(path: Path) -> bool:
    """Tell whether a living process holds a lock file."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
