"""Every network: sizes, shapes, initialisation, and what forward promises."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from tffd.models import MODEL_NAMES, ModelOutput, create_model
from tffd.models.layers import channel_shuffle
from tffd.models.mobilenet import MobileNetV2

CONF = Path(__file__).parents[2] / "conf" / "model"

# With 100 classes; counted from the reference implementations.
PARAMETERS = {
    "resnet8": 83892,
    "resnet14": 181108,
    "resnet20": 278324,
    "resnet32": 472756,
    "resnet44": 667188,
    "resnet56": 861620,
    "resnet110": 1736564,
    "resnet8x4": 1233540,
    "resnet32x4": 7433860,
    "wrn_16_1": 180916,
    "wrn_40_1": 569780,
    "wrn_16_2": 703284,
    "wrn_40_2": 2255156,
    "vgg8": 3965028,
    "vgg11": 9277284,
    "vgg13": 9462180,
    "vgg16": 14774436,
    "vgg19": 20086692,
    "resnet50": 23705252,
    "mobilenet_v2": 812836,
    "shuffle_v1": 949258,
    "shuffle_v2": 1355528,
}
# Channels of the stem and of each stage.
NARROW, DOUBLE, WIDE = (16, 16, 32, 64), (16, 32, 64, 128), (32, 64, 128, 256)
VGG = (64, 128, 256, 512, 512)
CHANNELS = {
    "resnet8": NARROW,
    "resnet14": NARROW,
    "resnet20": NARROW,
    "resnet32": NARROW,
    "resnet44": NARROW,
    "resnet56": NARROW,
    "resnet110": NARROW,
    "resnet8x4": WIDE,
    "resnet32x4": WIDE,
    "wrn_16_1": NARROW,
    "wrn_40_1": NARROW,
    "wrn_16_2": DOUBLE,
    "wrn_40_2": DOUBLE,
    "vgg8": VGG,
    "vgg11": VGG,
    "vgg13": VGG,
    "vgg16": VGG,
    "vgg19": VGG,
    "resnet50": (64, 256, 512, 1024, 2048),
    "mobilenet_v2": (16, 12, 16, 48, 160),
    "shuffle_v1": (24, 240, 480, 960),
    "shuffle_v2": (24, 116, 232, 464),
}
# Width of the classifier's input, where it is not the last stage's.
POOLED = {"mobilenet_v2": 1280, "shuffle_v2": 1024}
# Height and width of the stem and of each stage, by the picture's.
VGG_SIZES = {8: (8, 4, 2, 1, 1), 16: (16, 8, 4, 2, 2), 32: (32, 16, 8, 4, 4), 64: (64, 32, 16, 8, 4)}
# What the picture's are divided by for the stem and for each stage; a half counts as one.
STRIDES = {
    "resnet50": (1, 1, 2, 4, 8),
    "mobilenet_v2": (2, 2, 4, 8, 16),
    "shuffle_v1": (1, 2, 4, 8),
    "shuffle_v2": (1, 2, 4, 8),
}
SMALLEST_OF_EACH_FAMILY = ("resnet8", "wrn_16_1", "vgg8", "mobilenet_v2", "shuffle_v1", "shuffle_v2", "resnet50")
SLOW_TO_TRACE = ("mobilenet_v2", "shuffle_v1", "shuffle_v2", "resnet50")


def pictures(batch: int = 4, size: int = 16, channels: int = 3) -> torch.Tensor:
    """Return random pictures, the same ones every time."""
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def seeded(name: str, num_classes: int = 10) -> Any:
    """Return a network with weights that do not depend on the order of tests; Any: they reach into it."""
    torch.manual_seed(0)
    return create_model(name, num_classes)


def meta(name: str, num_classes: int = 100, in_channels: int = 3) -> nn.Module:
    """Return a network without memory: shapes are known, nothing is computed."""
    with torch.device("meta"):
        return create_model(name, num_classes, in_channels=in_channels)


def count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_tables_cover_every_model() -> None:
    """A new network needs its figures here."""
    assert set(PARAMETERS) == set(CHANNELS) == set(MODEL_NAMES)
    assert len(MODEL_NAMES) == 22


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_parameters(name: str) -> None:
    """The counts are exactly the references'."""
    assert count(meta(name)) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "parameters"), [("resnet20", 272474), ("resnet110", 1730714)])
