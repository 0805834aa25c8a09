"""What a failure means for the run that had it: its exception tells once, and the record keeps it as a word."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tffd.data.room import DataTooLarge
from tffd.machine import DeviceMissing, PrecisionMissing
from tffd.records import FAILED
from tffd.refusal import ConfigError
from tffd.teacher import WeakTeacher

_DEVICE_WORDS = ("CUDA error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", "CUDA driver", "No CUDA GPUs")
_OF_THE_CODE = "device-side assert"  # a wrong index, which fails on every card alike


class FailureKind(StrEnum):
    """The kinds of failures, by what is to be done about them."""

    SAME_AGAIN = "same_again"
    """The same config brings it every time."""

    UNTIL_MENDED = "until_mended"
    """It lasts until somebody has mended something."""

    TEACHER = "teacher"
    """Nobody could learn from the teacher, so that all other runs that have it would fail likewise."""

    DEVICE = "device"
    """A CUDA device is broken or gone, and the run is sound."""

    OVERTIME = "overtime"
    """The run took longer than sweep.trial_timeout."""

    OUT_OF_MEMORY = "out_of_memory"
    """The cluster ended the job for its memory."""

    LOST = "lost"
    """The process ended without a word, perhaps through no fault of the run."""

    OTHER = "other"
    """It may go away by itself."""

    @property
    def may_go_away(self) -> bool:
        """Whether the run may succeed when it is simply tried again."""
        return self not in (FailureKind.SAME_AGAIN, FailureKind.UNTIL_MENDED, FailureKind.TEACHER)

    @property
    def is_of_the_run(self) -> bool:
        """Whether a process that ended without a record ended by what its run is, and would do so again."""
        return self in (FailureKind.OVERTIME, FailureKind.OUT_OF_MEMORY)


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Attributes:
        kind: What it means.
        reason: In words, for people.
    """

    kind: FailureKind
    reason: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describe the failure that an exception is."""
        return cls(_kind_of(error), f"{type(error).__name__}: {error}")

    @classmethod
    def in_record(cls, record: dict[str, Any]) -> "Failure":
        """Read the failure of a run that failed from its record; one of an unknown kind may go away by itself."""
        known = {kind.value: kind for kind in FailureKind}
        kind = known.get(str(record.get("failure")), FailureKind.OTHER)
        return cls(kind, str(record.get("error") or "no reason was recorded"))

    def record(self) -> dict[str, str]:
        """Return the fields of result.json that say so."""
        return {"status": FAILED, "error": self.reason, "failure": self.kind.value}


def _kind_of(error: BaseException) -> FailureKind:
    from tffd.training.captured import CaptureFailed
    from tffd.training.loop import TrainingDiverged

    if isinstance(error, TrainingDiverged | DataTooLarge):
        return FailureKind.SAME_AGAIN
    if isinstance(error, WeakTeacher):
        return FailureKind.TEACHER
    if isinstance(error, ConfigError | CaptureFailed):
        return FailureKind.UNTIL_MENDED
    return FailureKind.DEVICE if _is_of_the_device(error) else FailureKind.OTHER


def _is_of_the_device(error: BaseException) -> bool:
    """Tell whether an error is one of the card rather than of the run; a card whose memory is full is sound.

    PyTorch has a type for most of them since 2.8, and tells the others, and all of them before, by their words alone.
    """
    import torch

    if isinstance(error, DeviceMissing):
        return not isinstance(error, PrecisionMissing)
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or _OF_THE_CODE in text:
        return False
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or any(word in text for word in _DEVICE_WORDS)
