"""The run directories and sweep directories below a directory, and which of the runs are still at work."""

import os
import time
from dataclasses import dataclass, field

from analysis.read.faults import Fault, Skipped

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
    skipped: list[Skipped] = field(default_factory=list)


def scan(directory: str) -> Scan:
    """List the runs and sweeps at any depth; links are not followed, as they would count a run twice."""
    found = Scan()
    root = os.path.realpath(directory) + os.sep
    listed: dict[str, set[str]] = {}  # the names in each directory, which stands before those below it
    pending = [directory]
    while pending:
        here = pending.pop()
        if (entries := _entries(here, found)) is None:
            continue
        listed[here] = {entry.name for entry in entries}
        seen = [entry for entry in entries if not entry.name.startswith(".")]
        pending += [entry.path for entry in reversed(seen) if entry.is_dir(follow_symlinks=False)]
        lost = (_lost_by(entry, root) for entry in seen if entry.is_symlink())
        found.skipped += [link for link in lost if link]
    with_runs: set[str] = set()
    for here in reversed(listed):
        if _classify(here, listed[here], here in with_runs, found):
            with_runs.add(os.path.dirname(here))
    for paths in (found.ended, found.unfinished, found.sweeps, found.given_up):
        paths.reverse()
    found.skipped.sort(key=lambda other: other.path)
    return found


def _entries(directory: str, found: Scan) -> "list[os.DirEntry[str]] | None":
    """What lies in a directory, by name; None if it is gone or cannot be listed."""
    try:
        with os.scandir(directory) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return None  # a sweep that is still running may move or remove what was listed a moment ago
    except OSError as error:
        found.skipped.append(Skipped(directory, Fault.UNREADABLE, f"cannot be listed ({error.strerror})"))
        return None


def _lost_by(link: "os.DirEntry[str]", root: str) -> Skipped | None:
    """Why a link may leave something unread; None where what it leads to is read all the same, or is no directory."""
    try:
        leads_out = link.is_dir() and not (os.path.realpath(link.path) + os.sep).startswith(root)
    except OSError as error:  # such as a link to itself
        return Skipped(link.path, Fault.BROKEN_LINK, f"is a link that cannot be followed ({error.strerror})")
    reason = "is a link to a directory elsewhere, and links are not followed"
    return Skipped(link.path, Fault.LINK_ELSEWHERE, reason) if leads_out else None


def _classify(directory: str, names: set[str], nested: bool, found: Scan) -> bool:
    if "sweep.json" in names:
        found.sweeps.append(directory)
    if "trial.json" in names and os.path.isfile(os.path.join(directory, "trial.json")):
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
        reason = f"has {' and '.join(left)}, but no .hydra/config.yaml: not a run"
        found.skipped.append(Skipped(directory, Fault.NOT_A_RUN, reason))
    return False


def has_config(directory: str) -> bool:
    """Whether a run began in this directory."""
    return os.path.isfile(os.path.join(directory, ".hydra", "config.yaml"))


SILENCE = 120.0  # seconds; a run at work touches its heartbeat every 5

# The first that exists tells; a run that has only begun has nothing but its config.
_SIGNS = ("heartbeat", "metrics.csv", os.path.join(".hydra", "config.yaml"))


def unfinished_status(directory: str, now: float | None = None) -> str:
    """Tell "running" from "stale": whether a run without `result.json` gave a sign within the last two minutes.

    Args:
        directory: The run's.
        now: Seconds since the epoch; None for the present.
    """
    now = time.time() if now is None else now
    for sign in _SIGNS:
        try:
            age = now - os.stat(os.path.join(directory, sign)).st_mtime
        except OSError:
            continue
        return "running" if age < SILENCE else "stale"
    return "stale"
