"""DML against figures of the public code; its loss is that of soft targets, whose tests have the naive loop."""

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import composed, setting, step_of
from tests.distill.properties import normal, output
from tests.training.test_loop import data, network, recipe
from tffd.distill import Networks
from tffd.distill.dml import DeepMutualLearning
from tffd.distill.st import soft_targets
from tffd.training.loop import Progress, make_optimizer, train
from tffd.training.step import Learners

GOLDEN_C = {"kdzoo.dml": ("s/logits10", "s/mid1")}  # the two networks
ALL = dict.fromkeys(DeepMutualLearning.terms, 1.0)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """All four parts, and the gradients of both networks' scores."""
    case, labels = golden_c.Case(name, dtype), golden_c.tensor("labels10")
    ours, theirs = (case[each] for each in GOLDEN_C[name])
    temperature, weight = case.hyper["T"], case.hyper["lambda_kd"]
    parts = {
        "kd1": soft_targets(ours, theirs, temperature),
        "kd2": soft_targets(theirs, ours, temperature),
        "ce1": F.cross_entropy(ours, labels),
        "ce2": F.cross_entropy(theirs, labels),
    }
    case.compare(parts["ce1"] + parts["ce2"] + weight * (parts["kd1"] + parts["kd2"]), **parts)


def peers() -> tuple[nn.Module, DeepMutualLearning]:
    student, mode = network(), DeepMutualLearning(2.0)
    shapes = student(torch.zeros(2, 3, 8, 8))
    mode.check(setting(shapes))
    mode.build(dataclasses.replace(setting(shapes), new_student=lambda: network(seed=1)))
    return student, mode


def test_each_network_learns_from_the_other_as_it_is() -> None:
    student, mode = peers()
    pictures = normal(6, 3, 8, 8)
    expected = [copy.deepcopy(each)(pictures).logits for each in (student, mode.peer)]
    step = step_of(student(pictures))
    step = dataclasses.replace(step, inputs=pictures, networks=Networks(student, None))
    terms = mode(step)
    values = {
        "dml": soft_targets(expected[0], expected[1], 2.0).item(),
        "dml_peer": soft_targets(expected[1], expected[0], 2.0).item(),
        "dml_peer_ce": F.cross_entropy(expected[1], step.labels).item(),
    }
    assert {term: value.item() for term, value in terms.items()} == pytest.approx(values, rel=1e-5)
    for term, learner, other in (("dml", student, mode.peer), ("dml_peer", mode.peer, student)):
        found = torch.autograd.grad(terms[term], [*learner.parameters()], retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in found)
        unused = torch.autograd.grad(terms[term], [*other.parameters()], retain_graph=True, allow_unused=True)
        assert unused == (None,) * len(unused)


def test_peer_is_trained_and_is_not_the_student() -> None:
    """In two epochs its weights and its batch norms move, and it shares none of them with the student."""
    student, mode = peers()
    before = copy.deepcopy(mode.peer.state_dict())
    learners, how = Learners(student, composed({"dml": (mode, ALL)})), recipe(epochs=2)
    optimizer = make_optimizer(learners, how)
    rows = [p.history[-1] for p in train(learners, data(), how, optimizer, Progress(0, [], 0.0))]
    assert rows[-1]["dml_peer_ce"] < rows[0]["dml_peer_ce"]
    after = mode.peer.state_dict()
    assert all(not torch.equal(after[name], value) for name, value in before.items())
    assert {name.split(".")[2] for name in learners.distillation.state_dict()} == {"peer"}
    assert not {id(weight) for weight in student.parameters()} & {id(weight) for weight in mode.parameters()}


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="finite and above 0; got 0."):
        DeepMutualLearning(0.0)
    mode = DeepMutualLearning()
    mode.active = ("dml",)
    with pytest.raises(ValueError, match="a peer that learns nothing; give dml_peer or dml_peer_ce a weight"):
        mode.check(setting(output()))
