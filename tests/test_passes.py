"""What the Tf-FD terms cost: copies of maps, passes over them, what is kept, and the layout of gradients."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.test_losses import CLOSE, maps, naive_inter, naive_intra
from tffd import losses, passes
from tffd.losses import TfFD, channel_saliency, inter_fd, intra_fd, tfd_terms
from tffd.tensors import pooled_pairs


class MapSizedOutputs(TorchDispatchMode):
    """Lists the operations that allocated at least as many numbers as a map has."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features, self.found, self.calls = features, [], 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self.calls += 1
        if isinstance(output, Tensor) and output.numel() >= self.features.numel():
            shares = output.untyped_storage().data_ptr() == self.features.untyped_storage().data_ptr()
            self.found += [] if shares else [str(func)]
        return output


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_saliency_makes_no_copy_of_the_map(
    dtype: torch.dtype, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory of a normalised copy would be the largest cost of the method."""
    features = maps(4, 8, 16, 16, dtype=dtype, memory_format=layout)
    monkeypatch.setattr(passes, "_PART", features.numel() // 2)  # as of a map that is larger than the cache
    with MapSizedOutputs(features) as outputs:
        channel_saliency(features)
    assert outputs.calls > 3 and outputs.found == []
    with MapSizedOutputs(features) as outputs:
        nn.functional.normalize(features, dim=2)
    assert outputs.found != []  # the instrument sees what it is meant to see


def test_norms_of_a_part_of_the_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large channels_last map on a CPU: the same saliency, equal for equal channels, and no copy of the map."""
    features = maps(9, 6, 5, 7)
    features[:, 3] = features[:, 1]
    expected = channel_saliency(features)
    features = features.contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr(passes, "_PART", 2 * 6 * 5 * 7)  # two pictures, and one in the last part
    with MapSizedOutputs(features) as outputs:
        saliency = channel_saliency(features)
    assert outputs.calls > 15 and outputs.found == []
    torch.testing.assert_close(saliency, expected, rtol=1e-6, atol=0)
    assert saliency[1] == saliency[3]


@pytest.mark.parametrize("channels", [6, 7])
def test_the_intra_term_is_the_same_with_several_threads(channels: int) -> None:
    """To the last bit: channels are picked in another way then."""
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        features = maps(3, channels, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
        error = intra_fd(features)
        (gradient,) = torch.autograd.grad(error, features)
        found.append((error, gradient))
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_intra_keeps_half_a_map_for_the_backward_pass(layout: torch.memory_format, dtype: torch.dtype) -> None:
    """Besides the map itself, which the network keeps anyway."""
    features = maps(4, 8, 16, 16, dtype=dtype, memory_format=layout).requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        intra_fd(features)
    own = [tensor for tensor in kept if tensor.untyped_storage().data_ptr() != features.untyped_storage().data_ptr()]
    assert sum(tensor.numel() for tensor in own) == features.numel() // 2 + 8  # and the order of channels


@pytest.mark.parametrize(
    ("first", "sizes"), [((32, 32), (16, 8)), ((12, 8), (4, 1)), ((7, 7), (3, 1)), ((4, 4), (2, 8, 1))]
)
def test_maps_pooled_once_are_those_pooled_for_each_pair(first: tuple[int, int], sizes: tuple[int, ...]) -> None:
    """Sizes that divide and sizes that do not, windows of powers of two and of 3, and a deeper map that is larger."""
    stages = [maps(2, 3, *first, dtype=torch.float64), *(maps(2, 3, n, n, seed=n, dtype=torch.float64) for n in sizes)]
    pairs = list(combinations(stages, 2))
    for (shallow, _), (pooled, deep), expected in zip(pairs, pooled_pairs(stages), pairs, strict=True):
        assert deep is expected[1]
        size = [min(n) for n in zip(shallow.shape[2:], deep.shape[2:], strict=True)]
        torch.testing.assert_close(pooled, nn.functional.adaptive_avg_pool2d(shallow, size))
        assert inter_fd(pooled, deep).item() == pytest.approx(inter_fd(shallow, deep).item(), rel=1e-12)


def test_a_large_map_is_pooled_once() -> None:
    """However many stages follow it; the pass over a large map is what pooling costs."""
    stages = [maps(2, 3, n, n) for n in (32, 16, 8, 4)]
    seen: list[int] = []

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.extend(tensor.numel() for tensor in args if isinstance(tensor, Tensor) and "detach" not in str(func))
            return func(*args, **(kwargs or {}))

    with Reads():
        list(pooled_pairs(stages))
    assert seen.count(stages[0].numel()) == 1


@pytest.mark.parametrize(("lambda_intra", "lambda_inter", "called"), [(1, 0, "intra"), (0, 1, "inter"), (0, 0, None)])
def test_a_term_of_weight_zero_is_not_computed(
    lambda_intra: float, lambda_inter: float, called: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the loss nor in the active terms; `terms` still gives both."""
    calls: list[str] = []

    def spy(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def wrapped(*args: Tensor) -> Tensor:
            calls.append(name)
            return function(*args)

        return wrapped

    monkeypatch.setattr(losses, "intra_fd", spy("intra", intra_fd))
    monkeypatch.setattr(losses, "inter_fd", spy("inter", inter_fd))
    stages = maps(2, 4, 4, 4), maps(2, 4, 2, 2, seed=1)
    loss = TfFD(lambda_intra, lambda_inter)
    value = loss(*stages)
    assert set(calls) == ({called} if called else set())
    assert list(loss.active_terms(*stages)) == ([called] if called else [])
    assert set(loss.terms(*stages)) == {"intra", "inter"}
    assert value.shape == () and value.dtype == torch.float32
    expected = {
        "intra": (naive_intra(stages[0]) + naive_intra(stages[1])) / 2,
        "inter": naive_inter(*stages),
        None: 0.0,
    }
    assert value.item() == pytest.approx(expected[called], **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("term", ["intra", "inter"])
def test_gradients_lie_in_memory_as_the_maps_do(term: str, layout: torch.memory_format, dtype: torch.dtype) -> None:
    """Otherwise the backward pass of every layer down to the next convolution takes several times as long.

    Not where a deeper stage has fewer channels: the gradient of a slice is contiguous.
    """
    stages = [maps(2, 8 - n, 2**n, 2**n, seed=n, dtype=dtype, memory_format=layout).requires_grad_() for n in (4, 3, 2)]
    loss = tfd_terms(stages)[term]
    for gradient in torch.autograd.grad(loss, stages if term == "intra" else stages[:2]):
        assert gradient.is_contiguous(memory_format=layout)
