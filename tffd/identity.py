"""What a run is: the digests of all that can change its numbers, its name and description, and the code it runs on."""

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tffd.data import digest_content
from tffd.files import file_digest
from tffd.instantiation import data_content, uses_teacher
from tffd.machine import effective_precision
from tffd.program import recorded_program
from tffd.records import METRIC_NAMES
from tffd.schema import Config, TeacherSection, TrainerSection

_LONGEST_LABEL = 150  # file systems take names of 255 bytes

_PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "optuna", "numpy", "scikit-learn", "pillow")


@dataclass(frozen=True)
class Hashes:
    """Digests of everything in a config that can change a run's numbers, 12 hexadecimal digits each.

    Attributes:
        run: All of it.
        settings: All but the seed.
        data: The content of the data set alone.
    """

    run: str
    settings: str
    data: str


def hash_config(config: Config) -> Hashes:
    """Digest a config.

    Directories, the device, the sweep around a run and the names of a data set, a trainer and a protocol do not count,
    nor does what moves the last bits of sums at most, such as threads, trainer.cuda_graph and
    trainer.eval_batch_size: a run may go on where there are fewer cores or less memory.
    The lambdas count as the kd_modes use them, so that a baseline is the same run whatever they are set to; so does the
    teacher. Pictures and weights count by their content, a teacher that is trained first by the run that trains it, and
    the precision as what it comes to on the device.
    """
    content = data_content(config)
    values: dict[str, Any] = {
        "model": config.model.arguments(),
        "kd_mode": {name: mode.arguments() for name, mode in config.kd_mode.items()},
        "data": content,
        "dataset": config.dataset.model_dump(include={"mean", "std", "train_size", "augment"}),
        "trainer": config.trainer.model_dump(exclude={"name", "checkpoint_every", "cuda_graph", "eval_batch_size"})
        | {"precision": precision_of(config)},
        "protocol": config.protocol.model_dump(exclude={"name"}),
    }
    if config.trainer.evaluate_every == 1:
        del values["trainer"]["evaluate_every"]  # as of runs that are older than this setting
    if weights := values["model"].get("weights"):
        values["model"]["weights"] = file_digest(weights)
    if uses_teacher(config):
        values["teacher"] = {"network": config.teacher.network.arguments(), "weights": _teacher_identity(config)}
    return Hashes(run=digest({**values, "seed": config.seed}), settings=digest(values), data=digest_content(content))


def precision_of(config: Config) -> str:
    """The precision of a run: fp32, tf32 or bf16."""
    return effective_precision(config.trainer.precision, config.device)


def _teacher_identity(config: Config) -> str | None:
    match config.teacher.checkpoint:
        case "auto":
            return hash_config(teacher_run(config)).run
        case str(path):
            return file_digest(path)
    return None  # such a config is refused


def teacher_run(config: Config) -> Config:
    """Return the config of the run that trains the teacher of a student whose teacher.checkpoint is "auto".

    Its data, protocol and trainer are the student's, but for teacher.trainer; its seed is 0 whatever the student's, so
    that all students have one teacher.
    """
    return config.model_copy(
        update={
            "model": config.teacher.network,
            "kd_mode": {},
            "teacher": TeacherSection(name="none", checkpoint=None),
            "seed": 0,
            "trainer": teacher_trainer(config.teacher, config.trainer),
        }
    )


def teacher_trainer(teacher: TeacherSection, trainer: TrainerSection) -> TrainerSection:
    """Return the trainer of a teacher: the student's, but for the settings in teacher.trainer.

    Raises:
        ValidationError: If these are not valid.
    """
    return TrainerSection.model_validate(trainer.model_dump() | teacher.trainer)


def run_name(config: Config) -> str:
    """Name a run's directory after what it computes."""
    label = f"{config.model.name}-{config.dataset.name}-{config.composition}"
    return f"{label[:_LONGEST_LABEL]}-seed{config.seed}-{hash_config(config).run[:8]}"


def digest(values: dict[str, Any]) -> str:
    """12 hexadecimal digits of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


@cache
def loaded_versions() -> dict[str, str]:
    """Versions of everything that numbers may depend on, when they were first asked for; see `loaded_commit`."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def git_commit() -> str | None:
    """The commit of this source tree, with "+" where files differ from it; None outside a checkout."""
    if not (Path(__file__).parents[1] / ".git").exists():
        return None  # an installed library may lie in the checkout of something else
    # Git runs programs that its settings name, which a variable GIT_... may hold; and its monitor, in any checkout.
    settings = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    command = ["git", *settings, "-C", str(Path(__file__).parent)]
    command += ["describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def loaded_commit() -> str | None:
    """`git_commit` as it was when this process, or the one that it was forked from, first asked.

    What is committed or edited later is not what runs. A sweep's server asks when it has imported the code.
    """
    return git_commit()


def describe_run(config: Config, *, study: str | None, trial: int | None, started: str) -> dict[str, Any]:
    """Return the fields of result.json that are known before training; the others are null."""
    hashes = hash_config(config)
    return {
        "status": None,
        "error": None,
        "failure": None,
        "name": config.name,
        "study": study,
        "trial": trial,
        "model": config.model.name,
        "dataset": config.dataset.name,
        "kd_mode": config.composition,
        "lambda_intra": config.term_weights.get("intra", 0.0),
        "lambda_inter": config.term_weights.get("inter", 0.0),
        "term_weights": config.term_weights,
        "teacher": config.teacher.name if uses_teacher(config) else None,
        "teacher_digest": None,
        "teacher_past": None,
        "teacher_top1": None,
        "teacher_split": None,
        "seed": config.seed,
        "protocol": config.protocol.name,
        "train_size": config.dataset.train_size,
        "epochs": config.trainer.epochs,
        "epochs_run": 0,
        **dict.fromkeys(METRIC_NAMES),
        "data": hashes.data,
        "split": None,
        "weights": None,
        "precision": precision_of(config),
        "train_seconds": None,
        "images_per_second": None,
        "peak_memory_mb": None,
        "parameters": None,
        "mode_parameters": None,
        "classes": None,
        "device": None,
        "threads": None,
        "versions": loaded_versions(),
        "git_commit": loaded_commit(),
        "program": recorded_program(),
        "started": started,
        "finished": None,
        "config_hash": hashes.run,
        "settings_hash": hashes.settings,
    }
