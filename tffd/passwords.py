"""Passwords in addresses: a command that has one is refused, because everything that it is told is kept in files."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from tffd.refusal import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

# As SQLAlchemy reads an address: the password is what stands between the first colon and an @, whatever it holds. In
# the addresses of files on the web a slash ends it.
_IN_DATABASE = re.compile(r"(?<=://)([^:/]*:).+@", re.DOTALL)
_IN_WEB = re.compile(r"(\b(?:https?|ftps?|s3)://[^:/?#]*:)[^/?#]+@")
_WEB = re.compile(r"\b(?:https?|ftps?|s3)://")

_IN_QUERY = re.compile(r"(?<=[?&])([^?&=]*)=([^&]+)")
_SECRET = re.compile(r"pass(?!file)|secret|scram_", re.IGNORECASE)  # libpq's: password, sslpassword, ...
_IN_CONNINFO = re.compile(r"(pass(?!file)\w*|\w*secret)\s*=", re.IGNORECASE)
_SECRET_SETTING = re.compile(r"password|passwd|passphrase|secret", re.IGNORECASE)
_HIDDEN = "***"


def without_password(address: object) -> str:
    """Write an address, or a text that holds one, so that it can be shown and kept."""
    text = str(address)
    if "://" not in text:
        return text
    text = _IN_WEB.sub(rf"\1{_HIDDEN}@", text) if _WEB.search(text) else _IN_DATABASE.sub(rf"\1{_HIDDEN}@", text)
    return _IN_QUERY.sub(_without_value, text)


def refuse_passwords_in(arguments: Sequence[str]) -> None:
    """Refuse a command line with a password, before anything repeats it.

    Raises:
        ConfigError: If there is one.
    """
    _refuse(argument for argument in arguments if _holds_password(*_split(argument)))


def refuse_passwords(config: "DictConfig") -> None:
    """Refuse a composed config with a password, wherever in it and wherever it came from.

    Raises:
        ConfigError: If there is one.
    """
    from omegaconf import OmegaConf

    settings = dict(_leaves(OmegaConf.to_container(config, resolve=False)))
    for key in ("sweep.storage", "hydra.sweeper.storage"):  # which may have been put together of parts
        settings[key] = OmegaConf.select(config, key)
    _refuse(f"{key}={value}" for key, value in settings.items() if _holds_password(key, value))


def _refuse(settings: Iterator[str]) -> None:
    found = list(dict.fromkeys(_shown(setting) for setting in settings))
    if found:
        raise ConfigError(
            f"{setting}: holds a password, which would be kept in the files of every run; leave it out, and put it "
            "into ~/.pgpass or into the environment variable PGPASSWORD"
            for setting in found
        )


def _holds_password(key: str, value: object) -> bool:
    if not isinstance(value, str) or value in ("", "null", _HIDDEN):
        return False
    return bool(_SECRET_SETTING.search(key.rpartition(".")[2])) or without_password(value) != value


def _shown(setting: str) -> str:
    key, value = _split(setting)
    shown = without_password(value)
    return f"{key}={_HIDDEN if shown == value else shown}" if key else shown


def _split(argument: str) -> tuple[str, str]:
    """Key and value of an override; no key where the text has an address first."""
    key, equals, value = argument.partition("=")
    return (key, value) if equals and "://" not in key else ("", argument)


def _without_value(match: re.Match[str]) -> str:
    key, value = match[1], match[2]
    is_secret = _SECRET.search(unquote_plus(key)) or _IN_CONNINFO.search(unquote_plus(value))
    return f"{key}={_HIDDEN}" if is_secret else match[0]


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield key, value
        return
    for name, item in items:
        yield from _leaves(item, f"{key}.{name}" if key else str(name))
