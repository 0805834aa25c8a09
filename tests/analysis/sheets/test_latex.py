"""LaTeX as a whole, what could break it, and that a real LaTeX compiles it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.means.sheet import lay_out
from analysis.sheets.latex import escape_latex, render_latex
from analysis.sheets.sheet import Column, Sheet, Text
from tests.analysis.tables import across, down

DOCUMENT = r"""\documentclass[%s]{article}
\usepackage{booktabs,longtable}
\begin{document}
%s
\end{document}
"""
ODD = "[a|b]\n{50%}_\\~^#$&*<>\"`--é≤漢 O'Neil ± − … Ðð×÷ \x07 50 % [x] https://a.b/c_d?e=f#g"


def test_latex() -> None:
    assert render_latex(lay_out(down())) == (
        "\\begin{table}[t]\n"
        "\\centering\n"
        "\\caption{Val top-1, last epoch (\\%): mean $\\pm$ sample sd over runs. Dataset digits; seeds 0 to 2.}\n"
        "\\begin{tabular}{llrrrrr}\n"
        "\\toprule\n"
        "kd\\_mode & lambda\\_inter & val top-1, last epoch (\\%) & n & difference to none {[}95 \\% CI] & p & "
        "compared by \\\\\n"
        "\\midrule\n"
        "none & 0 & $61.00 \\pm 1.00$ & $3$ &  &  &  \\\\\n"
        "tfd\\_plus & 0.0005 & $\\mathbf{63.00 \\pm 2.00}$ & $3$ & $+2.00\\;[-0.48, +4.48]$ & $0.250$ & "
        "3 paired seeds, t \\\\\n"
        "tfd & 0.001 & $61.00$ & $1$ & $+0.00$ & - & means \\\\\n"
        "at & - & - & $0$ &  &  &  \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\n"
        "\\medskip\n"
        "\\begin{minipage}{\\linewidth}\\footnotesize\n"
        "7 complete, 0 pruned, 1 failed.\\par\n"
        "\\end{minipage}\n"
        "\\end{table}\n"
        "% failed: results/x/terms/0003: 100 % wrong\n"
    )


def test_titles_above_span_their_columns() -> None:
    lines = render_latex(lay_out(across(), show=["mean"])).splitlines()
    start = lines.index(r"\toprule")
    best = r"test top-1, best test epoch (\%)"
    assert lines[start + 1 : start + 5] == [
        r" & \multicolumn{6}{c}{resnet20} & \multicolumn{6}{c}{vgg8} \\",
        r"\cmidrule(lr){2-7} \cmidrule(lr){8-13}",
        rf" & \multicolumn{{1}}{{c}}{{test top-1, last epoch (\%)}} & \multicolumn{{1}}{{c}}{{{best}}} & "
        r"\multicolumn{4}{c}{cost} & \multicolumn{1}{c}{test top-1, last epoch (\%)} & "
        rf"\multicolumn{{1}}{{c}}{{{best}}} & \multicolumn{{4}}{{c}}{{cost}} \\",
        r"\cmidrule(lr){2-2} \cmidrule(lr){3-3} \cmidrule(lr){4-7} \cmidrule(lr){8-8} \cmidrule(lr){9-9} "
        r"\cmidrule(lr){10-13}",
    ]
    assert lines[start + 6] == lines[start + 9] == r"\midrule"  # the second one before the published row


def test_text_means_itself() -> None:
    assert escape_latex("[a|b]\n{50%}_\\~^#$&*") == (
        r"{[}a$|$b] \{50\%\}\_\textbackslash{}\textasciitilde{}\textasciicircum{}\#\$\&{*}"
    )
    assert escape_latex("--mix é 漢 ≤") == "-{}-mix é {[}U+6F22{]} {[}U+2264{]}"


def test_powers_of_ten_are_set_as_such() -> None:
    row = (Text("1.00e+308 ± 2.50e-05", number=True), Text("1.00e+308"))
    last = render_latex(Sheet("", (Column("a"), Column("b")), (row,))).splitlines()[7]
    assert last == r"$1.00 \cdot 10^{308} \pm 2.50 \cdot 10^{-5}$ & 1.00e+308 \\"


def _compile(directory: Path, tables: str, columns: str = "onecolumn") -> list[float]:
    """Compile, and return by how many points each box is too wide."""
    (directory / "paper.tex").write_text(DOCUMENT % (columns, tables), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (directory / "paper.pdf").stat().st_size > 1000
    log = (directory / "paper.log").read_text(errors="replace")
    assert "Missing character" not in log
    return [float(points) for points in re.findall(r"Overfull \\hbox \((\S+)pt too wide\)", log)]


needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


@pytest.mark.latex
@needs_latex
def test_a_real_latex_compiles_it(tmp_path: Path) -> None:
    columns = (Column("", ("", ""), True), Column("x", (ODD, "a")), Column(ODD, (ODD, "a")))
    rows = (
        (Text(ODD), Text("1.00 ± 0.50", True, True), Text(ODD, bold=True)),
        (Text("*"), Text("<0.001", True), Text()),
    )
    odd = Sheet(ODD, columns, rows, breaks=(1,), notes=(ODD, "--missing lists them"), left_out=(ODD, "% 漢 \\end{"))
    empty = Sheet("Nothing.", columns, ())
    _compile(tmp_path, "\n".join(render_latex(sheet) for sheet in (lay_out(down()), lay_out(across()), odd, empty)))


@pytest.fixture
def trees(tmp_path: Path, write_run: Any) -> tuple[str, str]:
    """An ablation of two commits, with a teacher, a run that died, and names that LaTeX would read."""
    lambdas = {"none": (0.0, 0.0), "intra": (8e-4, 0.0), "inter": (0.0, 5e-4), "tfd": (8e-4, 5e-4)}
    for tree, commit in (("a", "0" * 40), ("b", None)):
        for number, (kd_mode, (intra, inter)) in enumerate(lambdas.items()):
            for seed in range(2 if kd_mode == "none" else 3):
                fields = {"lambda_intra": intra, "lambda_inter": inter, "dataset": "cifar100", "git_commit": commit}
                path = f"results_{tree}/100%_{kd_mode}&co/{seed}"
                write_run(path, kd_mode=kd_mode, seed=seed, val_top1=60.0 + number + seed / 8, **fields)
        taught = {"dataset": "cifar100", "git_commit": commit, "teacher": "resnet110", "term_weights": {"st": 1.0}}
        write_run(f"results_{tree}/st", kd_mode="st", val_top1=64.0, **taught)
        write_run(f"results_{tree}/killed_#1", ended=False)
    return str(tmp_path / "results_a"), str(tmp_path / "results_b")


COMMANDS = (["table", "--cost"], ["ablation"], ["compare"], ["table", "--missing"], ["table"])


def _written(command: list[str], trees: tuple[str, str], capsys: Any) -> str:
    name, *options = command
    assert main([name, *trees[: 2 if name == "compare" else 1], *options, "--format", "latex"]) == 0
    written: str = capsys.readouterr().out
    return written


@pytest.mark.latex
@needs_latex
def test_a_real_latex_compiles_what_the_commands_write(tmp_path: Path, trees: tuple[str, str], capsys: Any) -> None:
    tables = [_written([*command, "--width", "full"], trees, capsys) for command in COMMANDS]
    assert "(teacher resnet110; published, Tf-FD poster) & 70.67 (test, last epoch)" in tables[0]
    assert "kd\\_mode=none seed=2 & missing & python run.py" in tables[3]
    assert max(_compile(tmp_path, "\n".join(tables))) > 100  # which is what was asked for


@pytest.mark.latex
@needs_latex
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_tables_fit_the_text_of_an_article(
    tmp_path: Path, trees: tuple[str, str], capsys: Any, command: list[str]
) -> None:
    written = _written(command, trees, capsys)
    assert _compile(tmp_path, written) == []
    if command == ["table", "--cost"]:
        assert "none (b) & 69.06 (c) &" in written
        assert "(c) test, last epoch." in written


@pytest.mark.latex
@needs_latex
def test_long_and_broad_tables_fit_too(tmp_path: Path, write_run: Any, capsys: Any) -> None:
    for number, model in enumerate(("resnet20", "resnet32", "wrn_16_2", "resnet8x4", "vgg8")):
        for kd_mode, gain in (("none", 0.0), ("tfd", 1.0)):
            for seed in range(3):
                tested = {"test_top1": 60.0 + number + gain + seed / 8, "best_test_top1": 61.0 + gain + seed / 7}
                run = f"grid/{model}-{kd_mode}-{seed}"
                write_run(run, kd_mode=kd_mode, model=model, seed=seed, protocol="paper", val_top1=None, **tested)
    for number in range(50):
        write_run(
            f"long/{number}",
            kd_mode="tfd",
            lambda_intra=1e-5 * (number + 1),
            lambda_inter=1 / 3,
            val_top1=60 + number / 7,
        )
    grid, long = str(tmp_path / "grid"), str(tmp_path / "long")
    written = _written(["table", "--cols", "model"], (grid, grid), capsys)
    assert written.count(r"\begin{table}") > 1 and written.count("complete, 0 pruned") == 1
    assert (
        written.count("{resnet20}") == written.count("{vgg8}") == 2
    )  # metrics, of which two do not fit beside each other
    longer = _written(["table"], (long, long), capsys)
    assert r"\begin{longtable}" in longer and r"\begin{table}" not in longer
    assert _compile(tmp_path, f"{written}\n{longer}") == []
    assert main(["table", long, "--format", "latex", "--width", "column"]) == 0
    in_columns = capsys.readouterr().out
    assert in_columns.count(r"\begin{table}") == 2  # 39 rows, and the others
    assert _compile(tmp_path, in_columns, "twocolumn") == []


@pytest.mark.latex
@needs_latex
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_tables_fit_a_column(tmp_path: Path, trees: tuple[str, str], capsys: Any, command: list[str]) -> None:
    written = _written([*command, "--width", "column"], trees, capsys)
    assert _compile(tmp_path, written, "twocolumn") == []
