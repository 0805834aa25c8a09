"""What a kd_mode can ask of training: parts of its own, a teacher, partners, gradients of pictures."""

import copy
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.distill.compositions import baseline, composed, setting
from tests.support import compose_config
from tests.training.test_loop import NO_AUGMENTATION, RECIPE, data, network, pictures, recipe
from tffd import build
from tffd.config import require_config
from tffd.data import Augmentation, Batch, Partner, Pictures
from tffd.distill import Distillation, DistillMode, Setting, Step, Weighing
from tffd.models import ModelOutput
from tffd.training.loop import Progress, Row, make_optimizer, train
from tffd.training.step import Learners, autocast, batch_losses

SETTING = setting(network()(torch.zeros(2, 3, 8, 8)), pictures=24)


class Remembering(DistillMode):
    """Pulls a connector's scores towards those of the epoch before: trainable parts and a buffer a picture."""

    terms = ("memory",)

    def build(self, setting: Setting) -> None:
        classes = setting.student.logits.shape[1]
        self.connector = nn.Linear(classes, classes)
        self.table: Tensor
        self.register_buffer("table", torch.zeros(setting.pictures, classes))

    def forward(self, step: Step) -> dict[str, Tensor]:
        scores = self.connector(step.student.logits)
        loss = F.mse_loss(scores, self.table[step.index])
        self.table[step.index] = scores.detach()
        return {"memory": loss}


class Noting(DistillMode):
    """Notes every step, and adds nothing."""

    terms = ("nothing",)

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def forward(self, step: Step) -> dict[str, Tensor]:
        self.steps.append(step)
        return {"nothing": 0 * step.student.logits.sum()}


def alone(mode: DistillMode, weight: float = 0.5) -> Distillation:
    distillation = composed({"mode": (mode, dict.fromkeys(mode.terms, weight))})
    torch.manual_seed(5)
    distillation.build(SETTING)
    return distillation


def epochs_of(learners: Learners, count: int = 2, augmentation: Augmentation = NO_AUGMENTATION) -> list[Row]:
    how = recipe(epochs=count, augmentation=augmentation)
    progress = Progress(0, [], 0.0)
    for _ in train(learners, data(24), how, make_optimizer(learners, how), progress):
        pass
    return progress.history


# --- parts of its own


def test_connectors_are_trained_by_the_same_optimizer_and_do_not_count_as_the_student() -> None:
    learners = Learners(network(), alone(Remembering()))
    before = copy.deepcopy(learners.distillation.state_dict())
    student, own = make_optimizer(learners, RECIPE).param_groups
    assert [id(weight) for weight in student["params"]] == [id(weight) for weight in learners.student.parameters()]
    assert [id(weight) for weight in own["params"]] == [id(weight) for weight in learners.distillation.parameters()]
    assert {**student, "params": None} == {**own, "params": None}
    epochs_of(learners)
    for name, value in learners.distillation.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_learning_rate_of_every_group_is_the_schedule_s() -> None:
    learners, how = Learners(network(), alone(Remembering())), recipe(epochs=4)
    optimizer = make_optimizer(learners, how)
    for progress in train(learners, data(), how, optimizer, Progress(0, [], 0.0)):
        assert [group["lr"] for group in optimizer.param_groups] == [progress.history[-1]["lr"]] * 2


def test_parts_and_buffers_are_resumed_exactly() -> None:
    """Four epochs at once, and two and two with everything built anew from other random numbers."""

    def begin(seed: int) -> tuple[Learners, torch.optim.Optimizer]:
        learners = Learners(network(seed=seed), alone(Remembering()))
        torch.manual_seed(seed)
        for module in learners.distillation.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters() if seed else None
        return learners, make_optimizer(learners, how)

    how = recipe(epochs=4)
    whole, optimizer = begin(0)
    progress = Progress(0, [], 0.0)
    steps = train(whole, data(), how, optimizer, progress)
    next(steps), next(steps)
    states = [copy.deepcopy(each.state_dict()) for each in (whole.student, whole.distillation, optimizer)]
    history = list(progress.history)
    next(steps), next(steps)

    resumed, other = begin(7)
    for each, state in zip((resumed.student, resumed.distillation, other), states, strict=True):
        each.load_state_dict(state)
    again = Progress(2, history, 0.0)
    assert [p.epoch for p in train(resumed, data(), how, other, again)] == [3, 4]
    assert again.history == progress.history
    for name, value in whole.distillation.state_dict().items():
        assert torch.equal(value, resumed.distillation.state_dict()[name])


