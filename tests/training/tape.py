"""What stands in for a CUDA graph on a CPU: it records a step's operations, and does them again on the same memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Tape(TorchDispatchMode):
    """Operations below autograd, and the tensors that they read and wrote.

    What a CUDA graph refuses is refused: to ask a tensor for its value, or for sizes that depend on one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Any, Any, Any, Any]] = []
        self._made: set[int] = set()  # storages
        self._found: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # and what was in them

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        masked = func is torch.ops.aten.index.Tensor and any(one.dtype == torch.bool for one in given[1:])
        if masked or _WAITS & set(func.tags):
            raise RuntimeError(f"{func} waits for the device")
        for tensor in given:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._made:
                self._found.setdefault(storage.data_ptr(), (storage, storage.clone()))
        result = func(*args, **kwargs or {})
        for made in _tensors(result):
            if made.untyped_storage().data_ptr() not in self._found:
                self._made.add(made.untyped_storage().data_ptr())
        self._done.append((func, args, kwargs or {}, result))
        return result

    def undo(self) -> None:
        """Put back what there was before: to record is not to do."""
        for storage, before in self._found.values():
            storage.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, result in self._done:
            for place, value in zip(_tensors(result), _tensors(func(*args, **kwargs)), strict=True):
                if place.untyped_storage().data_ptr() != value.untyped_storage().data_ptr():
                    place.detach().copy_(value)


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


class TapeRecorder:
    """Takes the place of `CudaRecorder`."""

    captures = 0  # in all

    @contextmanager
    def working(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        TapeRecorder.captures += 1
        with Tape() as tape:
            work()
        tape.undo()
        return tape.replay
