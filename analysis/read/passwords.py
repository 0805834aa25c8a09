"""Passwords in what is read: runs of tffd record none, and what others wrote into their files is not repeated."""

import re
from typing import Any

_HIDDEN = "***"
# As in tffd.passwords, which refuses them: all from the first colon to the last @ of an address, or to a slash where it
# is one on the web, and what is called a password.
_IN_ADDRESS = re.compile(r"(?<=://)([^:/?\s]*:).+@", re.DOTALL)
_IN_WEB = re.compile(r"(\b(?:https?|ftps?|s3)://[^:/?#]*:)[^/?#]+@")
_WEB = re.compile(r"\b(?:https?|ftps?|s3)://")
_SECRET = r"(?:pass(?:word|wd|phrase)|secret)"
_ASSIGNED = re.compile(rf"({_SECRET}\w*['\"]?\s*[=:]\s*)[^\s&]+", re.IGNORECASE)
_KEY = re.compile(_SECRET, re.IGNORECASE)


def may_hold_passwords(content: bytes) -> bool:
    """Whether a JSON file is worth a look at each of its texts, which takes longer than reading it."""
    lower = content.lower()
    return b"://" in lower or b"pass" in lower or b"secret" in lower or b"\\" in lower  # an escape may stand for any


def without_passwords(value: Any, key: str = "") -> Any:
    """The same text, number, list or object, *** standing for each password in it."""
    if isinstance(value, str):
        if value and _KEY.search(key.rpartition(".")[2]):
            return _HIDDEN
        lower = value.lower()
        return _hidden(value) if "://" in lower or "pass" in lower or "secret" in lower else value
    if isinstance(value, list):
        return [without_passwords(one, key) for one in value]
    if isinstance(value, dict):
        # A command is read word by word (read_command): as one text, all up to the last @ of any word might go.
        return {name: one if name == "command" else without_passwords(one, str(name)) for name, one in value.items()}
    return value


def _hidden(text: str) -> str:
    text = _IN_WEB.sub(rf"\1{_HIDDEN}@", text) if _WEB.search(text) else _IN_ADDRESS.sub(rf"\1{_HIDDEN}@", text)
    return _ASSIGNED.sub(rf"\1{_HIDDEN}", text)
