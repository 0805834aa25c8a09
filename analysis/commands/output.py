"""Writes what a command found in the format that was asked for."""

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.sheets.fitting import WIDTHS
from analysis.sheets.html import render_html
from analysis.sheets.latex import render_latex
from analysis.sheets.markdown import render_markdown
from analysis.sheets.sheet import Sheet, one_line, spelt_lines

_OF_FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # the wide ones count in East Asian settings


def render(
    format_: str,
    sheets: Sequence[Sheet],
    records: Iterable[Mapping[str, Any]],
    content: Any,
    title: str = "Results",
    fields: Sequence[str] = (),
    safe: bool = False,
    width: str = "full",
) -> str:
    """Render a result.

    Args:
        format_: md, html, latex, csv or json.
        sheets: For people.
        records: For machines that read tables: flat, with the same keys.
        content: For machines that read JSON.
        title: Of an HTML page.
        fields: Names of the records' keys, where there may be no record to tell them.
        safe: Whether CSV is for a spreadsheet, as in `as_csv`.
        width: Of LaTeX: "page", "column", or "full" for every column in full.
    """
    if format_ == "html":
        return render_html(sheets, title)
    if format_ == "csv":
        return as_csv(records, fields, safe)
    if format_ == "json":
        return as_json(content)
    if format_ == "latex":
        return "\n".join(render_latex(sheet, WIDTHS.get(width)) for sheet in sheets)
    return "\n".join(map(render_markdown, sheets))


def write(
    format_: str,
    title: str,
    sheets: Sequence[Sheet],
    records: Sequence[Mapping[str, Any]],
    content: Any,
    fields: Sequence[str] = (),
    safe: bool = False,
    width: str = "full",
) -> None:
    """Write a result to stdout; notes that have no place in the format go to stderr. See `render`."""
    emit(render(format_, sheets, records, content, title, fields, safe, width))
    if format_ == "csv":
        tell(line for sheet in sheets for line in (*sheet.lines, *sheet.left_out))


def emit(text: str) -> None:
    """Write to stdout: a file or another program gets every character, and a terminal none that it would obey."""
    if sys.stdout.isatty():
        text = spelt_lines(text)
    sys.stdout.write(text)


def tell(lines: Iterable[str]) -> None:
    """Write to stderr, each on a line of its own, whatever it holds."""
    for line in lines:
        print(one_line(line), file=sys.stderr)


def as_csv(records: Iterable[Mapping[str, Any]], fields: Sequence[str] = (), safe: bool = False) -> str:
    """Records as CSV: null is an empty field, and truth values are true and false.

    Args:
        records: With the same keys.
        fields: The keys, for the case that there is no record.
        safe: Whether an apostrophe goes before texts that a spreadsheet would take for a formula, and run.
    """
    records = list(records)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_plain(name, safe) for name in (records[0] if records else fields))
    writer.writerows([_plain(value, safe) for value in record.values()] for record in records)
    return out.getvalue()


def _plain(value: Any, safe: bool) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    is_formula = safe and isinstance(value, str) and value.lstrip().startswith(_OF_FORMULAS)
    return f"'{value}" if is_formula else value


def as_json(content: Any) -> str:
    """JSON; a number that it has no word for, as the loss of a run that diverged, is null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
