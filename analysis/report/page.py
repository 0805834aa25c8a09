"""A report as one HTML page that works without a network."""

import base64
import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.resources import files

from analysis.report.content import Report
from analysis.report.parts import bullets, fact_list, failure_list, folded, picture, run_rows, section, table
from analysis.sheets.html import escaped, html_table

_SCRIPTS = ("pictures.js", "page.js", "runs.js")


def render_page(report: Report, base: str, written: datetime, note: str = "") -> str:
    """The page.

    Args:
        report: What it says.
        base: The directory that the page will lie in.
        written: When.
        note: Whatever else a reader has to know about that.
    """
    sections = [*_sections(report, base)]
    titles = [(identity, title) for identity, title, content in sections if content]
    links = "".join(f'<li><a href="#{identity}">{escaped(title)}</a></li>' for identity, title in titles)
    title = os.path.basename(os.path.abspath(report.directory))
    scripts = [_plotly() if report.pictures else "", _script()]
    moment = f"{written.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    head = "\n".join(
        (
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escaped(title)}: report</title>",
            f"<style>\n{_asset('style.css')}</style>",
        )
    )
    body = "\n".join(
        (
            '<a class="skip" href="#main">Skip to the content</a>',
            f"<header>\n<h1>{escaped(title)}</h1>\n<p>Report on <code>{escaped(report.directory)}</code>, written "
            f'<time datetime="{written.isoformat(timespec="seconds")}">{moment}</time>{escaped(note)}.</p>',
            f"{_counts(report)}\n</header>",
            f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
            '<main id="main" tabindex="-1">',
            "<noscript><p>Pictures, sorting and filtering need JavaScript; everything else is here.</p></noscript>",
            *(content for _, _, content in sections if content),
            "</main>",
            *(f"<script>{script}</script>" for script in scripts if script),
        )
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _sections(report: Report, base: str) -> Iterable[tuple[str, str, str]]:
    drawn = "\n".join(picture(one) for one in report.pictures)
    missing = html_table(report.lacking) if report.lacking else ""
    parts = {
        "cautions": ("Read this first", bullets(report.cautions, "cautions")),
        "best": ("Best configuration", *_winner(report)),
        "what": ("What was run", "\n".join(_facts(report))),
        "table": ("Results", *_tables(report)),
        "ablation": ("The two terms, 2 × 2", "\n".join(html_table(sheet) for sheet in report.ablations)),
        "pictures": ("Pictures", f'<div class="pictures">{drawn}</div>' if drawn else "", _not_drawn(report)),
        "failures": ("What went wrong", failure_list(report.failures, base, report.directory)),
        "missing": ("What is missing", missing),
        "runs": ("All runs", run_rows(report.runs, base)),
    }
    for identity, (title, *content) in parts.items():
        yield identity, title, section(identity, title, *content)


def _counts(report: Report) -> str:
    items = (
        f'<li class="status {status}">{number} {status}</li>'
        for status, number in report.counts.items()
        if number or status == "complete"
    )
    return f'<ul class="counts" aria-label="Runs by status">{"".join(items)}</ul>'


def _winner(report: Report) -> Iterable[str]:
    if (winner := report.winner) is None:
        return
    if winner.sheet:
        yield html_table(winner.sheet)
    yield bullets(winner.remarks)
    for lead, commands in winner.commands:
        lines = "".join(f'<p><code class="command">{escaped(command)}</code></p>' for command in commands)
        yield f"<p>{escaped(lead)}:</p>\n{lines}"


def _tables(report: Report) -> Iterable[str]:
    if report.table is None:
        yield f"<p>{escaped(report.no_table)}</p>"
    else:
        yield table(report.table)
    if report.cost is not None:
        yield folded("What each setting cost", html_table(report.cost))
    yield folded("What is no 2 × 2 of the two terms, and why", bullets(report.no_ablation))


def _facts(report: Report) -> Iterable[str]:
    for name, facts in report.facts:
        yield (f"<h3>Sweep {escaped(name)}</h3>" if name else "<h3>Runs</h3>") + fact_list(facts)


def _not_drawn(report: Report) -> str:
    return folded("Not drawn, and why", bullets(f"{kind}: {reason}" for kind, reason in report.not_drawn.items()))


def _asset(name: str) -> str:
    return files("analysis.report").joinpath(name).read_text(encoding="utf-8")


def _script() -> str:
    return '"use strict";\n\n' + "\n".join(_asset(name) for name in _SCRIPTS)


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("\r\n", "\n").replace("</script", "<\\/script")


def _policy(scripts: Iterable[str]) -> str:
    """What the page may do: run these scripts, style itself, show pictures that it made; no request leaves it."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts if script)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
