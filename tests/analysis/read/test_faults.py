"""The wording of faults, each of which is the end of a sentence about a path."""

from pathlib import Path

import pytest

from analysis.read.faults import Fault, Skipped, Unreadable, as_skipped
from analysis.read.tree import scan
from analysis.read.yaml_text import parse_yaml


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (OSError(13, "Permission denied", "x/a.csv"), Fault.UNREADABLE, "x/a.csv cannot be read (Permission denied)"),
        (OSError(5, "Input/output error"), Fault.UNREADABLE, "x cannot be read (Input/output error)"),
        (RecursionError(), Fault.TOO_DEEP, "x is nested too deeply"),
        (Unreadable(Fault.EMPTY, "is empty"), Fault.EMPTY, "x is empty"),
    ],
)
def test_an_error_becomes_a_line(error: OSError | Unreadable | RecursionError, kind: Fault, line: str) -> None:
    skipped = as_skipped("x", error)
    assert (skipped.kind, str(skipped)) == (kind, line)


def test_what_a_scan_says(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "more").symlink_to(tmp_path)
    (tmp_path / "in" / "loop").symlink_to("loop")
    (tmp_path / "in" / "x").mkdir()
    (tmp_path / "in" / "x" / "metrics.csv").touch()
    assert scan(str(tmp_path / "in")).skipped == [
        Skipped(
            str(tmp_path / "in" / "loop"),
            Fault.BROKEN_LINK,
            "is a link that cannot be followed (Too many levels of symbolic links)",
        ),
        Skipped(
            str(tmp_path / "in" / "more"),
            Fault.LINK_ELSEWHERE,
            "is a link to a directory elsewhere, and links are not followed",
        ),
        Skipped(str(tmp_path / "in" / "x"), Fault.NOT_A_RUN, "has metrics.csv, but no .hydra/config.yaml: not a run"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x {b: *x}\n", "is YAML with an alias, such as *x, which no run writes"),
        ("{a: " * 60 + "1" + "}" * 60, "is nested more than 50 levels deep"),
        ("a: !!bool maybe\n", "is not YAML ('maybe')"),
    ],
)
def test_what_yaml_says(text: str, words: str) -> None:
    with pytest.raises(Unreadable) as raised:
        parse_yaml(text)
    assert str(raised.value) == words
