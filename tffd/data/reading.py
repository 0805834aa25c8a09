"""The arrays of a data set, out of the cache or decoded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tffd.data.arrays import Arrays, cached
from tffd.data.sources import DataChanged, Source


def load_arrays(source: Source, cache: str | Path) -> Arrays:
    """Return a source's arrays from the cache directory, decoding the source first if it is not there.

    Raises:
        DataChanged: If the source changes while it is decoded.
        ValueError: If it cannot be read.
    """
    fingerprint = source.fingerprint()

    def read() -> Arrays:
        arrays: Any = source.read()
        if not isinstance(arrays, Arrays):
            name = f"{type(source).__module__}.{type(source).__qualname__}"
            raise ValueError(f"{name}: read returned a {type(arrays).__name__}, and should a tffd.data.Arrays")
        if source.fingerprint() != fingerprint:
            raise DataChanged("the pictures changed while they were decoded. Start again when nothing writes to them.")
        return arrays if arrays.content else replace(arrays, content=source.content())

    return cached(Path(cache) / fingerprint, read)
