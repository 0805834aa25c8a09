"""The data that a sweep was planned on: trials on other data could not be compared."""

import json
from dataclasses import dataclass, field

from tffd.data import DataChanged, digest_content
from tffd.data.sources import ReadsFiles
from tffd.identity import Hashes, hash_config
from tffd.instantiation import build_source, data_content
from tffd.schema import Config

_SHOWN = 5


@dataclass(frozen=True)
class _Pin:
    content: str
    notice: str
    files: dict[str, tuple[int, ...]]


@dataclass
class PinnedData:
    """What every data set of a sweep was when the sweep was checked."""

    _pins: dict[str, _Pin] = field(default_factory=dict)

    def pin(self, config: Config) -> None:
        """Note what the data of a config is, unless that is known.

        Raises:
            ValueError: If it cannot be read.
        """
        if (key := _key(config)) not in self._pins:
            source = build_source(config)
            files = source.files() if isinstance(source, ReadsFiles) else {}
            self._pins[key] = _Pin(data_content(config), source.check().notice, files)

    def require_same(self, config: Config) -> Hashes:
        """Return the hashes of a config whose data is what it was when it was first seen.

        Raises:
            DataChanged: If it is not, or cannot be read any more; the message says what changed.
        """
        self.pin(config)
        pin, name = self._pins[_key(config)], config.dataset.name
        try:
            hashes = hash_config(config)
        except ValueError as error:
            raise DataChanged(f"the pictures of dataset={name} cannot be read any more: {error}") from error
        if hashes.data != digest_content(pin.content):
            raise DataChanged(
                f"the pictures of dataset={name} have changed since the sweep began: {_differences(pin.files, config)}"
            )
        return hashes

    def notices(self) -> list[str]:
        """What the sources said of themselves, a line each."""
        return [pin.notice for pin in self._pins.values() if pin.notice]


def _key(config: Config) -> str:
    return json.dumps(config.dataset.source.arguments(), sort_keys=True)


def _differences(before: dict[str, tuple[int, ...]], config: Config) -> str:
    source = build_source(config)
    now = source.files() if isinstance(source, ReadsFiles) else {}
    kinds = {
        "added": now.keys() - before.keys(),
        "removed": before.keys() - now.keys(),
        "changed": {name for name in before.keys() & now.keys() if before[name] != now[name]},
    }
    texts = [f"{kind} {_some(sorted(names))}" for kind, names in kinds.items() if names]
    return "; ".join(texts) or "other content"


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
