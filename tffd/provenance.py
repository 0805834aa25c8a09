"""Which pictures a network has seen: what our weight files say of it, and whether a run may start from one.

A run that starts from a network which was trained on the pictures that it holds out would judge itself by pictures that
it knows. The digests below tell: of the whole data set, and of the held-out pictures. What the file's own starting
weights had seen is kept with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tffd.checkpoints import read_provenance
from tffd.files import file_digest
from tffd.schema import Config

CLEAN = "clean"
UNKNOWN = "unknown"

Training = Mapping[str, Any]
"""What one training saw: see `describe_training`."""

_TEXTS = ("data", "dataset", "protocol", "val_sha256")


class SeenBefore(ValueError):
    """The starting weights were trained on pictures that the run holds out."""


@dataclass(frozen=True)
class Past:
    """What is known of a weight file's past.

    Attributes:
        digest: The digest of the file, 12 hexadecimal digits.
        past: CLEAN if it has seen no picture that the run holds out, UNKNOWN if that cannot be told.
        trainings: Those that led to it, the first one first.
        is_told: Whether these are all that there were.
    """

    digest: str
    past: str
    trainings: Sequence[Training] = ()
    is_told: bool = False

    def record(self) -> dict[str, str]:
        """Return what result.json says of it."""
        return {"digest": self.digest, "past": self.past}


def describe_training(config: Config, data: str, split: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a later run must know of this one's pictures.

    Args:
        config: The config of the run.
        data: Digest of the data set's content.
        split: The record of the split, as in result.json.
    """
    return {
        "data": data,
        "dataset": config.dataset.name,
        "protocol": config.protocol.name,
        "val_fraction": config.protocol.val_fraction,
        "split_seed": config.protocol.split_seed,
        "train_size": config.dataset.train_size,
        "val": split["val"],
        "val_sha256": split["val_sha256"],
        "all_sha256": split["all_sha256"],
    }


def look_into(path: str | Path, training: Training, setting: str = "model.weights") -> Past:
    """Tell whether a network that starts from a weight file has seen the pictures that a run holds out.

    It has not where the file's own training held out the very same pictures, where the run holds out none, and where
    the file was trained on another data set by another name; the same pictures at another size are no other data set.
    A file that is not ours has an unknown past, and so has one of other pictures under the same `dataset.name`: of an
    edited data set, some may be the same.

    Args:
        path: A file that `load_weights` reads.
        training: The training of the run that is to start.
        setting: The setting that names the file, for the message.
    Raises:
        SeenBefore: If it has.
        ValueError: If the file cannot be read.
    """
    provenance = _valid(read_provenance(path))
    digest = file_digest(path)[:12]
    if provenance is None:
        return Past(digest, UNKNOWN)
    trainings, is_told = provenance["trainings"], provenance["is_told"]
    is_clean = is_told
    if training["val"]:
        for earlier in trainings:
            if earlier["val"] and earlier["val_sha256"] == training["val_sha256"]:
                continue
            if earlier["data"] == training["data"] or earlier.get("all_sha256") == training["all_sha256"]:
                raise SeenBefore(_leak(path, earlier, training, setting))
            is_clean = is_clean and earlier["dataset"] != training["dataset"]
    return Past(digest, CLEAN if is_clean else UNKNOWN, tuple(trainings), is_told)


def provenance_of(training: Training, *starts: Past) -> dict[str, Any]:
    """Return what the weights of a run carry: its training, and those of all that it started from or learnt from."""
    earlier = [dict(one) for start in starts for one in start.trainings]
    return {"trainings": [*earlier, dict(training)], "is_told": all(start.is_told for start in starts)}


def _valid(provenance: Any) -> Mapping[str, Any] | None:
    """What a file says, or None where it says nothing that can be understood."""
    trainings = provenance.get("trainings") if isinstance(provenance, Mapping) else None
    if not isinstance(trainings, list) or not trainings:
        return None
    for one in trainings:
        if not isinstance(one, Mapping) or not all(isinstance(one.get(name), str) for name in _TEXTS):
            return None
        if not isinstance(one.get("val"), int):
            return None
    return provenance if isinstance(provenance.get("is_told"), bool) else None


def _leak(path: str | Path, earlier: Training, training: Training, setting: str) -> str:
    is_teacher = setting == "teacher.checkpoint"
    instead = f"have one trained first with {setting}=auto" if is_teacher else f"from none with {setting}=null"
    return (
        f"{setting}={path}: was trained on this data set under {_overrides(earlier)}, so it has seen some or all of "
        f"the {training['val']} pictures that this run holds out; start from a network that was trained under "
        f"{_overrides(training)}, or {instead}"
    )


def _overrides(training: Training) -> str:
    fraction = training.get("val_fraction")
    held_out = f"protocol.val_fraction={'null' if fraction is None else fraction}"
    return f"protocol={training['protocol']} {held_out} protocol.split_seed={training.get('split_seed')}"
