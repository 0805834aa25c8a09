"""`python -m analysis compare`: two trees, row by row and seed by seed."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import FORMATS, main
from analysis.compare.compare import Compared, compare_trees
from analysis.compare.sheet import remarks
from analysis.read.gather import gather
from analysis.select.request import Request
from analysis.sheets.notes import Kind
from tests.analysis.notes import kinds, of_kind, text_of

BASE = (60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 66.0)
WriteTree = Callable[..., None]


@pytest.fixture
def write_tree(tmp_path: Path, write_run: Any, monkeypatch: Any) -> WriteTree:
    """Write runs of some kd_modes below a directory of tmp_path, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def write(tree: str, first_seed: int = 0, config: str = "", **modes: Any) -> None:
        fields = modes.pop("fields", {})
        for kd_mode, values in modes.items():
            for seed, value in enumerate(values, start=first_seed):
                result = {"kd_mode": kd_mode, "seed": seed, "val_top1": value} | fields
                run = write_run(f"{tree}/{kd_mode}-{seed}", **result)
                (run / ".hydra" / "config.yaml").write_text(f"name: {tree}\nseed: {seed}\n{config}")

    return write


def _compare(request: Request | None = None) -> Compared:
    return compare_trees(gather("a"), gather("b"), request)


def _more(by: Sequence[float]) -> list[float]:
    return [value + gain for value, gain in zip(BASE, by, strict=True)]


def test_rows_are_paired_by_seed(write_tree: WriteTree) -> None:
    write_tree("a", none=BASE, tfd=BASE, intra=BASE)
    write_tree("b", none=BASE, tfd=_more((1, 2, 3, 2, 1, 2, 3)), intra=_more((1, -1, 2, -2, 1, -1, 0)))
    compared = _compare()
    assert compared.rows == ("kd_mode",)
    found = {change.key[0]: change for change in compared.changes}
    assert {mode: change.verdict for mode, change in found.items()} == {
        "none": "identical",
        "tfd": "moved",
        "intra": "not told apart",
    }
    moved = found["tfd"].difference
    assert moved is not None
    assert (moved.value, moved.pairs, moved.method) == (2.0, 7, "exact")
    assert moved.p == pytest.approx(2 / 2**7)
    assert moved.p_holm == pytest.approx(3 * 2 / 2**7)  # three rows
    assert (moved.low, moved.high) == (1.0, 3.0)  # the third of the 127 subset means from either end
    assert kinds(remarks(compared))[:4] == [Kind.COUNTS, Kind.COUNTS, Kind.VERDICT, Kind.VERDICT]
    assert list(map(str, remarks(compared)))[:4] == [  # the wording
        "A: 21 complete, 0 pruned, 0 failed, 0 running, 0 stale, 0 missing",
        "B: 21 complete, 0 pruned, 0 failed, 0 running, 0 stale, 0 missing",
        "moved beyond noise (p below 0.05, corrected): 1 of 3: tfd",
        "identical to the last digit on all shared seeds: 1 of 3: none",
    ]


def test_what_one_side_alone_has_is_named(write_tree: WriteTree) -> None:
    write_tree("a", none=(60.0, 61.0), at=(1.0,))
    write_tree("b", first_seed=1, none=(61.0, 62.0, 63.0), st=(1.0,))
    compared = _compare()
    (none,) = compared.changes
    assert none.difference is not None
    # Seed 1 alone is on both sides, and the difference is one of all runs.
    assert (none.difference.method, none.verdict) == ("welch", "identical on 1 shared seed")
    assert compared.only == ((("at",),), (("st",),))
    notes = list(remarks(compared))
    assert kinds(notes)[-3:] == [Kind.UNSHARED_SEEDS, Kind.ONE_SIDE, Kind.ONE_SIDE]
    assert text_of(notes, Kind.UNSHARED_SEEDS).endswith(": none (1 of 2 and 3 runs)")
    assert [note.text.rpartition(" alone ")[2] for note in of_kind(notes, Kind.ONE_SIDE)] == ["(a): at", "(b): st"]


