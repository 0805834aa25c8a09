"""Markdown as a whole, and what could break it."""

from dataclasses import replace

import pytest

from analysis.means.sheet import lay_out
from analysis.sheets.markdown import render_markdown
from analysis.sheets.sheet import Column, Sheet, Text
from tests.analysis.tables import across, down


def test_markdown() -> None:
    assert render_markdown(lay_out(down())) == (
        "| kd_mode   | lambda_inter   |   val top-1, last epoch (%) |   n |   difference to none [95 % CI] |"
        "     p |       compared by |\n"
        "|:----------|:---------------|----------------------------:|----:|-------------------------------:|"
        "------:|------------------:|\n"
        "| none      | 0              |                61.00 ± 1.00 |   3 |                                |"
        "       |                   |\n"
        "| tfd_plus  | 0.0005         |            **63.00 ± 2.00** |   3 |           +2.00 [-0.48, +4.48] |"
        " 0.250 | 3 paired seeds, t |\n"
        "| tfd       | 0.001          |                       61.00 |   1 |                          +0.00 |"
        "     - |             means |\n"
        "| at        | -              |                           - |   0 |                                |"
        "       |                   |\n"
        "\n"
        "Val top-1, last epoch (%): mean ± sample sd over runs. Dataset digits; seeds 0 to 2.\n"
        "\n"
        "- 7 complete, 0 pruned, 1 failed\n"
        "- failed: results/x/terms/0003: 100 % wrong\n"
    )


def test_titles_above_are_joined() -> None:
    table = replace(across(), costs={}, published=())
    lines = render_markdown(lay_out(table, show=["mean"])).splitlines()
    titles = [title.strip() for title in lines[0].strip("|").split("|")]
    assert titles == [
        "kd_mode",
        "resnet20: test top-1, last epoch (%): mean ± sd",
        "resnet20: test top-1, best test epoch (%): mean ± sd",
        "vgg8: test top-1, last epoch (%): mean ± sd",
        "vgg8: test top-1, best test epoch (%): mean ± sd",
    ]
    assert " ".join(lines[3].split()) == "| tfd | 61.50 ± 0.71 | 61.50 ± 0.71 | - | - |"


def test_text_cannot_break_it() -> None:
    sheet = Sheet(
        "a\n*b*", (Column("name", head=True),), ((Text("[a|b]\n{50%}_\\~^#$&*<b>\x1b[0m"),),), notes=("`<0.05",)
    )
    text = render_markdown(sheet)
    assert r"| [a\|b] {50%}\_\\~^#$&\*&lt;b>\x1b[0m |" in text
    assert text.endswith("\n\na \\*b\\*\n\n- \\`<0.05\n")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"a\|b", r"a\\\|b"),  # two escapes: the cell would end at the letter that is left
        (r"C:\runs\x", r"C:\runs\x"),
        ("end\\", r"end\\"),
        ("[x](javascript:alert(1))", r"[x\](javascript:alert(1))"),
        ("[a[b]](x)", r"[a[b]\](x)"),
        ("[x][y]: z", r"[x\][y\]: z"),
        ("+2.00 [-0.48, +4.48]", "+2.00 [-0.48, +4.48]"),
        ("_x_ __y__ tfd_plus", r"\_x\_ \_\_y\_\_ tfd_plus"),
    ],
)
def test_what_would_mean_something_is_escaped(text: str, escaped: str) -> None:
    assert render_markdown(Sheet(text, (Column("name", head=True),), ())) == f"{escaped}\n"


def test_without_rows_there_is_no_table() -> None:
    assert render_markdown(Sheet("Nothing.", (Column("name", head=True),), ())) == "Nothing.\n"
