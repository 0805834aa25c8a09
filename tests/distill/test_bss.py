"""Boundary supporting samples against hand numbers, naive loops and figures of the public code."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tffd.distill import Networks, Step
from tffd.distill.bss import BoundarySamples, attack, base_samples, boundary_sample_loss, drawn_classes
from tffd.models import ModelOutput, create_model

GOLDEN_C = ["kdzoo.bss"]


def softmax(scores: list[float]) -> list[float]:
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


def naive(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student.double().tolist(), teacher.double().tolist(), strict=True):
        p, q = (softmax([score / temperature for score in scores]) for scores in (s, t))
        total += sum(y * (math.log(y) - math.log(x)) for x, y in zip(p, q, strict=True))
    return total / len(student)


def test_by_hand() -> None:
    """Probabilities 1/2 and 1/2 against 3/4 and 1/4 at a temperature of 2, whose square is no factor."""
    loss = boundary_sample_loss(torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]]), 2)
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("shape", [(1, 2), (4, 5)])
def test_equals_a_naive_loop(shape: tuple[int, int], temperature: float) -> None:
    student, teacher = normal(*shape), normal(*shape, seed=1)
    assert boundary_sample_loss(student, teacher, temperature).item() == pytest.approx(
        naive(student, teacher, temperature), rel=1e-5
    )


def test_what_every_loss_must_do() -> None:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return boundary_sample_loss(student, teacher, 3)

    check_loss(loss, normal(4, 5), normal(4, 5, seed=1))
    check_at_rest(loss, normal(4, 5))
    check_finite(loss, 1e4 * normal(1, 5), -1e4 * normal(1, 5))


def test_attack_by_hand() -> None:
    """On two numbers that are the scores, the first step is along (-1, 1) / sqrt(2), and its length is the lead's."""
    pictures, labels, targets = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]), torch.tensor([1, 1])
    lead = math.tanh(0.5)  # sigmoid(1) - sigmoid(-1)
    length = 0.3 * (lead + 1e-4) / math.sqrt(2)
    moved = attack(lambda shown: shown, pictures, labels, targets, steps=1)
    torch.testing.assert_close(moved, torch.tensor([[2 - length, 1 + length], [0.0, 1.0]]))
    assert not moved.requires_grad and not pictures.requires_grad
    near = attack(lambda shown: shown, pictures, labels, targets, steps=1, rate=100, bound=1.5)
    torch.testing.assert_close(near, torch.tensor([[-1.5, 1.5], [0.0, 1.0]]))


def test_attack_ends_beyond_the_boundary() -> None:
    """In few large steps, and then it shows the network nothing more; where there is no gradient nothing moves."""
    shown = []

    def network(pictures: Tensor) -> Tensor:
        shown.append(len(pictures))
        return 3 * pictures

    labels, targets = torch.tensor([0, 1]), torch.tensor([1, 2])
    moved = attack(network, torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.9]]), labels, targets, steps=50, rate=2)
    assert (moved.argmax(dim=1) != labels).all() and len(shown) < 20
    still = attack(lambda pictures: 0 * pictures, torch.ones(2, 3), torch.zeros(2).long(), targets)
    assert torch.equal(still, torch.ones(2, 3))


def test_base_samples_by_hand() -> None:
    """Pictures 0, 2 and 3 are right for both, and the networks differ most on 2, then on 0."""
    teacher = torch.tensor([[5.0, 0.0, 0.0], [5.0, 0.0, 0.0], [5.0, 4.5, 0.0], [0.0, 5.0, 0.0], [0.0, 5.0, 0.0]])
    student = torch.tensor([[5.0, 3.0, 0.0], [0.0, 5.0, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 5.0, 0.0]])
    labels = torch.tensor([0, 0, 0, 1, 2])
    assert base_samples(student, teacher, labels, 3).tolist() == [0, 2, 3]
    assert base_samples(student, teacher, labels, 2).tolist() == [2, 0]
    assert base_samples(student, teacher, (labels + 1) % 3, 2).tolist() == []


def test_drawn_classes_follow_the_teacher() -> None:
    """Wrong classes as often as it thinks, the same from the same seed; the likeliest if it is sure of the right."""
    scores = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().expand(8000, 4)
    labels = torch.ones(8000).long()
    drawn = drawn_classes(scores, labels, 5)
    share = torch.bincount(drawn, minlength=4) / 8000
    torch.testing.assert_close(share, torch.tensor([1 / 6, 0.0, 2 / 6, 3 / 6]), rtol=0, atol=0.025)  # 4 deviations
    assert torch.equal(drawn, drawn_classes(scores, labels, 5))
    assert not torch.equal(drawn, drawn_classes(scores, labels, 6))
    assert drawn_classes(torch.tensor([[0.0, 900.0, 0.0]]), torch.tensor([1]), 5).tolist() != [1]
    assert drawn_classes(torch.tensor([[0.0, 0.0]]), torch.tensor([0]), 5).tolist() == [1]


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The attacked pictures, the loss of them and of the others, and the student's gradients."""
    case, hyper = golden_c.Case(name, dtype), golden_c.Case(name).hyper
    networks = [nn.Sequential(), nn.Sequential()]
    pictures = case["bss_img"]
    for network, owner in zip(networks, ("student", "teacher"), strict=True):
        sizes = golden_c.weights(f"w/bss.{owner}")
        network.add_module("flatten", nn.Flatten())
        network.add_module("l1", nn.Linear(*reversed(sizes["l1.weight"].shape)))
        network.add_module("tanh", nn.Tanh())
        network.add_module("l2", nn.Linear(*reversed(sizes["l2.weight"].shape)))
    student = case.load(networks[0], "w/bss.student")
    teacher = networks[1].to(dtype).requires_grad_(False)
    teacher.load_state_dict(golden_c.weights("w/bss.teacher", dtype))
    labels, targets = case["out/bss_target"], case["out/bss_attack_class"]
    moved = attack(teacher, pictures, labels, targets, hyper["num_steps"], hyper["step_alpha"], hyper["clamp"])
    # Those of the set were computed in float32, which the sums and norms below were not.
    torch.testing.assert_close(moved, case["out/bss_attacked"], rtol=0, atol=2e-6)
    terms = {
        "attacked_sum": moved.sum(),
        "attacked_l2": moved.norm(),
        "shift_l1": (moved - pictures).abs().sum(),
        "still_target": (teacher(moved).argmax(dim=1) == labels).sum(),
        "loss_clean": boundary_sample_loss(student(pictures), teacher(pictures), hyper["T"]),
    }
    case.compare(boundary_sample_loss(student(moved), teacher(moved), hyper["T"]), **terms)