def test_identical_speaks_of_the_runs_whose_difference_is_shown(write_tree: WriteTree) -> None:
    write_tree("a", none=(20.0, 22.0, 14.0), tfd=(20.0,), st=(20.0,))
    write_tree("b", first_seed=2, none=(14.0,))
    write_tree("b", tfd=(20.0,), st=(21.0,))
    compared = _compare()
    found = {change.key[0]: change for change in compared.changes}
    differences = {mode: change.difference.value for mode, change in found.items() if change.difference}
    assert differences == {"none": pytest.approx(14.0 - 56.0 / 3), "tfd": 0.0, "st": 1.0}
    assert {mode: change.verdict for mode, change in found.items()} == {
        "none": "identical on 1 shared seed",
        "tfd": "identical",
        "st": "",
    }
    notes = list(remarks(compared))
    verdicts = [note.text.partition(": ")[2] for note in of_kind(notes, Kind.VERDICT)]
    assert verdicts == ["0 of 3", "1 of 3: tfd", "1 of 3: none"]
    assert "st (fewer than 2 shared seeds" in text_of(notes, Kind.NO_VERDICT)


def test_runs_of_unknown_seed_are_not_called_identical(write_tree: WriteTree) -> None:
    write_tree("a", none=(20.0,))
    write_tree("a", first_seed=1, none=(30.0,), fields={"seed": None})
    write_tree("b", none=(20.0,))
    (none,) = _compare().changes
    assert none.verdict == "identical on 1 shared seed"


def test_what_has_no_verdict_and_no_interval_is_named(write_tree: WriteTree) -> None:
    write_tree("a", none=[60.0] * 13, tfd=(60.0, 61.0), fields={"val_loss": None})
    write_tree("b", none=[60.0] * 12 + [61.0], tfd=(60.0, 62.0), fields={"val_loss": None})
    for tree in "ab":
        write_tree(tree, first_seed=20, none=(60.0,), fields={"val_loss": 1.0})
    compared = _compare(Request(metrics=["val_top1", "val_loss"]))
    notes = list(remarks(compared))
    assert "tfd val_loss (not measured" in text_of(notes, Kind.NO_VERDICT)
    assert text_of(notes, Kind.NO_INTERVAL).endswith(": none val_top1")


def test_settings_versions_and_commits_that_differ(write_tree: WriteTree) -> None:
    config = "trainer: {{lr: {lr}, epochs: 2}}\nresults_dir: {where}\nsweep: {{n_jobs: {where}}}\n{more}"
    other = {"git_commit": "f" * 40, "device": "cuda (H100)", "versions": {"python": "3.11.7", "torch": "2.10.0"}}
    write_tree("a", none=BASE, config=config.format(lr=0.1, where=1, more=""))
    write_tree("b", none=BASE, config=config.format(lr=0.05, where=2, more="extra: [1, 2]\n"), fields=other)
    compared = _compare()
    assert [(one.what, one.values, one.pairs) for one in compared.settings] == [
        ("extra", ("(absent)", "[1, 2]"), 7),
        ("trainer.lr", ("0.1", "0.05"), 7),
    ]
    assert [(one.what, one.values) for one in compared.records] == [
        ("device", ("cpu", "cuda (H100)")),
        ("git_commit", ("0123456789", "f" * 10)),
        ("versions.torch", ("2.9.0", "2.10.0")),
    ]


def test_a_setting_that_differs_in_the_last_digit_shows_it(write_tree: WriteTree) -> None:
    write_tree("a", none=BASE[:2], config="trainer: {lr: 0.1}\n")
    write_tree("b", none=BASE[:2], config="trainer: {lr: 0.10000000000000002}\n")
    assert _compare().settings[0].values == ("0.1", "0.10000000000000002")


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, write_tree: WriteTree) -> None:
    write_tree("a", none=BASE[:2])
    write_tree("b", none=BASE[:2])
    (tmp_path / "b/none-1/.hydra/config.yaml").write_text("[")
    (line,) = _compare().left_out
    assert line.startswith("config not compared: b/none-1 ")


def test_what_differs_between_the_trees_alone_makes_no_row(write_tree: WriteTree) -> None:
    write_tree("a", none=BASE, fields={"epochs": 2})
    write_tree("b", none=BASE, fields={"epochs": 4})
    assert _compare().rows == ("kd_mode",)
    with pytest.raises(ValueError, match="a and b have no row in common by epochs; choose other columns: --rows"):
        _compare(Request(rows=["epochs"]))


