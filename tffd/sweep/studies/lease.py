"""Signs of life of the sweep commands that share a study, so that what a dead one left is taken up, and only that."""

import itertools
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from tffd.sweep.optuna_private import read_marks, write_mark
from tffd.sweep.studies.attributes import OWNER, parse_token
from tffd.sweep.studies.storage import STORAGE_ERRORS

_BEATS_PER_TIMEOUT = 8
_ATTRIBUTE = "tffd:beat:"


class Lease:
    """The sign of life of one sweep command.

    Commands on the same machine see each other's file locks, which the system frees at once when a process dies. Others
    see a counter in the studies that a living command moves on; no clocks are compared, only whether it still moves.

    Args:
        directory: The directory of the sweep.
        studies: The studies, each of which carries the counter: another command may have only one of them in common.
        timeout: Seconds without a new count after which a command elsewhere is taken for dead.
    """

    def __init__(self, directory: Path, studies: Sequence[optuna.Study], timeout: float) -> None:
        self._folder = (directory / ".commands").absolute()  # its path goes to other processes
        self._folder.mkdir(parents=True, exist_ok=True)
        status = self._folder.stat()
        # Containers may share a name but hardly a file system: the folder's identity goes with it.
        host = re.sub(r"[^\w.-]", "_", socket.gethostname(), flags=re.ASCII)
        self._place = f"{host}:{status.st_dev}-{status.st_ino}"
        self.token = f"{self._place}:{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = FileLock(self.path)
        self._studies, self._timeout = studies, timeout
        self._seen: dict[str, tuple[object, float]] = {}
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    @property
    def path(self) -> Path:
        """The file that is locked as long as this command lives."""
        return self._path(self.token)

    def __enter__(self) -> "Lease":
        self._lock.acquire()
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beating.join()
        self.path.unlink(missing_ok=True)
        self._lock.release()

    def is_left(self, trial: FrozenTrial) -> bool:
        """Tell whether a trial is at work for a command that no longer lives, or was cut off before it had one."""
        if trial.state is not TrialState.RUNNING:
            return False
        owner = trial.user_attrs.get(OWNER)
        return owner is None or not self.is_alive(owner)

    def is_alive(self, token: str) -> bool:
        """Tell whether the command of a token is at work, as far as one can know.

        Raises:
            ForeignEntry: If that is no token of a command.
        """
        if token == self.token:
            return True
        if parse_token(token).place == self._place:
            return is_locked(self._path(token))
        attributes = (read_marks(study) for study in self._studies)
        count = [of_study.get(_ATTRIBUTE + token) for of_study in attributes]
        before, since = self._seen.get(token, (None, 0.0))
        if count != before or token not in self._seen:
            self._seen[token] = (count, time.monotonic())
            return True
        return time.monotonic() - since < self._timeout

    def _path(self, token: str) -> Path:
        return self._folder / parse_token(token).file

    def _beat(self) -> None:
        for count in itertools.count():
            with suppress(*STORAGE_ERRORS, KeyError):  # the next beat may come through; of a deleted study others tell
                self._write(count)
            if self._ended.wait(self._timeout / _BEATS_PER_TIMEOUT):
                return

    def _write(self, count: int) -> None:
        for study in self._studies:
            write_mark(study, _ATTRIBUTE + self.token, count)


def is_locked(path: Path) -> bool:
    """Tell whether a living process of this machine holds a lock file; one that nobody holds is removed."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
            return False
    except Timeout:
        return True
