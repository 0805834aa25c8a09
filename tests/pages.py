"""What the pages say: their commands, their pieces of Python, their links."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "benchmarks" / "README.md"])
EXTENDING = REPOSITORY / "docs" / "extending.md"
"""An example that is typed as it stands, by a test of its own."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
_STARTS = {
    ("python", "run.py"): "run",
    ("tffd",): "run",
    ("python", "-m", "analysis"): "analysis",
    ("tffd-analysis",): "analysis",
}


@dataclass(frozen=True)
class Command:
    """A command of run.py or of the analysis.

    Attributes:
        page: Where it stands.
        program: "run" or "analysis".
        words: What follows the program.
        output: The lines that are shown below it, to the next command; empty in running text.
    """

    page: str
    program: str
    words: tuple[str, ...]
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}: {self.program} {' '.join(self.words)}"


def read_commands(path: Path) -> list[Command]:
    """Every command in a page, in blocks and in running text."""
    text, page, found = path.read_text(encoding="utf-8"), path.name, []
    for _, block in _FENCE.findall(text):
        found += _read_block(page, block)
    for code in _INLINE.findall(_FENCE.sub("", text)):
        found += [Command(page, program, words) for program, words in _split(" ".join(code.split()))]
    return found


def _read_block(page: str, block: str) -> list[Command]:
    """Commands of a block, each with the lines below it. Where lines begin with `$`, the others are output."""
    text = block.replace("\\\n", " ")
    if not re.search(r"^\$ ", text, re.MULTILINE):
        return [Command(page, program, words) for line in text.splitlines() for program, words in _split(line)]
    found = []
    for typed in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *output = typed.splitlines()
        found += [Command(page, program, words, tuple(output)) for program, words in _split(line)]
    return found


def _split(line: str) -> list[tuple[str, tuple[str, ...]]]:
    """A command's program and its words, as the shell would hand them over; nothing for other commands."""
    if not line.startswith(tuple(start[0] for start in _STARTS)):
        return []
    words = tuple(shlex.split(line, comments=True))
    return [(name, words[len(start) :]) for start, name in _STARTS.items()
            if words[: len(start)] == start and len(words) > len(start) - ("run.py" in start)]  # fmt: skip


def read_python(path: Path) -> list[str]:
    """The blocks of Python in a page."""
    return [block for language, block in _FENCE.findall(path.read_text(encoding="utf-8")) if language == "python"]


def read_links(path: Path) -> list[str]:
    """Where a page's links and pictures lead, but for addresses on the web."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return [target for pair in _LINK.findall(text) for target in pair if target and "://" not in target]


def read_anchors(path: Path) -> set[str]:
    """The names of a page's headings, as links lead to them."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
