"""What a config of someone else's may put on a terminal."""

from typing import Any

import pytest

from tests.support import compose_config
from tffd.checks import check_config
from tffd.refusal import ConfigError, refuse

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
