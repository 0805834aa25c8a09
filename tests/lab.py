"""The folder of docs/extending.md, made from the page itself: its files, its commands, and the console scripts."""

import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import REPOSITORY
from tests.waiting import PATIENCE

PAGE = REPOSITORY / "docs" / "extending.md"

SCRIPTS = {"tffd": "tffd.command:main", "tffd-analysis": "analysis.__main__:run"}
"""As pyproject.toml has them; test_extending compares."""


def page_files() -> dict[str, str]:
    """The files that the page shows, each after a line with its path."""
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    parts = (re.split(r"^# (my\w+/\S+)\n", block, flags=re.M)[1:] for block in blocks)
    return {name: content for part in parts for name, content in zip(part[::2], part[1::2], strict=True)}


def page_commands() -> list[str]:
    """The commands that the page shows, in their order."""
    (block,) = re.findall(r"^```\n(export .*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines: list[str] = block.splitlines()
    return lines


@dataclass(frozen=True)
class Lab:
    """A researcher's folder.

    Attributes:
        folder: Where it lies.
        environment: With the console scripts on its path; nothing of this repository is in sys.path by itself.
    """

    folder: Path
    environment: dict[str, str]

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line of the shell in the folder, in a session of its own."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, shell=True, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, command: str, code: int = 0) -> str:
        """Run a command line to its end, and return what it printed."""
        process = self.start(command)
        printed, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, printed + errors
        return printed + errors


def make_lab(folder: Path) -> Lab:
    """Write the files of the page into an empty folder, and beside it the installed scripts, or such as pip writes."""
    for name, content in page_files().items():
        path = folder / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    scripts = folder / "bin"
    scripts.mkdir()
    for name, target in SCRIPTS.items():
        installed = Path(sys.executable).parent / name
        if installed.is_file():  # which commands would name by its path if there were another of its name
            (scripts / name).symlink_to(installed)
            continue
        module, function = target.split(":")
        lines = (f"#!{sys.executable}", "import sys", f"from {module} import {function}", "if __name__ == '__main__':")
        (scripts / name).write_text("\n".join((*lines, f"    sys.exit({function}())", "")))
        (scripts / name).chmod((scripts / name).stat().st_mode | stat.S_IXUSR)
    environment = {name: value for name, value in os.environ.items() if name != "TFFD_TRUST"}
    environment |= {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    return Lab(folder / "lab", environment)
