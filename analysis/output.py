"""Writes what a command found in the format that was asked for."""

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.sheets.html import render_html
from analysis.sheets.latex import render_latex
from analysis.sheets.markdown import render_markdown
from analysis.sheets.sheet import Sheet


def render(
    format_: str,
    sheets: Sequence[Sheet],
    records: Iterable[Mapping[str, Any]],
    content: Any,
    title: str = "Results",
    fields: Sequence[str] = (),
) -> str:
    """Render a result.

    Args:
        format_: md, html, latex, csv or json.
        sheets: For people.
        records: For machines that read tables: flat, with the same keys.
        content: For machines that read JSON.
        title: Of an HTML page.
        fields: Names of the records' keys, where there may be no record to tell them.
    """
    if format_ == "html":
        return render_html(sheets, title)
    if format_ == "csv":
        return as_csv(records, fields)
    if format_ == "json":
        return as_json(content)
    return "\n".join({"md": render_markdown, "latex": render_latex}[format_](sheet) for sheet in sheets)


def write(
    format_: str,
    title: str,
    sheets: Sequence[Sheet],
    records: Sequence[Mapping[str, Any]],
    content: Any,
    fields: Sequence[str] = (),
) -> None:
    """Write a result to stdout; notes that have no place in the format go to stderr. See `render`."""
    sys.stdout.write(render(format_, sheets, records, content, title, fields))
    if format_ == "csv":
        for sheet in sheets:
            print(*sheet.notes, *sheet.left_out, sep="\n", file=sys.stderr)


def as_csv(records: Iterable[Mapping[str, Any]], fields: Sequence[str] = ()) -> str:
    """Records as CSV: null is an empty field, and truth values are true and false. Without records: the `fields`."""
    records = list(records)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]) if records else fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in record.items()} for record in records)
    return out.getvalue()


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def as_json(content: Any) -> str:
    """JSON; a number that it has no word for, as the loss of a run that diverged, is null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
