"""Every kind is drawn by both libraries, the same way every time, with names as they are."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

from analysis.figures import FORMATS, KINDS, mpl_marks, web_marks
from analysis.figures.ablation import ablation_info
from analysis.figures.chart import Axis, Chart, Label, Line, Mark, Panel
from analysis.figures.kinds import INFOS, make_infos, read_source
from analysis.figures.mpl_marks import add_mark
from analysis.figures.render import draw, interactive, to_bytes, to_html
from analysis.figures.style import BLACK
from analysis.figures.web_marks import traces_of
from analysis.read.gather import gather
from analysis.read.results import Run
from analysis.select.conditions import short_conditions
from analysis.sheets.words import count, short, there_are, tick


@pytest.fixture
def infos(search: Path, write_terms: Any) -> dict[str, Any]:
    """Of all kinds; those of a search leave a grid beside it alone."""
    write_terms(none=[60.0, 61.0], tfd=[62.0, 64.0])
    found, reasons = make_infos(read_source(search))
    assert reasons == {}
    return found


def test_every_kind_in_every_format(infos: dict[str, Any]) -> None:
    assert tuple(infos) == KINDS == tuple(INFOS)
    for kind, info in infos.items():
        picture = Image.open(io.BytesIO(to_bytes(info, "png")))
        assert picture.size[0] in (1050, 2100), kind  # 3.5 or 7 inches at 300 dpi
        assert len(picture.convert("L").getcolors() or ()) > 2, kind
        pdf = to_bytes(info, "pdf")
        assert b"/FontFile2" in pdf and b"/Type3" not in pdf, kind  # TrueType, embedded
        page = to_html(info, kind, library=False, full=False)
        assert f'id="{kind}"' in page
        assert '"modeBarButtonsToRemove": ["sendChartToCloud"]' in page
        assert len(page) < 2_000_000
    assert set(FORMATS) == {"png", "pdf", "html"}


def test_the_same_numbers_give_the_same_bytes(infos: dict[str, Any]) -> None:
    for kind in ("landscape", "ablation"):
        assert to_bytes(infos[kind], "png") == to_bytes(infos[kind], "png")
        assert to_bytes(infos[kind], "pdf") == to_bytes(infos[kind], "pdf")
        assert to_html(infos[kind], "a", False) == to_html(infos[kind], "a", False)


def test_names_are_shown_as_they_are(tmp_path: Path, write_runs: Any) -> None:
    name = "a$b$_<b>c</b><script>"
    write_runs("none", [60.0, 61.0])
    write_runs(name, [61.0, 62.0])
    info = ablation_info(gather(tmp_path))
    texts = [text.get_text() for text in draw(info).axes[0].get_yticklabels()]
    assert texts[0] == r"a\$b\$_<b>c</b><script> (61.50)"  # not mathematics
    ticks = interactive(info).layout.yaxis.ticktext
    assert ticks[0] == "a$b$_&lt;b&gt;c&lt;/b&gt;&lt;script&gt; (61.50)"
    assert "<script>" not in re.sub(r"<script[^>]*>\s", "", to_html(info, "x", False, full=False).split("newPlot")[1])


def test_marks_that_turn_the_direction_are_spelt_out_as_in_tables(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_runs("tfd\u202egnp.x", [61.0, 62.0])
    info = ablation_info(gather(tmp_path))
    texts = [text.get_text() for text in draw(info).axes[0].get_yticklabels()]
    assert (
        sorted(texts) == sorted(interactive(info).layout.yaxis.ticktext) == ["none (60.50)", r"tfd\u202egnp.x (61.50)"]
    )
    assert "\u202e" not in to_html(info, "x", False)
    turned = Chart("a \u2066b", (), (Panel(Axis("c\u200f"), Axis(), (Line((0.0,), (0.0,), BLACK, "d\u202b"),)),))
    assert r"a \u2066b" in interactive(_Info(turned)).layout.title.text
    assert r"c\u200f" in interactive(_Info(turned)).layout.xaxis.title.text
    assert draw(_Info(turned)).axes[0].get_xlabel() == r"c\u200f"
    assert draw(_Info(turned)).legends[0].get_texts()[0].get_text() == r"d\u202b"


def test_a_page_has_a_title_and_a_language(infos: dict[str, Any]) -> None:
    for kind, info in infos.items():
        page = to_html(info, kind, library="plotly.min.js")
        assert page.startswith('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>')
        assert f"<title>{info.chart().title}</title>" in page and page.count("<html") == page.count("<body>") == 1
    evil = _Info(Chart("</title><script>", (), (Panel(Axis(), Axis(), ()),)))
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in to_html(evil, "x", False)


class _Info:
    def __init__(self, chart: Chart) -> None:
        self._chart = chart

    def chart(self) -> Chart:
        return self._chart


def test_a_legend_keeps_names_that_begin_with_an_underscore(tmp_path: Path, write_runs: Any) -> None:
    write_runs("_new", [60.0, 61.0])
    write_runs("none", [60.0, 61.0])
    (legend,) = draw(ablation_info(gather(tmp_path), baseline="_new")).legends
    assert "mean of _new" in [text.get_text().strip() for text in legend.get_texts()]


def test_pyplot_is_left_alone(infos: dict[str, Any]) -> None:
    import sys

    draw(infos["history"])
    assert "matplotlib.pyplot" not in sys.modules


def test_both_libraries_draw_every_mark() -> None:
    for mark in get_args(Mark):  # a new kind of mark is drawn by both, or this fails
        assert mark in mpl_marks.add_mark.registry
        assert mark in web_marks.traces_of.registry
    with pytest.raises(TypeError, match="plotly draws no int"):
        traces_of(3, None)
    with pytest.raises(TypeError, match="matplotlib draws no int"):
        add_mark(3, None, None, 1)  # type: ignore[arg-type]


def test_an_empty_name_has_no_place_in_a_legend() -> None:
    (line,) = traces_of(Line((1.0,), (2.0,), BLACK), None)
    (text,) = traces_of(Label(1.0, 2.0, "<i>"), None)
    assert line.name == ""
    assert "&lt;i&gt;" in text.text[0]


def test_every_picture_says_what_it_shows(infos: dict[str, Any]) -> None:
    for info in infos.values():
        chart: Chart = info.chart()
        text = " ".join([*chart.notes, *(panel.x.label + panel.y.label for panel in chart.panels)])
        assert "resnet20 on digits, protocol validation, 4 epochs" in text
        assert chart.panels


@pytest.mark.parametrize(
    ("value", "text"),
    [(8e-4, "8e-4"), (1.5678e-3, "1.57e-3"), (0.05, "0.05"), (128, "128"), (128.0, "128"), (61.23456, "61.23"),
     (0.0, "0"), (123456.7, "1.23e5"), (None, "-"), ("tfd", "tfd"), (float("nan"), "nan"), (50000, "50000")],
)  # fmt: skip
def test_short_numbers(value: Any, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(("value", "text"), [(1e-2, "1e-2"), (0.1, "0.1"), (1.0, "1"), (100.0, "100"), (2e-3, "2e-3")])
def test_ticks(value: float, text: str) -> None:
    assert tick(value) == text


def test_counts_of_one_are_singular() -> None:
    run = Run("run", "complete", model="m", dataset="d", protocol="p", epochs=1, seed=0)
    assert short_conditions([run]) == "m on d, protocol p, 1 epoch, seed 0"
    assert short_conditions([run, replace(run, epochs=2, seed=1)]) == "m on d, protocol p, 1, 2 epochs, 2 seeds"
    assert [count(number, "trial") for number in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
    assert [there_are(number) for number in (0, 1, 2)] == ["there are 0", "there is 1", "there are 2"]


def test_long_names_are_broken_into_lines(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_runs("mode_" * 30, [61.0, 62.0])
    info = ablation_info(gather(tmp_path))
    assert to_bytes(info, "png")
    lines = [text.get_text().split("\n") for text in draw(info).axes[0].get_yticklabels()]
    assert max(len(line) for label in lines for line in label) <= 40


def test_a_name_that_the_font_lacks_is_no_reason_to_fail(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_runs("\u84b8\u7559", [61.0, 62.0])
    assert to_bytes(ablation_info(gather(tmp_path)), "pdf")
