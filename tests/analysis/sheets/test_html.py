"""HTML as a whole: escaped, and readable without seeing it."""

from xml.etree import ElementTree

from analysis.means.sheet import lay_out
from analysis.sheets.html import html_table, render_html
from analysis.sheets.sheet import Column, Sheet, Text
from tests.analysis.tables import across, down


def test_html() -> None:
    head, cell = '<th scope="col" class="head">', '<th scope="col">'
    assert html_table(lay_out(down())) == (
        '<div class="table">\n<table>\n'
        "<caption>Val top-1, last epoch (%): mean ± sample sd over runs. Dataset digits; seeds 0 to 2.</caption>\n"
        "<thead>\n"
        f"<tr>{head}kd_mode</th>{head}lambda_inter</th>{cell}val top-1, last epoch (%)</th>{cell}n</th>"
        f"{cell}difference to none [95 % CI]</th>{cell}p</th>{cell}compared by</th></tr>\n"
        "</thead>\n<tbody>\n"
        '<tr><th scope="row">none</th><th scope="row">0</th><td>61.00 ± 1.00</td><td>3</td><td></td><td></td>'
        "<td></td></tr>\n"
        '<tr><th scope="row">tfd_plus</th><th scope="row">0.0005</th><td><strong>63.00 ± 2.00</strong></td><td>3</td>'
        "<td>+2.00 [-0.48, +4.48]</td><td>0.250</td><td>3 paired seeds, t</td></tr>\n"
        '<tr><th scope="row">tfd</th><th scope="row">0.001</th><td>61.00</td><td>1</td><td>+0.00</td><td>-</td>'
        "<td>means</td></tr>\n"
        '<tr><th scope="row">at</th><th scope="row">-</th><td>-</td><td>0</td><td></td><td></td><td></td></tr>\n'
        "</tbody>\n</table>\n</div>\n"
        "<ul>\n<li>7 complete, 0 pruned, 1 failed</li>\n<li>failed: results/x/terms/0003: 100 % wrong</li>\n</ul>"
    )


def test_each_line_of_the_header_spans_the_table() -> None:
    sheet = lay_out(across())
    table = ElementTree.fromstring(html_table(sheet)).find("table")
    assert table is not None
    lines = table.findall("thead/tr")
    assert len(lines) == 3
    for line in lines:
        assert sum(int(cell.get("colspan", "1")) for cell in line) == len(sheet.columns)
    assert [cell.text for cell in lines[0]] == [None, "resnet20", "vgg8"]
    assert {cell.get("scope") for cell in lines[0].findall("th")} == {"colgroup"}
    assert [len(body.findall("tr")) for body in table.findall("tbody")] == [2, 1]  # published ones apart
    for row in table.findall("tbody/tr"):
        assert len(row) == len(sheet.columns)
        assert row[0].get("scope") == "row"


def test_text_is_escaped() -> None:
    evil = '<script>alert("1")</script>&'
    sheet = Sheet(
        evil, (Column(evil, head=True), Column("n", (), False)), ((Text(evil), Text(evil, bold=True)),), (), (evil,)
    )
    page = render_html([sheet], title=evil)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;") == 7


def test_a_page() -> None:
    page = render_html([lay_out(down()), lay_out(across())], title="results/terms")
    assert page.startswith(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>results/terms</title>'
    )
    assert page.count("<table>") == page.count("<caption>") == 2
    assert page.endswith("</body>\n</html>\n")
