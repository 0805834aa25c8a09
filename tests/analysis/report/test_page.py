"""The page: escaped, complete, small, and closed to the network."""

import base64
import hashlib
import json
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import analysis.report
from analysis.figures.kinds import read_source
from analysis.report.content import report_content
from analysis.report.page import render_page
from analysis.report.parts import link, table
from analysis.sheets.sheet import Column, Sheet, Text
from tests.analysis.report.conftest import EVIL

_PLOTLY = "* plotly.js v"  # how its licence begins
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def _page(directory: Path, base: Path | None = None, note: str = "") -> str:
    report = report_content(read_source(directory))
    return render_page(report, str(base or directory), NOW, note)


class _Reader(HTMLParser):
    """Collects tags, text and scripts, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "input", "link", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        else:
            self.text += data


def test_a_page_says_why_there_is_no_2_x_2(search: Path) -> None:
    folded = "<summary>What is no 2 × 2 of the two terms, and why</summary>\n<ul><li>a 2 x 2 ablation needs runs with"
    assert folded in _page(search)


def test_a_page_holds_everything(search: Path) -> None:
    reader = _Reader(_page(search))
    identities = [attributes["id"] for _, attributes in reader.tags if attributes.get("id")]
    assert len(identities) == len(set(identities))
    assert [name for tag, attributes in reader.tags if tag == "section" and (name := attributes["id"])] == [
        "cautions", "best", "what", "table", "pictures", "failures", "missing", "runs",
    ]  # fmt: skip
    links = {attributes["href"] for tag, attributes in reader.tags if tag == "a"}
    assert {f"#{name}" for name in ("main", "cautions", "runs")} <= links
    assert "search/0003/seed0/" in links
    assert "written 2026-11-24 10:00:00 UTC." in reader.text.replace("\n", " ")


def test_a_page_has_plotly_once_and_little_besides(search: Path) -> None:
    """8 small pictures in 240 kB: figures without a template, numbers with a few digits, thinned lines."""
    from plotly.offline import get_plotlyjs

    page = _page(search)
    assert page.count(_PLOTLY) == 1
    assert len(page) - len(get_plotlyjs()) < 280_000


def test_headings_step_by_one_and_everything_has_a_name(search: Path) -> None:
    reader = _Reader(_page(search))
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    identities = {attributes.get("id") for _, attributes in reader.tags}
    for tag, attributes in reader.tags:
        for reference in ("aria-labelledby", "aria-describedby", "for"):
            if attributes.get(reference):
                assert attributes[reference] in identities
        assert tag != "section" or attributes["aria-labelledby"]
        assert attributes.get("role") != "img" or attributes["aria-label"]
    assert ("html", {"lang": "en"}) in reader.tags
    heads = [attributes for tag, attributes in reader.tags if tag == "th"]
    assert all(attributes["scope"] in ("col", "row", "colgroup") for attributes in heads)


def test_the_policy_allows_these_scripts_and_no_request(search: Path) -> None:
    reader = _Reader(_page(search))
    metas = [attributes for tag, attributes in reader.tags if tag == "meta"]
    assert metas[1]["http-equiv"] == "Content-Security-Policy"  # before anything that it is about
    policy = dict(part.strip().split(" ", 1) for part in str(metas[1]["content"]).split(";"))
    assert policy["default-src"] == policy["connect-src"] == "'none'"
    assert policy["img-src"] == "data: blob:"
    running = [script for script in reader.scripts if not script.startswith("{")]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in running]
    assert policy["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(running) == 2  # plotly and the page's own
    assert not [attributes for tag, attributes in reader.tags if attributes.get("src") or tag in ("link", "iframe")]
    assert "http" not in running[1]


def test_hostile_names_stay_text(troubled: Path) -> None:
    page = _page(troubled)
    reader = _Reader(page)
    assert "alert" not in str([attributes for tag, attributes in reader.tags if tag in ("img", "script")])
    assert not [tag for tag, _ in reader.tags if tag in ("img", "i")]
    assert page.count("<script") == page.count("</script>") == 2 + len([s for s in reader.scripts if s[0] == "{"])
    assert reader.text.count(EVIL) > 10
    data = [json.loads(script) for script in reader.scripts if script.startswith("{")]
    assert data and all(figure.keys() == {"data", "layout"} for figure in data)
    links = [str(attributes["href"]) for tag, attributes in reader.tags if tag == "a"]
    assert "grid/javascript%3A2/" in links and "grid/%3Ci%3E-0/" in links
    assert not [href for href in links if href.startswith("javascript")]


def test_failures_show_their_reason_and_fold_their_list(troubled: Path) -> None:
    page = _page(troubled)
    assert '<span class="status failed">7 failed</span> RuntimeError: out of memory' in page
    assert "<summary>All 7</summary>" in page
    assert "<summary>All that the first recorded</summary>" in page


def test_links_lead_from_where_the_page_lies(tmp_path: Path, search: Path) -> None:
    page = _page(search, base=tmp_path / "pages")
    assert '<a href="../demo/search/0003/seed0/">search/0003/seed0</a>' in page


def test_names_that_are_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 #1?")
    assert link(f"{tmp_path}/{name}", str(tmp_path), name) == '<a href="caf%E9%20%231%3F">caf\\udce9 #1?</a>'


def test_a_long_table_shows_its_beginning() -> None:
    rows = tuple((Text(str(number)),) for number in range(31))
    text = table(Sheet("c", (Column("n", head=True),), rows, breaks=(29,), notes=("a note",)))
    assert text.count("<tr>") == 1 + 12 + 1 + 31
    assert "<summary>All 31 rows</summary>" in text
    assert text.count("a note") == 1
    assert "<details>" not in table(Sheet("c", (Column("n", head=True),), rows[:30]))


def test_without_pictures_there_is_no_plotly(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", ended=False)
    page = _page(tmp_path, note="; more to come")
    assert _PLOTLY not in page
    assert "; more to come." in page


_ASSETS = [path for path in Path(str(analysis.report.__file__)).parent.iterdir() if path.suffix in (".css", ".js")]


@pytest.mark.parametrize("path", _ASSETS, ids=lambda path: path.name)
def test_the_assets_name_no_address(path: Path) -> None:
    assert len(_ASSETS) >= 4
    text = path.read_text()
    assert "http" not in text and "url(" not in text and "eval" not in text and "innerHTML" not in text