# --- how much it counts


def test_weights_of_terms_and_of_cross_entropy_and_own_warm_up() -> None:
    """.1 CE + factor * (w1 t1 + w2 t2), each mode with its factor; the rows have the terms as they are."""

    class Two(Noting):
        terms = ("one", "two")

        def forward(self, step: Step) -> dict[str, Tensor]:
            nothing = 0 * step.student.logits.sum()
            return {"one": nothing + 1, "two": nothing + 2}

    modes = {"a": Noting(), "b": Two()}
    weighing = {"a": Weighing({"nothing": 1.0}), "b": Weighing({"one": 3.0, "two": 5.0}, 0.1, warmup_epochs=4)}
    rows = epochs_of(Learners(network(), Distillation(modes, weighing)), 3)
    assert [row["kd_factor"] for row in rows] == [0.5, 1, 1]
    assert [row["kd_factor.b"] for row in rows] == [0.25, 0.5, 0.75]
    for row in rows:
        assert (row["one"], row["two"]) == (1, 2)
        expected = 0.1 * row["train_ce"] + row["kd_factor.b"] * 13
        assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_what_modes_cannot_agree_on_is_refused() -> None:
    one, other = Weighing({"nothing": 1.0}, 0.1), Weighing({"nothing": 1.0}, 0.5)
    with pytest.raises(ValueError, match=r"kd_mode=\[a,b\]: a and b both have a term nothing; leave one of them out"):
        Distillation({"a": Noting(), "b": Noting()}, {"a": one, "b": one})
    memory = Weighing({"memory": 1.0}, 0.5)
    with pytest.raises(ValueError, match="ask for different things as cross_entropy: a 0.1, b 0.5"):
        Distillation({"a": Noting(), "b": Remembering()}, {"a": one, "b": memory})
    with pytest.raises(ValueError, match="kd_mode.a.weights.more: this mode has no such term; there are nothing"):
        Distillation({"a": Noting()}, {"a": Weighing({"more": 1.0})})
    # A mode that does not count asks for nothing.
    idle = Distillation({"a": Noting(), "b": Noting()}, {"a": one, "b": dataclasses.replace(other, weights={})})
    assert (list(idle.modes), idle.cross_entropy) == (["a"], 0.1)


# --- a teacher


class Following(DistillMode):
    """The teacher's scores, by mean squared error."""

    terms = ("following",)
    needs_teacher = True

    def forward(self, step: Step) -> dict[str, Tensor]:
        return {"following": F.mse_loss(step.student.logits, step.teacher_output.logits)}


def test_a_teacher_teaches_and_stays_as_it_is() -> None:
    """Eval mode, no gradients, no place in the checkpoint; the student comes nearer to it."""
    teacher = network(seed=3)
    before = copy.deepcopy(teacher.state_dict())
    learners = Learners(network(), alone(Following(), 10.0), teacher)
    rows = epochs_of(learners, 6)
    assert not teacher.training and not any(weight.requires_grad for weight in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not list(learners.distillation.state_dict())
    assert rows[-1]["following"] < 0.7 * rows[0]["following"]


@pytest.mark.parametrize("bf16", [False, True])
def test_a_teacher_answers_in_the_precision_and_the_layout_of_the_student(bf16: bool) -> None:
    data = ("dataset=synthetic", "device=cpu")
    config = require_config(compose_config("model=resnet8", "kd_mode=st", "teacher=resnet14", *data))
    learners = build.build_parts(config, untrained=True).learners
    assert learners.teacher is not None
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, object, ModelOutput], None]:
        return lambda module, inputs, output: seen.update({name: output.stages[0]})

    for name, layers in (("student", learners.student), ("teacher", learners.teacher)):
        layers.register_forward_hook(note(name))
        weights = [weight for weight in layers.parameters() if weight.ndim == 4 and min(weight.shape[1:]) > 1]
        assert weights and all(is_channels_last(weight) for weight in weights)
    batch = Batch(torch.rand(4, 3, 8, 8), torch.arange(4), torch.arange(4))
    with autocast(torch.device("cpu"), bf16):
        batch_losses(learners, batch, 1, 0, learners.distillation.factors(1, 0))
    assert {maps.dtype for maps in seen.values()} == {torch.bfloat16 if bf16 else torch.float32}
    assert set(seen) == {"student", "teacher"} and all(map(is_channels_last, seen.values()))


