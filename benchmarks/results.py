"""What was measured: results.json, the tables of README.md that are written from it, and whether ratios still hold."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Benchmark
from tffd.texts import counted

FILE = Path(__file__).with_name("results.json")
PAGE = Path(__file__).with_name("README.md")

Entry = Mapping[str, Any]
"""What `Benchmark.measure` returned."""


def read(file: Path = FILE) -> dict[str, Entry]:
    """Return what was measured, by the benchmark's name; nothing where there is no file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def keep(name: str, entry: Entry, file: Path = FILE) -> None:
    """Put a measurement in the place of the last one, a variant a line."""
    file.write_text(_text(read(file) | {name: entry}), encoding="utf-8")


def _text(results: Mapping[str, Entry]) -> str:
    entries = []
    for name, entry in results.items():
        rows = ",\n".join(f"  {json.dumps(variant)}: {json.dumps(row)}" for variant, row in entry["variants"].items())
        head = json.dumps({key: value for key, value in entry.items() if key != "variants"})
        entries.append(f'{json.dumps(name)}: {head[:-1]}, "variants": {{\n{rows}}}}}')
    return "{\n" + ",\n".join(entries) + "\n}\n"


def compare(benchmark: Benchmark, committed: Entry, measured: Entry) -> Iterator[str]:
    """Yield a line for each ratio that is not within its band of the committed one.

    Where the machine lacks a variant, such as a storage, there is nothing to compare.
    """
    for variant, row in measured["variants"].items():
        earlier = committed["variants"].get(variant)
        if earlier is None:
            yield f"{benchmark.name}: {variant} has no committed figures; measure it with python -m benchmarks"
            continue
        kinds = (("ratios", benchmark.ratios, f" to {row.get('base')}"), ("figures", benchmark.shares, ""))
        for kind, bands, to in kinds:
            for figure, band in bands.items():
                if band is None or figure not in row.get(kind, {}):
                    continue
                now, then = row[kind][figure][0], earlier[kind][figure][0]
                if not _within(now, then, band):
                    yield f"{benchmark.name}: {figure} of {variant}{to} is {now:g}, was {then:g}, band {band:.0%}"


def _within(now: float, then: float, band: float) -> bool:
    return then / (1 + band) <= now <= then * (1 + band)


def write_tables(results: Mapping[str, Entry], page: Path = PAGE) -> None:
    """Write the table of every measurement between its marks in a page.

    Raises:
        ValueError: If the page has no marks for one.
    """
    text = page.read_text(encoding="utf-8")
    for name, entry in results.items():
        first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, opened, rest = text.partition(first)
        _, closed, after = rest.partition(last)
        if not (opened and closed):
            raise ValueError(f"{page.name} has no {first.strip()} with a {last} after it")
        text = before + first + describe(name, entry) + last + after
    page.write_text(text, encoding="utf-8")


def describe(name: str, entry: Entry) -> str:
    """Return the command, the conditions and the table of a measurement."""
    options = "".join(f" --{key} {words(value)}" for key, value in entry["options"].items())
    where = entry["conditions"]
    card = f"{where['card']}; " if "card" in where else ""
    conditions = (
        f"{card}{where['cores']} cores of {where['processor']}, {counted(where['threads'], 'thread')}; load average "
        f"{where['load']} when it began; Python {where['python']}, torch {where['torch']}; {where['date']}."
    )
    command = f"python -m benchmarks {name} --rounds {entry['rounds']} --threads {where['threads']}{options}"
    return f"\n`{command}`\n{conditions}\n\n{_table(entry)}\n\n"


def _table(entry: Entry) -> str:
    rows = entry["variants"]
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row["figures"]))
    ratios = list(dict.fromkeys(figure for row in rows.values() for figure in row.get("ratios", {})))
    lines = ["| " + " | ".join(["variant", *figures, *(f"ratio of {figure}" for figure in ratios)]) + " |"]
    lines.append("|:--|" + "--:|" * (len(figures) + len(ratios)))
    for variant, row in rows.items():
        cells = [_spread(row["figures"].get(figure)) for figure in figures]
        for figure in ratios:
            ratio = row.get("ratios", {}).get(figure)
            cells.append(f"{_spread(ratio)} of {row['base']}" if ratio else "")
        lines.append("| " + " | ".join([variant, *cells]) + " |")
    return "\n".join(lines)


def _spread(values: list[float] | None) -> str:
    if values is None:
        return ""
    median, low, high = map(_number, values)
    return median if low == high else f"{median} ({low} to {high})"


def _number(value: float) -> str:
    """Three digits, and all of those before the point."""
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits)}f}"


def words(value: Any) -> str:
    """An option's value as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
