"""What holds on a CPU and has to hold on a CUDA card: `make test-gpu`."""

import gc
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distill.compositions import tfd
from tests.support import in_a_process
from tests.test_trial import AskedAt, run
from tests.training.test_loop import (
    NO_AUGMENTATION,
    Constant,
    alone,
    data,
    gpu,
    history,
    network,
    pictures,
    recipe,
)
from tffd.data.augment import normalise
from tffd.distill import Step
from tffd.losses import channel_saliency
from tffd.machine import use_precision
from tffd.records import INTERRUPT, read_result
from tffd.training.captured import CaptureFailed
from tffd.training.step import Learners, autocast, batch_losses
from tffd.trial import RunInterrupted

CARD = pytest.param("cuda", marks=gpu)
PRECISIONS = [("cpu", "fp32"), ("cpu", "bf16"), *(pytest.param("cuda", p, marks=gpu) for p in ("fp32", "tf32", "bf16"))]


def loss_and_gradients(device: str, dtype: torch.dtype) -> tuple[float, Tensor]:
    given = pictures(8, device=device)
    learners = Learners(network().to(device, dtype), tfd())
    batch = next(given.epoch(8, NO_AUGMENTATION, 0, None))
    inputs = normalise(given.images[batch.index], given.mean, given.std).to(dtype)
    factors = {name: torch.ones((), device=device) for name in learners.distillation.factors(1, 0)}
    learners.student.train()
    loss, _ = batch_losses(learners, replace(batch, inputs=inputs), 1, 0, factors)
    loss.backward()
    gradients = [weight.grad for weight in learners.student.parameters() if weight.grad is not None]
    return loss.item(), torch.cat([gradient.flatten().double().cpu() for gradient in gradients])


@pytest.mark.parametrize("device", ["cpu", CARD])
def test_the_loss_and_its_gradients_are_those_of_float64(device: str) -> None:
    use_precision("fp32")
    (exact, slopes), (loss, found) = loss_and_gradients("cpu", torch.float64), loss_and_gradients(device, torch.float32)
    assert loss == pytest.approx(exact, rel=1e-5)
    # Of all weights together: single ones are small, and a ReLU at zero may fall on either side.
    assert (found - slopes).norm() < 1e-4 * slopes.norm()


@pytest.mark.parametrize(("device", "precision"), PRECISIONS)
def test_channels_are_paired_alike_in_every_precision(device: str, precision: str) -> None:
    """Maps whose saliencies are well apart: the channel c is 1 at c + 1 positions, which have the norm sqrt(c + 1)."""
    use_precision(precision)
    shuffled = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    maps = (torch.arange(64) <= shuffled[:, None]).float().reshape(1, 16, 8, 8).expand(3, -1, -1, -1)
    with autocast(torch.device(device), precision == "bf16"):
        lower = maps.to(device, torch.bfloat16 if precision == "bf16" else torch.float32)
        saliency = channel_saliency(lower.contiguous(memory_format=torch.channels_last))
    assert saliency.cpu().argsort(descending=True).tolist() == shuffled.argsort(descending=True).tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(*pair, marks=gpu) for pair in [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")]],
)
def test_a_run_goes_on_where_there_is_another_device(first: str, second: str, tmp_path: Path) -> None:
    """The device is no part of a run's identity; on a card sums are added in an order of its own."""
    whole, goes_on = losses(first, second, tmp_path)
    assert goes_on == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("device", ["cpu", CARD])
def test_a_run_goes_on_exactly_with_deterministic_algorithms(device: str, tmp_path: Path) -> None:
    whole, goes_on = in_a_process(_deterministic_losses, device, tmp_path)
    assert goes_on == whole


def _deterministic_losses(device: str, directory: Path) -> tuple[float, float]:
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # which PyTorch demands
    torch.use_deterministic_algorithms(True)
    found = losses(device, device, directory)
    assert not torch.backends.cudnn.benchmark  # of which another algorithm may win each time
    return found


