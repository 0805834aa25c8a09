"""Pages that are made from the code are not stale."""

from pathlib import Path

import pytest

from docs.modes import PAGE, read_header, render
from tests.support import CONF, compose_config
from tffd.config import require_config
from tffd.instantiation import build_distillation


def test_page_of_the_modes_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make docs`"


@pytest.mark.parametrize("path", sorted((CONF / "kd_mode").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_compose(path: Path) -> None:
    """What a header says of other published settings can be typed."""
    for _, overrides in read_header(path.read_text(encoding="utf-8")).recipes:
        config = require_config(compose_config(f"kd_mode={path.stem}", "teacher=resnet20", *overrides.split()))
        build_distillation(config)


def test_header_of_a_mode() -> None:
    text = """# @package kd_mode.x
# What it does,
# in two lines.
# Source: A paper. Weight of another.
# Recipe: Theirs at abc: kd_mode.x.p=1
#   kd_mode.x.q=2
_target_: a.b
p: 2  # Source: no
"""
    header = read_header(text)
    assert (header.what, header.source) == ("What it does, in two lines.", "A paper. Weight of another.")
    assert header.recipes == (("Theirs at abc", "kd_mode.x.p=1 kd_mode.x.q=2"),)
