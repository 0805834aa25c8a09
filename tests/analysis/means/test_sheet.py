"""Which columns a table has, and what stands in each place."""

from dataclasses import replace

import pytest

from analysis.means.published import PublishedCell
from analysis.means.sheet import caption, lay_out
from analysis.sheets.notes import Kind, Note
from analysis.sheets.numbers import fixed, p_text
from analysis.sheets.sheet import Sheet
from tests.analysis.tables import across, down, make_cell, publish


def _texts(sheet: Sheet) -> list[list[str]]:
    return [[text.text for text in row] for row in sheet.rows]


def test_a_table_that_goes_down() -> None:
    sheet = lay_out(down())
    assert [column.title for column in sheet.columns] == [
        "kd_mode",
        "lambda_inter",
        "val top-1, last epoch (%)",
        "n",
        "difference to none [95 % CI]",
        "p",
        "compared by",
    ]
    assert _texts(sheet) == [
        ["none", "0", "61.00 ± 1.00", "3", "", "", ""],
        ["tfd_plus", "0.0005", "63.00 ± 2.00", "3", "+2.00 [-0.48, +4.48]", "0.250", "3 paired seeds, t"],
        ["tfd", "0.001", "61.00", "1", "+0.00", "-", "means"],  # no ± for a single run
        ["at", "-", "-", "0", "", "", ""],
    ]
    assert [row[2].bold for row in sheet.rows] == [False, True, False, False]
    assert sheet.caption == "Val top-1, last epoch (%): mean ± sample sd over runs. Dataset digits; seeds 0 to 2."
    assert (sheet.notes, sheet.left_out) == (down().notes, down().left_out)


def test_a_table_that_goes_across() -> None:
    sheet = lay_out(across(), show=["mean", "n"])
    above = [column.above for column in sheet.columns]
    last, best, cost = "test top-1, last epoch (%)", "test top-1, best test epoch (%)", "cost"
    expected = [("", "")]
    for model in ("resnet20", "vgg8"):
        expected += [(model, last)] * 2 + [(model, best)] * 2 + [(model, cost)] * 4
    assert above == expected
    titles = ["mean ± sd", "n", "mean ± sd", "n", "GPU hours", "epochs run", "peak memory (MB)", "time vs none"]
    assert [column.title for column in sheet.columns] == ["kd_mode", *titles, *titles]
    spread = ["60.50 ± 0.71", "2", "60.50 ± 0.71", "2", "0.5", "480", "812", "1.00"]
    assert _texts(sheet)[0][:9] == ["none", *spread]
    assert _texts(sheet)[1][9:] == ["-", "0", "-", "0", "-", "-", "-", "-"]
    assert sheet.breaks == (2,)
    published = ["tfd (published, poster)", *[""] * 10, "71.62", *[""] * 5]
    assert _texts(sheet)[2] == published


def test_a_published_number_says_what_its_column_does_not() -> None:
    table = across()
    last = PublishedCell(("st",), ("vgg8",), "test_top1", publish("vgg8", "st", 72.98, teacher="vgg13", epoch="last"))
    other = replace(last, col=("resnet20",), published=publish("resnet20", "st", 70.67, teacher="resnet110"))
    (row,) = _texts(lay_out(replace(table, published=(last,)), show=["mean"]))[2:]
    assert (row[0], row[7]) == ("st (teacher vgg13; published, poster)", "72.98")
    (row,) = _texts(lay_out(replace(table, published=(last, other)), show=["mean"]))[2:]
    assert (row[0], row[7]) == ("st (published, poster)", "72.98 (teacher vgg13)")
    assert row[1] == "70.67 (test, best epoch, teacher resnet110)"
    sheet = lay_out(replace(table, published=(other,)), show=["mean"])
    assert (sheet.rows[2][1].text, sheet.rows[2][1].number) == ("70.67 (test, best epoch)", False)


def test_the_parts_that_are_shown() -> None:
    sheet = lay_out(down(), show=["mean"])
    assert len(sheet.columns) == 3
    assert sheet.notes[-1] == Note(Kind.NUMBER_OF_RUNS, "n = 0 to 3 runs")
    with pytest.raises(ValueError, match="unknown part to show 'diff'; the nearest: difference"):
        lay_out(down(), show=["diff"])
    with pytest.raises(ValueError, match="unknown part to show ''; there are: mean, n"):
        lay_out(down(), show=[])
    with pytest.raises(ValueError, match="--show p leaves no column, as nothing is compared; add mean"):
        lay_out(replace(down(), baseline=None), show=["p"])


def test_numbers_name_their_column() -> None:
    cells = tuple(make_cell(("none",), [(0, 60.0)], (value, "digits")) for value in (30, 240, None))
    table = replace(down(), rows=("kd_mode",), cols=("epochs", "dataset"), cells=cells, baseline=None)
    titles = [column.above[0] for column in lay_out(table, show=["mean"]).columns[1:]]
    assert titles == ["epochs=30, digits", "epochs=240, digits", "epochs=-, digits"]


def test_p_is_called_corrected_where_it_is() -> None:
    table = down()
    twice = replace(table, cells=(*table.cells, replace(table.cells[1], row=("st", 0.0))))
    assert "p (Holm)" in [column.title for column in lay_out(twice).columns]


def test_numbers_as_text() -> None:
    assert (fixed(0.12389, 4), fixed(-0.00001, 4, "+")) == ("0.1239", "+0.0000")
    assert [fixed(value, 4) for value in (999_999_999.0, 1e9, -1.2345e12, 1.797e308)] == [
        "999999999.0000",
        "1.00e+09",
        "-1.23e+12",
        "1.80e+308",
    ]
    assert (fixed(1e308, 4, "+"), fixed(float("nan"), 4)) == ("+1.00e+308", "nan")
    assert [p_text(value) for value in (1.0, 0.03125, 0.0009)] == ["1.000", "0.031", "<0.001"]
    assert caption(replace(down(), conditions={})).endswith("over runs. Conditions not recorded.")
