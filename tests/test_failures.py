"""What a failure means, as its exception tells it, and as a record keeps it."""

import pytest
import torch

from tffd.data.room import DataTooLarge
from tffd.failures import Failure, FailureKind
from tffd.machine import DeviceMissing, PrecisionMissing
from tffd.refusal import ConfigError
from tffd.training.loop import TrainingDiverged


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TrainingDiverged("the training loss became nan"), FailureKind.SAME_AGAIN),
        (DataTooLarge("the pictures take 90 GiB"), FailureKind.SAME_AGAIN),
        (ConfigError(["device=tpu: no such device"]), FailureKind.UNTIL_MENDED),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), FailureKind.DEVICE),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), FailureKind.DEVICE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), FailureKind.DEVICE),
        (DeviceMissing("device=cuda: PyTorch sees no CUDA device here; use device=cpu"), FailureKind.DEVICE),
        (PrecisionMissing("trainer.precision=bf16: Tesla V100 does not have it"), FailureKind.OTHER),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), FailureKind.OTHER),
        (torch.AcceleratorError("CUDA error: out of memory"), FailureKind.OTHER),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), FailureKind.OTHER),
        (ValueError("no such file"), FailureKind.OTHER),
    ],
)
def test_the_kind_of_a_failure_is_told_by_its_exception(error: Exception, kind: FailureKind) -> None:
    assert Failure.of(error) == Failure(kind, f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_record_keeps_the_kind(kind: FailureKind) -> None:
    failure = Failure(kind, "broken")
    assert failure.record() == {"status": "failed", "error": "broken", "failure": kind.value}
    assert Failure.in_record(failure.record()) == failure


@pytest.mark.parametrize("word", [None, "", "unheard of", 7, ["lost"]])
def test_a_record_of_no_known_kind_may_be_tried_again(word: object) -> None:
    failure = Failure.in_record({"status": "failed", "error": None, "failure": word})
    assert failure == Failure(FailureKind.OTHER, "no reason was recorded")
    assert failure.kind.may_go_away


def test_what_is_not_tried_again_and_what_does_not_go_on() -> None:
    assert {kind for kind in FailureKind if not kind.may_go_away} == {
        FailureKind.SAME_AGAIN,
        FailureKind.UNTIL_MENDED,
        FailureKind.TEACHER,
    }
    of_the_run = {kind for kind in FailureKind if kind.is_of_the_run}
    assert of_the_run == {FailureKind.OVERTIME, FailureKind.OUT_OF_MEMORY}
