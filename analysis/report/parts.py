"""The parts of a page: each a piece of HTML, made of texts that are escaped here."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote

from analysis.report.facts import Fact
from analysis.report.failures import Failure
from analysis.report.pictures import Picture
from analysis.report.runs import RunRow, RunTable
from analysis.sheets.html import escaped, html_table
from analysis.sheets.sheet import Sheet
from analysis.sheets.words import count

_LONG = 30  # rows of a table, beyond which the page shows the first ones
_FIRST = 12
_OPEN = 5  # items of a list, beyond which it is folded


def section(identity: str, title: str, *parts: str) -> str:
    """A section with its heading; "" if it has no content."""
    content = "\n".join(filter(None, parts))
    if not content:
        return ""
    heading = f'<h2 id="h-{identity}">{escaped(title)}</h2>'
    return f'<section id="{identity}" aria-labelledby="h-{identity}">\n{heading}\n{content}\n</section>'


def bullets(texts: Iterable[str], kind: str = "") -> str:
    """A list of texts, "" if there are none."""
    items = "".join(f"<li>{escaped(text)}</li>" for text in texts)
    return f"<ul{f' class={kind}' if kind else ''}>{items}</ul>" if items else ""


def folded(summary: str, content: str) -> str:
    """What is there for those who look for it; "" if there is nothing."""
    return f"<details><summary>{escaped(summary)}</summary>\n{content}\n</details>" if content else ""


def fact_list(facts: Iterable[Fact]) -> str:
    """Terms with what there is to say about them."""
    lines = []
    for fact in facts:
        texts = (f"<code>{escaped(text)}</code>" if fact.code else escaped(text) for text in fact.texts)
        lines.append(f"<div><dt>{escaped(fact.term)}</dt>{''.join(f'<dd>{text}</dd>' for text in texts)}</div>")
    return f'<dl class="facts">{"".join(lines)}</dl>' if lines else ""


def table(sheet: Sheet) -> str:
    """A table; of a long one the first rows, and all of it folded."""
    if len(sheet.rows) <= _LONG:
        return html_table(sheet)
    breaks = tuple(number for number in sheet.breaks if number < _FIRST)
    first = replace(sheet, rows=sheet.rows[:_FIRST], breaks=breaks)
    whole = html_table(replace(sheet, notes=(), left_out=()))
    return html_table(first) + "\n" + folded(f"All {len(sheet.rows)} rows", whole)


def picture(one: Picture) -> str:
    """A picture: its data for the script, what it shows, and what it says in words."""
    identity, title = f"picture-{one.kind}", escaped(one.title)
    # No text can end the element that holds it: JSON has other ways to write these letters.
    data = json.dumps(one.figure, separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    height = int(one.figure["layout"]["height"])
    wide = " wide" if one.wide else ""
    return (
        f'<figure class="picture{wide}" id="{identity}" aria-labelledby="h-{identity}">\n'
        f'<h3 id="h-{identity}">{title}</h3>\n'
        f'<div class="plot" role="img" aria-label="{title}; the same in words below" data-panels="{one.panels}" '
        f'style="min-height:{height}px"></div>\n'
        f'<script type="application/json">{data}</script>\n'
        f"<figcaption>{escaped('. '.join(one.notes))}.</figcaption>\n"
        f"{folded('In words', bullets(one.words))}\n</figure>"
    )


def run_rows(runs: RunTable, base: str) -> str:
    """The table of all runs, with what sorts and filters it.

    Args:
        runs: The runs.
        base: The directory of the page, from which links lead.
    """
    titles = [("run", False), ("status", False), *((column.title, column.number) for column in runs.columns)]
    heads = "".join(
        f'<th scope="col"{" class=number" if number else ""}><button type="button">{escaped(title)}</button></th>'
        for title, number in titles
    )
    rows = "\n".join(_run_row(row, runs, base) for row in runs.rows)
    number = count(len(runs.rows), "run")
    return (
        '<div class="filter"><label for="filter">Filter runs</label> '
        '<input id="filter" type="search" autocomplete="off" spellcheck="false" aria-describedby="filter-help"> '
        f'<output id="shown" for="filter" aria-live="polite">{number}</output>\n'
        '<p id="filter-help">Words that a row has to hold, and conditions on a column: '
        "<code>failed</code>, <code>seed=0</code>, <code>epochs_run&gt;=10</code>.</p></div>\n"
        '<div class="table runs">\n<table id="all-runs">\n'
        f"<caption>{escaped(number)}; a title sorts, the name leads to the directory.</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _run_row(row: RunRow, runs: RunTable, base: str) -> str:
    cells = "".join(
        f"<td{' class=number' if column.number else ''}>{escaped(text)}</td>"
        for column, text in zip(runs.columns, row.texts, strict=True)
    )
    name = f'<th scope="row">{link(row.path, base, row.name)}</th>'
    return f'<tr>{name}<td><span class="status {row.status}">{row.status}</span></td>{cells}</tr>'


def link(path: str, base: str, text: str | None = None) -> str:
    """A link to a directory or file, relative to the directory of the page."""
    relative = quote(os.fsencode(os.path.relpath(path, base)))  # a colon in a name is no scheme, either
    return f'<a href="{relative}{"/" if os.path.isdir(path) else ""}">{escaped(text or path)}</a>'


def failure_list(failures: Sequence[Failure], base: str, directory: str) -> str:
    """What went wrong, by reason."""
    items = []
    for one in failures:
        links = [f"<li>{link(path, base, os.path.relpath(path, directory))}</li>" for path in one.paths]
        paths = f"<ul>{''.join(links)}</ul>"
        head = f'<span class="status {one.kind}">{len(one.paths)} {one.kind}</span> {escaped(one.reason)}'
        # Line breaks of a traceback are kept; what is not printable is not.
        lines = "\n".join(escaped(line.replace(" ", "\u00a0")) for line in one.detail.splitlines())
        detail = folded("All that the first recorded", f"<pre>{lines}</pre>") if one.detail else ""
        listed = paths if len(links) <= _OPEN else folded(f"All {len(links)}", paths)
        items.append(f"<li>{head}\n{listed}\n{detail}</li>")
    return f'<ul class="failures">{"".join(items)}</ul>' if items else ""
