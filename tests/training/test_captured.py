"""Steps that are recorded once and replayed: they must be the steps that would have been taken."""

import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch

from tests.distill.compositions import tfd
from tests.distill.test_every_mode import CHANNELS, CLASSES, EQUAL, MODES, RECIPES, SIZE, composed, networks
from tests.support import in_a_process
from tests.training.tape import TapeRecorder
from tests.training.test_loop import Constant, alone, data, gpu, history, network, recipe
from tffd.data import Data, Pictures
from tffd.machine import use_precision
from tffd.training import captured, loop
from tffd.training.captured import CaptureFailed, CudaRecorder, uncaptured
from tffd.training.loop import Progress, Row, make_optimizer, train
from tffd.training.step import Learners

# Two whole batches an epoch and one that is not; four warm-up factors; another learning rate in the last epoch.
HOW = recipe(epochs=4, batch_size=5, warmup_epochs=4, milestones=(0.75,), lr=0.01)


@pytest.fixture(autouse=True)
def taped(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not request.node.get_closest_marker("gpu"):
        monkeypatch.setattr(loop, "CudaRecorder", TapeRecorder)
    monkeypatch.setattr(TapeRecorder, "captures", 0)


def given(device: str) -> Data:
    labels = torch.arange(12) % CLASSES
    images = torch.randint(
        256, (12, SIZE, SIZE, CHANNELS), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    pictures = Pictures(*(one.to(device) for one in (images, labels, *torch.full((2, CHANNELS), 0.5))))
    return Data(pictures, None, None, ("",) * CLASSES, CHANNELS, data(12, val=0).split)


def learners(mode: str, *overrides: str) -> Learners:
    _, distillation = composed(mode, EQUAL, *overrides)
    student, teacher = networks(EQUAL)
    return Learners(student, distillation, teacher if distillation.needs_teacher else None)


def rows(
    mode: str, cuda_graph: bool, device: str = "cpu", overrides: Sequence[str] = (), **how: Any
) -> tuple[list[Row], list[torch.Tensor]]:
    """Train, and return the history with all that was trained."""
    own, chosen = learners(mode, *overrides), dataclasses.replace(HOW, cuda_graph=cuda_graph, **how)
    for part in (own.student, own.distillation, own.teacher):
        if part is not None:
            part.to(device, memory_format=torch.channels_last)
    progress = Progress(0, [], 0.0)
    for _ in train(own, given(device), chosen, make_optimizer(own, chosen), progress):
        pass
    return progress.history, [*own.student.state_dict().values(), *own.distillation.state_dict().values()]


CAPTURED = [mode for mode in MODES if not uncaptured(learners(mode))]
STAGED = [(mode, [f"kd_mode.{mode}.after=keep"]) for mode in ("ab", "fsp")]  # which the run proper has no other part of
OTHERS = [(mode, chosen) for mode, chosen in RECIPES if not all(".weights." in each for each in chosen)]  # other steps
FORMS = [(mode, []) for mode in CAPTURED] + STAGED + [form for form in OTHERS if form[0] in CAPTURED]


def test_most_modes_are_captured() -> None:
    assert set(MODES) - set(CAPTURED) == {"bss", "crd", "dlb", "kdsvd", "ps_kd"}


@pytest.mark.parametrize(
    ("mode", "overrides"), FORMS, ids=lambda part: part if isinstance(part, str) else "+".join(part)
)
def test_replayed_steps_are_the_steps(mode: str, overrides: list[str]) -> None:
    """All numbers and weights, but for the last bits of sums; recorded once for each learning rate."""
    (expected, weights), (actual, replayed) = (rows(mode, each, overrides=overrides) for each in (False, True))
    assert TapeRecorder.captures == 2
    for row, other in zip(actual, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-6)
    for one, two in zip(replayed, weights, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("mode", "overrides"), [pytest.param(*form, marks=gpu) for form in FORMS])
def test_replayed_steps_are_the_steps_on_a_card(mode: str, overrides: list[str]) -> None:
    """The first two epochs, one eager and one replayed: later ones drift apart, for sums have no fixed order there."""
    use_precision("fp32")
    expected, actual = (rows(mode, each, "cuda", overrides)[0] for each in (False, True))
    for row, other in zip(actual[:2], expected[:2], strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-5)
    for row, other in zip(actual, expected, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=0.1)


def test_under_bfloat16() -> None:
    for row, other in zip(*(rows("tfd_plus", each, bf16=True)[0] for each in (True, False)), strict=True):
        assert row == pytest.approx(other, rel=1e-6)
    assert TapeRecorder.captures == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_decomposes_no_matrix_within_a_graph() -> None:
    with pytest.raises(CaptureFailed, match="trainer.cuda_graph=false"):
        in_a_process(_record, "kdsvd")


def _record(mode: str) -> None:
    with mock.patch.object(loop, "uncaptured", return_value=[]):
        rows(mode, True, "cuda")


@pytest.mark.parametrize("mode", sorted(set(MODES) - set(CAPTURED) - {"kdsvd"}))
def test_what_is_not_captured_could_not_be(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such modes run as they are; replayed, they would go wrong or wait for the card."""
    expected = rows(mode, False, batch_size=2)[0]
    assert rows(mode, True, batch_size=2)[0] == expected
    assert TapeRecorder.captures == 0
    monkeypatch.setattr(loop, "uncaptured", lambda _: [])
    try:
        assert rows(mode, True, batch_size=2)[0] != expected
    except RuntimeError as error:
        assert "waits for the device" in str(error)


@pytest.mark.parametrize(
    ("cause", "told", "message"),
    [
        (torch.OutOfMemoryError("no room"), torch.OutOfMemoryError, "no room"),
        (RuntimeError("item() waits"), CaptureFailed, r"cannot hold this run's steps \(item\(\) waits\); set trainer"),
    ],
)
def test_what_a_recording_failed_for_is_told(
    cause: Exception, told: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch ends a recording that has failed with an error that says no more than that."""

    @contextmanager
    def graph(*_: object, **__: object) -> Iterator[None]:
        try:
            yield
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    def work() -> None:
        raise cause

    monkeypatch.setattr(captured, "_stream", object)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    with pytest.raises(told, match=message):
        CudaRecorder().capture(work)


def test_own_parts_are_captured_where_they_say_so() -> None:
    class Promising(Constant):
        captures = True

    assert uncaptured(Learners(network(), alone(Constant()))) == ["kd_mode=alone"]
    assert uncaptured(Learners(network(), alone(Promising()))) == []
    patched = network()
    patched.fc = type("Layer", (torch.nn.Linear,), {})(8, 3)
    assert uncaptured(Learners(patched, tfd())) == ["model"]
    watched = network()
    assert uncaptured(Learners(watched, tfd())) == []
    watched.fc.register_forward_hook(lambda *_: None)  # which no replay would call
    assert uncaptured(Learners(watched, tfd())) == ["model"]


def test_what_was_recorded_is_given_back_when_training_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at some later time when Python looks for cycles: a card's memory is wanted before."""
    kept: list[weakref.ref[object]] = []

    class Noting(TapeRecorder):
        def capture(self, work: Callable[[], None]) -> Callable[[], None]:
            replay = super().capture(work)
            kept.append(weakref.ref(replay.__self__))  # type: ignore[attr-defined]  # a method of the tape
            return replay

    monkeypatch.setattr(loop, "CudaRecorder", Noting)
    gc.collect()
    gc.disable()
    try:
        rows("tfd", True)
        assert len(kept) == 2 and [each() for each in kept] == [None, None]
    finally:
        gc.enable()


def test_a_run_of_few_steps_is_not_captured() -> None:
    assert history(tfd(), data(), recipe(epochs=1, cuda_graph=True)) == history(tfd(), data(), recipe(epochs=1))
    assert TapeRecorder.captures == 0