def real_step(epoch: int = 1, count: int = 6) -> Step:
    """Return a step of two real networks, on pictures whose classes are what the teacher sees."""
    torch.manual_seed(0)
    student, teacher = (create_model("resnet8", 3, in_channels=3).eval() for _ in range(2))
    teacher.load_state_dict(student.state_dict())
    student.fc.weight.data *= 2
    teacher.requires_grad_(False)
    inputs = normal(count, 3, 8, 8)
    ours, theirs = student(inputs), teacher(inputs)
    step = step_of(ours, theirs, theirs.logits.argmax(dim=1), epoch)
    return dataclasses.replace(step, inputs=inputs, networks=Networks(student, teacher))


def built(step: Step, epochs: int = 200, **options: float) -> BoundarySamples:
    mode = BoundarySamples(**options)  # type: ignore[arg-type]
    given = dataclasses.replace(setting(step.student, step.teacher), epochs=epochs)
    mode.check(given)
    mode.build(given)
    return mode


def test_mode_attacks_what_both_classify_right() -> None:
    """Its loss is that of the attacked pictures; the student's weights learn by it and the teacher's do not."""
    step = real_step()
    mode, (student, teacher) = built(step, samples=2), (step.networks.student, step.networks.teacher)
    assert teacher is not None
    chosen = base_samples(step.student.logits, step.teacher_output.logits, step.labels, 2)
    assert 0 < len(chosen) <= 2
    targets = drawn_classes(step.teacher_output.logits[chosen], step.labels[chosen], step.draw)
    moved = attack(lambda shown: teacher(shown).logits, step.inputs[chosen], step.labels[chosen], targets)
    loss = mode(step)["bss"]
    expected = boundary_sample_loss(student(moved).logits, teacher(moved).logits, 3)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6) and loss.item() > 0
    loss.backward()
    assert student.conv1.weight.grad is not None and teacher.conv1.weight.grad is None


def test_mode_without_such_pictures_has_no_loss() -> None:
    step = real_step()
    wrong = dataclasses.replace(step, labels=(step.labels + 1) % 3)
    assert built(step)(wrong)["bss"].item() == 0


def test_fade() -> None:
    """Of 200 epochs: idle up to the tenth, 0 from the 161st on, and straight in between."""
    mode = built(real_step(), idle_epochs=10)
    found = [mode.fade(epoch) for epoch in (1, 10, 11, 81, 161, 200)]
    assert found == pytest.approx([0, 0, 1 - 10 / 160, 0.5, 0, 0])
    assert built(real_step()).fade(1) == 1
    assert built(real_step(), end=None).fade(200) == 1
    whole = built(real_step(), end=None)(real_step())["bss"].item()
    assert built(real_step())(real_step(81))["bss"].item() == pytest.approx(whole / 2)
    assert mode(real_step(10))["bss"].item() == 0


def test_what_cannot_be_attacked_is_refused() -> None:
    for options in ({"attack_steps": 0}, {"attack_rate": 0}, {"bound": math.inf}, {"attack_rate": math.nan}):
        with pytest.raises(ValueError, match="at least 1 step, and a rate and a bound that are finite and above 0"):
            BoundarySamples(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1 picture must be attacked; got 0"):
        BoundarySamples(samples=0)
    with pytest.raises(ValueError, match="end above 0 or null; got -1 and 0"):
        BoundarySamples(idle_epochs=-1, end=0)
    with pytest.raises(ValueError, match="temperature divides"):
        BoundarySamples(temperature=0)
    with pytest.raises(ValueError, match=r"at least 2; got shape \(1, 1\)"):
        drawn_classes(torch.zeros(1, 1), torch.zeros(1).long(), 0)
    one: ModelOutput = output((3, 4, 4), classes=1)
    with pytest.raises(ValueError, match="there is one class alone"):
        BoundarySamples().check(setting(one, one))
    with pytest.raises(ValueError, match="Use a teacher that was trained on the same classes"):
        BoundarySamples().check(setting(output((3, 4, 4)), output((3, 4, 4), classes=4)))
    with pytest.raises(ValueError, match="its last maps are single values, where batch norm needs two"):
        BoundarySamples().check(setting(output((3, 4, 4), (4, 1, 1)), output((3, 4, 4))))
