"""Whether configs were found sound before: a command with nothing left to train needs no PyTorch to see that."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tffd.blaming import is_own
from tffd.data.sources import ReadsFiles
from tffd.files import file_digest
from tffd.instantiation import build_source, collect, keep_needs_teacher
from tffd.remembered import recall, remember
from tffd.schema import Config

_OF_NO_PART = {"name", "results_dir", "seed", "sweep"}
"""Settings on which no network, mode or file of weights depends."""


class Soundness:
    """What is remembered of the configs of a command; None stands for one that cannot even be read.

    Attributes:
        is_known: Whether the networks, kd_modes and weights of all were found sound, and are what they were.
    """

    def __init__(self, configs: Sequence[Config | None]) -> None:
        self._configs = [config for config in configs if config is not None]
        self._question = _question_of(self._configs) if len(self._configs) == len(configs) else None
        self.is_known = self._question is not None and recall(self._folder, self._question) is True

    @property
    def _folder(self) -> str:
        return self._configs[0].dataset.cache

    def keep(self) -> None:
        """Remember that all are sound, unless what they name has changed while they were looked at."""
        if self.is_known or self._question is None or _question_of(self._configs) != self._question:
            return
        for config in self._configs:
            keep_needs_teacher(config)
        remember(self._folder, self._question, True)


def _question_of(configs: Sequence[Config]) -> dict[str, Any] | None:
    """Return all on which it depends whether configs are sound.

    Returns:
        None where that cannot be told: parts are your own, files are missing, or pictures have not been decoded.
    """
    if not configs or any(is_own(target) for config in configs for target in _targets(config)):
        return None
    settings = {config.model_dump_json(by_alias=True, exclude=_OF_NO_PART) for config in configs}
    weights = {path for config in configs for path in (config.model.weights, config.teacher.checkpoint) if path}
    by_source = {json.dumps([config.dataset.source.arguments(), config.dataset.cache]): config for config in configs}
    try:
        files = {path: file_digest(path) for path in sorted(weights - {"auto"})}
        data, _ = collect(lambda: {key: _decoded(config) for key, config in by_source.items()})
    except OSError:
        return None
    if data is None or not all(data.values()):
        return None
    return {"is": "sound", "settings": sorted(settings), "files": files, "data": data}


def _targets(config: Config) -> list[str]:
    parts = [config.model.target, config.dataset.source.target, *(mode.target for mode in config.kd_mode.values())]
    return parts if config.teacher.target is None else [*parts, config.teacher.target]


def _decoded(config: Config) -> str | None:
    """The fingerprint of a config's pictures; None if they are yet to be decoded."""
    source = build_source(config)
    fingerprint = source.fingerprint()
    is_there = not isinstance(source, ReadsFiles) or (Path(config.dataset.cache) / fingerprint).is_dir()
    return fingerprint if is_there else None
