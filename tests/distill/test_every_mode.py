"""What every kd_mode of conf/kd_mode must do, found by its file: a new one needs no new test here."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from docs.modes import read_header
from tests.distill.compositions import step_of
from tests.support import CONF, compose_config
from tffd import build, instantiation
from tffd.config import require_config
from tffd.data import Batch
from tffd.distill import Distillation
from tffd.models import ModelOutput, create_model
from tffd.schema import Config
from tffd.training.step import Learners, batch_losses, first_stage_losses

# Modes whose own loss is none that one batch could be fitted to, with the reason.
UNFITTED = {
    "ps_kd": "Its labels move at every step with what the student says.",
    "dlb": "It compares two steps, and the first has no such term.",
}
MODES = sorted(path.stem for path in (CONF / "kd_mode").glob("*.yaml"))
# The other published forms of a mode, as its file's comments state them: the overrides that give them.
RECIPES = [
    (mode, overrides.split())
    for mode in MODES
    for _, overrides in read_header((CONF / "kd_mode" / f"{mode}.yaml").read_text(encoding="utf-8")).recipes
]
CLASSES, CHANNELS, SIZE = 4, 3, 16
EQUAL, WIDER = "resnet14", "resnet8x4"  # teachers; some modes take equal widths alone


def composed(mode: str, teacher: str, *overrides: str) -> tuple[Config, Distillation]:
    """Build a mode with its published settings, for a resnet8."""
    config = require_config(compose_config(f"kd_mode={mode}", "model=resnet8", f"teacher={teacher}", *overrides))
    distillation = instantiation.build_distillation(config)
    labels = torch.arange(12) % CLASSES
    setting = build.build_setting(
        config, classes=CLASSES, channels=CHANNELS, image_size=SIZE, pictures=12, labels=labels
    )
    faults = distillation.check(setting)
    if teacher == WIDER and faults and "channels" in faults[0]:
        pytest.skip(f"refused: {faults[0]}")
    assert faults == []
    torch.manual_seed(0)
    distillation.build(setting)
    return config, distillation


def networks(teacher: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    made = [create_model(name, CLASSES, in_channels=CHANNELS) for name in ("resnet8", teacher)]
    return made[0], made[1].eval().requires_grad_(False)


def batch(count: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(2)
    inputs, partner = torch.randn(2, count, CHANNELS, SIZE, SIZE, generator=generator)
    index = torch.arange(count)
    return Batch(inputs, index % CLASSES, index, partner)


def losses(learners: Learners, given: Batch, epoch: int = 2) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return what a step minimises, where the modes take part: in the run proper, or before it alone."""
    factors = dict.fromkeys(learners.distillation.modes, torch.ones(()))
    stage = learners.distillation.first_stage
    if stage is not None and stage.only:
        return first_stage_losses(learners, given, epoch, 0, {})
    return batch_losses(learners, given, epoch, 0, factors)


def test_there_are_modes() -> None:
    assert {"none", "intra", "inter", "tfd", "tfd_plus", "st", "at", "fitnet"} <= set(MODES)


@pytest.mark.parametrize("teacher", [WIDER, EQUAL], ids=["wider", "equal-widths"])
@pytest.mark.parametrize("mode", MODES)
def test_one_step(mode: str, teacher: str) -> None:
    """Finite terms of the names it declares; the student and all of its own parts learn, the teacher does not."""
    config, distillation = composed(mode, teacher)
    student, frozen = networks(teacher)
    before = copy.deepcopy(frozen.state_dict())
    learners = Learners(student.train(), distillation, frozen if distillation.needs_teacher else None)
    loss, logged = losses(learners, batch())
    loss.backward()
    if distillation.first_stage is not None:  # which trains some, and the run proper others
        for stage in (first_stage_losses, batch_losses):
            stage(learners, batch(), 2, 0, dict.fromkeys(distillation.modes, torch.ones(())))[0].backward()
    assert loss.isfinite()
    terms = [name for name in logged if not name.startswith("train_")]
    assert terms == [term for term, weight in config.term_weights.items() if weight > 0]
    for parameter in (*student.parameters(), *distillation.parameters()):
        assert parameter.grad is not None and parameter.grad.isfinite().all()
    after = frozen.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("mode", sorted(set(MODES) - {"none", *UNFITTED}))
def test_own_loss_falls_on_one_batch(mode: str) -> None:
    """To 90 % within 20 steps without cross-entropy, on the student and on the mode's own parts."""
    _, distillation = composed(mode, EQUAL)
    student, frozen = networks(EQUAL)
    learners = Learners(student.train(), distillation, frozen if distillation.needs_teacher else None)
    distillation.cross_entropy = 0
    optimizer = torch.optim.Adam([*student.parameters(), *distillation.parameters()], lr=3e-3)
    course: list[float] = []
    while len(course) < 20 and not _fell(course):
        optimizer.zero_grad()
        loss, _ = losses(learners, batch())
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert _fell(course)


def _fell(course: list[float]) -> bool:
    return len(course) > 1 and min(course) < course[0] - 0.1 * abs(course[0])


@pytest.mark.parametrize(("mode", "overrides"), RECIPES, ids=lambda value: value if isinstance(value, str) else "")
def test_recipes(mode: str, overrides: list[str]) -> None:
    """Each states overrides that differ from the file's values, and takes a step."""
    assert overrides, f"{mode}.yaml has a recipe without overrides"
    config, distillation = composed(mode, EQUAL, *overrides)
    assert config.kd_mode != composed(mode, EQUAL)[0].kd_mode
    student, frozen = networks(EQUAL)
    assert losses(Learners(student.train(), distillation, frozen), batch())[0].isfinite()


@pytest.mark.parametrize("mode", MODES)
def test_layout_of_memory_changes_nothing(mode: str) -> None:
    """channels_last equals contiguous, but for the order of sums (float32: 1e-4)."""
    _, distillation = composed(mode, EQUAL)
    student, frozen = networks(EQUAL)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        twins = [copy.deepcopy(network).to(memory_format=layout) for network in (student, frozen)]
        learners = Learners(twins[0].train(), copy.deepcopy(distillation), twins[1])
        given = batch()
        inputs = given.inputs.contiguous(memory_format=layout)
        found.append(losses(learners, dataclasses.replace(given, inputs=inputs))[0])
    assert found[0].item() == pytest.approx(found[1].item(), rel=1e-4)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_bf16_and_the_smallest_batches(mode: str, count: int) -> None:
    """Under autocast the terms are float32 and finite."""
    _, distillation = composed(mode, EQUAL)
    student, frozen = networks(EQUAL)
    learners = Learners(student.train(), distillation, frozen)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, logged = losses(learners, batch(count))
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert all(value.isfinite() for value in logged.values())


@pytest.mark.parametrize("mode", MODES)
def test_a_weight_of_zero_leaves_the_baseline(mode: str) -> None:
    """Its terms are not computed, and no teacher is needed."""
    config = require_config(compose_config(f"kd_mode={mode}"))
    idle = [f"kd_mode.{name}.weights.{term}=0" for name, own in config.kd_mode.items() for term in own.weights]
    config = require_config(compose_config(f"kd_mode={mode}", *idle))
    distillation = instantiation.build_distillation(config)
    assert not instantiation.uses_teacher(config) and not distillation.modes
    assert distillation(step_of(ModelOutput(torch.zeros(2, 3), (), (), torch.zeros(2, 3), torch.zeros(2, 3)))) == {}
