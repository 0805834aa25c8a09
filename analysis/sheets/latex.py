"""Sheets as LaTeX that pdflatex compiles with the package booktabs alone."""

import re

from analysis.sheets.sheet import Sheet, Text, one_line

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
    "−": "$-$",
}


def render_latex(sheet: Sheet) -> str:
    r"""A floating table with its caption; the notes stand below it, and what was left out in comments."""
    align = "".join("l" if column.head else "r" for column in sheet.columns)
    lines = [r"\begin{table}[t]", r"\centering", rf"\caption{{{escape_latex(sheet.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
    for level in range(sheet.levels):
        lines += _header_lines(sheet, level)
    lines.append(r"\midrule")
    for number, row in enumerate(sheet.rows):
        lines += [r"\midrule"] if number in sheet.breaks else []
        lines.append(" & ".join(_place(text) for text in row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if sheet.notes:
        lines += ["", r"\medskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        lines += [rf"{escape_latex(note)}.\par" for note in sheet.lines]
        lines.append(r"\end{minipage}")
    lines += [r"\end{table}", *(f"% {one_line(line)}" for line in sheet.left_out)]
    return "\n".join(lines) + "\n"


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


def _place(text: Text) -> str:
    if not text.number or not text.text:
        escaped = escape_latex(text.text)
        return rf"\textbf{{{escaped}}}" if text.bold and escaped else escaped
    mathematics = text.text.replace("±", r"\pm").replace(" [", r"\;[")
    mathematics = re.sub(r"e([+-]\d+)", lambda power: rf" \cdot 10^{{{int(power[1])}}}", mathematics)
    return rf"$\mathbf{{{mathematics}}}$" if text.bold else f"${mathematics}$"


def escape_latex(text: str) -> str:
    """Text that means itself; what pdflatex has no letter for is given by its number."""
    escaped = "".join(_SPECIAL.get(character) or _letter(character) for character in one_line(text))
    return re.sub("-(?=-)", "-{}", escaped)  # or two hyphens would become a dash


def _letter(character: str) -> str:
    # Without a font encoding of its own, pdflatex sets ASCII and the accented letters of Latin-1.
    if character.isascii() or ("À" <= character <= "ÿ" and character not in "×÷ÐðÞþ"):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"
