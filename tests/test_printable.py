"""What a config of someone else's may put on a terminal."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.support import compose_config
from tffd.app import refuse
from tffd.checks import check_config
from tffd.config import ConfigError, require_config
from tffd.training.progress import EpochReporter

HOSTILE = "\x1b]0;owned\x07\x9b31m"
SHOWN = r"\x1b]0;owned\x07\x9b31m"


def test_a_refusal_shows_the_values_that_it_names(capsys: Any) -> None:
    config = compose_config("model=resnet8")
    config.protocol.test = HOSTILE
    with pytest.raises(ConfigError) as refused:
        check_config(config)
    with pytest.raises(SystemExit):
        refuse(refused.value)
    lines = capsys.readouterr().err.splitlines()
    assert SHOWN in lines[-1]
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_a_run_shows_the_names_of_its_config(tmp_path: Path) -> None:
    config = compose_config()
    config.model.name = f"{HOSTILE}[bold]"
    console = Console(file=io.StringIO(), width=200)
    with EpochReporter(console).run(require_config(config), 0):
        pass
    assert console.file.getvalue().startswith(f"{SHOWN}[bold] on digits")  # type: ignore[attr-defined]
