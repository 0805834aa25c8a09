"""Finding the run directories and sweep directories below a directory."""

import os
from dataclasses import dataclass, field


@dataclass
class Scan:
    """What lies below a directory, as paths.

    Attributes:
        ended: Run directories that have a `result.json`.
        unfinished: Run directories that have none (yet): still running, or killed.
        sweeps: Directories that have a `sweep.json`.
        unreadable: Directories that could not be listed, each with the reason.
    """

    ended: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    sweeps: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def scan(directory: str) -> Scan:
    """List the runs and sweeps at any depth; links are not followed, as they would count a run twice."""
    found = Scan()
    _visit(directory, found)
    return found


def _visit(directory: str, found: Scan) -> bool:
    """Add what lies at and below `directory` to `found`; return whether a run does."""
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return False  # a sweep that is still running may move or remove what was listed a moment ago
    except OSError as error:
        found.unreadable.append((directory, f"cannot be listed ({error.strerror})"))
        return False
    nested = False
    for entry in entries:
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            nested = _visit(entry.path, found) or nested
    names = {entry.name for entry in entries}
    if "sweep.json" in names:
        found.sweeps.append(directory)
    if "result.json" in names:
        found.ended.append(directory)
        return True
    # A directory of runs may have a .hydra too, so this one alone does not make a run.
    if not nested and ".hydra" in names and "sweep.json" not in names and has_config(directory):
        found.unfinished.append(directory)
        return True
    return nested


def has_config(directory: str) -> bool:
    """Whether a run began in this directory."""
    return os.path.isfile(os.path.join(directory, ".hydra", "config.yaml"))
