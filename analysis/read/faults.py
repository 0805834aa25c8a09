"""What can be wrong with what lies among results, as values: a fault has a kind beside the sentence that tells it."""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Why a file or directory is not used."""

    UNREADABLE = "cannot be opened, read or listed"
    ABSENT = "is not there, though the run has ended"
    IRREGULAR = "is no regular file"
    TOO_LARGE = "is larger than any file of a run"
    TOO_DEEP = "is nested too deeply"
    EMPTY = "says nothing"
    CUT_OFF = "ends before it should"
    NOT_JSON = "is not JSON"
    NOT_YAML = "is not YAML"
    ALIAS = "is YAML that stands for more than it holds"
    NOT_CSV = "is not CSV, or has no table in it"
    NO_COLUMN = "lacks a column"
    NO_NUMBER = "has a text where a number belongs"
    NOT_A_RESULT = "is not the result of a run"
    NOT_A_PLAN = "is not the plan of a sweep"
    NOT_A_CONFIG = "is not the config of a run"
    WRONG_TYPE = "has a field of another type"
    IMPOSSIBLE = "has a number that no run can have measured"
    MISCOUNTED = "has rows that do not count as they should"
    DISORDERED = "has numbers that are not in the order in which they were written"
    NOT_A_RUN = "has traces of a run, but not its config"
    LINK_ELSEWHERE = "is a link to a directory elsewhere"
    BROKEN_LINK = "is a link that cannot be followed"


class Unreadable(ValueError):
    """A file does not say what it should. The message is the end of a sentence about the file.

    Attributes:
        kind: What is wrong with it.
    """

    def __init__(self, kind: Fault, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Skipped:
    """A file or directory that could not be used.

    Attributes:
        path: Where it lies.
        kind: What is wrong with it.
        reason: The same in words, as the end of a sentence about it.
    """

    path: str
    kind: Fault
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


# What reading a file of a run may raise.
ANY_FAULT = (OSError, Unreadable, RecursionError)


def as_skipped(path: str, error: OSError | Unreadable | RecursionError) -> Skipped:
    """A file that could not be read; what the operating system refused is named as it names it."""
    if isinstance(error, OSError):
        return Skipped(error.filename or path, Fault.UNREADABLE, f"cannot be read ({error.strerror})")
    if isinstance(error, RecursionError):
        return Skipped(path, Fault.TOO_DEEP, "is nested too deeply")
    return Skipped(path, error.kind, str(error))
