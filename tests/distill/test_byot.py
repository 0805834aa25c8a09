"""BYOT against hand numbers, naive loops and figures of the public code, its heads against those of its network."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tests.golden_networks import Network
from tffd.distill.byot import BeYourOwnTeacher, Head, active_distance, soft_cross_entropy
from tffd.distill.st import soft_targets

GOLDEN_C = {"byot": (1, 2, 3)}  # the heads


def naive_soft(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for ours, theirs in zip(student.double().tolist(), teacher.double().tolist(), strict=True):
        p, q = ([math.exp(score / temperature) for score in row] for row in (ours, theirs))
        total -= sum(b / sum(q) * math.log(a / sum(p)) for a, b in zip(p, q, strict=True))
    return total / len(student) * temperature**2


def naive_distance(student: Tensor, teacher: Tensor) -> float:
    pairs = zip(student.double().flatten().tolist(), teacher.double().flatten().tolist(), strict=True)
    return sum((a - b) ** 2 for a, b in pairs if a > 0 or b > 0)


def test_by_hand() -> None:
    """Both active, one active, the other active, neither; and the entropy of two equal scores stays in the value."""
    ours = torch.tensor([[2.0, 1.0, -1.0, -3.0]]).requires_grad_()
    loss = active_distance(ours, torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    loss.backward()
    assert loss.item() == 1 + 4 + 4
    torch.testing.assert_close(ours.grad, torch.tensor([[2.0, 4.0, -4.0, 0.0]]))
    assert soft_cross_entropy(torch.zeros(1, 2), torch.zeros(1, 2), 3).item() == pytest.approx(9 * math.log(2))


@pytest.mark.parametrize(("count", "width"), [(1, 2), (2, 3), (5, 7)])
def test_equal_naive_loops(count: int, width: int) -> None:
    student, teacher = 3 * normal(count, width), 3 * normal(count, width, seed=1)
    assert soft_cross_entropy(student, teacher, 3).item() == pytest.approx(naive_soft(student, teacher, 3), rel=1e-5)
    assert active_distance(student, teacher).item() == pytest.approx(naive_distance(student, teacher), rel=1e-5)


def test_soft_cross_entropy_is_soft_targets_and_a_constant() -> None:
    student, teacher = normal(4, 5).requires_grad_(), normal(4, 5, seed=1)
    found, expected = (
        torch.autograd.grad(loss(student, teacher, 3), student)[0] for loss in (soft_cross_entropy, soft_targets)
    )
    torch.testing.assert_close(found, expected)


def test_what_every_loss_must_do() -> None:
    def soft(student: Tensor, teacher: Tensor) -> Tensor:
        return soft_cross_entropy(student, teacher, 3)

    check_loss(soft, 3 * normal(4, 5), 3 * normal(4, 5, seed=1))
    check_finite(soft, torch.zeros(1, 5), normal(1, 5))
    check_loss(active_distance, normal(4, 5), normal(4, 5, seed=1))
    check_at_rest(active_distance, normal(4, 5))
    check_finite(active_distance, torch.zeros(1, 5), torch.zeros(1, 5))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Every part, and the whole with the weights that the file has."""
    case, labels = golden_c.Case(name, dtype), golden_c.tensor("labels10")
    final, alpha, parts = (
        case["s/logits10"],
        case.hyper["alpha"],
        {"ce_final": F.cross_entropy(case["s/logits10"], labels)},
    )
    for head in GOLDEN_C[name]:
        logits = case[f"s/mid{head}"]
        parts[f"ce_middle{head}"] = F.cross_entropy(logits, labels)
        parts[f"kd{head}"] = soft_cross_entropy(logits, final, case.hyper["temperature"])
        parts[f"feature{head}"] = active_distance(case[f"s/poolm{head}"], case["s/pool64"])
    weights = {"ce": 1 - alpha, "kd": alpha, "feature": case.hyper["beta"]}
    loss = sum(weights[part.rstrip("123").split("_")[0]] * value for part, value in parts.items())
    assert isinstance(loss, Tensor)
    case.compare(loss, **parts)


