"""What a data source lacks of what it must have; see docs/extending.md."""

import re
from typing import Any

from tffd.blaming import blaming, lacking_names
from tffd.data import Arrays, Source, Summary
from tffd.data.sources.base import ReadsFiles


def require_source(target: str, source: Any) -> None:
    """Refuse what is no data source.

    Raises:
        ValueError: Naming it and what it lacks.
    """
    if lacking := lacking_names(source, Source):
        raise ValueError(f"{target}: lacks {lacking}; a data source has what tffd.data.Source says")


def summary_of(target: str, source: Source) -> Summary:
    """Return what a source says of itself, once that is sound.

    Raises:
        ValueError: If it is not, or the source cannot be read.
    """
    with blaming(target, "check"):
        summary: Any = source.check()
    if not isinstance(summary, Summary):
        raise ValueError(f"{target}: check returned a {type(summary).__name__}, and should a tffd.data.Summary")
    with blaming(target, "fingerprint"):
        fingerprint: Any = source.fingerprint()
    if not isinstance(fingerprint, str) or not re.fullmatch(r"[\w.+=,-]+", fingerprint):
        raise ValueError(
            f"{target}: fingerprint returned {fingerprint!r}, and should the name of a directory: letters, digits and "
            ". _ + = , -"
        )
    if not isinstance(source, ReadsFiles):  # whose files would all be read
        with blaming(target, "content"):
            content: Any = source.content()
        if not isinstance(content, str) or not content:
            raise ValueError(f"{target}: content returned {content!r}, and should a text that tells the data apart")
    return summary


def require_arrays(target: str, arrays: Arrays, summary: Summary) -> None:
    """Refuse pictures that are not those that `check` told of, by which everything else was checked.

    Raises:
        ValueError: Naming the source and both.
    """
    read = {"classes": len(arrays.classes), "channels": arrays.train_images.shape[-1]}
    read["image_size"] = arrays.train_images.shape[1]
    for name, value in read.items():
        if getattr(summary, name) != value:
            raise ValueError(f"{target}: check told of {name}={getattr(summary, name)}, and read returned {value}")