def is_channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_the_baseline_does_not_ask_a_teacher() -> None:
    asked = []
    teacher = network(seed=3)
    teacher.register_forward_hook(lambda *_: asked.append(1))
    epochs_of(Learners(network(), alone(Following()), teacher), 1)
    assert len(asked) == 3  # the instrument sees what it is meant to see
    asked.clear()
    epochs_of(Learners(network(), baseline(), None), 1)
    assert asked == []


def test_a_term_that_needs_no_teacher() -> None:
    """In a mode that needs one for its other term; before the run and in it."""

    class Either(Following):
        terms = ("following", "free")
        free_terms = ("free",)

    for weights, needs in (({"following": 1.0, "free": 1.0}, True), ({"free": 1.0}, False), ({"following": 1.0}, True)):
        assert Either.needs_teacher_for(weights) == needs
        assert composed({"mode": (Either(), weights)}).needs_teacher == needs


def test_another_network_like_the_student_has_weights_of_its_own() -> None:
    """From the seed of the run, which the student is drawn from too."""
    config = require_config(compose_config("model=resnet8"))
    described = build.build_setting(config, classes=3, channels=3, image_size=8, pictures=24)
    drawn = []
    for make in (lambda: build.build_model(config, 3, 3), described.new_student, described.new_student):
        torch.manual_seed(0)
        drawn.append(torch.cat([weight.flatten() for weight in make().parameters() if weight.ndim > 1]))
    assert torch.equal(drawn[1], drawn[2])
    assert torch.corrcoef(torch.stack(drawn[:2]))[0, 1].abs() < 0.02


def test_what_modes_are_shown_takes_no_memory() -> None:
    """Tensors of the meta device: in the checks, and in a run before its first batch."""
    config = require_config(compose_config("model=resnet8", "kd_mode=st", "teacher=resnet14"))
    shown = build.build_setting(config, classes=3, channels=3, image_size=8, pictures=24)
    assert shown.teacher is not None and shown.teacher_network is not None
    checked = build.build_shapes(config.model, classes=3, channels=3, image_size=8)
    for output in (shown.student, shown.teacher, checked):
        assert all(tensor.is_meta for tensor in (output.logits, output.pooled, *output.stages, *output.preacts))
    assert all(weight.is_meta for weight in shown.teacher_network.parameters())


@pytest.mark.parametrize("image_size", [9, 65])
def test_shapes_are_told_and_nothing_is_drawn(image_size: int) -> None:
    """Small pictures are computed, large ones shown to the meta device."""
    config = require_config(compose_config("model=resnet8"))
    torch.manual_seed(0)
    output = build.build_shapes(config.model, classes=3, channels=3, image_size=image_size)
    drawn = torch.rand(4)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(4))
    expected = build.build_model(config, 3, 3)(torch.zeros(2, 3, image_size, image_size))
    for told, computed in zip(output.stages, expected.stages, strict=True):
        assert (told.shape, told.stride(), told.dtype) == (computed.shape, computed.stride(), computed.dtype)


def test_labels_of_all_training_pictures() -> None:
    config = require_config(compose_config("model=resnet8", "kd_mode=none", "dataset=synthetic", "device=cpu"))
    given: list[Setting] = []

    class Asking(Noting):
        def build(self, setting: Setting) -> None:
            given.append(setting)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_distillation", lambda _: composed({"mode": (Asking(), {"nothing": 1.0})}))
        parts = build.build_parts(config)
    (seen,) = given
    assert seen.labels is not None and torch.equal(seen.labels, parts.data.train.labels)
    assert len(seen.labels) == seen.pictures


class Sensitive(DistillMode):
    """Gradients of both networks' losses with respect to the pictures, which are differentiated again."""

    terms = ("sensitive",)
    needs_teacher = True
    input_gradient = True
    compiles = False

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = (
            torch.autograd.grad(F.cross_entropy(output.logits, step.labels), step.inputs, create_graph=True)[0]
            for output in (step.student, step.teacher_output)
        )
        return {"sensitive": F.mse_loss(ours, theirs.detach()) * 1000}


