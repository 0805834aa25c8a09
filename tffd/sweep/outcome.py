"""What became of a run, as its directory tells, and what that means for its trial."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tffd.records import FAILED, read_last_metrics, read_result
from tffd.sweep.worker import Job

_SAME_AGAIN = ("TrainingDiverged", "NotFinite", "DataTooLarge")
_OF_THE_RUN = ("Timeout", "OutOfMemory")
_OF_THE_TEACHER = ("WeakTeacher",)
_UNTIL_MENDED = ("ConfigError", "DamagedRecord", "OtherConfiguration", *_OF_THE_TEACHER)

_OF_THE_ACCELERATOR = ("AcceleratorError", "DeviceMissing: device=cuda")
_ACCELERATOR_WORDS = ("CUDA error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", "CUDA driver", "No CUDA GPUs")
_OF_THE_CODE = "device-side assert"  # a wrong index, on every card alike


def read_outcome(job: Job) -> dict[str, Any] | None:
    """Return the record of a run, or a failure that says why it cannot be used; None if it has not ended."""
    try:
        result = read_result(job.run_dir)
    except ValueError as error:
        return {"status": FAILED, "error": f"DamagedRecord: {error}"}
    if result is not None and result.get("config_hash") != job.config_hash:
        reason = f"{job.run_dir} already holds a run of another configuration; choose another name=..."
        return {"status": FAILED, "error": f"OtherConfiguration: {reason}"}
    return result


def last_epoch(run_dir: Path) -> int:
    """The last epoch in a run's metrics; 0 before the first."""
    return int(read_last_metrics(run_dir).get("epoch", 0))


def is_loss(reason: str) -> bool:
    """Tell whether a process may have ended through no fault of its run, which then simply goes on."""
    return not reason.startswith(_OF_THE_RUN)


def is_final(reason: str) -> bool:
    """Tell whether the same config brings a failure about every time."""
    return reason.startswith(_SAME_AGAIN)


def may_be_retried(reason: str) -> bool:
    """Tell whether a failure may go away by itself; some only do so once the user has done something."""
    return not reason.startswith((*_SAME_AGAIN, *_UNTIL_MENDED))


def is_of_teacher(reason: str) -> bool:
    """Tell whether a run could not learn from its teacher, which all others that have it cannot either."""
    return reason.startswith(_OF_THE_TEACHER)


def is_accelerator_error(reason: str) -> bool:
    """Tell whether a failure is one of the card rather than of the run; a card whose memory is full is sound."""
    if _OF_THE_CODE in reason or reason.startswith("OutOfMemoryError") or "out of memory" in reason:
        return False
    return reason.startswith(_OF_THE_ACCELERATOR) or any(word in reason for word in _ACCELERATOR_WORDS)


def values_of(result: dict[str, Any], objectives: Sequence[str], in_grid: bool) -> list[float] | None:
    """Return the objectives of a complete run; None if one was not measured or is no finite number.

    Args:
        in_grid: Whether the run may have read the test set, which stands in where nothing was held out.
    """
    values = [result.get(objective) for objective in objectives]
    if in_grid:
        names = [objective.replace("best_", "").replace("val", "test") for objective in objectives]
        values = [result.get(name) if value is None else value for name, value in zip(names, values, strict=True)]
    return None if None in values else [float(value) for value in values if value is not None]
