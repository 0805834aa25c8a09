"""Sheets as Markdown pipe tables."""

import re

from tabulate import tabulate

from analysis.sheets.sheet import Sheet, Text, one_line

# Elsewhere these letters mean themselves, and most texts hold some: intervals, kd_mode, paths.
_MEANS_SOMETHING = re.compile(
    r"[|*`]"
    r"|\\(?=[!-/:-@\[-`{-~]|$)"  # before what it would escape, or what follows the text
    r"|\](?=[(\[:])"  # between the two parts of a link
    r"|(?<![^\W_])_|_(?![^\W_])"  # at the edge of a word
)


def render_markdown(sheet: Sheet) -> str:
    """A pipe table, below it the caption, and then the notes as a list; several lines of titles become one.

    Without rows there is no table.
    """
    header = [_escape(": ".join(filter(None, (*column.above, column.title)))) for column in sheet.columns]
    align = ["left" if column.head else "right" for column in sheet.columns]
    rows = [[_place(text) for text in row] for row in sheet.rows]
    table = tabulate(rows, header, tablefmt="pipe", colalign=align, disable_numparse=True)
    notes = [f"- {_escape(note)}" for note in (*sheet.lines, *sheet.left_out)]
    parts = [table] * bool(rows) + [_escape(sheet.caption)] + ["\n".join(notes)] * bool(notes)
    return "\n\n".join(parts) + "\n"


def _place(text: Text) -> str:
    escaped = _escape(text.text)
    return f"**{escaped}**" if text.bold and escaped else escaped


def _escape(text: str) -> str:
    """Leave a text readable, and keep it from ending a cell or becoming emphasis, a link or HTML."""
    escaped = re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", one_line(text))
    return _MEANS_SOMETHING.sub(r"\\\g<0>", escaped)
