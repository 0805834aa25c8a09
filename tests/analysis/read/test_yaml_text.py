"""Configs that are parsed section by section say the same as parsed at once."""

import pytest

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


@pytest.mark.parametrize("text", ["a: [\nb: 1\n", "a: 1\n---\nb: 2\n", "a: *b\n"])
def test_what_is_no_config_is_told_as_such(text: str) -> None:
    with pytest.raises(ValueError, match="not YAML"):
        parse_config(text)
