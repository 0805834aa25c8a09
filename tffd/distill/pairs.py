"""Which stage of a student learns from which stage of a teacher."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from tffd.distill.base import Setting, Step

Pairs = Sequence[tuple[int, int]]
"""(student's stage, teacher's stage), both counted from 1."""

Chosen = Sequence[Sequence[int]] | Literal["last"] | None
"""Pairs as the config names them: [student's, teacher's] counted from 1; "last", the last stage of each network; or
None, all stages in their order."""


def stage_pairs(setting: Setting, chosen: Chosen) -> Pairs:
    """Return the pairs of stages that a mode compares.

    Args:
        chosen: None takes equally many stages of both networks.
    Raises:
        ValueError: If the networks have different numbers of stages, or one has no such stage.
    """
    ours, theirs = len(setting.student.stages), len(setting.teacher_output.stages)
    if chosen is None:
        if ours != theirs:
            raise ValueError(
                f"the student has {ours} stages and the teacher {theirs}; say which learns from which with "
                f"stages=[[student,teacher],...], such as stages=[[1,1],[{ours},{theirs}]]."
            )
        return [(stage, stage) for stage in range(1, ours + 1)]
    if chosen == "last":
        return [(ours, theirs)]
    if isinstance(chosen, str):
        raise ValueError(f"stages={chosen} is no choice; name pairs such as [[1,1],[2,2]], last, or null for all.")
    for pair in chosen:
        if len(pair) != 2 or not (1 <= pair[0] <= ours and 1 <= pair[1] <= theirs):
            raise ValueError(
                f"stages={[list(each) for each in chosen]} has {list(pair)}, which is no pair [student,teacher] of "
                f"stages 1 to {ours} and 1 to {theirs}."
            )
    if not chosen:
        raise ValueError("stages=[] compares nothing; name pairs such as [[1,1],[2,2]], or null for all.")
    return [(pair[0], pair[1]) for pair in chosen]


def paired_stages(step: Step, pairs: Pairs) -> list[tuple[Tensor, Tensor]]:
    """Return the student's and the teacher's map of each pair."""
    return [(step.student.stages[ours - 1], step.teacher_output.stages[theirs - 1]) for ours, theirs in pairs]
