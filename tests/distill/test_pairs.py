"""Stages are paired as the config says."""

import pytest

from tests.distill.compositions import setting, step_of
from tests.distill.properties import output
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs

STUDENT = output((3, 4, 4), (4, 2, 2))
TEACHER = output((3, 4, 4), (3, 4, 4), (4, 2, 2), seed=1)


@pytest.mark.parametrize(("chosen", "pairs"), [("last", [(2, 3)]), ([[1, 2], [1, 3]], [(1, 2), (1, 3)])])
def test_pairs_and_their_maps(chosen: Chosen, pairs: list[tuple[int, int]]) -> None:
    """Of networks with different numbers of stages."""
    assert stage_pairs(setting(STUDENT, TEACHER), chosen) == pairs
    maps = paired_stages(step_of(STUDENT, TEACHER), pairs)
    assert [(id(ours), id(theirs)) for ours, theirs in maps] == [
        (id(STUDENT.stages[ours - 1]), id(TEACHER.stages[theirs - 1])) for ours, theirs in pairs
    ]


def test_all_stages_take_equally_many() -> None:
    assert stage_pairs(setting(STUDENT, STUDENT), None) == [(1, 1), (2, 2)]
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 3"):
        stage_pairs(setting(STUDENT, TEACHER), None)


@pytest.mark.parametrize("chosen", ["first", "1"])
def test_an_unknown_word_is_refused(chosen: str) -> None:
    with pytest.raises(ValueError, match=f"stages={chosen} is no choice; name pairs such as"):
        stage_pairs(setting(STUDENT, TEACHER), chosen)  # type: ignore[arg-type]