def losses(first: str, second: str, directory: Path) -> tuple[float, float]:
    """The validation losses of a run, and of one that goes on with another device after its first epoch."""
    settings = ("trainer.epochs=3", "trainer.precision=fp32")
    whole = run(directory / "whole", *settings, f"device={second}")
    with pytest.raises(RunInterrupted):
        asked = AskedAt(1, INTERRUPT, directory / "parts" / "run")
        run(directory / "parts", *settings, f"device={first}", reporter=asked)
    (directory / "parts" / "run" / "stop").unlink()  # as the sweep does
    goes_on = run(directory / "parts", *settings, f"device={second}")
    assert goes_on["epochs_run"] == 3
    return whole["val_loss"], goes_on["val_loss"]


@pytest.mark.parametrize("device", [CARD])
def test_a_card_without_room_fails_the_run_and_is_free_afterwards(device: str, tmp_path: Path) -> None:
    before = torch.cuda.memory_allocated()  # cuBLAS's, of earlier tests
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - 2**28, dtype=torch.uint8, device=device)
    with pytest.raises(torch.OutOfMemoryError):
        run(tmp_path, "model=wrn_40_2", "dataset=synthetic", "trainer.batch_size=512", f"device={device}")
    record = read_result(tmp_path / "run")
    assert record is not None and record["status"] == "failed"
    assert "OutOfMemoryError" in record["error"]
    del taken
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() < before + 2**26
    assert run(tmp_path / "next", f"device={device}")["status"] == "complete"


@pytest.mark.parametrize("device", [CARD])
@pytest.mark.parametrize(("compiled", "graph"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_step_is_the_eager_one_however_it_is_taken(device: str, compiled: bool, graph: bool, bf16: bool) -> None:
    """With a remainder, a warm-up and a drop of the rate; tests/training/test_captured.py has all modes.

    Sums have no fixed order on a card, so that runs drift apart: after one epoch by less than after the last.
    """
    use_precision("fp32")
    how: dict[str, Any] = {"epochs": 4, "warmup_epochs": 4, "bf16": bf16, "lr": 0.01}
    eager, other = (
        history(tfd(), data(60, device=device), recipe(**how, **chosen), model=network().to(device))
        for chosen in ({}, {"compile": compiled, "cuda_graph": graph})
    )
    for name in ("train_ce", "intra", "inter"):
        assert other[0][name] == pytest.approx(eager[0][name], rel=2e-2 if bf16 else 1e-3), name
        assert other[-1][name] == pytest.approx(eager[-1][name], rel=0.1 if bf16 else 2e-2), name


class Waiting(Constant):
    """A term that asks the card for a number, and promises not to."""

    captures = True

    def forward(self, step: Step) -> dict[str, Tensor]:
        return {"constant": super().forward(step)["constant"] * step.labels.sum().item()}


@pytest.mark.parametrize("device", [CARD])
def test_a_step_that_waits_for_the_card_cannot_be_captured(device: str) -> None:
    with pytest.raises(CaptureFailed, match="trainer.cuda_graph=false"):
        in_a_process(_train_waiting, device)


def _train_waiting(device: str) -> None:
    history(alone(Waiting()), data(60, device=device), recipe(cuda_graph=True), model=network().to(device))


_WRONG_LABELS = """
import sys
from pathlib import Path
from torch.nn import functional as F
from tests.test_trial import run
right = F.cross_entropy
F.cross_entropy = lambda logits, labels, **how: right(logits, labels + 1000, **how)
run(Path(sys.argv[1]), f"device={sys.argv[2]}")
"""


@pytest.mark.parametrize(("device", "reason"), [("cpu", "out of bounds"), pytest.param("cuda", "assert", marks=gpu)])
def test_labels_that_no_class_has_leave_a_record_and_the_next_run_is_fine(
    device: str, reason: str, tmp_path: Path
) -> None:
    """On a card it is a device assert, after which the process can do nothing there."""
    command = [sys.executable, "-c", _WRONG_LABELS, str(tmp_path / "first"), device]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    record = read_result(tmp_path / "first" / "run")
    assert record is not None and record["status"] == "failed"
    assert reason in record["error"]
    assert run(tmp_path / "next", f"device={device}")["status"] == "complete"