def test_gradients_with_respect_to_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the student and the frozen teacher; such a step is not compiled."""
    monkeypatch.setattr(torch, "compile", lambda *_: pytest.fail("compiled"))
    learners = Learners(network(), alone(Sensitive()), network(seed=3))
    how = recipe(epochs=1, compile=True)
    (progress,) = train(learners, data(), how, make_optimizer(learners, how), Progress(0, [], 0.0))
    assert progress.history[0]["sensitive"] > 0
    assert all(weight.grad is None for weight in learners.teacher.parameters())  # type: ignore[union-attr]
    assert learners.distillation.uncompiled == ["mode"]


# --- pictures beside the batch


def with_partner(kind: Partner) -> list[Step]:
    class Asking(Noting):
        partner: ClassVar[Partner | None] = kind

    mode = Asking()
    epochs_of(Learners(network(), alone(mode)), 1)
    return mode.steps


def test_partners_of_the_same_class() -> None:
    """For each picture another of its class, and the batches themselves are what they were."""
    plain = Noting()
    epochs_of(Learners(network(), alone(plain)), 1)
    steps = with_partner("same_class")
    assert all(torch.equal(step.inputs, other.inputs) for step, other in zip(steps, plain.steps, strict=True))
    shown = {int(i): picture for step in steps for i, picture in zip(step.index, step.inputs, strict=True)}
    partners, own = torch.cat([step.partner for step in steps]), torch.cat([step.index for step in steps]).tolist()
    found = [next(i for i, picture in shown.items() if torch.equal(picture, partner)) for partner in partners]
    labels = pictures(24).labels
    assert [labels[i] for i in found] == [labels[i] for i in own]
    assert all(i != j for i, j in zip(found, own, strict=True))
    assert sorted(found) == list(range(24))


def test_the_previous_batch_again() -> None:
    """Its pictures come first, in the order in which they were seen."""
    first, second, third = with_partner("previous")
    assert (len(first.index), len(second.index), len(third.index)) == (8, 16, 16)
    assert torch.equal(second.index[:8], first.index)
    assert torch.equal(third.index[:8], second.index[8:])
    assert torch.equal(second.inputs[:8], first.inputs)  # without augmentation
    assert [step.repeated for step in (first, second, third)] == [0, 8, 8]
    assert [step.repeated for step in with_partner("same_class")] == [0, 0, 0]
    assert torch.equal(third.labels, pictures(24).labels[third.index])


def test_the_previous_batch_is_augmented_anew() -> None:
    class Asking(Noting):
        partner: ClassVar[Partner | None] = "previous"

    mode = Asking()
    epochs_of(Learners(network(), alone(mode)), 1, RECIPE.augmentation)
    assert not torch.equal(mode.steps[1].inputs[:8], mode.steps[0].inputs)


@pytest.mark.parametrize("count", [21, 25])  # the last batch is a smaller one, or a picture that is left out
@pytest.mark.parametrize("partner", [None, "same_class", "previous"])
def test_batches_are_the_same_however_many_are_made_at_once(
    partner: Partner | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card it is some at once."""
    one_by_one = list(pictures(count).epoch(4, RECIPE.augmentation, 0, partner))
    for at_once in (8, 12, 40):
        monkeypatch.setattr(Pictures, "_made_at_once", lambda self, batch_size, at_once=at_once: at_once)
        for batch, other in zip(pictures(count).epoch(4, RECIPE.augmentation, 0, partner), one_by_one, strict=True):
            for name in ("inputs", "labels", "index", "partner"):
                made, wanted = getattr(batch, name), getattr(other, name)
                assert made is wanted is None or (torch.equal(made, wanted) and made.stride() == wanted.stride())
            assert batch.repeated == other.repeated


def test_random_numbers_are_those_of_seed_epoch_and_step() -> None:
    """All different, and the same in another run of that seed."""
    draws = []
    for _ in range(2):
        mode = Noting()
        epochs_of(Learners(network(), alone(mode)), 2)
        draws.append([step.draw for step in mode.steps])
    assert draws[0] == draws[1] and len(set(draws[0])) == 6


# --- a first stage
