"""Every kd_mode on networks whose stages differ from a ResNet's: in number, without a ReLU, with shuffled channels."""

import copy
from functools import cache

import pytest
import torch
from torch import nn

from tests.distill.test_every_mode import CHANNELS, CLASSES, MODES, batch, losses
from tests.support import compose_config
from tffd import build
from tffd.config import Config, require_config
from tffd.distill import Setting
from tffd.models import create_model
from tffd.training.step import Learners

SIZE = 32  # at 16 the last stage of MobileNetV2 is single values
SINGLE = [mode for mode in MODES if [*compose_config(f"kd_mode={mode}").kd_mode] == [mode]]  # the rest compose others
PAIRS = [("mobilenet_v2", "vgg8"), ("shuffle_v2", "shuffle_v1")]  # student and teacher
REFUSED = {
    "afd": "afd compares channel by channel",
    "fsp": "fsp compares products of channels",
    "kdsvd": "both stages need as many channels",
}
NO_MARGINS = "the batch norms before the ReLUs of class ShuffleNetV1 are not known"


@cache
def described(student: str, teacher: str) -> tuple[Config, Setting]:
    """Return a config with all of them, and the networks' shapes."""
    overrides = (f"kd_mode=[{','.join(SINGLE)}]", f"model={student}", f"teacher={teacher}")
    config = require_config(compose_config(*overrides))
    labels = torch.arange(12) % CLASSES
    return config, build.build_setting(
        config, classes=CLASSES, channels=CHANNELS, image_size=SIZE, pictures=12, labels=labels
    )


@cache
def networks(student: str, teacher: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    made = [create_model(name, CLASSES, in_channels=CHANNELS) for name in (student, teacher)]
    return made[0].train(), made[1].eval().requires_grad_(False)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("mode", SINGLE)
def test_works_or_is_refused(mode: str, pair: tuple[str, str]) -> None:
    """In the check, with the reason; what passes it gives a finite loss and gradients."""
    config, setting = described(*pair)
    distillation = build.build_distillation(config.model_copy(update={"kd_mode": {mode: config.kd_mode[mode]}}))
    refused = REFUSED | ({"ofd": NO_MARGINS} if pair[1] == "shuffle_v1" else {})
    faults = distillation.check(setting)
    if mode in refused:
        assert len(faults) == 1 and refused[mode] in faults[0]
        return
    assert faults == []
    torch.manual_seed(0)
    distillation.build(setting)
    student, teacher = copy.deepcopy(networks(*pair))
    learners = Learners(student, distillation, teacher if distillation.needs_teacher else None)
    given = batch()
    loss, _ = losses(learners, given)
    loss.backward()
    gradients = [weight.grad for weight in (*student.parameters(), *distillation.parameters())]
    assert loss.isfinite() and any(gradient is not None for gradient in gradients)
    assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients)