class Block(nn.Module):
    """A basic block under torchvision's names."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride == 2:
            shortcut = nn.Conv2d(inputs, outputs, 1, 2, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps)))))
        return F.relu(branch + (self.downsample(maps) if hasattr(self, "downsample") else maps))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
def test_heads_of_the_public_network(dtype: torch.dtype) -> None:
    """On the stages of its ResNet-18, with its weights: class scores and features of all four classifiers."""
    network = Network("BYOT_multi_resnet18")
    stem = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()).to(dtype).eval()
    stem.load_state_dict({**numbered(network, "conv1.", 0), **numbered(network, "bn1.", 1)})
    maps, stages, seen = golden_c.tensor("net/images", dtype), [], []
    with torch.no_grad():
        maps = stem(maps)
        for number, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            layer = nn.Sequential(Block(inputs, outputs), Block(outputs, outputs)).to(dtype).eval()
            layer.load_state_dict(network.part(f"layer{number}."))
            maps = layer(maps)
            stages.append(maps)
        for number, stage in enumerate(stages[:3], 1):
            head = Head(stage.shape[1:], maps.shape[2:], 512, network.classes).to(dtype).eval()
            head.bottleneck.load_state_dict(network.part(f"bottleneck{number}_1."))
            head.fc.load_state_dict(network.part(f"middle_fc{number}."))
            seen.append(head(stage))
        pooled, classifier = maps.mean(dim=(2, 3)), nn.Linear(512, network.classes).to(dtype)
        classifier.load_state_dict(network.part("fc."))
        network.compare_logits(classifier(pooled))
    features = [each[:, :, None, None] for each in (pooled, *(features for _, features in seen))]
    network.compare_maps("all", [*(logits for logits, _ in seen), *features])


def numbered(network: Network, prefix: str, number: int) -> dict[str, Tensor]:
    """Return the weights of a layer by the names that they have in a sequence."""
    return {f"{number}.{name}": weight for name, weight in network.part(prefix).items()}


def test_mode_has_a_head_on_each_stage_but_the_last() -> None:
    """Its terms are sums over the heads, and the student's classifier teaches without learning from them."""
    student = output((3, 8, 8), (4, 4, 4), (6, 2, 2), pooled=8, classes=5, count=4)
    mode = BeYourOwnTeacher(2.0)
    mode.check(setting(student))
    mode.build(setting(student))
    first, second = (head.bottleneck[3] for head in mode.heads)
    assert (first.kernel_size, second.kernel_size) == ((4, 4), (2, 2))
    step = step_of(student)
    student.logits.requires_grad_(), student.pooled.requires_grad_()
    seen = [head(maps) for head, maps in zip(mode.heads, student.stages[:2], strict=True)]
    terms = mode(step)
    expected = {
        "byot_heads": sum(F.cross_entropy(logits, step.labels).item() for logits, _ in seen),
        "byot_soft": sum(soft_cross_entropy(logits, student.logits, 2.0).item() for logits, _ in seen),
        "byot_feature": sum(active_distance(features, student.pooled).item() for _, features in seen),
    }
    assert {term: value.item() for term, value in terms.items()} == pytest.approx(expected, rel=1e-5)
    torch.stack(list(terms.values())).sum().backward()
    assert student.logits.grad is None and student.pooled.grad is None
    assert all(weight.grad is not None for weight in mode.parameters())


def test_the_control_has_heads_and_no_distillation() -> None:
    student = output((3, 4, 4), (4, 4, 4), pooled=8)
    mode = BeYourOwnTeacher()
    mode.active = ("byot_heads",)
    mode.build(setting(student))
    assert list(mode(step_of(student))) == ["byot_heads"]


def test_what_cannot_work_is_refused() -> None:
    student = output((3, 4, 4), (4, 4, 4), pooled=8)
    BeYourOwnTeacher(stages=[1, 2]).check(setting(student))
    for stages in ([], [3], [0], [1, 1], [2, 1]):
        with pytest.raises(ValueError, match="must name each stage that gets a head once, shallow to deep, out of 1"):
            BeYourOwnTeacher(stages=stages).check(setting(student))
    with pytest.raises(ValueError, match=r"stages=\[\] must name"):
        BeYourOwnTeacher().check(setting(output((3, 4, 4), pooled=8)))
    with pytest.raises(ValueError, match=r"at least 4; the student's pooled features have shape \(2, 3\)"):
        BeYourOwnTeacher().check(setting(output((3, 4, 4), (4, 4, 4), pooled=3)))
    with pytest.raises(ValueError, match="finite and above 0; got 0."):
        BeYourOwnTeacher(0.0)
    with pytest.raises(ValueError, match=r"of one width; got shapes \(2, 3\) and \(2, 4\)"):
        active_distance(normal(2, 3), normal(2, 4))
