"""Each format as a whole, for one small table; and what could break it."""

from analysis.metrics import describe_metric
from analysis.statistics import compare
from analysis.summary import Row, Table
from analysis.tables import render_csv, render_latex, render_markdown

BASELINE = [(0, 60.0), (1, 61.0), (2, 62.0)]
TABLE = Table(
    metric=describe_metric("val_top1"),
    by=("kd_mode", "lambda_inter"),
    baseline="none",
    rows=(
        Row(("none", 0.0), 3, 61.0, 1.0, 3, 1, is_baseline=True),
        Row(
            ("tfd_plus", 5e-4),
            3,
            63.0,
            2.0,
            3,
            1,
            difference=compare([(0, 61.0), (1, 63.0), (2, 65.0)], BASELINE),
        ),
        Row(("tfd", 1e-3), 1, 60.999, None, 1, 1, difference=compare([(0, 60.999)], BASELINE)),
        Row(("at", None), 0, None, None, 1, 1),
    ),
    notes=("7 complete, 0 pruned, 1 failed", "failed: results/x/terms/0003: 100 % wrong"),
)


def test_markdown() -> None:
    assert render_markdown(TABLE) == (
        "| kd_mode   | lambda_inter   |   val top-1, last epoch (%) |   n |   difference to none [95 % CI] |"
        "    compared by |\n"
        "|:----------|:---------------|----------------------------:|----:|-------------------------------:|"
        "---------------:|\n"
        "| none      | 0              |                61.00 ± 1.00 |   3 |                                |"
        "                |\n"
        "| tfd_plus  | 0.0005         |                63.00 ± 2.00 |   3 |           +2.00 [-0.48, +4.48] |"
        " 3 paired seeds |\n"
        "| tfd       | 0.001          |                       61.00 |   1 |                          +0.00 |"
        "          means |\n"
        "| at        | -              |                           - |   0 |                                |"
        "                |\n"
        "\n"
        "- 7 complete, 0 pruned, 1 failed\n"
        "- failed: results/x/terms/0003: 100 % wrong\n"
    )


def test_csv() -> None:
    difference = TABLE.rows[1].difference
    assert difference is not None
    assert render_csv(TABLE) == (
        "kd_mode,lambda_inter,metric,mean,sd,n,diff,ci_low,ci_high,compared_by\n"
        "none,0.0,val_top1,61.0,1.0,3,,,,\n"
        f"tfd_plus,0.0005,val_top1,63.0,2.0,3,2.0,{difference.low!r},{difference.high!r},3 paired seeds\n"
        f"tfd,0.001,val_top1,60.999,,1,{60.999 - 61.0!r},,,means\n"
        "at,,val_top1,,,0,,,,\n"
    )


def test_latex() -> None:
    assert render_latex(TABLE) == (
        "\\begin{tabular}{llrrrr}\n"
        "\\toprule\n"
        "kd\\_mode & lambda\\_inter & val top-1, last epoch (\\%) & n & difference to none {[}95 \\% CI] & "
        "compared by \\\\\n"
        "\\midrule\n"
        "none & 0 & $61.00 \\pm 1.00$ & 3 &  &  \\\\\n"
        "tfd\\_plus & 0.0005 & $63.00 \\pm 2.00$ & 3 & $+2.00$ $[-0.48, +4.48]$ & 3 paired seeds \\\\\n"
        "tfd & 0.001 & $61.00$ & 1 & $+0.00$ & means \\\\\n"
        "at & - & - & 0 &  &  \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "% 7 complete, 0 pruned, 1 failed\n"
        "% failed: results/x/terms/0003: 100 % wrong\n"
    )


def test_no_baseline_no_difference_columns() -> None:
    table = Table(describe_metric("val_loss"), ("kd_mode",), None, (Row(("tfd",), 2, 0.12389, 0.5, 2, 1),))
    assert render_markdown(table).splitlines()[0] == "| kd_mode   |   val loss, last epoch |   n |"
    assert "0.1239 ± 0.5000" in render_markdown(table)
    assert render_csv(table).splitlines()[0].endswith("n,diff,ci_low,ci_high,compared_by")
    assert r"\begin{tabular}{lrr}" in render_latex(table)


def test_text_cannot_break_a_format() -> None:
    table = Table(describe_metric("val_top1"), ("name",), None, (Row(("[a|b]\n{50%}_\\~^#$&*",), 1, 60.0, None, 1, 1),))
    assert r"| [a\|b] {50%}_\~^#$&* |" in render_markdown(table)
    escaped = r"{[}a|b] \{50\%\}\_\textbackslash{}\textasciitilde{}\textasciicircum{}\#\$\&{*} & $60.00$ & 1 \\"
    assert render_latex(table).splitlines()[4] == escaped
    assert render_csv(table).splitlines()[1:] == ['"[a|b]', '{50%}_\\~^#$&*",val_top1,60.0,,1,,,,']
