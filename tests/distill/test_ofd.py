"""The overhaul of feature distillation against hand numbers, naive loops and figures of the public code."""

import dataclasses
import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_finite, check_loss, normal, output
from tffd.distill import Networks
from tffd.distill.ofd import (
    FeatureOverhaul,
    Form,
    Margin,
    batch_margin,
    batch_norm_margin,
    connector,
    norms_before_relu,
    partial_loss,
    partial_loss_stages,
)
from tffd.models import create_model

STAGES = (1, 2, 3)
# Whose form and margins, and the factor between our value and the figure of the loss.
GOLDEN_C: dict[str, tuple[Form, Margin, float]] = {
    "mdist.ofd": ("overhaul", "batch_norm", 1.0),
    "clova.ofd": ("overhaul", "batch_norm", 0.001),
    "kdzoo.ofd": ("kdzoo", "batch", 3.0),  # the figure is the sum of three stages
}


def naive(student: Tensor, teacher: Tensor, margin: Tensor) -> float:
    total = 0.0
    for ours, theirs in zip(student.double().flatten(2).tolist(), teacher.double().flatten(2).tolist(), strict=True):
        for our, their, lowest in zip(ours, theirs, margin.tolist(), strict=True):
            for s, t in zip(our, their, strict=True):
                target = max(t, lowest)
                total += (s - target) ** 2 if s > target or target > 0 else 0
    return total / student.numel()


def naive_batch_margin(teacher: Tensor) -> list[float]:
    negative = [[x for x in channel if x < 0] for channel in teacher.double().transpose(0, 1).flatten(1).tolist()]
    return [sum(values) / max(len(values), 1) for values in negative]


def test_by_hand() -> None:
    """Both active, the student too active, both inactive and it is the lower, and a teacher below the margin."""
    student = torch.tensor([[[[1.0, 2.0, -3.0, -0.5, -2.0]]]]).requires_grad_()
    loss = partial_loss(student, torch.tensor([[[[3.0, -0.5, -0.5, -4.0, -4.0]]]]), torch.tensor([-1.0]))
    assert loss.item() == pytest.approx((4 + 6.25 + 0 + 0.25 + 0) / 5)
    loss.backward()
    torch.testing.assert_close(student.grad, torch.tensor([[[[-0.8, 1.0, 0.0, 0.2, 0.0]]]]))


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 3, 2), (4, 2, 1, 1)])
def test_equals_naive_loops(shape: tuple[int, ...]) -> None:
    student, teacher, margin = normal(*shape), normal(*shape, seed=1), -normal(shape[1], seed=2).abs()
    assert partial_loss(student, teacher, margin).item() == pytest.approx(naive(student, teacher, margin), rel=1e-5)
    assert batch_margin(teacher).tolist() == pytest.approx(naive_batch_margin(teacher), rel=1e-5)


def test_both_forms() -> None:
    """The deepest of two stages counts twice, each the sum over a picture; or the mean."""
    student = [normal(2, 3, 4, 4), normal(2, 5, 2, 2, seed=1)]
    teacher = [normal(2, 3, 4, 4, seed=2), normal(2, 5, 2, 2, seed=3)]
    margins = [torch.full((3,), -0.5), torch.full((5,), -1.0)]
    first, second = (naive(*each) for each in zip(student, teacher, margins, strict=True))
    found = [partial_loss_stages(student, teacher, margins, form).item() for form in get_args(Form)]
    assert found == pytest.approx([0.5 * 48 * first + 20 * second, (first + second) / 2], rel=1e-5)


def test_what_every_loss_must_do() -> None:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return partial_loss(student, teacher, batch_margin(teacher))

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), scale=50)
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 4, 4))
    check_finite(loss, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))


def test_a_teacher_is_equalled_above_its_margin() -> None:
    """And anywhere below it: what is inactive in both networks need not be equal."""
    teacher, margin = normal(2, 3, 4, 4), torch.full((3,), -0.5)
    assert partial_loss(teacher, teacher, margin).item() == 0
    assert partial_loss(teacher - 9.0 * (teacher <= 0), teacher, margin).item() == 0


