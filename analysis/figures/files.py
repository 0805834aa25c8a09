"""Pictures as files."""

import os
from collections.abc import Iterator, Mapping

from analysis.figures.chart import Info
from analysis.figures.render import to_bytes, to_html
from analysis.read.files import unwritable, write_file

SCRIPT = "plotly.min.js"  # beside the pages that load it: 5 MB once, and no network


def write_files(infos: Mapping[str, Info], form: str, out: str) -> Iterator[str]:
    """Write a file a picture, `<kind>.<form>`, and yield each path once it is there.

    Raises:
        ValueError: If the directory or a file cannot be written, or something else has the name of one.
    """
    try:
        os.makedirs(out, exist_ok=True)
        if form == "html":
            yield write_file(os.path.join(out, SCRIPT), _script())
        for kind, info in infos.items():
            content = to_html(info, kind, library=SCRIPT).encode() if form == "html" else to_bytes(info, form)
            yield write_file(os.path.join(out, f"{kind}.{form}"), content)
    except OSError as error:
        raise unwritable(error.filename or out, error.strerror) from error


def _script() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
