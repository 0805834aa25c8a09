"""Tf-FD as a kd_mode gives what the losses say, and refuses networks that it cannot work on."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.distill.compositions import composed, setting, step_of, tfd
from tests.golden_a import Pair
from tests.support import compose_config
from tffd import instantiation
from tffd.config import require_config
from tffd.distill import Distillation
from tffd.distill.teacher_free import TeacherFree
from tffd.losses import inter_fd, intra_fd
from tffd.models import ModelOutput

INTRA, INTER = 0.8, 0.5


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


def loss_of(distillation: Distillation, output: ModelOutput) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The whole loss beside a cross-entropy of 0, and the terms."""
    terms = distillation(step_of(output))
    factors = dict.fromkeys(distillation.modes, torch.ones(()))
    return distillation.weigh(torch.zeros(()), terms, factors), terms


@pytest.mark.parametrize("names", [{"intra"}, {"inter"}, {"intra", "inter"}], ids=sorted)
def test_loss_and_terms(names: set[str], output: ModelOutput) -> None:
    """The weighted sum of those terms that have a weight; the terms themselves are unweighted."""
    weights = {"intra": INTRA, "inter": INTER}
    loss, terms = loss_of(tfd(**{name: weights[name] * (name in names) for name in weights}), output)
    expected = by_hand(output, [1, 2, 3, 4])
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: expected[name] for name in names}, rel=1e-6
    )
    assert loss.item() == pytest.approx(sum(weights[name] * expected[name] for name in names), rel=1e-6)
    loss.backward()
    assert output.stages[0].grad is not None
    # The deepest stage teaches all others and learns from none; only intra moves it.
    assert (output.stages[3].grad is None) == ("intra" not in names)


def test_two_modes_of_a_term_each_are_one_of_both(output: ModelOutput) -> None:
    """[intra,inter] is tfd."""
    both = composed({"intra": (TeacherFree(), {"intra": INTRA}), "inter": (TeacherFree(), {"inter": INTER})})
    assert loss_of(both, output)[0].item() == pytest.approx(loss_of(tfd(INTRA, INTER), output)[0].item(), rel=1e-6)


def test_tfd_plus_is_the_reference_s(golden_pair: Pair) -> None:
    """Soft targets and Tf-FD as one loss, with the weights of the script."""
    config = require_config(compose_config("kd_mode=tfd_plus", "teacher=resnet20", "lambdas=readme"))
    distillation = instantiation.build_distillation(config)
    terms = distillation(step_of(golden_pair.student, golden_pair.teacher))
    factors = dict.fromkeys(distillation.modes, torch.ones(()))
    golden_pair.compare("tfd_plus", distillation.weigh(torch.zeros(()), terms, factors))


@pytest.mark.parametrize("chosen", [[1, 2], [1, 3, 4], [2, 4], [1, 2, 3, 4]])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_choice_of_stages(chosen: list[int], reduction: Any, output: ModelOutput) -> None:
    """Counted from 1; the others take no part."""
    mode = TeacherFree(reduction=reduction, stages=chosen)
    loss, terms = loss_of(composed({"tfd": (mode, {"intra": INTRA, "inter": INTER})}), output)
    mode.check(setting(output))
    expected = by_hand(output, chosen, reduction)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert [i for i, stage in enumerate(output.stages, 1) if stage.grad is not None] == chosen


def test_one_stage_is_enough_for_intra(output: ModelOutput) -> None:
    """It compares channels, not stages."""
    mode = TeacherFree(stages=[3])
    loss, _ = loss_of(composed({"intra": (mode, {"intra": INTRA})}), output)
    mode.check(setting(output))
    assert loss.item() == pytest.approx(INTRA * intra_fd(output.stages[2]).item(), rel=1e-6)


@pytest.mark.parametrize("stages", [[], [2, 1], [1, 1, 2]])
def test_choices_that_make_no_sense(stages: list[int]) -> None:
    """None at all, another order, a stage twice."""
    with pytest.raises(ValueError, match="must name each stage once, shallow to deep") as caught:
        TeacherFree(stages=stages)
    assert str(caught.value).startswith(f"stages={stages} ")


@pytest.mark.parametrize(("stages", "absent"), [([1, 5], 5), ([0, 1], 0), ([-1, 2], -1)])
def test_stages_that_the_network_does_not_have(stages: list[int], absent: int, output: ModelOutput) -> None:
    """Nor may a negative number count from the end."""
    with pytest.raises(ValueError, match=f"names stage {absent}, but the network has stages 1 to 4"):
        TeacherFree(stages=stages).check(setting(output))


def test_too_few_stages_for_inter(output: ModelOutput) -> None:
    """By choice, or because the network has but one."""
    single = output._replace(stages=output.stages[:1])
    for mode, seen in ((TeacherFree(stages=[2]), output), (TeacherFree(), single)):
        with pytest.raises(ValueError, match="leaves the inter term nothing to compare"):
            mode.check(setting(seen))