def test_margin_of_a_batch_norm_is_the_mean_of_negative_normal_numbers() -> None:
    """Of 10^6, to 1 % of the spread; a scale's sign does not matter, and what is hardly ever negative has -3 scales."""
    scale, shift = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, -2.0])
    numbers = normal(1_000_000, 3) * scale + shift
    expected = naive_batch_margin(numbers[:, :, None, None])
    assert batch_norm_margin(scale, shift).tolist() == pytest.approx(expected, abs=0.01)
    assert batch_norm_margin(torch.ones(1), torch.zeros(1)).item() == pytest.approx(-math.sqrt(2 / math.pi))
    # P(x < 0) is 0.00097 at 3.1 and 0.00104 at 3.08.
    found = batch_norm_margin(torch.tensor([2.0, -2.0, 2.0]), torch.tensor([6.2, 6.2, 6.16]))
    assert found[:2].tolist() == [-6.0, -6.0] and -2 < found[2].item() < 0
    degenerate = batch_norm_margin(torch.zeros(3), torch.tensor([1.0, 0.0, -1.0]))
    assert degenerate.tolist() == pytest.approx([0, 0, -1], abs=1e-6)


@pytest.mark.golden_c
@pytest.mark.parametrize("stage", STAGES)
def test_margins_of_the_public_code(stage: int) -> None:
    """It rounds them to float32."""
    scale, shift = (golden_c.tensor(f"bn_t_df/{name}{stage}") for name in ("w", "b"))
    expected = golden_c.tensor(f"out/ofd_margin{stage}")
    torch.testing.assert_close(batch_norm_margin(scale, shift), expected, rtol=1e-7, atol=0)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Values of the stages and of the whole, the student's gradients and those of the connectors.

    The stages of overhaul-distillation are sums over the batch too, and its loss has the weight in it.
    """
    case, (form, kind, factor) = golden_c.Case(name, dtype), GOLDEN_C[name]
    ours, theirs = ([case[f"{group}/p{stage}"] for stage in STAGES] for group in ("s", "t_df"))
    connectors = nn.ModuleList(connector(a.shape[1], b.shape[1]) for a, b in zip(ours, theirs, strict=True))
    if kind == "batch":
        case.load(nn.ModuleList(nn.ModuleDict({"connector": each}) for each in connectors), f"w/{name}")
        margins = [batch_margin(maps) for maps in theirs]
    else:
        case.load(nn.ModuleDict({"connectors": connectors}), "w/mdist.ofd")
        margins = [golden_c.tensor(f"out/ofd_margin{stage}", dtype) for stage in STAGES]
    made = [each(maps) for each, maps in zip(connectors, ours, strict=True)]
    each = [partial_loss(*triple) for triple in zip(made, theirs, margins, strict=True)]
    sizes = {"mdist.ofd": [maps[0].numel() for maps in made], "clova.ofd": [maps.numel() for maps in made]}
    suffix = "" if name == "kdzoo.ofd" else "_unweighted"
    terms = {
        f"stage{stage}{suffix}": size * loss
        for stage, size, loss in zip(STAGES, sizes.get(name, [1, 1, 1]), each, strict=True)
    }
    loss = factor * partial_loss_stages(made, theirs, margins, form)
    case.compare(loss, **terms)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet14", ["layer1.1.bn2", "layer2.1.bn2", "layer3.1.bn2"]),
        ("wrn_16_1", ["block2.0.bn1", "block3.0.bn1", "bn1"]),
        ("vgg11", ["block1.1", "block2.4", "block3.4", "block4.4"]),
        ("mobilenet_v2", ["blocks.1.1.conv.7", "blocks.2.2.conv.7", "blocks.4.2.conv.7", "blocks.6.0.conv.7"]),
        ("resnet50", ["layer1.2.bn3", "layer2.3.bn3", "layer3.5.bn3", "layer4.2.bn3"]),
    ],
)
def test_norms_of_every_family(name: str, expected: list[str]) -> None:
    """The last before each stage's last ReLU; without a shortcut the map before the ReLU is their output."""
    network = create_model(name, 3)
    norms, seen = norms_before_relu(network), []
    for norm in norms:
        norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    answer = network(normal(2, 3, 16, 16))
    names = {module: path for path, module in network.named_modules()}
    assert [names[norm] for norm in norms] == expected
    assert [maps.shape for maps in seen] == [maps.shape for maps in answer.preacts]
    if name.startswith(("wrn", "vgg")):
        assert all(maps is preact for maps, preact in zip(seen, answer.preacts, strict=True))


