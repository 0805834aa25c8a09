"""Training steps as one CUDA graph: their kernels are recorded once and then launched together.

A step of a small network is hundreds of launches, each shorter on the card than it is for the processor to ask for.
Where there is no card, the tests replay steps on a CPU, operation by operation, as a graph would.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tffd.blaming import is_own
from tffd.data import Batch
from tffd.training.step import Learners

STEPS_BEFORE = 3
"""Steps that are taken as they are: momentum is made, algorithms are chosen and what is compiled is compiled."""


class CaptureFailed(ValueError):
    """A step does what a CUDA graph cannot hold. Its process can do little more on the card: PyTorch still records."""


class Recorder(Protocol):
    """Where steps run that are to be recorded, and what records them."""

    def working(self) -> AbstractContextManager[None]:
        """Run what is within where it can be recorded."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does again what `work` asks of the device; nothing is done yet."""


class CudaRecorder:
    """A CUDA stream beside the default one, which cannot be recorded, nor what has begun on it."""

    def __init__(self) -> None:
        self._stream = _stream()

    @contextmanager
    def working(self) -> Iterator[None]:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                work()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # PyTorch has no class of its own for it
            cause = error.__context__ or error  # to end a recording that has failed fails too, and tells less
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            reason = str(cause).partition("\n")[0]
            raise CaptureFailed(
                f"trainer.cuda_graph=true: a CUDA graph cannot hold this run's steps ({reason}); set "
                "trainer.cuda_graph=false"
            ) from error
        return graph.replay


@cache
def _stream() -> torch.cuda.Stream:
    """The same for all runs of a process: cuBLAS keeps memory for each stream that it has worked on."""
    return torch.cuda.Stream()


class CapturedSteps:
    """Takes a run's steps, all but the first few and those of odd sizes by replaying one.

    Args:
        take: Takes one step, given a batch and the step's seed: it changes tensors in place, and leaves nothing else
            behind. What is no tensor of the batch stays in every replay as it was in the step that was recorded.
        recorder: Where they run.
    """

    def __init__(self, take: Callable[[Batch, int], None], recorder: Recorder) -> None:
        self._take, self._recorder = take, recorder
        self._counts: dict[Hashable, int] = {}
        self._batch: Batch | None = None
        self._replay: Callable[[], None] | None = None

    def working(self) -> AbstractContextManager[None]:
        """Within this, steps may be taken."""
        return self._recorder.working()

    def forget(self) -> None:
        """Record the next step anew, for what it holds besides tensors has changed."""
        self._batch = self._replay = None

    def __call__(self, batch: Batch, draw: int) -> None:
        """Take one step."""
        form = _form(batch)
        if self._replay is None and self._counts.get(form, 0) >= STEPS_BEFORE:
            self._batch = held = _copy(batch)
            self._replay = self._recorder.capture(lambda: self._take(held, draw))
        if self._replay is None or self._batch is None or form != _form(self._batch):
            self._counts[form] = self._counts.get(form, 0) + 1
            self._take(batch, draw)
            return
        for name, place in _tensors(self._batch).items():
            place.copy_(getattr(batch, name))
        self._replay()


def uncaptured(learners: Learners) -> list[str]:
    """The parts of a run whose steps no CUDA graph may hold.

    Parts of your own may do so once they say `captures = True`: they remember nothing from step to step but in tensors
    that they change in place, and go by nothing of the step that is no tensor, such as its epoch.
    """
    parts: dict[str, nn.Module | None] = {"model": learners.student, "teacher": learners.teacher}
    parts |= {f"kd_mode={name}": mode for name, mode in learners.distillation.modes.items()}
    return [name for name, part in parts.items() if part is not None and not _captures(part)]


def _captures(part: nn.Module) -> bool:
    promised = getattr(part, "captures", None)
    if promised is None:  # a network of the library's may have had layers replaced, or hooks put on them
        return not any(_is_own(each) or _has_hooks(each) for each in part.modules())
    return bool(promised)


def _is_own(module: nn.Module) -> bool:
    name = type(module).__module__
    return is_own(name) and not name.startswith("torch.")


def _has_hooks(module: nn.Module) -> bool:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in names)


def _form(batch: Batch) -> Hashable:
    """What two batches must share for one step to serve both."""
    tensors = {name: (one.shape, one.stride(), one.dtype) for name, one in _tensors(batch).items()}
    return batch.repeated, tuple(tensors.items())


def _tensors(batch: Batch) -> dict[str, Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _copy(batch: Batch) -> Batch:
    copies: dict[str, Any] = {name: one.clone() for name, one in _tensors(batch).items()}
    return replace(batch, **copies)