def test_parameters_with_10_classes(name: str, parameters: int) -> None:
    """The same for the published CIFAR-10 networks."""
    assert count(meta(name, 10)) == parameters


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_shapes(name: str) -> None:
    """Stem, stages and pooled are the references' at 32x32 (for VGG at 64x64 too) and sensible elsewhere."""
    model = meta(name)
    assert model.feature_channels == CHANNELS[name][1:]
    assert model.num_stages == len(CHANNELS[name][1:])
    for size in (8, 16, 32, 64):
        output = model(torch.empty(2, 3, size, size, device="meta"))
        strided = tuple(math.ceil(size / stride) for stride in STRIDES.get(name, (1, 1, 2, 4)))
        sizes = VGG_SIZES[size] if name.startswith("vgg") else strided
        expected = [(2, c, s, s) for c, s in zip(CHANNELS[name], sizes, strict=True)]
        assert isinstance(output, ModelOutput)
        assert [output.stem.shape, *(stage.shape for stage in output.stages)] == expected
        assert [preact.shape for preact in output.preacts] == expected[1:]
        assert output.pooled.shape == (2, POOLED.get(name, CHANNELS[name][-1]))
        assert output.logits.shape == (2, 100)


@pytest.mark.parametrize(
    ("name", "size"), [(name, 8) for name in MODEL_NAMES] + [(name, 32) for name in SMALLEST_OF_EACH_FAMILY]
)
def test_forward_updates_every_batch_norm_once(name: str, size: int) -> None:
    """One training forward counts once in each running statistic, and all values are finite."""
    model = seeded(name)
    output = model(pictures(2, size))
    counters = [m.num_batches_tracked for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert counters and all(counter == 1 for counter in counters)
    assert all(bool(tensor.isfinite().all()) for tensor in (output.logits, *output.stages, *output.preacts))


@pytest.mark.parametrize("name", ["resnet14", "resnet8x4", "vgg8", "vgg13", "resnet50", "shuffle_v1"])
def test_stages_are_the_relu_of_preacts(name: str) -> None:
    """No in-place ReLU has overwritten a map before it: preacts still have negative values."""
    output = seeded(name)(pictures())
    for stage, preact in zip(output.stages, output.preacts, strict=True):
        assert torch.equal(torch.relu(preact), stage)
        assert (preact < 0).any()


@pytest.mark.parametrize("name", ["wrn_16_1", "wrn_16_2"])
def test_wide_resnet_preacts_are_the_next_batch_norm(name: str) -> None:
    """Stages are block outputs; the batch norm that reads one gives its preact."""
    model = seeded(name)
    model(pictures())  # moves the running statistics, so that eval mode is not nearly the identity
    output = model.eval()(pictures())
    norms = (model.block2[0].bn1, model.block3[0].bn1, model.bn1)
    for stage, preact, norm in zip(output.stages, output.preacts, norms, strict=True):
        assert torch.equal(norm(stage), preact)
        assert (stage < 0).any()
    assert torch.equal(model.conv1(pictures()), output.stem)


def test_stages_of_shuffle_v2_are_the_shuffled_relu_of_preacts() -> None:
    """The first half of a preact is active already; the stage takes a channel of each half in turn."""
    output = seeded("shuffle_v2")(pictures())
    for stage, preact in zip(output.stages, output.preacts, strict=True):
        first, second = preact.chunk(2, dim=1)
        assert (first >= 0).all() and (second < 0).any()
        assert torch.equal(stage[:, 0::2], first) and torch.equal(stage[:, 1::2], torch.relu(second))


def test_stages_of_mobilenet_end_without_a_relu() -> None:
    """So that the map before the next ReLU is the stage."""
    output = seeded("mobilenet_v2")(pictures())
    for stage, preact in zip(output.stages, output.preacts, strict=True):
        assert torch.equal(stage, preact) and (stage < 0).any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_channel_shuffle(layout: torch.memory_format) -> None:
    """Channel c of group g comes to place c * groups + g, in the memory format that the maps had."""
    maps = pictures(2, 5, 6).contiguous(memory_format=layout)
    for groups in (1, 2, 3):
        shuffled = channel_shuffle(maps, groups)
        assert shuffled.is_contiguous(memory_format=layout)
        for place in range(6):
            group, channel = place % groups, place // groups
            assert torch.equal(shuffled[:, place], maps[:, group * (6 // groups) + channel])


def test_mobilenet_of_no_width_is_refused() -> None:
    assert MobileNetV2(10, width=1 / 16).feature_channels == (1, 2, 6, 20)
    with pytest.raises(ValueError, match=r"at least 0.0625; got 0.06"):
        MobileNetV2(10, width=0.06)


@pytest.mark.parametrize("name", SMALLEST_OF_EACH_FAMILY)
def test_pooled_is_the_classifier_input(name: str) -> None:
    """Pooled is the mean of the last activated map, and logits are its linear function."""
    model = seeded(name)
    output = model(pictures())
    if name not in POOLED:  # the others have another convolution in between
        torch.testing.assert_close(output.pooled, torch.relu(output.preacts[-1]).mean((2, 3)))
    assert torch.equal(model.fc(output.pooled), output.logits)


@pytest.mark.parametrize("name", SMALLEST_OF_EACH_FAMILY)
def test_gradients_reach_every_parameter(name: str) -> None:
    """In-place ReLUs leave the backward pass intact, from the logits and from every preact."""
    model = seeded(name)
    output = model(pictures())
    loss = output.logits.square().mean() + sum(preact.square().mean() for preact in output.preacts)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", SMALLEST_OF_EACH_FAMILY)
def test_channels_last_gives_the_same_values(name: str) -> None:
    """The memory format changes speed alone.

    In float64: sums run in another order, and batch statistics of few values divide by small deviations, which scales
    rounding errors up.
    """
    model = seeded(name).double()
    plain = model(pictures().double())
    model = seeded(name).double().to(memory_format=torch.channels_last)
    output = model(pictures().double().to(memory_format=torch.channels_last))
    assert all(stage.is_contiguous(memory_format=torch.channels_last) for stage in output.stages)
    torch.testing.assert_close(output, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW_TO_TRACE)) for name in SMALLEST_OF_EACH_FAMILY]
)
def test_compiles_without_graph_breaks(name: str) -> None:
    """Forward is one graph; the eager backend traces without generating code."""
    torch.compiler.reset()
    model = seeded(name).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(pictures()).logits, model(pictures()).logits)


