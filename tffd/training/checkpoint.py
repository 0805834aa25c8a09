"""The state of a run between two epochs: all that it takes to go on as if nothing had happened."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from tffd.files import replacing

_FORMAT = "tffd"


@dataclass
class Checkpoint:
    """State after a finished epoch.

    Attributes:
        config_hash: Of the run that wrote it; a checkpoint of another run is never continued.
        epoch: Last finished epoch.
        history: The rows of metrics.csv so far.
        seconds: Training time so far.
        threads: CPU threads, on whose number the last bits of the sums depend.
        model, optimizer: State dicts.
        rng: State of torch's global CPU generator.
    """

    config_hash: str
    epoch: int
    history: list[dict[str, float]]
    seconds: float
    threads: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    rng: torch.Tensor


class NotWritten(OSError):
    """A file of a run could not be written, for want of space or rights; what was there before still is."""


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write with torch.save so that the file is the old one or the new one, whenever the machine stops.

    Raises:
        NotWritten: If the disk is full, or otherwise refuses.
    """
    try:
        with replacing(path) as file:
            torch.save({"format": _FORMAT, **content}, file)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter for a full disk
        cause = error if isinstance(error, OSError) else error.__context__
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error).splitlines()[0]
        raise NotWritten(
            f"{path} could not be written ({reason}). Once there is room the same command goes on from what was saved "
            "before."
        ) from error


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; `load_weights` reads its model too."""
    content = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    save_atomically(content, path)


def load_checkpoint(path: Path, config_hash: str) -> Checkpoint | None:
    """Read the checkpoint of a run, executing nothing that the file holds; None if there is none.

    Raises:
        ValueError: If the file is damaged, or belongs to another configuration.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        content.pop("format")
        checkpoint = Checkpoint(**content)
    except Exception as error:  # torch.load raises a dozen types for a damaged file, none of them documented
        raise ValueError(
            f"{path} is damaged and cannot be continued ({type(error).__name__}). Remove it to start this run anew."
        ) from error
    if checkpoint.config_hash != config_hash:
        raise ValueError(
            f"{path} belongs to another configuration ({checkpoint.config_hash}, this one is {config_hash}). "
            "Choose another name=..., or remove its directory."
        )
    return checkpoint
