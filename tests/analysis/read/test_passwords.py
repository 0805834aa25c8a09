"""Passwords that others wrote into their files are in nothing that a command prints or writes."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.read.passwords import without_passwords

ADDRESS = "postgresql+psycopg://u:hunter2@host/db"
COMMANDS = (
    ["status"], ["table"], ["table", "--rows", "kd_mode,sweep.storage"], ["table", "--missing"],
    ["table", "--format", "csv"], ["runs"], ["best"], ["ablation"], ["compare"], ["report"],
)  # fmt: skip


@pytest.fixture
def planted(tmp_path: Path, write_run: Any, write_sweep: Any) -> Path:
    """A grid and a search, with a password in every file that another may have written."""
    cells = [
        {"kd_mode": mode, "seed": str(seed), "sweep.storage": ADDRESS} for mode in ("none", "tfd") for seed in (0, 1)
    ]
    for number, cell in enumerate(cells):
        words = [f"{key}={value}" for key, value in cell.items()]
        fields = {"kd_mode": cell["kd_mode"], "seed": int(cell["seed"]), "val_top1": 60.0 + number, "trial": number}
        run = write_run(f"search/{number:04d}", overrides=tuple(words), study="search", storage=ADDRESS, **fields)
        (run / ".hydra" / "config.yaml").write_text(
            f"seed: {cell['seed']}\nsweep:\n  storage: {ADDRESS}\n  password: hunter2\n"
        )
    write_run("search/0009", status="failed", error=f"no answer of {ADDRESS}", trial=9, study="search", kd_mode="tfd")
    search = {"study": "search", "kind": "search", "n_trials": 9, "cells": cells}
    word = f"sweep.storage={ADDRESS}"
    write_sweep(
        search, {"study": "grid", "kind": "grid", "n_trials": 4, "cells": cells},
        command=f"python run.py -m {word} lambda_intra=1e-3", fixed=[word],
        space={"lambda_intra": f"choice({ADDRESS})"},
    )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_repeats_a_password(
    planted: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(planted)
    before = {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()}
    with contextlib.suppress(SystemExit):
        main([command[0], ".", *command[1:]])
    printed = "".join(capsys.readouterr())
    assert printed
    written = [path for path in planted.rglob("*") if path.is_file() and path not in before]
    for text in (printed, *(path.read_text(encoding="utf-8") for path in written)):
        assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"no answer of {ADDRESS} today", "no answer of postgresql+psycopg://u:***@host/db today"),
        ("postgresql://u:a'b#c@d@host/db", "postgresql://u:***@host/db"),
        ("postgresql://host/db?sslpassword=x&y=z", "postgresql://host/db?sslpassword=***&y=z"),
        ("https://u:token@host/a.zip", "https://u:***@host/a.zip"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("journal:///tmp/a:b@c", "journal:///tmp/a:b@c"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
    ],
)
def test_what_stands_for_a_password(text: str, shown: str) -> None:
    assert without_passwords({"error": [text]}) == {"error": [shown]}
    assert json.loads(json.dumps(without_passwords({"db": {"password": "x", "n": 3}}))) == {
        "db": {"password": "***", "n": 3}
    }
