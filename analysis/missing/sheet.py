"""Lays out what lacks a complete run."""

from collections.abc import Iterable

from analysis.missing.missing import Lacking
from analysis.read.gather import Gathered
from analysis.select.inventory import counts_line
from analysis.sheets.notes import Kind, Note
from analysis.sheets.sheet import Column, Sheet, Text

FIELDS = ("cell", "state", "command")  # of `Lacking`, and titles of its table


def lay_out_lacking(lacking: Iterable[Lacking], gathered: Gathered) -> Sheet:
    """A row a cell; below, the commands that go on with whole sweeps."""
    columns = tuple(Column(title, head=True) for title in FIELDS)
    rows = tuple((Text(cell.cell), Text(cell.state), Text(cell.command or "")) for cell in lacking)
    commands = ((missing.sweep.command, missing.is_open) for missing in gathered.gaps)
    sweeps = dict.fromkeys(command for command, is_open in commands if command and is_open)
    notes = [Note(Kind.SWEEP, f"all that a sweep lacks: {command}") for command in sweeps]
    if gathered.counts()["running"]:
        notes.append(Note(Kind.AT_WORK, "runs are at work: what is missing may be about to start"))
    what = "Cells" if rows else "No cell"
    caption = f"{what} without a complete run below {gathered.directory}: {counts_line(gathered)}."
    return Sheet(caption, columns, rows, notes=tuple(notes))
