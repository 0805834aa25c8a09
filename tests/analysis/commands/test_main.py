"""The command line: output, exit status, and what it costs to start."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import analysis
from analysis.__main__ import FORMATS, main

ROOT = Path(analysis.__file__).parents[1]


def test_markdown_and_its_notes_go_to_stdout(tmp_path: Path, write_runs: Any, capsys: Any) -> None:
    write_runs("none", [60.0, 61.0])
    write_runs("tfd", [61.0, 63.0])
    assert main(["table", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "| tfd       |            **62.00 ± 1.41** |   2 |" in out
    assert out.splitlines()[5].startswith(
        "Val top-1, last epoch (%): mean ± sample sd over runs. Dataset digits; model"
    )
    assert out.splitlines()[7].startswith("- 4 complete, ")
    assert err == ""


def test_csv_sends_its_notes_to_stderr(tmp_path: Path, write_runs: Any, capsys: Any) -> None:
    write_runs("none", [60.0], epochs=2)
    write_runs("none", [61.0], epochs=4)
    assert main(["table", str(tmp_path), "--format", "csv", "--by", "epochs, kd_mode", "--metric", "val_top1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == [
        "2,none,val_top1,val,last,60.0,,1,,,,,,,false,",
        "4,none,val_top1,val,last,61.0,,1,,,,,,,false,",
    ]
    assert err.startswith("2 complete, 0 pruned")


@pytest.fixture
def ablation(tmp_path: Path, write_run: Any, write_sweep: Any) -> Path:
    """A finished ablation of two seeds."""
    lambdas = {"none": (0.0, 0.0), "intra": (8e-4, 0.0), "inter": (0.0, 5e-4), "tfd": (8e-4, 5e-4)}
    for number, (kd_mode, (intra, inter)) in enumerate(lambdas.items()):
        for seed, value in enumerate((60.0 + number, 60.5)):
            fields = {"kd_mode": kd_mode, "lambda_intra": intra, "lambda_inter": inter, "val_top1": value}
            write_run(f"terms/{kd_mode}-{seed}", seed=seed, **fields)
    cells = [{"kd_mode": kd_mode, "seed": str(seed)} for kd_mode in lambdas for seed in (0, 1, 2)]
    write_sweep({"study": "terms", "kind": "grid", "n_trials": 12, "cells": cells})
    return tmp_path


@pytest.mark.parametrize("command", [["table"], ["table", "--missing"], ["table", "--cost"], ["ablation"]])
@pytest.mark.parametrize("format_", FORMATS)
def test_every_command_in_every_format(ablation: Path, capsys: Any, command: list[str], format_: str) -> None:
    assert main([*command, str(ablation), "--format", format_]) == 0
    out, _ = capsys.readouterr()
    if format_ == "json":
        assert json.loads(out)
    elif format_ == "html":
        body = out[out.index("<body>") : out.index("</html>")]
        assert ElementTree.fromstring(body).find("div/table/caption") is not None
    else:
        beginning = {"md": "|", "latex": r"\begin{table}", "csv": ("kd_mode,metric,", "cell,state,", "metric,what,")}
        assert out.startswith(beginning[format_])


def test_nothing_missing_has_a_header_for_programs(tmp_path: Path, write_runs: Any, capsys: Any) -> None:
    write_runs("none", [60.0])
    assert main(["table", str(tmp_path), "--missing", "--format", "csv"]) == 0
    assert capsys.readouterr().out == "cell,state,command\n"


def test_an_ablation_says_what_the_data_support(ablation: Path, capsys: Any) -> None:
    assert main(["ablation", str(ablation)]) == 0
    out, _ = capsys.readouterr()
    assert "|               |   without inter |   with inter |" in out
    assert "- With 2 seeds no effect can be told from none" in out
    assert "kd_mode=none seed=2" in out


def test_tables_across(ablation: Path, capsys: Any) -> None:
    shown = ["--rows", "seed", "--cols", "kd_mode", "--show", "mean", "--metric", "val_top1,val_loss"]
    assert main(["table", str(ablation), *shown, "--where", "kd_mode=none,tfd", "--where", "seed=0"]) == 0
    out, _ = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]
    top1, loss = "val top-1, last epoch (%): mean ± sd", "val loss, last epoch: mean ± sd"
    assert lines[0] == f"| seed | none: {top1} | none: {loss} | tfd: {top1} | tfd: {loss} |"
    assert lines[2] == "| 0 | **60.00** | **1.2500** | **63.00** | **1.2500** |"


def test_runs_for_other_programs(ablation: Path, write_run: Any, capsys: Any) -> None:
    write_run("stale", ended=False)
    assert main(["runs", str(ablation)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("path,status,error,name,study,trial,model")
    assert lines[1].startswith(f"{ablation}/stale,stale,,,")
    assert len(lines) == 1 + 1 + 8
    assert err.startswith("8 complete, 0 pruned, 0 failed, 0 running, 1 stale, 4 missing\nstale")
    assert main(["runs", str(ablation), "--format", "json"]) == 0
    runs = json.loads(capsys.readouterr().out)
    assert (runs[1]["kd_mode"], runs[1]["val_top1"], runs[1]["test_top1"]) == ("inter", 62.0, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "nowhere"], "nowhere is not a directory"),
        (["status", "nowhere"], "nowhere is not a directory"),
        (["status", "."], ". holds no run and no sweep.json"),
        (["table", "."], ". holds no run"),
        (["runs", "."], ". holds no run"),
        (["ablation", "."], ". holds no run"),
        (["table", ".", "--missing"], ". holds no run"),
        (["table", "runs", "--by", ","], "--rows names no column"),
        (["table", "runs", "--baseline", "st"], "no complete run has kd_mode=st"),
        (["table", "runs", "--metric", "test_top1"], "test_top1 is null in the one complete run"),
        (["table", "failed"], "no complete run: 0 complete, 0 pruned, 1 failed"),
        (["ablation", "runs"], "a 2 x 2 ablation needs runs with neither term"),
    ],
)
def test_mistakes_end_in_one_message(
    tmp_path: Path, write_run: Any, capsys: Any, monkeypatch: Any, arguments: list[str], message: str
) -> None:
    if arguments[1] != ".":
        write_run("runs/0000")
        write_run("failed/0000", status="failed")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("analysis: ")
    assert message in err


def test_a_condition_without_a_value_is_explained(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["table", ".", "--where", "model"])
    assert "'model' is not COL=VALUE, such as model=resnet20" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["table"], ["table", "--missing"], ["ablation"], ["compare", "none-0"]])
def test_a_column_with_two_conditions_is_refused(
    tmp_path: Path, write_runs: Any, monkeypatch: Any, capsys: Any, command: list[str]
) -> None:
    write_runs("none", [60.0])
    monkeypatch.chdir(tmp_path / "terms")
    twice = ["--where", "kd_mode=tfd", "--where", "seed=0", "--where", "kd_mode=none"]
    assert main([*command, "none-0", *twice]) == 2
    message = "--where kd_mode is given twice; any of several values: --where kd_mode=tfd,none"
    assert capsys.readouterr().err == f"analysis: {message}\n"


def test_an_option_of_several_names_that_is_given_again_adds_to_them(ablation: Path, capsys: Any) -> None:
    shown = ["--rows", "kd_mode", "--rows", "seed", "--show", "mean", "--show", "n", "--where", "kd_mode=none"]
    metrics = ["--metric", "val_top1,val_top5", "--metric", "val_loss"]
    assert main(["table", str(ablation), *shown, *metrics, "--where", "kd_mode=none"]) == 0
    top1, top5, loss = "val top-1, last epoch (%)", "val top-5, last epoch (%)", "val loss, last epoch"
    titles = [f"{metric}: {part}" for metric in (top1, top5, loss) for part in ("mean ± sd", "n")]
    heading = capsys.readouterr().out.splitlines()[0]
    assert [title.strip() for title in heading.strip("|").split("|")] == ["kd_mode", "seed", *titles]


def test_help_needs_nothing_heavy_and_tables_no_training_library(tmp_path: Path, write_run: Any) -> None:
    """One process for all commands: starting one takes longer than they do."""
    for tree in "ab":
        write_run(f"{tree}/search/0000", study="search")
        for number, (kd_mode, seed) in enumerate((("none", 0), ("none", 1), ("tfd", 0), ("tfd", 1))):
            write_run(f"{tree}/grid/{number:04d}", kd_mode=kd_mode, seed=seed, val_top1=60.0 + number)
    code = (
        "import runpy, sys\n"
        "sys.argv = ['analysis', '--help']\n"
        "try: runpy.run_module('analysis', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'tffd', 'hydra', 'optuna', 'matplotlib', 'plotly'}\n"
        "print(sorted((heavy | {'pandas', 'scipy', 'numpy'}) & set(sys.modules)), file=sys.stderr)\n"
        "from analysis.__main__ import main\n"
        "for words in (['table', 'a'], ['best', 'a'], ['status', 'a'], ['compare', 'a', 'b'], ['runs', 'a']):\n"
        f"    status = main([words[0], *({str(tmp_path)!r} + '/' + tree for tree in words[1:])])\n"
        "    print(words[0], status, sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert "usage: python -m analysis" in done.stdout
    expected = ["[]", *(f"{command} 0 []" for command in ("table", "best", "status", "compare", "runs"))]
    assert [line for line in done.stderr.splitlines() if line.endswith("]")] == expected


@pytest.mark.parametrize("command", ["table", "runs"])
def test_names_that_no_encoding_has_do_not_end_a_report(
    tmp_path: Path, write_run: Any, monkeypatch: Any, command: str
) -> None:
    write_run("0")
    write_run(os.fsdecode(b"odd-\xff"), status="failed", error="ValueError: \ud800 \x1b[31m")
    ends = {"stdout": ("strict", io.BytesIO()), "stderr": ("backslashreplace", io.BytesIO())}  # as Python opens them
    for name, (errors, written) in ends.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(written, "ascii", errors, write_through=True))
    assert main([command, str(tmp_path)]) == 0
    out, err = (written.getvalue().decode("ascii") for _, written in ends.values())
    assert r"odd-\udcff" in out + err
    assert "\x1b" not in (out if command == "table" else "")
