"""Answers that took PyTorch to find, whose import takes two seconds, kept beside the decoded pictures.

An answer lies under the digest of all that it depends on, so that one which does not hold any more is not found. The
library's source and PyTorch's version belong to it: after an edit of either everything is found out anew. Other
packages do not: a run builds its networks from the config whatever was remembered.
"""

import hashlib
import json
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tffd.files import read_regular, replacing

_FOLDER = "answers"


def recall(folder: str | Path, question: dict[str, Any]) -> bool | None:
    """Return the answer to a question; None where it is not known.

    Args:
        folder: The cache of decoded pictures.
        question: All that the answer depends on, as plain values.
    """
    try:
        answer = json.loads(read_regular(_place(folder, question)))
    except (OSError, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, bool) else None


def remember(folder: str | Path, question: dict[str, Any], answer: bool) -> None:
    """Keep the answer to a question, unless the folder may only be read."""
    with suppress(OSError):
        place = _place(folder, question)
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as file:
            file.write(json.dumps(answer).encode())


def _place(folder: str | Path, question: dict[str, Any]) -> Path:
    text = json.dumps([_code(), question], sort_keys=True)
    return Path(folder) / _FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


@cache
def _code() -> str:
    """The digest of the library's source and PyTorch's version."""
    source = hashlib.sha256(version("torch").encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        if path.is_file():  # an editor's lock may be a link to nothing
            source.update(f"{path.relative_to(Path(__file__).parent)}".encode() + path.read_bytes())
    return source.hexdigest()
