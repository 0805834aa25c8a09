"""Pictures as files."""

import os
from collections.abc import Iterator, Mapping

from analysis.figures.chart import Info
from analysis.figures.render import to_bytes, to_html

SCRIPT = "plotly.min.js"  # beside the pages that load it: 5 MB once, and no network


def write_files(infos: Mapping[str, Info], form: str, out: str) -> Iterator[str]:
    """Write a file a picture, `<kind>.<form>`, and yield each path once it is there.

    Raises:
        ValueError: If the directory or a file cannot be written.
    """
    try:
        os.makedirs(out, exist_ok=True)
        if form == "html":
            yield _write(os.path.join(out, SCRIPT), _script())
        for kind, info in infos.items():
            content = to_html(info, kind, library=SCRIPT).encode() if form == "html" else to_bytes(info, form)
            yield _write(os.path.join(out, f"{kind}.{form}"), content)
    except OSError as error:
        raise ValueError(
            f"{error.filename or out} cannot be written ({error.strerror}); choose another --out"
        ) from error


def _write(path: str, content: bytes) -> str:
    with open(path, "wb") as file:
        file.write(content)
    return path


def _script() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
