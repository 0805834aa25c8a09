"""The teacher of a run: where its weights are, that they exist, and how good it is."""

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tffd import records
from tffd.files import read_regular
from tffd.identity import digest as digest_of
from tffd.identity import hash_config, run_name, teacher_run, teacher_trainer
from tffd.schema import Config, TeacherSection, TrainerSection

if TYPE_CHECKING:
    from torch import nn

    from tffd.data import Data

AUTO = "auto"

_SILENCE = 120  # seconds after which a run without a sign of life counts as dead
_MOST_JUDGED = 2000  # training pictures, where none are held out


class WeakTeacher(ValueError):
    """A teacher that is no better than guessing: nobody would learn from it."""


@dataclass(frozen=True)
class Measured:
    """How good a teacher is.

    Attributes:
        top1: Accuracy in percent.
        split: "val", or "train" where the protocol holds nothing out: the test set is not for this.
        pictures: On how many.
    """

    top1: float
    split: str
    pictures: int


def teacher_fault(teacher: TeacherSection) -> str | None:
    """Say why a run whose kd_modes need a teacher has none; None if it is there, or is to be trained."""
    if teacher.target is None:
        return (
            "teacher=none: the kd_mode needs a teacher; choose teacher=auto, which trains a WRN-40-2 first, or "
            "a network with weights, such as teacher=resnet110 teacher.checkpoint=PATH"
        )
    if teacher.checkpoint is None:
        return (
            f"teacher={teacher.name}: has no weights; name a file, teacher.checkpoint=PATH, or have it trained first, "
            "teacher.checkpoint=auto"
        )
    if teacher.checkpoint == AUTO:
        return None
    if _is_at_work(Path(teacher.checkpoint).parent):
        return (
            f"teacher.checkpoint={teacher.checkpoint}: is being written by a run that is at work; wait for it, or let "
            "the teacher be trained first with teacher.checkpoint=auto"
        )
    return None


def _is_at_work(directory: Path) -> bool:
    """Tell whether a run that has not ended gave a sign of life of late; one that was killed leaves an old one."""
    try:
        age = time.time() - (directory / records.HEARTBEAT).stat().st_mtime
    except OSError:
        return False
    return age < _SILENCE and not (directory / records.RESULT).exists()


def trainer_faults(teacher: TeacherSection, trainer: TrainerSection) -> list[str]:
    """Say what is wrong with the settings in which the training of a teacher differs from its student's."""
    if teacher.checkpoint != AUTO:
        return []
    try:
        teacher_trainer(teacher, trainer)
    except ValidationError as error:
        return [_trainer_fault(item) for item in error.errors(include_url=False)]
    return []


def _trainer_fault(item: Mapping[str, Any]) -> str:
    key = ".".join(map(str, ("teacher.trainer", *item["loc"])))
    if item["type"] == "extra_forbidden":
        return f"{key}: the trainer has no such key; see conf/trainer"
    value = f"={item['input']}" if item["loc"] else ""  # else it is of two settings together
    return f"{key}{value}: {item['msg'].removeprefix('Value error, ').removeprefix('Input ')}"


def find_teacher(config: Config) -> Path | None:
    """Return the weights of a run's teacher; None if they are to be trained first."""
    if config.teacher.checkpoint != AUTO:
        return Path(str(config.teacher.checkpoint))
    return find_trained(teacher_run(config))


def find_trained(run: Config) -> Path | None:
    """Return the weights that the run of a teacher has left; None if there are none yet.

    A teacher that another sweep below results_dir has trained under the same settings serves as well.
    """
    name, run_hash = run_name(run), hash_config(run).run
    results = Path(run.results_dir)
    own = [results / run.name / name, *(results / run.name / records.TEACHER).glob("*")]
    others = [*results.glob(f"*/{name}"), *results.glob(f"*/{records.TEACHER}/*")]
    for directory in (*own, *sorted(others)):
        weights = directory / records.WEIGHTS
        if weights.is_file() and _is_complete(directory, run_hash):
            return weights
    return None


def _is_complete(directory: Path, run_hash: str) -> bool:
    try:
        result = records.read_result(directory)
    except ValueError:
        return False
    return result is not None and (result["status"], result.get("config_hash")) == (records.COMPLETE, run_hash)


def measure_teacher(teacher: "nn.Module", data: "Data", *, digest: str, cache: str | Path, bf16: bool) -> Measured:
    """Measure a teacher on what a protocol holds out, once for each teacher, split, normalisation and precision.

    Args:
        digest: The digest of its weights.
        cache: Directory that remembers the figure.
    Raises:
        WeakTeacher: If it is no better than guessing.
    """
    from tffd.training.loop import evaluate

    split = "val" if data.val is not None else "train"
    pictures = data.val or data.train.first(_MOST_JUDGED)
    seen = {"split": data.split_record, "of": split, "mean": pictures.mean.tolist(), "std": pictures.std.tolist()}
    path = Path(cache) / "teachers" / f"{digest[:16]}-{digest_of({**seen, 'bf16': bf16})}.json"
    measured = _remembered(path, split, len(pictures))
    if measured is None:
        top1 = float(evaluate(teacher, pictures, split, bf16)[f"{split}_top1"])
        measured = Measured(top1, split, len(pictures))
        with suppress(OSError):  # a cache may be read-only
            path.parent.mkdir(parents=True, exist_ok=True)
            records.write_json(path, vars(measured))
    classes = len(data.classes)
    chance = 1 / classes
    # Three standard errors of guessing.
    bound = 100 * (chance + 3 * math.sqrt(chance * (1 - chance) / measured.pictures))
    if measured.top1 <= bound:
        raise WeakTeacher(
            f"the teacher has {measured.top1:.2f} % of {measured.pictures} {split} pictures right, and guessing among "
            f"{classes} classes reaches {bound:.2f} %: its weights belong to another data set, or it was trained too "
            "briefly. Choose others with teacher.checkpoint, or more epochs with +teacher.trainer.epochs=..."
        )
    return measured


def _remembered(path: Path, split: str, pictures: int) -> Measured | None:
    """Return the figure in a file, or None where there is none that such a measurement can have given."""
    try:
        content: Any = json.loads(read_regular(path))
        measured = Measured(float(content["top1"]), content["split"], content["pictures"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    is_possible = 0 <= measured.top1 <= 100 and (measured.split, measured.pictures) == (split, pictures)
    return measured if is_possible else None
