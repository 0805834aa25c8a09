"""One step of a run whose parts are your own, on made-up pictures: what they lack shows before anything is trained."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tffd.blaming import blaming, is_own
from tffd.build import build_network, build_setting, build_teacher
from tffd.data import Batch, Summary
from tffd.distill import Distillation
from tffd.instantiation import WEIGHING, build_distillation, uses_teacher
from tffd.parts import require_output, require_terms
from tffd.schema import Config
from tffd.training.step import Learners, look

_PICTURES = 8
_MOST_PICTURES = 50_000  # of the whole data set, of which some modes keep a memory
_rehearsed: dict[str, str | None] = {}
"""What was rehearsed in this process, and what was wrong with it: the trials of a sweep differ in numbers alone."""


def rehearse(config: Config, data: Summary) -> None:
    """Do one step with a network or kd_modes that are not the library's; nothing where all of them are.

    Raises:
        ValueError: If one of them cannot do it, or returns what it may not.
    """
    targets = [config.model.target, *(mode.target for mode in config.kd_mode.values())]
    teacher = config.teacher.target if uses_teacher(config) else None
    if not any(map(is_own, [*targets, *([teacher] if teacher else [])])):
        return
    key = json.dumps(_what_matters(config, data), sort_keys=True, default=str)
    if key not in _rehearsed:
        try:
            _rehearse(config, data)
            _rehearsed[key] = None
        except ValueError as error:
            _rehearsed[key] = str(error)
    if reason := _rehearsed[key]:
        raise ValueError(reason)


def _what_matters(config: Config, data: Summary) -> list[Any]:
    modes = {
        name: {
            **{key: value for key, value in mode.arguments().items() if key not in WEIGHING},
            "active": [term for term, weight in mode.weights.items() if weight],
        }
        for name, mode in config.kd_mode.items()
    }
    teacher = config.teacher.network.arguments() if config.teacher.target else None
    return [config.model.arguments(), modes, teacher, data.classes, data.channels, data.image_size]


def _rehearse(config: Config, data: Summary) -> None:
    classes, channels, size = data.classes, data.channels, data.image_size
    labels = torch.arange(max(_PICTURES, min(data.train_pictures, _MOST_PICTURES))) % classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        student = build_network(config.model, classes, channels, None)
        distillation = build_distillation(config)
        _make_parts(config, distillation, data, labels)
        teacher = build_teacher(config, classes, channels, None) if uses_teacher(config) else None
        inputs = torch.randn(_PICTURES, channels, size, size)
        partner = torch.randn_like(inputs) if distillation.partner == "same_class" else None
        batch = Batch(inputs, labels[:_PICTURES], torch.arange(_PICTURES), partner)
        with _of(f"model={config.model.name}"), blaming(config.model.target, "forward"):
            student(inputs)
        if teacher is not None:
            target = str(config.teacher.target)
            with _of(f"teacher={config.teacher.name}"), blaming(target, "forward", is_suspect=True), torch.no_grad():
                require_output(target, teacher(inputs), classes, _PICTURES)
        step = look(Learners(student, distillation, teacher), batch, 1, 0, teacher is not None)
        with _of(f"model={config.model.name}"):
            require_output(config.model.target, step.student, classes, _PICTURES)
        for name in distillation.running:
            target = config.kd_mode[name].target
            with _of(f"kd_mode={name}"):
                with blaming(target, "forward", is_suspect=True):
                    terms = distillation.modes[name](step)
                require_terms(target, terms, distillation.modes[name].active)
                if is_own(target):
                    _require_gradients(target, terms)
        for name, mode in distillation.modes.items():
            if mode is distillation.staged:
                target = config.kd_mode[name].target
                with _of(f"kd_mode={name}"), blaming(target, "first_stage_terms", is_suspect=True):
                    terms = mode.first_stage_terms(step)
                    require_terms(target, terms, list(terms))


@contextmanager
def _of(choice: str) -> Iterator[None]:
    """Let faults begin with the choice that they belong to."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{choice}: {error}") from error


def _make_parts(config: Config, distillation: Distillation, data: Summary, labels: Tensor) -> None:
    setting = build_setting(
        config,
        classes=data.classes,
        channels=data.channels,
        image_size=data.image_size,
        pictures=len(labels),
        labels=labels,
    )
    for name, mode in distillation.modes.items():
        with _of(f"kd_mode={name}"), blaming(config.kd_mode[name].target, "build", is_suspect=True):
            mode.build(setting)


def _require_gradients(target: str, terms: Mapping[str, Tensor]) -> None:
    for name, term in terms.items():
        if not term.requires_grad:
            raise ValueError(f"{target}: its term {name} depends on nothing that is trained; is it detached?")
