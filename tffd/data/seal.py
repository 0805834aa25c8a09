"""The seal on a directory of files: their digests, behind a fast path by what the file system says of them.

`manifest.json` holds the digest of every file, and what else must not change. `seal.json` holds the digest of the
manifest, and inode, ctime, mtime and size of every file when the digests were last found right. While these are the
same nobody has written to a file, so that opening costs no reading; else, as in a copy, the digests decide.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from tffd.files import replacing

_MANIFEST = "manifest.json"
_SEAL = "seal.json"


@dataclass(frozen=True)
class Manifest:
    """What a directory holds.

    Attributes:
        content: The content of the source that it was made of.
        classes: Names of classes.
        sha256: Digest of every file, by name.
    """

    content: str
    classes: list[str]
    sha256: dict[str, str]

    @classmethod
    def of(cls, directory: Path, names: Iterable[str], content: str, classes: Iterable[str]) -> "Manifest":
        """Digest the arrays of these names."""
        return cls(content, list(classes), {f"{name}.npy": _digest(directory / f"{name}.npy") for name in names})


def seal(directory: Path, manifest: Manifest) -> None:
    """Write the manifest of a directory that is complete, and its seal."""
    with replacing(directory / _MANIFEST) as file:
        file.write(json.dumps(asdict(manifest)).encode())
    _write_seal(directory, manifest)


def open_sealed(directory: Path) -> Manifest:
    """Return the manifest of a directory whose files are those that were sealed.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not what it was.
    """
    text = (directory / _MANIFEST).read_bytes()
    seal = json.loads((directory / _SEAL).read_bytes())
    try:
        manifest = Manifest(**json.loads(text))
        is_as_sealed, digest = seal["files"] == _states(directory, manifest), seal["manifest"]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{directory} has a damaged seal") from error
    if sha256(text).hexdigest() != digest:
        raise ValueError(f"{directory / _MANIFEST} has changed")
    if not is_as_sealed:
        for name, expected in manifest.sha256.items():
            if _digest(directory / name) != expected:
                raise ValueError(f"{directory / name} has changed")
        with suppress(OSError):  # of a directory that may only be read: it is digested again the next time
            _write_seal(directory, manifest)
    return manifest


def sealed_content(directory: Path) -> str | None:
    """Return what a directory was made of; None where there is none, or it is damaged."""
    try:
        return open_sealed(directory).content
    except (OSError, ValueError):
        return None


def _write_seal(directory: Path, manifest: Manifest) -> None:
    text = (directory / _MANIFEST).read_bytes()
    with replacing(directory / _SEAL) as file:
        files = _states(directory, manifest)
        file.write(json.dumps({"manifest": sha256(text).hexdigest(), "files": files}).encode())


def _states(directory: Path, manifest: Manifest) -> dict[str, list[int]]:
    states = {name: (directory / name).stat() for name in manifest.sha256}
    return {name: [s.st_ino, s.st_ctime_ns, s.st_mtime_ns, s.st_size] for name, s in states.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
