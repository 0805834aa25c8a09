"""The kd_modes give what the losses say, and refuse networks that they cannot work on."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tffd.distill import DistillMode, NoDistillation, TeacherFree
from tffd.losses import inter_fd, intra_fd
from tffd.models import ModelOutput

LABELS = torch.tensor([0, 1])
INTRA, INTER = 0.8, 0.5

# The modes of conf/kd_mode, with the weights that make them what they are.
MODES: list[tuple[DistillMode, set[str]]] = [
    (NoDistillation("none"), set()),
    (TeacherFree("intra", INTRA, 0.0), {"intra"}),
    (TeacherFree("inter", 0.0, INTER), {"inter"}),
    (TeacherFree("tfd", INTRA, INTER), {"intra", "inter"}),
    (TeacherFree("tfd", 0.0, 0.0), set()),
]
IDS = ["none", "intra", "inter", "tfd", "tfd-0-0"]


@pytest.fixture
def output() -> ModelOutput:
    """Return what a network with four stages might."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 8, 8), (2, 4, 8, 8), (2, 6, 4, 4), (2, 5, 2, 2)]
    stages = tuple(torch.rand(*shape, generator=generator).requires_grad_() for shape in shapes)
    return ModelOutput(torch.zeros(2, 3), stages, stages, stages[0], torch.zeros(2, 5))


def by_hand(output: ModelOutput, chosen: Sequence[int], reduction: str = "mean") -> dict[str, float]:
    """Reduce both terms over stages counted from 1."""
    stages = [output.stages[stage - 1] for stage in chosen]
    intra = [intra_fd(stage).item() for stage in stages]
    inter = [inter_fd(s, t).item() for i, s in enumerate(stages) for t in stages[i + 1 :]]
    count = {"mean": (len(intra), len(inter) or 1), "sum": (1, 1)}[reduction]
    return {"intra": sum(intra) / count[0], "inter": sum(inter) / count[1]}


@pytest.mark.parametrize(("mode", "names"), MODES, ids=IDS)
def test_loss_and_terms(mode: DistillMode, names: set[str], output: ModelOutput) -> None:
    """The weighted sum of those terms that have a weight; the terms themselves are unweighted."""
    loss, terms = mode(output, LABELS)
    expected = by_hand(output, [1, 2, 3, 4])
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: expected[name] for name in names}, rel=1e-6
    )
    if not names:
        assert loss is None
        return
    weights = {"intra": INTRA, "inter": INTER}
    assert loss.item() == pytest.approx(sum(weights[name] * expected[name] for name in names), rel=1e-6)
    loss.backward()
    assert output.stages[0].grad is not None
    # The deepest stage teaches all others and learns from none; only intra moves it.
    assert (output.stages[3].grad is None) == ("intra" not in names)


@pytest.mark.parametrize(("mode", "names"), MODES, ids=IDS)
def test_term_names_are_the_keys_returned(mode: DistillMode, names: set[str], output: ModelOutput) -> None:
    """In the same order: they are columns of metrics.csv."""
    assert list(mode.term_names) == list(mode(output, LABELS)[1])
    assert set(mode.term_names) == names


def test_weights_of_zero_are_the_baseline(output: ModelOutput) -> None:
    """Not a loss of 0.0 but none: the training step is the baseline's."""
    assert TeacherFree("tfd", 0.0, 0.0)(output, LABELS) == NoDistillation("none")(output, LABELS) == (None, {})


@pytest.mark.parametrize("chosen", [[1, 2], [1, 3, 4], [2, 4], [1, 2, 3, 4]])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_choice_of_stages(chosen: list[int], reduction: Any, output: ModelOutput) -> None:
    """Counted from 1; the others take no part."""
    mode = TeacherFree("tfd", INTRA, INTER, reduction=reduction, stages=chosen)
    mode.check(4)
    loss, terms = mode(output, LABELS)
    expected = by_hand(output, chosen, reduction)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-6)
    assert loss.item() == pytest.approx(INTRA * expected["intra"] + INTER * expected["inter"], rel=1e-6)
    loss.backward()
    assert [i for i, stage in enumerate(output.stages, 1) if stage.grad is not None] == chosen


def test_one_stage_is_enough_for_intra(output: ModelOutput) -> None:
    """It compares channels, not stages."""
    mode = TeacherFree("intra", INTRA, 0.0, stages=[3])
    mode.check(4)
    loss, _ = mode(output, LABELS)
    assert loss.item() == pytest.approx(INTRA * intra_fd(output.stages[2]).item(), rel=1e-6)


def test_modes_have_no_weights_of_their_own() -> None:
    """The optimizer is given the network's parameters alone, so that a mode's would never be trained."""
    assert [list(mode.parameters()) for mode, _ in MODES] == [[]] * len(MODES)


@pytest.mark.parametrize("stages", [[], [2, 1], [1, 1, 2]])
def test_choices_that_make_no_sense(stages: list[int]) -> None:
    """None at all, another order, a stage twice."""
    with pytest.raises(ValueError, match="must name each stage once, shallow to deep") as caught:
        TeacherFree("tfd", INTRA, INTER, stages=stages)
    assert str(caught.value).startswith(f"kd_mode.stages={stages} ")


@pytest.mark.parametrize(("stages", "absent"), [([1, 4], 4), ([0, 1], 0), ([-1, 2], -1)])
def test_stages_that_the_network_does_not_have(stages: list[int], absent: int) -> None:
    """Nor may a negative number count from the end."""
    mode = TeacherFree("tfd", INTRA, INTER, stages=stages)
    with pytest.raises(ValueError, match=f"names stage {absent}, but the network has stages 1 to 3"):
        mode.check(3)


@pytest.mark.parametrize("weights", [(INTRA, INTER), (0.0, INTER)])
def test_too_few_stages_for_inter(weights: tuple[float, float]) -> None:
    """By choice, or because the network has but one."""
    for mode, count in ((TeacherFree("tfd", *weights, stages=[2]), 3), (TeacherFree("tfd", *weights), 1)):
        with pytest.raises(ValueError, match="leaves the inter term nothing to compare"):
            mode.check(count)


@pytest.mark.parametrize(("mode", "names"), MODES, ids=IDS)
def test_usual_networks_pass(mode: DistillMode, names: set[str]) -> None:
    """With three stages, and with five."""
    mode.check(3)
    mode.check(5)


def test_wrong_weights_are_refused_when_the_mode_is_built() -> None:
    """Before anything trains."""
    with pytest.raises(ValueError, match="lambda_inter weighs a loss"):
        TeacherFree("tfd", 1.0, -1.0)
