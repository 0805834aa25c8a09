"""How benchmarks measure, what they keep, and when a ratio no longer holds; nothing is timed here."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import results
from benchmarks.commands import REPOSITORY
from benchmarks.measure import Benchmark, Sample, Variant, Variants, interleave, spread, summarise


def doubling(calls: list[str], name: str, factor: float) -> Callable[[int], Sample]:
    """A variant that takes `factor`, 2 * `factor`, 4 * `factor` seconds in rounds 0, 1, 2."""

    def run(number: int) -> Sample:
        calls.append(f"{name}{number}")
        return {"s": factor * 2.0**number, "share": 0.5}

    return run


def made_up(factor: float) -> Benchmark:
    def made_up(*, size: int = 3) -> Iterator[Variants]:
        one = Variant(doubling([], "a", 1.0))
        yield {"one": one, "other": Variant(doubling([], "b", factor), "one")}

    return Benchmark(made_up, rounds=3, quick=1, ratios={"s": 0.1}, shares={"share": 0.1})


def test_variants_take_turns_and_turns_in_being_first() -> None:
    calls: list[str] = []
    variants = {name: Variant(doubling(calls, name, 1.0)) for name in "abc"}
    samples = interleave(variants, 2)
    assert calls == ["a0", "b0", "c0", "c1", "b1", "a1"]
    assert {name: [each["s"] for each in of] for name, of in samples.items()} == {name: [1.0, 2.0] for name in "abc"}


def test_a_warm_up_does_not_count() -> None:
    calls: list[str] = []
    samples = interleave({"a": Variant(doubling(calls, "a", 1.0))}, 1, warm_up=True)
    assert calls == ["a0", "a0"]
    assert len(samples["a"]) == 1


def test_ratios_are_taken_round_by_round() -> None:
    samples = {"base": [{"s": 1.0}, {"s": 10.0}, {"s": 4.0}], "other": [{"s": 3.0}, {"s": 10.0}, {"s": 20.0}]}
    row = summarise("base", samples, "other", {"s": 0.1})
    assert row["ratios"] == {"s": [3.0, 1.0, 5.0]}  # the ratio of the medians is 2.5
    assert row["figures"] == {"s": [10.0, 3.0, 20.0]}
    assert "ratios" not in summarise(None, samples, "base", {"s": 0.1})


def test_a_spread_is_the_median_the_least_and_the_most_to_four_digits() -> None:
    assert spread([3.0, 1.23456, 2.0]) == [2.0, 1.235, 3.0]


@pytest.mark.parametrize(
    ("factor", "is_within"), [(2.0, True), (2.19, True), (1.83, True), (2.21, False), (1.8, False)]
)
def test_a_ratio_holds_within_its_band_either_way(factor: float, is_within: bool) -> None:
    committed, measured = made_up(2.0).measure(3), made_up(factor).measure(1)
    lines = list(results.compare(made_up(2.0), committed, measured))
    assert lines == ([] if is_within else [f"made_up: s of other to one is {factor:g}, was 2, band 10%"])


def test_times_are_not_compared_and_shares_are() -> None:
    committed, measured = made_up(2.0).measure(1), made_up(2.0).measure(1)
    measured["variants"]["one"]["figures"] = {"s": [100.0, 100.0, 100.0], "share": [0.6, 0.6, 0.6]}
    lines = list(results.compare(made_up(2.0), committed, measured))
    assert lines == ["made_up: share of one is 0.6, was 0.5, band 10%"]


def test_a_variant_without_committed_figures_is_named_and_one_that_is_not_measured_is_passed_over() -> None:
    committed, measured = made_up(2.0).measure(1), made_up(2.0).measure(1)
    del committed["variants"]["other"], measured["variants"]["one"]
    (line,) = results.compare(made_up(2.0), committed, measured)
    assert line.startswith("made_up: other has no committed figures")


def test_check_ends_with_1_where_a_ratio_has_left_its_band(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    monkeypatch.setattr(command, "BENCHMARKS", {"made_up": made_up(2.0)})
    assert command.main(["check", "--results", str(file)]) == 0
    assert capsys.readouterr().out == "made_up: nothing is committed to compare with\n"
    assert command.main(["made_up", "--size", "5", "--results", str(file)]) == 0
    kept = json.loads(file.read_text())["made_up"]
    assert (kept["options"], kept["rounds"], list(kept["variants"])) == ({"size": 5}, 3, ["one", "other"])
    capsys.readouterr()
    assert command.main(["check", "--results", str(file)]) == 0
    assert capsys.readouterr().out == "made_up: all ratios are within their bands\n"
    monkeypatch.setattr(command, "BENCHMARKS", {"made_up": made_up(3.0)})
    assert command.main(["check", "--results", str(file)]) == 1
    assert capsys.readouterr().out == "made_up: s of other to one is 3, was 2, band 10%\n"
    assert json.loads(file.read_text())["made_up"] == kept  # a check keeps nothing


def test_mistakes_on_the_command_line_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in ((["trainings"], "no benchmark trainings"), (["epoch", "--steps", "2"], "--steps is no option")):
        with pytest.raises(SystemExit) as caught:
            command.main(words)
        assert caught.value.code == 2
        assert said in capsys.readouterr().err


def test_without_a_gpu_the_gpu_benchmark_says_so_and_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["gpu", "gpu_trials", "--results", str(tmp_path / "results.json")]) == 2
    assert capsys.readouterr().err == "There is no GPU here, so nothing was measured.\n"
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("epochs --most 30", 0, r"\nepochs: metrics.csv: .*\nof_epochs 10: .*write ms .*\nof_epochs 30: "),
        ("epoch", 2, "there is no question epoch; there are trials, "),
        ("--most 29", 2, "use 30 or more"),
    ],
)
def test_how_it_scales_is_a_command_of_its_own(words: str, code: int, told: str) -> None:
    command = [sys.executable, "-m", "benchmarks.scaling", *words.split()]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert re.search(told, done.stdout + done.stderr)


def test_tables_are_written_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("above\n<!-- made_up -->\nold\n<!-- /made_up -->\nbelow\n")
    entry = made_up(2.0).measure(3)
    results.write_tables({"made_up": entry}, page)
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("above", "below")
    assert "| other | 4.00 (2.00 to 8.00) | 0.500 | 2.00 of one |" in lines
    assert "old" not in lines
    with pytest.raises(ValueError, match="has no <!-- another --> with a <!-- /another --> after it"):
        results.write_tables({"another": entry}, page)


def test_the_pages_tables_are_those_of_the_committed_results(tmp_path: Path) -> None:
    committed = results.read()
    assert set(committed) <= set(command.BENCHMARKS)
    page = tmp_path / "README.md"
    page.write_text(results.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    results.write_tables(committed, page)
    assert page.read_text(encoding="utf-8") == results.PAGE.read_text(encoding="utf-8")


def test_every_benchmark_has_a_place_in_the_page() -> None:
    text = results.PAGE.read_text(encoding="utf-8")
    assert [name for name in command.BENCHMARKS if f"<!-- {name} -->\n" not in text] == []
