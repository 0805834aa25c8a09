"""CSV files of numbers: one of them with every fault explained, or thousands at once."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.faults import Fault, Unreadable
from analysis.read.files import read_file
from analysis.sheets.words import count

Columns = Mapping[str, np.ndarray]

_TOGETHER = 500  # files of one parse: 25 MB of runs with 240 epochs
# From 3.1 on, pandas reads every float to its last digit and takes the argument no more.
_EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)


def read_columns(path: str) -> Columns:
    """Read a CSV file of numbers: a header, then rows of the same length; an empty field is NaN.

    A byte-order mark, which spreadsheets put before what they save as UTF-8, is no part of the first name.

    Raises:
        OSError: If it cannot be read.
        Unreadable: If it is anything else, or ends in the middle of a line.
    """
    return _parse(read_file(path))


def read_each(paths: Sequence[str]) -> Iterator[Columns | OSError | Unreadable]:
    """What `read_columns` returns or raises for each path, in their order, several times as fast.

    Files with the same header that are regular as far as counts of bytes can tell are parsed together.
    """
    for start in range(0, len(paths), _TOGETHER):
        yield from _read_together(paths[start : start + _TOGETHER])


def _read_together(paths: Sequence[str]) -> list[Columns | OSError | Unreadable]:
    found: dict[int, Columns | OSError | Unreadable] = {}
    alike: dict[bytes, list[tuple[int, bytes]]] = {}
    for place, path in enumerate(paths):
        try:
            content = read_file(path)
        except (OSError, Unreadable) as error:
            found[place] = error
            continue
        header, _, body = content.partition(b"\n")
        if _is_regular(header, body):
            alike.setdefault(header, []).append((place, body))
        else:
            found[place] = _alone(content)
    for header, bodies in alike.items():
        found |= _parse_together(header, bodies)
    return [found[place] for place in range(len(paths))]


def _is_regular(header: bytes, body: bytes) -> bool:
    """Whether pandas would refuse what of these rows is no table of numbers; without, it fills short rows up."""
    names = header.split(b",")
    return (
        header.isascii()
        and len(names) > 1
        and len(set(names)) == len(names)
        and b"" not in names
        and body.endswith(b"\n")
        and body.count(b",") == body.count(b"\n") * (len(names) - 1)
        and not any(odd in part for odd in (b'"', b"\r", b"\0") for part in (header, body))
    )


def _parse_together(header: bytes, bodies: Sequence[tuple[int, bytes]]) -> dict[int, Columns | OSError | Unreadable]:
    """Parse files of one header by place; where one of them is no table of numbers, the halves, down to that file."""
    lengths = [body.count(b"\n") for _, body in bodies]
    together = io.BytesIO(b"".join(body for _, body in bodies))
    options = {"header": None, "keep_default_na": False, "na_values": ["", "nan"], "low_memory": False}
    try:
        frame = pd.read_csv(together, **options, **_EXACT)
        if any(dtype.kind not in "iuf" for dtype in frame.dtypes):  # a truth would be 1 as a float
            raise Unreadable(Fault.NO_NUMBER, "has a value that is not a number")
        values = frame.to_numpy(float).reshape(sum(lengths), header.count(b",") + 1)
    except ValueError:
        if len(bodies) == 1:
            ((place, body),) = bodies
            return {place: _alone(header + b"\n" + body)}
        half = len(bodies) // 2
        return _parse_together(header, bodies[:half]) | _parse_together(header, bodies[half:])
    names = header.decode().split(",")
    tables = np.split(values, np.cumsum(lengths)[:-1])
    return {place: dict(zip(names, table.T, strict=True)) for (place, _), table in zip(bodies, tables, strict=True)}


def _alone(content: bytes) -> Columns | Unreadable:
    try:
        return _parse(content)
    except Unreadable as error:
        return error


def _parse(content: bytes) -> Columns:
    if not content.strip():
        raise Unreadable(Fault.EMPTY, "is empty")
    if not content.endswith(b"\n"):
        raise Unreadable(Fault.CUT_OFF, "ends in the middle of a line")
    try:
        header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(Fault.NOT_CSV, f"is not CSV ({error})") from error
    if len(set(header)) < len(header) or "" in header:
        raise Unreadable(Fault.NOT_CSV, f"has a header with empty or repeated names: {','.join(header)}")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            reason = f"has {count(len(row), 'field')} in line {line}, and {len(header)} in its header"
            raise Unreadable(Fault.NOT_CSV, reason)
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return {name: _numbers(texts, name) for name, texts in zip(header, columns, strict=True)}


def _numbers(texts: Sequence[str], name: str) -> np.ndarray:
    values = []
    try:
        for text in texts:
            values.append(float(text) if text else np.nan)
    except ValueError:
        line = len(values) + 2
        reason = f"has {name} = {texts[len(values)]!r} in line {line}, which is not a number"
        raise Unreadable(Fault.NO_NUMBER, reason) from None
    return np.array(values, dtype=float)