@pytest.mark.parametrize("name", ["resnet56", "resnet8x4", "wrn_40_2", "vgg13", "resnet50", "mobilenet_v2"])
def test_initialisation(name: str) -> None:
    """Convolutions have std sqrt(2 / fan_out), batch norms weight 1 and bias 0."""
    model = seeded(name)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size)))
            # An estimate of std from n samples is off by std / sqrt(2n): five of that is a miss in 2 million.
            slack = 5 / math.sqrt(2 * module.weight.numel())
            assert module.weight.std().item() == pytest.approx(expected, rel=slack)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and not module.bias.any()


def test_initialisation_of_the_linear_layers() -> None:
    """PyTorch's default in a ResNet, its weight and no bias in a wide ResNet, N(0, 0.01^2) in VGG and MobileNetV2."""
    resnet, wide, vgg = (seeded(name, 100).fc for name in ("resnet8", "wrn_16_1", "vgg8"))
    mobile = seeded("mobilenet_v2", 100).fc
    for layer in (resnet, wide):
        bound = 1 / math.sqrt(64)  # uniform in +-1 / sqrt(fan_in), of which 6400 draws come within 1 %
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
    assert resnet.bias.abs().max() > 0
    assert not wide.bias.any() and not vgg.bias.any() and not mobile.bias.any()
    assert vgg.weight.std().item() == pytest.approx(0.01, rel=0.02)  # five deviations for 51200 draws
    assert mobile.weight.std().item() == pytest.approx(0.01, rel=0.02)  # and more for 128000


