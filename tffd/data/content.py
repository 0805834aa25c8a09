"""What the data of a run is: the identity that its record, its study and its comparisons rest on."""

import hashlib
from pathlib import Path

from tffd.data.seal import sealed_content
from tffd.data.sources import Source
from tffd.data.sources.base import ReadsFiles

_known: dict[str, str] = {}
"""Fingerprints to contents that this process has found out."""


def content_of(source: Source, cache: str | Path) -> str:
    """Return a source's `content()`, without reading its files again while they are the same.

    Decoding finds it out, and the cache keeps it under the source's fingerprint. Where the cache has nothing (yet), or
    cannot be read, the files are read here, once a process; nothing is written, so a cache may be read-only or absent.

    Raises:
        ValueError: If the source cannot be read.
    """
    if not isinstance(source, ReadsFiles):
        return source.content()
    fingerprint = source.fingerprint()
    if fingerprint not in _known:
        _known[fingerprint] = sealed_content(Path(cache) / fingerprint) or source.content()
    return _known[fingerprint]


def digest_content(content: str) -> str:
    """The content of a data set in 12 hexadecimal digits, as result.json has it."""
    return hashlib.sha256(content.encode()).hexdigest()[:12]
