"""The kinds of values that keys of a config take, and what is said of others."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field


def _increasing_fractions(values: list[float]) -> list[float]:
    if values != sorted(set(values)) or any(not 0 < value < 1 for value in values):
        raise ValueError("needs increasing fractions of the run between 0 and 1, such as [0.625, 0.75, 0.875]")
    return values


def _file_name(value: str, longest: int = 200) -> str:
    """Directories are named after it; those of runs hold several names, and file systems take 255 bytes."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", value):
        raise ValueError("names a directory, so it takes letters, digits, and . _ + - after the first of them")
    if len(value) > longest:
        raise ValueError(f"names a directory, so it takes at most {longest} characters; it has {len(value)}")
    return value


def _part_of_a_file_name(value: str) -> str:
    return _file_name(value, longest=64)


def _from_0_to_1(values: list[float] | None) -> list[float] | None:
    if values is not None and not all(0 <= value <= 1 for value in values):
        raise ValueError("needs numbers from 0 (black) to 1 (white), such as 0.4914, not from 0 to 255")
    return values


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
WholeNumber = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Choice = Annotated[str, BeforeValidator(str)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
FileName = Annotated[str, AfterValidator(_file_name)]
Label = Annotated[str, AfterValidator(_part_of_a_file_name)]
Milestones = Annotated[list[float], AfterValidator(_increasing_fractions)]
Means = Annotated[list[float] | None, AfterValidator(_from_0_to_1)]
Deviations = Annotated[list[Positive] | None, AfterValidator(_from_0_to_1)]
