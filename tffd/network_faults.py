"""Faults of a config's networks and kd_modes, which are built on shapes alone, and of the weights that it names."""

from functools import partial
from pathlib import Path
from typing import Any

from tffd.build import build_model, build_setting, build_shapes, build_teacher
from tffd.config import Reading
from tffd.data import Summary
from tffd.instantiation import build_distillation, collect, data_digest, needs_teacher, uses_teacher
from tffd.provenance import describe_training, look_into
from tffd.rehearsal import rehearse
from tffd.schema import Config
from tffd.teacher import AUTO, teacher_fault, trainer_faults


def network_faults(reading: Reading, sound: Any, summary: Summary | None, smallest: int | None) -> list[str]:
    """Faults of the networks, and of the kd_modes, which are shown the shapes that they will see.

    Args:
        summary: Of the data set; None if it cannot be told. Any other will do then, but for weights, which must fit its
            classes.
        smallest: Pictures in the smallest batch of an epoch; None if that is not known.
    """
    shown = summary or Summary(train_pictures=1, classes=10, channels=3, image_size=32)
    sizes: dict[str, Any] = {"classes": shown.classes, "channels": shown.channels, "image_size": shown.image_size}
    name = f"model={sound.model.name}: "
    _, faults = collect(lambda: build_shapes(sound.model, **sizes), name)
    if smallest == 1 and not faults and collect(lambda: build_shapes(sound.model, **sizes, pictures=1))[1]:
        faults.append(
            f"{name}trainer.batch_size={sound.trainer.batch_size}: leaves a batch of 1 picture, whose last maps are "
            "single values, and batch norm needs two; choose another batch size"
        )
    if summary is not None and sound.model.weights:
        faults += collect(lambda: build_model(sound, shown.classes, shown.channels), name)[1]
    if not reading.sound.keys() >= {"kd_mode", "teacher", "trainer", "lambda_intra", "lambda_inter"}:
        return faults
    distillation, found = collect(lambda: build_distillation(sound))
    faults += found
    if collect(lambda: needs_teacher(sound))[0]:
        if reason := teacher_fault(sound.teacher):
            return [*faults, reason]
        faults += trainer_faults(sound.teacher, sound.trainer)
        if summary is not None and sound.teacher.checkpoint != AUTO:
            weights = Path(sound.teacher.checkpoint)
            faults += collect(
                lambda: build_teacher(sound, shown.classes, shown.channels, weights),
                f"teacher={sound.teacher.name}: ",
            )[1]
    # Shapes do not depend on weights, so that a mode's faults are told beside those of files.
    setting, found = collect(lambda: build_setting(sound, **sizes, pictures=shown.train_pictures))
    if setting is None:
        return faults or found
    faults += [] if distillation is None else distillation.check(setting)
    return faults or collect(lambda: rehearse(sound, shown))[1]


def leaks(config: Config, split: dict[str, int | str]) -> list[str]:
    """Say which files of weights have seen the pictures that a run holds out."""
    files = {"model.weights": config.model.weights}
    if uses_teacher(config) and config.teacher.checkpoint != AUTO:
        files["teacher.checkpoint"] = config.teacher.checkpoint
    faults = []
    for setting, path in files.items():
        if path is not None:
            training = describe_training(config, data_digest(config), split)
            faults += collect(partial(look_into, path, training, setting))[1]
    return faults