def test_mode_has_a_connector_for_each_pair() -> None:
    """Of networks of other widths and sizes; margins are those of the teacher's stage, and all weights learn."""
    teacher = create_model("resnet8", 3).eval().requires_grad_(False)
    for number, norm in enumerate(norms_before_relu(teacher)):
        nn.init.constant_(norm.bias, number - 1.0)
    theirs, ours = teacher(normal(2, 3, 16, 16)), output((3, 16, 16), (4, 2, 2))
    mode = FeatureOverhaul(stages=[[1, 2], [2, 3]])
    mode.check(setting(ours, theirs))
    mode.build(setting(ours, theirs))
    step = dataclasses.replace(step_of(ours, theirs), networks=Networks(nn.Identity(), teacher))
    first, second = (made(maps) for made, maps in zip(mode.connectors, ours.preacts, strict=True))
    made = [nn.functional.avg_pool2d(first, 2), second]
    targets = [theirs.preacts[1], nn.functional.avg_pool2d(theirs.preacts[2], 2)]
    margins = [batch_norm_margin(torch.ones(width), torch.full((width,), shift)) for width, shift in ((32, 0), (64, 1))]
    loss = mode(step)["ofd"]
    assert loss.item() == pytest.approx(partial_loss_stages(made, targets, margins).item(), rel=1e-5)
    loss.backward()
    assert len(list(mode.parameters())) == 6
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in mode.parameters())
    mode.margin, mode.form = "batch", "kdzoo"
    expected = partial_loss_stages(made, targets, [batch_margin(maps) for maps in targets], "kdzoo")
    assert mode(step)["ofd"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    maps, margin = normal(2, 3, 4, 4), -torch.ones(3)
    with pytest.raises(ValueError, match=r"student's is \(2, 3, 4, 4\) and the teacher's \(2, 3, 2, 2\)"):
        partial_loss(maps, normal(2, 3, 2, 2), margin)
    with pytest.raises(ValueError, match=r"each of 3 channels; got shape \(4,\)"):
        partial_loss(maps, maps, -torch.ones(4))
    with pytest.raises(ValueError, match="the student has 1, the teacher 1, and there are margins for 0"):
        partial_loss_stages([maps], [maps], [])
    with pytest.raises(ValueError, match=r"got shapes \(3,\) and \(2,\)"):
        batch_norm_margin(torch.ones(3), torch.ones(2))
    with pytest.raises(ValueError, match=r"batch_margin needs non-empty feature maps"):
        batch_margin(normal(2, 3))
    with pytest.raises(ValueError, match="of class Identity are not known, so it has no margins. Set margin=batch"):
        norms_before_relu(nn.Identity())
    shuffled = dataclasses.replace(
        setting(output((3, 4, 4)), output((3, 4, 4))), teacher_network=create_model("shuffle_v1", 3)
    )
    with pytest.raises(ValueError, match="of class ShuffleNetV1 are not known, so it has no margins. Set margin=batch"):
        FeatureOverhaul().check(shuffled)
    FeatureOverhaul(margin="batch").check(shuffled)
    with pytest.raises(ValueError, match="form must be one of overhaul, kdzoo; got 'paper'"):
        FeatureOverhaul(form="paper")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="margin must be one of batch_norm, batch; got 'zero'"):
        FeatureOverhaul(margin="zero")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 1"):
        FeatureOverhaul().check(setting(output((3, 4, 4), (4, 4, 4)), output((3, 4, 4))))
