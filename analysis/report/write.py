"""Writes a report, once or again and again while a sweep runs."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

from analysis.figures.kinds import read_source
from analysis.read.files import find_place, write_file
from analysis.read.gather import Gathered, gather
from analysis.read.tree import SILENCE
from analysis.report.content import report_content
from analysis.report.page import render_page
from analysis.select.inventory import counts_line

NAME = "report.html"
PAUSE = 3.0  # seconds between two looks at the directory
_BEGINNING = b"<!DOCTYPE html>"  # of a page
_SHARE = 4  # pauses take at least as many times as long as writing: training needs the processor more

Traces = tuple[object, ...]


def write_report(directory: str, out: str | None = None, note: str = "") -> str:
    """Write the report on a directory, and return its path.

    A page that is there is replaced at once: a reader sees the old one or the new one. Nothing else is replaced.

    Args:
        directory: Holds the runs.
        out: The page's path; None for `report.html` in the directory.
        note: To follow the time at which it was written.
    Raises:
        ValueError: If the directory holds no run, or the page cannot be written.
    """
    out = _place(directory, out)
    report = report_content(read_source(directory))
    page = render_page(report, os.path.dirname(out) or ".", datetime.now(UTC), note)
    return write_file(out, page.encode(errors="backslashreplace"))


def _place(directory: str, out: str | None) -> str:
    """The path of the page; what can never become one is refused before any work."""
    if not out:
        return os.path.join(os.path.normpath(directory), NAME)
    if os.path.isdir(out):
        raise ValueError(f"{out} is a directory; give a file, such as --out {os.path.join(out, NAME)}")
    find_place(out, _BEGINNING)
    return out


def watch_report(
    directory: str, out: str | None = None, tell: Callable[[str], object] = print, pause: float = PAUSE
) -> None:
    """Write the report, and again whenever runs have changed, until none is running or about to.

    What is planned and missing counts as about to run for two minutes after the last change. As long, a directory may
    hold nothing yet, and what goes wrong is tried again.

    Args:
        directory: Holds the runs.
        out: As in `write_report`.
        tell: Receives a line each time.
        pause: Seconds between two looks, at least.
    Raises:
        ValueError: As in `write_report`, at once if the directory is not there or no page can ever lie at `out`.
    """
    _place(directory, out)
    before: Traces = ()
    took, told = 0.0, ""
    waiting: float | None = None  # since when
    while True:
        began = time.monotonic()
        patient = waiting is None or began - waiting < SILENCE
        try:
            line, traces, going = _look(directory, out, before, patient)
        except (ValueError, OSError) as error:
            if not patient or not os.path.isdir(directory):
                raise ValueError(str(error)) from error
            line, traces, going = f"{error}; trying again", (), True
        before = traces or before
        waiting = None if traces else waiting or began
        if line and (traces or line != told):  # a reason to wait is told once
            tell(line)
        if not going:
            return
        if line:
            told, took = line, time.monotonic() - began
        time.sleep(max(pause, _SHARE * took))


def _look(directory: str, out: str | None, before: Traces, patient: bool) -> tuple[str, Traces, bool]:
    """Write the report if there is something new to show.

    Returns:
        What to tell, "" if nothing is new; the traces, () where nothing has begun; whether to look again.
    """
    gathered = gather(directory)
    if patient and gathered.runs.empty and not gathered.plan:
        return f"{gathered.directory}: waiting for the first run", (), True
    going, traces = _going(gathered), _traces(gathered)
    if traces == before and going:
        return "", traces, True
    note = "; it is rewritten while runs are at work, so reload it now and then" if going else ""
    return f"{write_report(directory, out, note)}: {counts_line(gathered)}", traces, going


def _going(gathered: Gathered) -> bool:
    counts = gathered.counts()
    signs = (*map(_changed, gathered.runs["path"]), *(_changed(sweep.path) for sweep in gathered.plan))
    newest = max((when for when in signs if when), default=0.0)
    return counts["running"] > 0 or (counts["missing"] > 0 and time.time() - newest < SILENCE)


def _traces(gathered: Gathered) -> Traces:
    """What differs as soon as there is something new to show: states, and epochs of the runs at work."""
    runs = gathered.runs
    states = zip(runs["path"], runs["status"], runs["finished"], strict=True)
    at_work = runs.loc[runs["status"] == "running", "path"]
    return (*states, *map(_changed, at_work), *sorted(gathered.counts().items()))


def _changed(directory: str) -> float | None:
    """When a run last wrote a result or an epoch, or a sweep its plan."""
    for name in ("result.json", "metrics.csv", "sweep.json", os.path.join(".hydra", "config.yaml")):
        try:
            return os.stat(os.path.join(directory, name)).st_mtime
        except OSError:
            continue
    return None
