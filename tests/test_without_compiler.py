"""What PyTorch would ask its compiler for is answered as PyTorch answers it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.models import create_model
from tffd.without_compiler import PlainShapes


def outline(value: Any) -> Any:
    """Shapes, strides and types of tensors, whatever they are in."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    return [outline(one) for one in value]


def shown(name: str, channels: int, size: int) -> Any:
    return create_model(name, 10, in_channels=channels)(torch.empty(2, channels, size, size))


@pytest.mark.parametrize(
    "name", ["resnet8", "wrn_16_1", "vgg8", "resnet50", "mobilenet_v2", "shuffle_v1", "shuffle_v2"]
)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 33)])
def test_networks_have_the_shapes_that_pytorch_tells(name: str, channels: int, size: int) -> None:
    with torch.device("meta"), torch.no_grad():
        expected = shown(name, channels, size)
        with PlainShapes():
            assert outline(shown(name, channels, size)) == outline(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda maps: nn.BatchNorm2d(5)(maps),  # of another number of channels
        lambda maps: nn.BatchNorm2d(4)(maps[:1, :, :1, :1]),  # one value a channel
        lambda maps: nn.Conv2d(3, 4, 3)(maps),
        lambda maps: nn.Conv2d(4, 4, 9)(maps),  # larger than the maps
        lambda maps: nn.Linear(3, 2)(maps.flatten(1)),
        lambda maps: maps + maps[:, :3],
    ],
)
def test_what_is_wrong_is_refused_in_pytorchs_words(wrong: Any) -> None:
    with torch.device("meta"):
        maps = torch.empty(2, 4, 6, 6)
        with pytest.raises((RuntimeError, ValueError)) as expected:
            wrong(maps)
        with PlainShapes(), pytest.raises(type(expected.value)) as found:
            wrong(maps)
    assert str(found.value) == str(expected.value)


def test_tensors_with_values_are_computed() -> None:
    with PlainShapes():
        assert (torch.ones(2) + torch.ones(2)).tolist() == [2, 2]
        assert F.relu(torch.tensor([-1.0, 1.0])).tolist() == [0, 1]
