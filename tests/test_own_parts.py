"""Who may say that a package is trusted, and how printed commands keep it."""

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tffd import own_parts, program
from tffd.own_parts import describe_distrust, find_own_parts, trusted_packages
from tffd.trust import trusted_targets


def test_packages_are_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mylab.*" not in trusted_targets()
    monkeypatch.setenv("TFFD_TRUST", "mylab, other.parts,")
    assert trusted_packages()[:2] == ("mylab", "other.parts")
    assert {"mylab", "mylab.*", "other.parts", "other.parts.*"} <= set(trusted_targets())


def test_packages_are_named_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(group: str) -> list[EntryPoint]:
        return [EntryPoint("mine", "mylab.parts", group)]

    own_parts._of_entry_points.cache_clear()
    monkeypatch.setattr(own_parts, "entry_points", installed)
    try:
        assert trusted_packages() == ("mylab.parts",)
    finally:
        own_parts._of_entry_points.cache_clear()


@pytest.mark.parametrize(("value", "fault"), [("*", "needs names of packages"), ("os", "is a module of Python itself")])
def test_not_everything_can_be_trusted(monkeypatch: pytest.MonkeyPatch, value: str, fault: str) -> None:
    monkeypatch.setenv("TFFD_TRUST", f"mylab,{value}")
    with pytest.raises(ValueError, match=fault):
        trusted_packages()


def test_the_refusal_names_the_package_and_both_ways() -> None:
    told = describe_distrust("model._target_", "theirs.nets.Net")
    assert "the package theirs, set TFFD_TRUST=theirs" in told
    assert '"tffd.parts"' in told
    assert "TFFD_TRUST" not in describe_distrust("model._target_", "os.system")


def test_a_folder_is_looked_at_last_and_only_where_something_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    find_own_parts(str(tmp_path))
    assert str(tmp_path) not in sys.path
    monkeypatch.setenv("TFFD_TRUST", "mylab")
    find_own_parts(str(tmp_path))
    find_own_parts(str(tmp_path))
    assert sys.path.index(str(tmp_path)) == len(sys.path) - 1


def test_a_command_is_printed_as_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program.program_words()[0] == "python"
    assert program.analysis_words() == ["python", "-m", "analysis"]
    script = tmp_path / "tffd"
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "seed=1"])
    assert program.program_words() == [str(script)]  # the shell does not find it
    assert program.analysis_words() == [str(tmp_path / "tffd-analysis")]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TFFD_TRUST", " mylab,b ")
    assert program.recorded_program() == "TFFD_TRUST=mylab,b tffd"
    assert program.analysis_words() == ["tffd-analysis"]


def test_a_worker_takes_over_what_its_command_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_of_command", [])
    monkeypatch.setenv("TFFD_TRUST", "")
    program.work_for(["TFFD_TRUST=mylab", "tffd"])
    assert trusted_packages()[0] == "mylab"
    assert json.dumps(program.recorded_program()) == '"TFFD_TRUST=mylab tffd"'


def test_a_relative_config_path_starts_from_the_working_directory_or_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    whole, library = str(tmp_path / "mine"), str(program.CONFIGS.parent / "conf")
    assert program.with_whole_config_path(["--config-path", "mine", "a=1"]) == ["--config-path", whole, "a=1"]
    assert program.with_whole_config_path(["--config-path=mine"]) == [f"--config-path={whole}"]
    assert program.with_whole_config_path(["-cp", "conf"]) == ["-cp", library]
    for words in (["-cp", "pkg://x"], ["--config-path", "/a"], ["--config-path"], ["name=--config-path"]):
        assert program.with_whole_config_path(words) == words
