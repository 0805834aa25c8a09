"""Which stage of a student learns from which stage of a teacher."""

from collections.abc import Sequence

from tffd.distill.base import Setting

Pairs = Sequence[tuple[int, int]]
"""(student's stage, teacher's stage), both counted from 1."""


def stage_pairs(setting: Setting, chosen: Sequence[Sequence[int]] | None) -> Pairs:
    """Return the pairs of stages that a mode compares.

    Args:
        chosen: As the config names them; None pairs all stages in their order, which takes equally many.
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
    for pair in chosen:
        if len(pair) != 2 or not (1 <= pair[0] <= ours and 1 <= pair[1] <= theirs):
            raise ValueError(
                f"stages={[list(each) for each in chosen]} has {list(pair)}, which is no pair [student,teacher] of "
                f"stages 1 to {ours} and 1 to {theirs}."
            )
    if not chosen:
        raise ValueError("stages=[] compares nothing; name pairs such as [[1,1],[2,2]], or null for all.")
    return [(pair[0], pair[1]) for pair in chosen]
