"""Lays out how far a sweep is."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from analysis.read.gaps import Gap
from analysis.read.gather import STATUSES
from analysis.select.inventory import listed_cells, noted
from analysis.select.metrics import describe_metric
from analysis.sheets.markdown import render_markdown
from analysis.sheets.notes import Kind, Note
from analysis.sheets.numbers import fixed
from analysis.sheets.sheet import Column, Sheet, Text
from analysis.sheets.words import count
from analysis.status.status import AtWork, Progress, Status


def render_status(status: Status) -> str:
    """Markdown: a table of counts, one of what is at work, what failed and what is to do, and the commands."""
    parts = [render_markdown(lay_out_counts(status))]
    if status.running:
        parts.append(render_markdown(lay_out_running(status)))
    if status.commands:
        share = " (beside one that is at work, it takes a share)" if status.running else ""
        parts.append("\n".join([f"What goes on{share}:", "", "```", *status.commands, "```", ""]))
    return "\n".join(parts)


def lay_out_counts(status: Status) -> Sheet:
    """A row a study."""
    columns = (Column("study", head=True), *(Column(title) for title in ("planned", *STATUSES, "to do")))
    rows = tuple(_counts(progress) for progress in status.studies)
    return Sheet(f"Runs below {status.directory}.", columns, rows, notes=tuple(remarks(status)))


def _counts(progress: Progress) -> tuple[Text, ...]:
    planned = "-" if progress.planned is None else str(progress.planned)
    numbers = (planned, *(str(progress.counts[status]) for status in STATUSES), str(progress.to_do))
    return (Text(progress.study), *(Text(number, number=True) for number in numbers))


def lay_out_running(status: Status) -> Sheet:
    """A row a run at work."""
    titles = ("epoch", "metric", "value", "time left")
    columns = (Column("running", head=True), *(Column(title) for title in titles))
    caption = "Time left: at the run's own pace, or at that of complete runs where it has none yet."
    return Sheet(caption, columns, tuple(_at_work(run) for run in status.running))


def _at_work(run: AtWork) -> tuple[Text, ...]:
    epochs = "?" if run.epochs is None else str(run.epochs)
    value = "-" if run.metric is None else fixed(run.value or 0.0, describe_metric(run.metric).decimals)
    left = "unknown" if run.seconds_left is None else duration(run.seconds_left)
    texts = (f"{run.epoch}/{epochs}", run.metric or "-", value, left)
    return (Text(run.directory), *(Text(text, number=True) for text in texts))


def duration(seconds: float) -> str:
    """As in "35 s", "4 min", "2 h 10 min", "1 d 3 h"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def remarks(status: Status) -> Iterator[Note]:
    """What failed, was killed, is to do and could not be read."""
    yield from noted(Kind.STATUS, "failed: ", (f"{path}: {reason}" for path, reason in status.failed))
    yield from noted(Kind.STATUS, "stale (no result and no sign of life; killed?): ", status.stale)
    for missing in status.missing:
        yield Note(Kind.STATUS, f"to do: {missing.count} of study {missing.study}{listed_cells(missing)}")
    if status.given_up:
        given_up = count(status.given_up, "trial")
        yield Note(Kind.STATUS, f"{given_up} given up between seeds: the planned runs of the others are not made")
    yield from noted(Kind.SKIPPED, "skipped: ", map(str, status.skipped))
    begun = not any(progress.to_do for progress in status.studies)
    if begun and not (status.running or status.stale or status.skipped or status.commands):
        yield Note(Kind.DONE, "done")


def status_content(status: Status) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "directory": status.directory,
        "studies": [asdict(progress) for progress in status.studies],
        "running": [asdict(run) for run in status.running],
        "failed": [{"directory": path, "reason": reason} for path, reason in status.failed],
        "stale": list(status.stale),
        "missing": [_missing(missing) for missing in status.missing],
        "commands": list(status.commands),
        "skipped": [{"path": other.path, "reason": other.reason} for other in status.skipped],
        "given_up": status.given_up,
    }


def _missing(missing: Gap) -> dict[str, Any]:
    cells = [dict(cell) for cell in missing.cells]
    return {"sweep": missing.sweep.path, "study": missing.study, "count": missing.count, "cells": cells}