def test_several_metrics_are_one_family(write_tree: WriteTree) -> None:
    write_tree("a", none=BASE, fields={"val_loss": 1.0})
    write_tree("b", none=_more((1, 2, 3, 2, 1, 2, 3)), fields={"val_loss": None})
    with pytest.raises(ValueError, match="^b: val_loss is null in all 7 complete runs"):
        _compare(Request(metrics=["val_loss"]))
    write_tree("b", first_seed=7, none=(1.0,), fields={"val_loss": 2.0})
    top1, loss = _compare(Request(metrics=["val_top1", "val_loss"])).changes
    assert top1.difference is not None and loss.difference is not None
    assert top1.difference.p_holm == pytest.approx(2 / 2**7)  # the only p-value there is
    assert (loss.difference.value, loss.difference.p, loss.verdict) == (1.0, None, "")


def test_the_page(write_tree: WriteTree, capsys: Any) -> None:
    write_tree("a", none=(60.0, 62.0), tfd=(61.0,))
    write_tree("b", none=(61.0, 65.0), tfd=(61.5,), fields={"threads": 4})
    assert main(["compare", "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| kd_mode   |            A |   n |            B |   n |")
    assert lines[2:4] == [
        "| none      | 61.00 ± 1.41 |   2 | 63.00 ± 2.83 |   2 | +2.00 [-10.71, +14.71] |      0.500 |"
        " 2 paired seeds, t | not told apart |",
        "| tfd       |        61.00 |   1 |        61.50 |   1 |                  +0.50 |          - |"
        "             means |                |",
    ]
    assert lines[5].startswith("Val top-1, last epoch (%): mean ± sample sd over runs. A: a; B: b. Dataset digits;")
    assert lines[-5:] == [
        "| what differs   |   A |   B |   pairs of runs |",
        "|:---------------|----:|----:|----------------:|",
        "| threads        |   2 |   4 |                 |",
        "",
        "Settings, devices, versions and commits in which the runs differ.",
    ]


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format(write_tree: WriteTree, capsys: Any, format_: str) -> None:
    write_tree("a", none=(60.0, 62.0))
    write_tree("b", none=(61.0, 65.0), fields={"threads": 4})
    assert main(["compare", "a", "b", "--format", format_]) == 0
    out, err = capsys.readouterr()
    if format_ == "json":
        content = json.loads(out)
        assert content["changes"][0]["b"] == [{"seed": 0, "value": 61.0}, {"seed": 1, "value": 65.0}]
        assert content["records"] == [{"what": "threads", "values": ["2", "4"], "pairs": None}]
    elif format_ == "csv":
        assert out.splitlines()[1].startswith("none,val_top1,61.0,1.414213562373095")
        assert err.splitlines()[-1] == "differs: threads: A 2; B 4"
    else:
        assert {"md": "| kd_mode", "html": "<table>", "latex": r"\toprule"}[format_] in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "nowhere"], "nowhere is not a directory"),
        (["a", "./a"], "a and a are the same directory"),
        (["a", "a/none-0"], "a and a/none-0 lie one in the other"),
        (["a", "empty"], "empty holds no run"),
        (["empty", "a"], "empty holds no run"),
        (["a", "c"], "a and c have no row in common by kd_mode"),
        (["a", "final"], "the runs follow several protocols (final, validation)"),
        (["a", "final", "--metric", "test_top1"], "test_top1 is null in all 2 complete runs: protocol=validation"),
        (["a", "b", "--rows", "kdmode"], "a: unknown column 'kdmode'; the nearest: kd_mode"),
        (["a", "b", "--where", "seed=1"], "b: --where seed=1 leaves no complete run"),
    ],
)
def test_mistakes_end_in_one_message(
    tmp_path: Path, write_tree: WriteTree, capsys: Any, arguments: list[str], message: str
) -> None:
    write_tree("a", none=(60.0, 62.0))
    write_tree("b", none=(60.0,))
    write_tree("c", tfd=(60.0,))
    write_tree("final", none=(60.0,), fields={"protocol": "final", "test_top1": 50.0})
    (tmp_path / "empty").mkdir()
    assert main(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("analysis: ")
    assert message in err
