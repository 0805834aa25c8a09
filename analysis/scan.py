"""Finding the run directories and sweep directories below a directory."""

import os
from dataclasses import dataclass, field

_TRACES = ("heartbeat", "metrics.csv")  # what a run leaves besides its config


@dataclass
class Scan:
    """What lies below a directory, as paths.

    Attributes:
        ended: Run directories that have a `result.json`.
        unfinished: Run directories that have none (yet): at work, or killed.
        sweeps: Directories that have a `sweep.json`.
        given_up: Directories of trials that have a `trial.json`: pruned between their seeds.
        skipped: What is not read: directories that cannot be listed or that hold the traces of a run without its
            config, and links that lead elsewhere or cannot be followed; each with the reason.
    """

    ended: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    sweeps: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def scan(directory: str) -> Scan:
    """List the runs and sweeps at any depth; links are not followed, as they would count a run twice."""
    found = Scan()
    _visit(directory, found, os.path.realpath(directory) + os.sep)
    return found


def _visit(directory: str, found: Scan, root: str) -> bool:
    """Add what lies at and below `directory` to `found`; return whether a run does."""
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return False  # a sweep that is still running may move or remove what was listed a moment ago
    except OSError as error:
        found.skipped.append((directory, f"cannot be listed ({error.strerror})"))
        return False
    nested = False
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            nested = _visit(entry.path, found, root) or nested
        elif entry.is_symlink() and (problem := _lost_by(entry, root)):
            found.skipped.append((entry.path, problem))
    return _classify(directory, {entry.name for entry in entries}, nested, found)


def _lost_by(link: "os.DirEntry[str]", root: str) -> str:
    """Why a link may leave something unread; "" where what it leads to is read all the same, or is no directory."""
    try:
        leads_out = link.is_dir() and not (os.path.realpath(link.path) + os.sep).startswith(root)
    except OSError as error:  # such as a link to itself
        return f"is a link that cannot be followed ({error.strerror})"
    return "is a link to a directory elsewhere, and links are not followed" if leads_out else ""


def _classify(directory: str, names: set[str], nested: bool, found: Scan) -> bool:
    if "sweep.json" in names:
        found.sweeps.append(directory)
    if "trial.json" in names:
        found.given_up.append(directory)
    if "result.json" in names:
        found.ended.append(directory)
        return True
    # A directory of runs may have a .hydra too, so this one alone does not make a run.
    if nested or "sweep.json" in names:
        return nested
    if ".hydra" in names and has_config(directory):
        found.unfinished.append(directory)
        return True
    if left := [name for name in _TRACES if name in names]:
        found.skipped.append((directory, f"has {' and '.join(left)}, but no .hydra/config.yaml: not a run"))
    return False


def has_config(directory: str) -> bool:
    """Whether a run began in this directory."""
    return os.path.isfile(os.path.join(directory, ".hydra", "config.yaml"))
