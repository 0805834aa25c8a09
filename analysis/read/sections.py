"""Configs section by section: those of one sweep have nearly all of their sections in common."""

import re
from functools import lru_cache
from typing import Any

from analysis.read.yaml_text import parse_yaml

_BEGINS = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)  # what is indented, or in a list, belongs to the line above


def parse_config(text: str) -> Any:
    """What `parse_yaml` says of a config, with each text of a section parsed once.

    Raises:
        ValueError: If it is not YAML, or nested too deeply.
    """
    config: dict[Any, Any] = {}
    for section in _BEGINS.split(text):
        try:
            part = _parse_section(section)
        except ValueError:
            return parse_yaml(text)
        if part is None:  # comments
            continue
        if not isinstance(part, dict):
            return parse_yaml(text)
        config.update(part)
    return config or None


@lru_cache(maxsize=1024)
def _parse_section(text: str) -> Any:
    return parse_yaml(text)