@pytest.mark.parametrize("name", ["shuffle_v1", "shuffle_v2"])
def test_initialisation_of_the_shufflenets(name: str) -> None:
    """PyTorch's default: uniform in +-1 / sqrt(fan_in), so of that over sqrt(3) as standard deviation."""
    for module in seeded(name, 100).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            expected = 1 / math.sqrt(3 * math.prod(module.weight.shape[1:]))
            slack = 5 / math.sqrt(2 * module.weight.numel())
            assert module.weight.std().item() == pytest.approx(expected, rel=slack)
            assert module.weight.abs().max() <= expected * math.sqrt(3)


@pytest.mark.parametrize("name", SMALLEST_OF_EACH_FAMILY)
def test_other_picture_channels(name: str) -> None:
    """Grey pictures change the first convolution alone."""
    model = meta(name, 10, in_channels=1)
    assert model(torch.empty(2, 1, 32, 32, device="meta")).logits.shape == (2, 10)
    stem = CHANNELS[name][0]
    assert count(meta(name, 10)) - count(model) == 2 * stem * (1 if name.startswith("shuffle") else 9)


def test_vgg_refuses_pictures_that_would_vanish() -> None:
    """The message says what is too small."""
    with pytest.raises(ValueError, match="at least 8x8 pixels; got 32x7"):
        meta("vgg8")(torch.empty(2, 3, 32, 7, device="meta"))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet21", "resnet20"),
        ("ResNet56", "resnet56"),
        ("wrn-40-2", "wrn_40_2"),
        ("vgg12", "vgg1"),
        ("MobileNetV2", "mobilenet_v2"),
        ("ShuffleV1", "shuffle_v1"),
    ],
)
def test_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    """Typing errors, capitals and dashes lead to the right name."""
    with pytest.raises(ValueError, match=f"no model '{name}'. Did you mean .*{nearest}"):
        create_model(name, 10)


def test_unknown_name_without_neighbour_lists_all() -> None:
    """Nothing similar: the whole list helps."""
    with pytest.raises(ValueError, match="Choose one of resnet8, .*, vgg19, .*, shuffle_v2"):
        create_model("transformer", 10)


@pytest.mark.parametrize(("classes", "channels", "word"), [(0, 3, "num_classes"), (10, 0, "in_channels")])
def test_numbers_below_one(classes: int, channels: int, word: str) -> None:
    """Refused before anything is built."""
    with pytest.raises(ValueError, match=f"{word} >= 1; got 0"):
        create_model("resnet8", classes, in_channels=channels)


def test_every_model_has_its_yaml() -> None:
    """conf/model lists exactly the networks, each file creates its own, and says its parameter count."""
    files = sorted(CONF.rglob("*.yaml"))
    assert {file.stem for file in files} == set(MODEL_NAMES)
    for file in files:
        text = file.read_text(encoding="utf-8")
        config: dict[str, Any] = dict(OmegaConf.load(file))
        assert config == {"_target_": "tffd.models.create_model", "name": file.stem, "weights": None}
        del config["_target_"]
        with torch.device("meta"):
            model = create_model(num_classes=100, in_channels=3, **config)
        assert text.startswith("#") and f"{count(model)} parameters with 100 classes" in text
