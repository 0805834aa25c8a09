"""Sheets as LaTeX that pdflatex compiles with the package booktabs, and longtable for long ones."""

import re

from analysis.sheets.fitting import GAP, LONG, fitted
from analysis.sheets.sheet import Column, Sheet, Text, one_line

_LONG_WORD = 14  # letters
_PIECES = re.compile(r"[^/_=,.\-]{0,12}[/_=,.\-]+|[^/_=,.\-]{1,12}")  # of a long word

_SPECIAL = {character: "\\" + character for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # after a line break, [ and * would belong to it
    "*": "{*}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "−": "$-$",
}


def render_latex(sheet: Sheet, width: float | None = None) -> str:
    r"""A table with its caption; the notes stand below it, and what was left out in comments.

    It floats; from 40 rows on, which no page holds, it is a `longtable`, for which the package of this name is needed.

    Args:
        sheet: What it says.
        width: In points, which the table fits as `fitted` makes it; None for every column in full.
    """
    return "\n".join(_table(one, wide=width is None) for one in ([sheet] if width is None else fitted(sheet, width)))


def _table(sheet: Sheet, wide: bool) -> str:
    long = len(sheet.rows) >= LONG
    edge = "" if wide else "@{}"
    align = "".join(map(_align, sheet.columns))
    caption = rf"\caption{{{_escape(sheet.caption, wide)}}}"
    size = [] if wide else [rf"\footnotesize\setlength{{\tabcolsep}}{{{GAP / 2}pt}}"]
    header = [r"\toprule"]
    for level in range(sheet.levels):
        header += _header_lines(sheet, level)
    header.append(r"\midrule")
    rows = []
    for number, row in enumerate(sheet.rows):
        rows += [r"\midrule"] if number in sheet.breaks else []
        rows.append(" & ".join(map(_place, row, sheet.columns)) + r" \\")
    notes = [rf"{_escape(note, wide)}.\par" for note in sheet.lines]
    if long:
        lines = ["{" + "".join(size), rf"\begin{{longtable}}{{{edge}{align}{edge}}}", caption + r" \\", *header]
        lines += [r"\endfirsthead", *header, r"\endhead", r"\bottomrule", r"\endfoot", *rows, r"\end{longtable}", "}"]
        lines += [r"{\footnotesize\raggedright", *notes, "}"] if notes else []
    else:
        lines = [r"\begin{table}[t]", r"\centering", caption, *size, rf"\begin{{tabular}}{{{edge}{align}{edge}}}"]
        lines += [*header, *rows, r"\bottomrule", r"\end{tabular}"]
        if notes:
            ragged = "" if wide else r"\raggedright"
            lines += ["", r"\medskip", rf"\begin{{minipage}}{{\linewidth}}\footnotesize{ragged}"]
            lines += [*notes, r"\end{minipage}"]
        lines.append(r"\end{table}")
    return "\n".join([*lines, *(f"% {one_line(line)}" for line in sheet.left_out)]) + "\n"


def _align(column: Column) -> str:
    if column.share:
        return rf"p{{{column.share:.3f}\linewidth}}"
    return "l" if column.head else "r"


def _header_lines(sheet: Sheet, level: int) -> list[str]:
    titles, rules, place = [], [], 1
    for title, span in sheet.header(level):
        if level == sheet.levels - 1:
            titles.append(escape_latex(title))
        elif sheet.columns[place - 1].head:
            titles.append("" if span == 1 else rf"\multicolumn{{{span}}}{{l}}{{}}")
        else:
            titles.append(rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(title)}}}")
            rules.append(rf"\cmidrule(lr){{{place}-{place + span - 1}}}")
        place += span
    line = " & ".join(titles) + r" \\"
    return [line, " ".join(rules)] if rules else [line]


def _place(text: Text, column: Column) -> str:
    if column.share and text.text:
        escaped = _escape(text.text, wide=False)
        bold = r"\bfseries " if text.bold else ""
        return rf"{{\raggedright {bold}{escaped}\par}}"
    if not text.number or not text.text:
        escaped = escape_latex(text.text)
        return rf"\textbf{{{escaped}}}" if text.bold and escaped else escaped
    mathematics = text.text.replace("±", r"\pm").replace(" [", r"\;[")
    mathematics = re.sub(r"e([+-]\d+)", lambda power: rf" \cdot 10^{{{int(power[1])}}}", mathematics)
    return rf"$\mathbf{{{mathematics}}}$" if text.bold else f"${mathematics}$"


def _escape(text: str, wide: bool) -> str:
    """Text that means itself; in a narrow table, also commands and paths can be broken into lines."""
    if wide:
        return escape_latex(text)
    words = one_line(text).split(" ")
    pieces = ([word] if len(word) <= _LONG_WORD else _PIECES.findall(word) for word in words)
    return " ".join(r"\allowbreak{}".join(map(escape_latex, of_word)) for of_word in pieces)


def escape_latex(text: str) -> str:
    """Text that means itself; what pdflatex has no letter for is given by its number."""
    escaped = "".join(_SPECIAL.get(character) or _letter(character) for character in one_line(text))
    return re.sub("-(?=-)", "-{}", escaped)  # or two hyphens would become a dash


def _letter(character: str) -> str:
    # Without a font encoding of its own, pdflatex sets ASCII and the accented letters of Latin-1.
    if character.isascii() or ("À" <= character <= "ÿ" and character not in "×÷ÐðÞþ"):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"
