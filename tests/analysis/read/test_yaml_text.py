"""Configs that are parsed section by section say the same as parsed at once, and none may grow while it is read."""

from pathlib import Path
from typing import Any

import pytest

from analysis.read.configs import read_config
from analysis.read.faults import Fault, Unreadable
from analysis.read.overrides import read_overrides
from analysis.read.yaml_text import parse_config, parse_yaml


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\nseed: 0\ntrainer:\n  lr: 0.1\n  milestones:\n  - 0.5\nlist:\n- a\n- b: c\n",
        "a: 'one\n\n  two'\nb: |\n  text: no key\n\n  more\nc: 1.0e-05\n",
        "a: {b: 1,\nc: 2}\nd: 3\n",  # what begins a line is no section
        'a: "one\nb: two"\n',
        "a: 1\nb: 2\na: 3\n",
        "",
        "- a\n- b\n",
        "text\n",
    ],
)
def test_sections_are_parsed_as_the_whole(text: str) -> None:
    assert parse_config(text) == parse_yaml(text)


@pytest.mark.parametrize(
    "text",
    [
        *("a: [\nb: 1\n", "a: 1\n---\nb: 2\n", "a: *b\n"),
        *("a: !!bool maybe\n", "a: 2026-13-01\n", "a: !!timestamp now\n"),
    ],
)
def test_what_is_no_config_is_told_as_such(text: str) -> None:
    with pytest.raises(Unreadable) as raised:
        parse_config(text)
    assert raised.value.kind is Fault.NOT_YAML


DOUBLING = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (DOUBLING, Fault.ALIAS),
        (DOUBLING.replace("[", "{p: ").replace(", ", ", q: ").replace("]", "}"), Fault.ALIAS),
        ("a: &x {b: *x}\n", Fault.ALIAS),
        ("base: &x {b: 1}\nother: {<<: *x}\n", Fault.ALIAS),
        ("- " * 100_000 + "x\n", Fault.NOT_YAML),
        ("{a: " * 60 + "1" + "}" * 60, Fault.TOO_DEEP),
        ("a: 1\n" * 250_000, Fault.TOO_LARGE),
        ("- a\n", Fault.NOT_A_CONFIG),
    ],
)
def test_a_config_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, write_run: Any, text: str, fault: Fault
) -> None:
    run = write_run("0000")
    for name in ("config", "overrides"):
        (run / ".hydra" / f"{name}.yaml").write_text(text)
    with pytest.raises(Unreadable, match="^has a config that (is|has) ") as raised:
        read_config(str(run))
    assert raised.value.kind is fault
    assert not [word for word in read_overrides(str(run)) if not word.startswith("a")]
