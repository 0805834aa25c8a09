"""An info as a figure of either library, and as a file's bytes. Both libraries are imported on first use."""

import io
import warnings
from typing import TYPE_CHECKING, Any

from analysis.figures.chart import Info
from analysis.sheets.html import escaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Without dates and versions the same numbers give the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def draw(info: Info) -> "Figure":
    """Draw with matplotlib, for print; the figure is nobody else's, and pyplot knows nothing of it."""
    from analysis.figures import mpl

    return mpl.draw_chart(info.chart())


def interactive(info: Info) -> Any:
    """Draw with plotly, as a `plotly.graph_objects.Figure`."""
    from analysis.figures import web
    from analysis.figures.parallel import Parallel

    return web.draw_parallel(info) if isinstance(info, Parallel) else web.draw_chart(info.chart())


def to_bytes(info: Info, form: str) -> bytes:
    """Render for print: `form` is "png" or "pdf". The same info gives the same bytes."""
    from analysis.figures import mpl

    figure, out = draw(info), io.BytesIO()
    with mpl.settings(), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; there is nothing that a reader could do.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format=form, metadata=_METADATA[form])
    return out.getvalue()


def to_html(info: Info, identity: str, library: str | bool = True, full: bool = True) -> str:
    """Render for a browser.

    Args:
        info: What to draw.
        identity: The id of the picture's element, which has to be unique in a page.
        library: True writes plotly's script into the text, a string names the file or address to load it from, False
            leaves it to the page.
        full: Whether to write a whole page, or only the element.
    """
    # One of plotly's buttons would send the picture to its makers.
    config = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["sendChartToCloud"]}
    figure = interactive(info)
    element: str = figure.to_html(div_id=identity, include_plotlyjs=library, full_html=False, config=config)
    if not full:
        return element
    head = f'<meta charset="utf-8">\n<title>{escaped(info.chart().title)}</title>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{element}\n</body>\n</html>\n'
