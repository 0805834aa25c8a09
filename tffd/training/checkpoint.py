"""The state of a run between two epochs: all that it takes to go on as if nothing had happened."""

import copy
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from tffd.files import read_archive, replacing

_FORMAT = "tffd"


@dataclass
class Checkpoint:
    """State after a finished epoch.

    Attributes:
        config_hash: The hash of the run that wrote it; a checkpoint of another run is never continued.
        epoch: Last finished epoch.
        history: The rows of metrics.csv so far.
        seconds: Training time so far.
        threads: CPU threads, on whose number the last bits of the sums depend.
        model, optimizer, modes: State dicts; `modes` has the parts and buffers of the kd_modes.
        rng: State of torch's global CPU generator.
        provenance: Which pictures the network has seen; see tffd.provenance.
        first_stage: The rows of first_stage.csv so far.
    """

    config_hash: str
    epoch: int
    history: list[dict[str, float]]
    seconds: float
    threads: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    rng: torch.Tensor
    provenance: dict[str, Any] = field(default_factory=dict)
    modes: dict[str, Any] = field(default_factory=dict)
    first_stage: list[dict[str, float]] = field(default_factory=list)


class NotWritten(OSError):
    """A file of a run could not be written, for want of space or rights; what was there before still is."""


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write with torch.save so that the file is the old one or the new one, whenever the machine stops.

    Tensors are written as those of a CPU: a file that asks for CUDA, or for a card by its number, does not load where
    there is none.

    Raises:
        NotWritten: If the disk is full, or otherwise refuses.
    """
    try:
        with replacing(path) as file:
            torch.save({"format": _FORMAT, **_on_cpu(content)}, file)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter for a full disk
        cause = error if isinstance(error, OSError) else error.__context__
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error).splitlines()[0]
        raise NotWritten(
            f"{path} could not be written ({reason}). Once there is room the same command goes on from what was saved "
            "before."
        ) from error


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        moved = copy.copy(value)  # of a state dict, the versions of its layers come along as an attribute
        moved.update({key: _on_cpu(inner) for key, inner in value.items()})
        return moved
    if isinstance(value, list | tuple):
        return type(value)(_on_cpu(inner) for inner in value)
    return value


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; `load_weights` reads its model too."""
    content = {each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}
    save_atomically(content, path)


def load_checkpoint(path: Path, config_hash: str) -> Checkpoint | None:
    """Read the checkpoint of a run, executing nothing that the file holds; None if there is none.

    Raises:
        ValueError: If the file is damaged, no regular one or too large, or belongs to another configuration.
    """
    if not path.exists():
        return None
    try:
        file = read_archive(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        known = [each.name for each in fields(Checkpoint)]
        checkpoint = Checkpoint(**{name: value for name, value in content.items() if name in known})
    except Exception as error:  # torch.load raises a dozen types for a damaged file, none of them documented
        raise _damaged(path, error) from error
    if checkpoint.config_hash != config_hash:
        raise ValueError(
            f"{path} belongs to another configuration ({checkpoint.config_hash}, this one is {config_hash}). "
            "Choose another name=..., or remove its directory."
        )
    return checkpoint


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged and cannot be continued ({type(error).__name__}). Remove it to start this run anew."
    )
