"""What is said beside numbers and of files, by kind: so that tests need not compare sentences."""

import os
from collections.abc import Iterable
from pathlib import Path

from analysis.read.faults import Fault, Skipped
from analysis.sheets.notes import Kind, Level, Note


def kinds(notes: Iterable[Note]) -> list[Kind]:
    """The kinds of notes, in their order."""
    return [note.kind for note in notes]


def of_kind(notes: Iterable[Note], *wanted: Kind) -> list[Note]:
    """The notes of some kinds."""
    return [note for note in notes if note.kind in wanted]


def text_of(notes: Iterable[Note], kind: Kind) -> str:
    """The text of the only note of a kind."""
    (note,) = of_kind(notes, kind)
    return note.text


def cautions(notes: Iterable[Note]) -> list[Kind]:
    """The kinds of the notes that are cautions."""
    return [note.kind for note in notes if note.level is Level.CAUTION]


def faults(skipped: Iterable[Skipped], directory: Path) -> list[tuple[str, Fault]]:
    """Where something below a directory could not be used, and what is wrong with it."""
    return [(os.path.relpath(other.path, directory), other.kind) for other in skipped]
