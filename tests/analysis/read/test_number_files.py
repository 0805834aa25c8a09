"""CSV files of numbers: exact, and read together as one by one."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.read import number_files
from analysis.read.faults import Unreadable
from analysis.read.number_files import read_columns, read_each

ODD = {
    "empty": b"",
    "cut off": b"a,b\n1,2\n3,",
    "quoted": b'"a",b\n1,2\n',
    "of Windows": b"a,b\r\n1,2\r\n",
    "one column": b"a\n1\n\n",
    "no row": b"a,b\n",
    "a short row and a long one": b"a,b\n1\n1,2,3\n",
    "a text": b"a,b\n1,2\n3,NA\n",
    "a truth": b"a,b\n1,True\n",
    "not a word": b"a,b\n1,nan\n",
    "a blank row": b"a,b\n1,2\n\n3,4\n",
    "spaces": b"a,b\n 1, 2\n",
    "grouped": b"a,b\n1_000,2\n",
    "a zero byte": b"a,b\n1\x00,2\n",
    "other letters": b"a,\xc3\xa9\n1,2\n",
    "of a spreadsheet": b"\xef\xbb\xbfa,b\r\n1,2\r\n",
    "no letters": b"a,b\n1,\xff\n",
    "a repeated name": b"a,a\n1,2\n",
    "a comment": b"a,b\n#1,2\n",
    "infinite": b"a,b\n-inf,1e999\n",
}


def _refusal(error: OSError | Unreadable) -> tuple[Any, str]:
    return getattr(error, "kind", type(error)), str(error)


def _alone(path: str) -> Any:
    try:
        return {name: values.tolist() for name, values in read_columns(path).items()}
    except (OSError, Unreadable) as error:
        return _refusal(error)


def _together(paths: list[str]) -> list[Any]:
    return [
        _refusal(found) if isinstance(found, Exception) else {name: values.tolist() for name, values in found.items()}
        for found in read_each(paths)
    ]


def test_columns_keep_full_precision(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n0.1,1e-300\n0.30000000000000004,-inf\n")
    columns = read_columns(os.fspath(path))
    assert columns["a"].tolist() == [0.1, 0.30000000000000004]
    assert columns["b"].tolist() == [1e-300, -np.inf]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8-sig")
    assert list(read_columns(os.fspath(tmp_path / "x.csv"))) == ["a", "b"]


def test_files_read_together_keep_every_digit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = rng.normal(size=(3, 500, 2)) * 10.0 ** rng.integers(-300, 300, (3, 500, 2))
    written[0, 0], written[1, 1] = (5e-324, 1.7976931348623157e308), (2.2250738585072011e-308, 9007199254740993.0)
    for number, values in enumerate(written):
        rows = "".join(f"{a!r},{b!r}\n" for a, b in values.tolist())
        (tmp_path / f"{number}.csv").write_text("a,b\n" + rows)
    found = list(read_each([str(tmp_path / f"{number}.csv") for number in range(3)]))
    for columns, values in zip(found, written, strict=True):
        assert not isinstance(columns, Exception)
        assert (columns["a"] == values[:, 0]).all() and (columns["b"] == values[:, 1]).all()


def test_an_empty_field_is_nan(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,c\n,1.5,\n2,nan,\n")
    (columns,) = read_each([str(tmp_path / "x.csv")])
    assert not isinstance(columns, Exception)
    np.testing.assert_array_equal(columns["a"], [np.nan, 2.0])
    np.testing.assert_array_equal(columns["b"], [1.5, np.nan])
    assert np.isnan(columns["c"]).all()


@pytest.mark.parametrize("at_once", [3, 500])
def test_together_is_one_by_one(tmp_path: Path, monkeypatch: Any, at_once: int) -> None:
    """Among regular files, each odd one is read or refused as it is alone, and harms no other."""
    monkeypatch.setattr(number_files, "_TOGETHER", at_once)
    paths = [str(tmp_path / "is not there.csv")]
    for number, (name, content) in enumerate(ODD.items()):
        for path, text in ((f"{name}.csv", content), (f"{number}.csv", f"a,b\n{number},0.5\n2,1.5\n".encode())):
            (tmp_path / path).write_bytes(text)
            paths.append(str(tmp_path / path))
    assert str(_together(paths)) == str([_alone(path) for path in paths])  # as text: nan is not nan
    assert _together(paths)[2] == {"a": [0.0, 2.0], "b": [0.5, 1.5]}
