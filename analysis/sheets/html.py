"""Sheets as HTML that needs no script and no style to be read, also aloud."""

from collections.abc import Iterable
from html import escape

from analysis.sheets.sheet import Column, Sheet, Text, one_line

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
div.table { overflow-x: auto; }
table { border-collapse: collapse; border-block: 2px solid; }
caption { caption-side: bottom; padding: .5em 0; text-align: left; }
th, td { padding: .25em .75em; text-align: right; white-space: nowrap; }
th[scope=row], thead th.head { text-align: left; font-weight: normal; }
thead th { border-bottom: 1px solid; vertical-align: bottom; }
thead th[scope=colgroup] { text-align: center; }
tbody + tbody { border-top: 1px solid; }"""


def render_html(sheets: Iterable[Sheet], title: str = "Results") -> str:
    """A complete page."""
    parts = "\n".join(html_table(sheet) for sheet in sheets)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        f"<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<h1>{escaped(title)}</h1>\n{parts}\n</body>\n</html>\n"
    )


def html_table(sheet: Sheet) -> str:
    """A table with its caption, and its notes as a list, to be put into a page."""
    lines = ['<div class="table">', "<table>", f"<caption>{escaped(sheet.caption)}</caption>", "<thead>"]
    lines += [_header_row(sheet, level) for level in range(sheet.levels)]
    lines += ["</thead>", "<tbody>"]
    for number, row in enumerate(sheet.rows):
        lines += ["</tbody>", "<tbody>"] if number in sheet.breaks else []
        lines.append(f"<tr>{''.join(map(_place, sheet.columns, row))}</tr>")
    lines += ["</tbody>", "</table>", "</div>"]
    if notes := (*sheet.lines, *sheet.left_out):
        lines += ["<ul>", *(f"<li>{escaped(note)}</li>" for note in notes), "</ul>"]
    return "\n".join(lines)


def _header_row(sheet: Sheet, level: int) -> str:
    cells, place = [], 0
    for title, span in sheet.header(level):
        head = sheet.columns[place].head
        place += span
        if level < sheet.levels - 1:
            cells.append(f'<td colspan="{span}"></td>' if head else _group(title, span))
        else:
            attributes = 'scope="col" class="head"' if head else 'scope="col"'
            cells.append(f"<th {attributes}>{escaped(title)}</th>")
    return f"<tr>{''.join(cells)}</tr>"


def _group(title: str, span: int) -> str:
    return f'<th scope="colgroup" colspan="{span}">{escaped(title)}</th>'


def _place(column: Column, text: Text) -> str:
    content = escaped(text.text)
    if column.head:
        return f'<th scope="row">{content}</th>'
    return f"<td>{f'<strong>{content}</strong>' if text.bold else content}</td>"


def escaped(text: str) -> str:
    """Text of a page, or of an attribute in quotes: whatever a user named so, it stays text."""
    return escape(one_line(text))
