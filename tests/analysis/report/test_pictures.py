"""Pictures as plain data: small, without titles of their own, and in words."""

import json
import math
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.figures.chart import Axis, Chart, ColourScale, Label, Line, Panel, Points, Rule
from analysis.figures.kinds import make_infos, read_source
from analysis.figures.style import BLACK, COLOURS, PALE, numbered
from analysis.report.lines import draw_with_lines
from analysis.report.pictures import make_picture


class _Info:
    def __init__(self, *marks: Any, scale: ColourScale | None = None) -> None:
        self._chart = Chart("A title", ("a note",), (Panel(Axis("epoch"), Axis("top-1"), marks),), scale)

    def chart(self) -> Chart:
        return self._chart


def _lines(number: int, points: int) -> list[Line]:
    x = tuple(float(epoch) for epoch in range(1, points + 1))
    return [
        Line(x, tuple(trial + at / 7 for at in x), PALE, "others", hover=f"trial <{trial}>") for trial in range(number)
    ]


def test_lines_behind_are_one_trace_with_fewer_points() -> None:
    own = Line((1.0, 2.0), (5.0, 6.0), numbered(0), "best")
    picture = make_picture("learning", _Info(*_lines(200, 240), own))
    behind, *_, best = picture.figure["data"]
    assert len(picture.figure["data"]) == 3  # one holds the panel's place
    assert (behind["name"], behind["showlegend"], best["name"]) == ("others", True, "best")
    assert len(behind["x"]) == len(behind["y"]) == len(behind["text"]) == 200 * 62  # every 4th, the last, and a gap
    assert behind["x"][:3] == [1, 5, 9] and behind["x"][59:62] == [237, 240, None]
    assert behind["y"][0] == 0.142857  # six digits
    assert behind["text"][62] == "trial &lt;1&gt;"
    assert len(json.dumps(picture.figure)) < 450_000


def test_a_line_with_a_name_of_its_own_stays() -> None:
    marks = [Line((1.0,), (2.0,), numbered(number), f"trial {number}") for number in range(3)]
    assert len(draw_with_lines(_Info(*marks).chart())["data"]) == 3


def test_rules_stay_where_all_lines_became_data() -> None:
    scale = ColourScale("top-1", 0.0, 1.0)
    lines = [Line((0.0, 1.0), (0.0, value), PALE, value=value, hover=f"trial {value}") for value in (0.0, 1.0)]
    picture = make_picture("x", _Info(Rule("x", 0.0, PALE), *lines, scale=scale))
    assert [shape["x0"] for shape in picture.figure["layout"]["shapes"]] == [0]
    assert [trace["line"]["color"] for trace in picture.figure["data"][:2]] == ["rgb(68, 1, 84)", "rgb(32, 163, 134)"]
    assert [trace["meta"] for trace in picture.figure["data"][:2]] == [0.0, 1.0]
    assert picture.words == ("trial 0.0", "trial 1.0")


def test_titles_are_left_to_the_page_and_numbers_are_json() -> None:
    points = Points((1.0, math.inf), (math.nan, 2 / 3), BLACK, "run", hover=("a", "b"))
    picture = make_picture("x", _Info(points, Label(1.0, 2.0, "x")))
    assert (picture.title, picture.notes, picture.panels, picture.wide) == ("A title", ("a note",), 1, False)
    assert picture.figure["data"][0]["x"] == [1, None]
    assert picture.figure["data"][0]["y"] == [None, 0.666667]
    assert not {"title", "template"} & picture.figure["layout"].keys()
    json.dumps(picture.figure, allow_nan=False)


def test_many_numbers_are_as_short_as_few() -> None:
    numbers = [0.0, -0.0, 1 / 3, -2 / 3, 1e-5 / 3, 123456.7, 1234567.8, 1e300 / 3, 1e-300 / 3, 5e-324, 1e-17 / 7, 1.0]
    random = np.random.default_rng(0)
    numbers += (random.choice([-1, 1], 2000) * 10 ** random.uniform(-20, 20, 2000)).tolist()
    points = Points(tuple(numbers), (math.nan, *numbers[1:]), BLACK, "run")
    trace = make_picture("x", _Info(points)).figure["data"][0]
    assert trace["x"] == [float(f"{number:.6g}") for number in numbers]
    assert trace["y"] == [None, *trace["x"][1:]]


def _contrast(a: str, b: str) -> float:
    """Of two colours, by WCAG 2.2."""

    def light(colour: str) -> float:
        channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    bright, dark = sorted((light(a), light(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_every_colour_of_the_scales_stands_out_from_its_page() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    sources = {name: files("analysis.report").joinpath(name).read_text() for name in ("style.css", "pictures.js")}
    light, dark, _ = re.findall(r"--page: (#\w+)", sources["style.css"])
    at_night = re.findall(r"#\w{6}", sources["pictures.js"].partition("SCALE_AT_NIGHT = [")[2].partition("]")[0])
    assert (light, dark, len(at_night)) == ("#ffffff", "#15181c", len(COLOURS))
    for page, colours in ((light, COLOURS), (dark, at_night)):
        assert min(_contrast(colour, page) for colour in colours) >= 3
        apart = [_contrast(colour, "#000000") for colour in colours]
        assert apart == sorted(apart)  # the brightest is the best


def test_words_tell_where_lines_end_and_end_themselves() -> None:
    lines = [
        Line((1.0, 2.0, 3.0), (0.0, i + 0.5, math.nan), numbered(0), f"{i}", hover=f"trial {i}") for i in range(150)
    ]
    words = make_picture("x", _Info(*lines)).words
    assert words[1] == "trial 1: 1.5 at epoch 2"
    assert len(words) == 101 and words[-1] == "and 50 more; the table of runs has them"


def test_long_names_are_broken_without_becoming_markup() -> None:
    name = "a <b> & " * 8
    ticks = Axis(ticks=((0.0, name), (1.0, "short")))
    info = _Info(Points((1.0,), (1.0,), BLACK, name))
    info._chart = Chart("t", (), (Panel(Axis(), ticks, info.chart().panels[0].marks),))
    figure = make_picture("x", info).figure
    for text in (figure["data"][0]["name"], figure["layout"]["yaxis"]["ticktext"][0]):
        assert text.split("<br>")[0] == "a &lt;b&gt; &amp; a &lt;b&gt; &amp; a &lt;b&gt; &amp; a &lt;b&gt; &amp; a"
    assert figure["layout"]["yaxis"]["ticktext"][1] == "short"


@pytest.fixture
def infos(search: Path) -> dict[str, Any]:
    return make_infos(read_source(search))[0]


def test_every_kind_is_plain_data(infos: dict[str, Any]) -> None:
    for kind, info in infos.items():
        picture = make_picture(kind, info)
        assert json.dumps(picture.figure, allow_nan=False)
        assert picture.words, kind
        assert picture.wide or kind != "parallel"
    parallel = make_picture("parallel", infos["parallel"])
    lines = [trace for trace in parallel.figure["data"] if "meta" in trace]
    assert len(lines) == 12 and {len(line["y"]) for line in lines} == {5} and parallel.wide
    assert all(0 <= value <= 1 for line in lines for value in line["y"])


def test_the_default_template_of_plotly_is_given_back(infos: dict[str, Any]) -> None:
    import plotly.io

    before = plotly.io.templates.default
    make_picture("history", infos["history"])
    assert plotly.io.templates.default == before is not None
