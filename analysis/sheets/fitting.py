"""Makes a sheet as narrow as a page or column: what repeats goes into the notes, and what is long is broken."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from string import ascii_lowercase

from analysis.sheets.notes import Kind, Note
from analysis.sheets.sheet import Column, Sheet, Text

WIDTHS = {"page": 345.0, "column": 200.0}  # points of a line in LaTeX's article, and in one of its two columns
GAP = 5.0  # between columns
LONG = 40  # rows, from which on a table is longer than a page
_LEAST = 45.0  # of a column whose texts are broken
_MOST = 8  # texts that are told in the notes
_LONG = 12  # letters of a text that is worth a note
_IN_BRACKETS = re.compile(r"(.*\S) \((.+)\)")

Row = Sequence[Text]


def fitted(sheet: Sheet, width: float) -> list[Sheet]:
    """The sheet as tables of a width (in points) in letters of 8 points; more than one where its numbers are too wide.

    The conditions, abbreviated titles, and texts that many rows share are told in the notes, which the last one has.
    """
    notes: list[Note] = []
    if sheet.conditions and sheet.caption.endswith(sheet.conditions):
        notes.append(Note(Kind.STATED, sheet.conditions.strip().removesuffix(".")))
        sheet = replace(sheet, caption=sheet.caption.removesuffix(sheet.conditions).strip())
    for step in (_without_constant, _marked, _abbreviated):
        sheet, told = step(sheet)
        notes += told
    *first, last = [_broken(one, width) for part in _parts(sheet, width) for one in _in_height(part, width)]
    first = [replace(part, notes=(), left_out=()) for part in first]
    return [*first, replace(last, notes=(*notes, *sheet.notes))]


def _without_constant(sheet: Sheet) -> tuple[Sheet, list[Note]]:
    """Leave out columns that may stand aside and say the same in all rows, and wherever else their title stands."""
    texts: dict[str, set[str]] = {}
    for place, column in enumerate(sheet.columns):
        if column.aside:
            texts.setdefault(column.title, set()).update(row[place].text for row in sheet.rows if row[place].text)
    constant = {title: found.pop() for title, found in texts.items() if len(found) == 1}
    kept = [place for place, column in enumerate(sheet.columns) if not (column.aside and column.title in constant)]
    if all(sheet.columns[place].head for place in kept):
        return sheet, []
    notes = [Note(Kind.COLUMNS, f"{title}: {text}, in all rows that tell it") for title, text in constant.items()]
    return _with_places(sheet, kept), notes


def _marked(sheet: Sheet) -> tuple[Sheet, list[Note]]:
    """Put a letter in the place of long texts that stand aside, and of what stands in brackets behind others."""
    marks: dict[str, str] = {}

    def marked(text: Text, column: Column) -> Text:
        whole, lead = column.aside and len(text.text) > _LONG, ""
        found = None if whole or text.number else _IN_BRACKETS.fullmatch(text.text)
        if not whole and (found is None or len(found[2]) <= _LONG):
            return text
        lead, said = (f"{found[1]} ", found[2]) if found else ("", text.text)
        letter = marks.setdefault(said, ascii_lowercase[len(marks) % 26])
        return replace(text, text=f"{lead}({letter})")

    rows = tuple(tuple(map(marked, row, sheet.columns)) for row in sheet.rows)
    if len(marks) > _MOST:
        return sheet, []
    return replace(sheet, rows=rows), [Note(Kind.COLUMNS, f"({mark}) {said}") for said, mark in marks.items()]


def _abbreviated(sheet: Sheet) -> tuple[Sheet, list[Note]]:
    whole = {column.short: column.title for column in sheet.columns if column.short not in ("", column.title)}
    columns = tuple(replace(column, title=column.short or column.title) for column in sheet.columns)
    notes = [Note(Kind.COLUMNS, f"{short}: {title}") for short, title in whole.items()]
    return replace(sheet, columns=columns), notes


def _parts(sheet: Sheet, width: float) -> list[Sheet]:
    """Tables with the columns that name rows and as many of the others as fit, those of one title above together."""
    widths = _widths(sheet)
    heads = [place for place, column in enumerate(sheet.columns) if column.head]
    room = width - sum(min(widths[place], _LEAST) + GAP for place in heads)
    parts: list[list[int]] = [[]]
    for unit in _units(sheet, len(heads), widths, room):
        if parts[-1] and sum(widths[place] + GAP for place in (*parts[-1], *unit)) > room:
            parts.append([])
        parts[-1] += unit
    return [_with_places(sheet, [*heads, *part]) for part in parts]


def _in_height(sheet: Sheet, width: float) -> list[Sheet]:
    """The sheet itself; in two columns, where no table can go on on the next page, tables that each fit one."""
    if width >= WIDTHS["page"] or len(sheet.rows) < LONG:
        return [sheet]
    starts = range(0, len(sheet.rows), LONG - 1)
    return [
        replace(
            sheet,
            rows=sheet.rows[start : start + LONG - 1],
            breaks=tuple(row - start for row in sheet.breaks if start < row < start + LONG - 1),
        )
        for start in starts
    ]


def _units(sheet: Sheet, heads: int, widths: Sequence[float], room: float) -> Iterator[list[int]]:
    """The columns that are kept together: those below one title, unless they alone are too wide."""
    for above, found in groupby(range(heads, len(sheet.columns)), key=lambda place: sheet.columns[place].above):
        places = list(found)
        if any(above) and sum(widths[place] + GAP for place in places) <= room:
            yield places
        else:
            yield from ([place] for place in places)


def _broken(sheet: Sheet, line: float) -> Sheet:
    """Give the widest columns of texts a share of the line where all of them are too wide for it."""
    widths = _widths(sheet)
    texts = [place for place, column in enumerate(sheet.columns) if column.head or not _has_numbers(sheet.rows, place)]
    room = line - sum(width + GAP for width in widths) + sum(widths[place] for place in texts)
    shares: dict[int, float] = {}
    for left, place in zip(range(len(texts), 0, -1), sorted(texts, key=lambda place: widths[place]), strict=True):
        width = min(widths[place], max(room / left, _LEAST))
        room -= width
        if width < widths[place]:
            shares[place] = width / line
    columns = (replace(column, share=shares.get(place, 0.0)) for place, column in enumerate(sheet.columns))
    return replace(sheet, columns=tuple(columns))


def _has_numbers(rows: Iterable[Row], place: int) -> bool:
    return any(row[place].number for row in rows)


def _with_places(sheet: Sheet, places: Sequence[int]) -> Sheet:
    columns = tuple(sheet.columns[place] for place in places)
    return replace(sheet, columns=columns, rows=tuple(tuple(row[place] for place in places) for row in sheet.rows))


def _widths(sheet: Sheet) -> list[float]:
    """How wide each column is, in points; a title above counts in equal parts for the columns below it."""
    widths = [max([_width(column.title), *(_width(row[place].text, row[place].bold) for row in sheet.rows)])
              for place, column in enumerate(sheet.columns)]  # fmt: skip
    for level in range(sheet.levels - 1):
        place = 0
        for title, span in sheet.header(level):
            lacking = _width(title) - sum(widths[place : place + span]) - GAP * (span - 1)
            widths[place + span - 1] += max(lacking, 0.0)  # as LaTeX does: the last one takes the rest
            place += span
    return widths


def _width(text: str, bold: bool = False) -> float:
    """How wide a text is in 8 points, rather too much than too little."""
    return sum(map(_of_letter, text)) * (1.1 if bold else 0.95)


def _of_letter(letter: str) -> float:
    if letter in " .,;:!'|()[]ijlt":
        return 2.7
    if letter == "-":
        return 5.0  # in mathematics it is a sign
    return 6.8 if letter.isupper() or letter in "mw%&±+−<>=λΔ" or not letter.isascii() else 4.3
