"""Renders a table as Markdown, CSV or LaTeX."""

import csv
import io
from collections.abc import Callable
from typing import Any

from tabulate import tabulate

from analysis.notes import as_text
from analysis.summary import Row, Table


def render_markdown(table: Table) -> str:
    """A pipe table, and below it the notes as a list."""
    header, rows = _cells(table, plus_minus="±")
    align = ["left"] * len(table.by) + ["right"] * (len(header) - len(table.by))
    escaped = [[_escape_markdown(cell) for cell in row] for row in (header, *rows)]
    text = tabulate(escaped[1:], escaped[0], tablefmt="pipe", colalign=align, disable_numparse=True)
    return "\n".join([text, "", *(f"- {note}" for note in table.notes), ""])


def render_csv(table: Table) -> str:
    """Full precision, the same columns for every table, empty where n does not allow a number. No notes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*table.by, "metric", "mean", "sd", "n", "diff", "ci_low", "ci_high", "compared_by"])
    for row in table.rows:
        d = row.difference
        compared = (d.value, d.low, d.high, d) if d else (None,) * 4
        writer.writerow([*row.key, table.metric.name, row.mean, row.sd, row.n, *compared])
    return out.getvalue()


def render_latex(table: Table) -> str:
    r"""A tabular that needs the package booktabs alone; the notes are comments."""
    header, rows = _cells(table, plus_minus=r"\pm", number=lambda text: f"${text}$")
    escaped = [_escape_latex(title) for title in header]
    align = "l" * len(table.by) + "r" * (len(header) - len(table.by))
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", " & ".join(escaped) + r" \\", r"\midrule"]
    for row in rows:
        keys, numbers = row[: len(table.by)], row[len(table.by) :]
        lines.append(" & ".join([*(_escape_latex(key) for key in keys), *numbers]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


RENDERERS: dict[str, Callable[[Table], str]] = {
    "md": render_markdown,
    "csv": render_csv,
    "latex": render_latex,
}


def _cells(
    table: Table, plus_minus: str, number: Callable[[str], str] = lambda text: text
) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text; `number` wraps what is a number, `plus_minus` goes between mean and spread."""
    header = [*table.by, table.metric.label, "n"]
    if table.baseline is not None:
        header += [f"difference to {table.baseline} [95 % CI]", "compared by"]
    rows = []
    for row in table.rows:
        cells = [as_text(value) for value in row.key]
        cells += [_mean_cell(row, table, plus_minus, number), str(row.n)]
        if table.baseline is not None:
            cells += _difference_cells(row, table, number)
        rows.append(cells)
    return header, rows


def _mean_cell(row: Row, table: Table, plus_minus: str, number: Callable[[str], str]) -> str:
    if row.mean is None:
        return "-"
    mean = _fixed(row.mean, table)
    return number(mean if row.sd is None else f"{mean} {plus_minus} {_fixed(row.sd, table)}")


def _difference_cells(row: Row, table: Table, number: Callable[[str], str]) -> list[str]:
    difference = row.difference
    if difference is None:
        return ["", ""]
    text = number(_fixed(difference.value, table, "+"))
    if difference.low is not None:
        text += " " + number(f"[{_fixed(difference.low, table, '+')}, {_fixed(difference.high, table, '+')}]")
    return [text, str(difference)]


def _fixed(value: Any, table: Table, sign: str = "") -> str:
    return f"{value:{sign}z.{table.metric.decimals}f}"  # z: a difference that rounds to zero has no minus


def _escape_markdown(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


_LATEX = {character: "\\" + character for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # after a line break, [ and * would belong to it
    "*": "{*}",
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
