"""What a kd_mode may train before the run proper."""

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.distill.compositions import baseline
from tests.training.test_loop import RECIPE, data, network
from tests.training.test_modes_in_training import Following, Remembering, alone, epochs_of
from tffd.distill import Distillation, FirstStage, Step, Weighing
from tffd.distill.base import initialisation
from tffd.training.loop import Progress, make_optimizer, train_first_stage
from tffd.training.step import Learners


class Prepared(Remembering):
    """Its parts learn a constant first, alone or with the student."""

    def __init__(self, student: bool) -> None:
        super().__init__()
        self.first_stage = FirstStage(epochs=2, lr_factor=0.1, milestones=(0.5,), student=student)

    def first_stage_terms(self, step: Step) -> dict[str, Tensor]:
        return {"constant": (self.connector(step.student.logits) - 1).square().mean()}


@pytest.mark.parametrize("student", [True, False])
def test_a_first_stage_trains_what_it_says(student: bool) -> None:
    """On its own terms, at its own rates, without cross-entropy and without epochs of the run."""
    learners = Learners(network(), alone(Prepared(student)))
    before = [copy.deepcopy(each.state_dict()) for each in (learners.student, learners.distillation)]
    progress = Progress(0, [], 0.0)
    optimizer = make_optimizer(learners, RECIPE, first_stage=True)
    seen = [len(p.first_stage) for p in train_first_stage(learners, data(), RECIPE, optimizer, progress)]
    assert (seen, progress.epoch, progress.history) == ([1, 2], 0, [])
    assert [list(row) for row in progress.first_stage] == [["epoch", "lr", "train_loss", "constant"]] * 2
    assert [row["lr"] for row in progress.first_stage] == pytest.approx([0.005, 0.0005])
    assert progress.first_stage[1]["constant"] < progress.first_stage[0]["constant"] and progress.seconds > 0
    moved = not torch.equal(learners.student.state_dict()["conv1.weight"], before[0]["conv1.weight"])
    assert moved == student
    name = "modes.mode.connector.weight"
    assert not torch.equal(learners.distillation.state_dict()[name], before[1][name])


@pytest.mark.parametrize("decay_all", [False, True])
def test_weight_decay_of_what_the_loss_does_not_reach(decay_all: bool) -> None:
    """RepDistiller leaves the classifier as it was drawn; that of Knowledge-Distillation-Zoo shrinks."""

    class OfMaps(Prepared):
        def first_stage_terms(self, step: Step) -> dict[str, Tensor]:
            return {"maps": step.student.stages[-1].square().mean()}

    mode = OfMaps(True)
    mode.first_stage = FirstStage(epochs=1, decay_all=decay_all)
    learners, recipe = Learners(network(), alone(mode)), dataclasses.replace(RECIPE, momentum=0.0, nesterov=False)
    before = learners.student.state_dict()["fc.weight"].clone()
    optimizer = make_optimizer(learners, recipe, first_stage=True)
    next(train_first_stage(learners, data(), recipe, optimizer, Progress(0, [], 0.0)))
    steps = -(-len(data().train) // recipe.batch_size)
    shrunk = (1 - recipe.lr * recipe.weight_decay) ** steps if decay_all else 1.0
    torch.testing.assert_close(learners.student.state_dict()["fc.weight"], before * shrunk)
    assert shrunk < 1 or not decay_all


def test_a_mode_of_the_first_stage_alone() -> None:
    """Its terms have their weights there; afterwards the run is the baseline, and no teacher is asked."""

    class Before(Following):
        first_stage = FirstStage(epochs=1, only=True)

    teacher, asked = network(seed=3), []
    teacher.register_forward_hook(lambda *_: asked.append(1))
    learners = Learners(network(), alone(Before(), 0.5), teacher)
    optimizer, progress = make_optimizer(learners, RECIPE, first_stage=True), Progress(0, [], 0.0)
    next(train_first_stage(learners, data(), RECIPE, optimizer, progress))
    (row,) = progress.first_stage
    assert row["train_loss"] == pytest.approx(0.5 * row["following"]) and asked
    asked.clear()
    after = Learners(network(), baseline())
    after.student.load_state_dict(learners.student.state_dict())
    rows = [epochs_of(each) for each in (learners, after)]
    assert [row["train_loss"] for row in rows[0]] == [row["train_loss"] for row in rows[1]]
    assert "following" not in rows[0][0] and asked == []


def test_options_of_a_first_stage() -> None:
    assert initialisation(50, 0.1, [0.6, 0.8], "none") == FirstStage(50, 0.1, (0.6, 0.8), student=True, only=True)
    assert initialisation(3, 1, (), "keep") == FirstStage(3) and initialisation(0, 1, (), "keep") is None
    with pytest.raises(ValueError, match="nothing would be learnt with after=none. Set first_stage_epochs above 0"):
        initialisation(0, 1, (), "none")
    with pytest.raises(ValueError, match="after must be one of none, keep; got 'some'"):
        initialisation(1, 1, (), "some")  # type: ignore[arg-type]
    kept = initialisation(50, 0.1, (), "none", "all", "keep")
    assert kept == FirstStage(50, 0.1, only=True, decay_all=True, keep_momentum=True)
    with pytest.raises(ValueError, match="decay must be one of reached, all; got 'none'"):
        initialisation(1, 1, (), "none", "none")  # type: ignore[arg-type]
    for epochs, factor, milestones in ((-1, 1, []), (1, 0, []), (1, 1, [1.5])):
        with pytest.raises(ValueError, match=f"got {epochs}, {factor} and "):
            initialisation(epochs, factor, milestones, "keep")


def test_a_first_stage_goes_on_where_it_stands() -> None:
    def begin() -> tuple[Learners, torch.optim.Optimizer]:
        learners = Learners(network(), alone(Prepared(True)))
        return learners, make_optimizer(learners, RECIPE, first_stage=True)

    def stage(learners: Learners, optimizer: torch.optim.Optimizer, progress: Progress) -> Iterator[Progress]:
        return train_first_stage(learners, data(), RECIPE, optimizer, progress)

    whole, optimizer = begin()
    progress = Progress(0, [], 0.0)
    steps = stage(whole, optimizer, progress)
    next(steps)
    states = [copy.deepcopy(each.state_dict()) for each in (whole.student, whole.distillation, optimizer)]
    rows = list(progress.first_stage)
    next(steps)
    resumed, other = begin()
    for each, state in zip((resumed.student, resumed.distillation, other), states, strict=True):
        each.load_state_dict(state)
    again = Progress(0, [], 0.0, rows)
    assert len(list(stage(resumed, other, again))) == 1
    assert again.first_stage == progress.first_stage
    assert torch.equal(resumed.student.state_dict()["fc.weight"], whole.student.state_dict()["fc.weight"])


def test_only_one_mode_may_have_a_first_stage() -> None:
    class Other(Prepared):
        terms = ("other",)

    modes = {"a": Prepared(True), "b": Other(True)}
    with pytest.raises(ValueError, match=r"kd_mode=\[a,b\]: 2 modes have a first stage; use one of them"):
        Distillation(modes, {"a": Weighing({"memory": 1.0}), "b": Weighing({"other": 1.0})})
