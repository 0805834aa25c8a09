"""What a command does of PyTorch without its compiler, whose import (torch._dynamo) takes 1.5 s.

PyTorch imports it in a process's first optimiser, and where its meta device, which has shapes and no values, is asked
for the shape of a sum: to tell it that neither is to be compiled.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.overrides import TorchFunctionMode


def keep_compiler_out_of_sgd() -> None:
    """Let SGD in this process work without the compiler; not for runs that compile.

    The methods stay PyTorch's own. Where its version has them otherwise, or the compiler is there, nothing is changed.
    """
    step = getattr(SGD.step, "__wrapped__", None)
    if "torch._dynamo" in sys.modules or step is None or hasattr(SGD.step, "hooked"):
        return
    SGD.step = torch.no_grad()(step)  # type: ignore[method-assign]  # what surrounds it breaks graphs, and does this
    for method in (SGD.add_param_group, SGD.zero_grad, SGD.state_dict, SGD.load_state_dict):
        if (own := getattr(method, "__wrapped__", None)) is not None:
            vars(own).setdefault("__dynamo_disable", own)  # where the method looks for itself, made uncompilable


class PlainShapes(TorchFunctionMode):
    """Answers for operations on meta tensors whose results have an obvious shape.

    Whatever is not plain, and with it whatever is wrong, is left to PyTorch.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call an operation, or return what its result would look like."""
        kwargs = kwargs or {}
        first = next(iter((*args, *kwargs.values())), None)
        if func in _ANSWERS and isinstance(first, Tensor) and first.is_meta:
            answer = _ANSWERS[func](*args, **kwargs)
            if answer is not None:
                return answer
        return func(*args, **kwargs)


def _like(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape) if tensor.is_contiguous() else torch.empty_like(tensor)


# Arguments are named as PyTorch names them, for calls by name.
def _draw(tensor: Tensor, *numbers: Any, **named: Any) -> Tensor:
    return tensor  # there are no values


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    fits = all(isinstance(pair, tuple) and isinstance(pair[0], int) for pair in (stride, padding, dilation))
    fits = fits and input.ndim == weight.ndim == 4 and input.dtype == weight.dtype
    fits = fits and input.shape[1] == groups * weight.shape[1] and weight.shape[0] % groups == 0
    if not fits or not (bias is None or bias.shape == weight.shape[:1]) or not input.is_contiguous():
        return None
    sides = zip(input.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    size = [(side + 2 * pad - wide * (kernel - 1) - 1) // step + 1 for side, kernel, step, pad, wide in sides]
    return input.new_empty(input.shape[0], weight.shape[0], *size) if min(size) > 0 else None


def _relu(input: Tensor, inplace: bool = False) -> Tensor:
    return input if inplace else _like(input)


def _add(one: Tensor, other: Any, **named: Any) -> Tensor | None:
    alike = isinstance(other, Tensor) and other.is_meta and (one.shape, one.stride()) == (other.shape, other.stride())
    return _like(one) if alike and one.dtype == other.dtype and not named else None


def _batch_norm(
    input: Tensor, *vectors: Any, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, **named: Any
) -> Tensor | None:
    of_channels = [vector for vector in (*vectors, *named.values()) if vector is not None]
    fits = input.ndim > 1 and all(vector.shape == input.shape[1:2] for vector in of_channels)
    return _like(input) if fits and training and input.numel() > input.shape[1] and eps > 0 else None


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    fits = input.ndim == 2 and input.shape[1] == weight.shape[1] and input.dtype == weight.dtype
    fits = fits and (bias is None or bias.shape == weight.shape[:1])
    return input.new_empty(input.shape[0], weight.shape[0]) if fits else None


def _adaptive_average(input: Tensor, output_size: Any) -> Tensor | None:
    fits = output_size == 1 and input.ndim == 4 and input.numel() > 0 and input.is_contiguous()
    return input.new_empty(*input.shape[:2], 1, 1) if fits else None


_ANSWERS: dict[Any, Callable[..., Tensor | None]] = {
    F.conv2d: _convolution,
    F.relu: _relu,
    F.batch_norm: _batch_norm,
    F.linear: _linear,
    F.adaptive_avg_pool2d: _adaptive_average,
    Tensor.add: _add,
    Tensor.normal_: _draw,
    nn.init.normal_: _draw,
}
"""None of an answer leaves the operation to PyTorch."""
