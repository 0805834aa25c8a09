"""Every choice of a group exists, or the nearest names are told."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException

from tests.support import CONF, compose_config, places, run_py
from tffd.app import register_resolvers
from tffd.choices import all_modes, describe_composition, missing_choices, removed_groups


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "experiment=cifar100_resnet2O",
            "experiment=cifar100_resnet2O: there is no such choice; did you mean cifar",
        ),
        ("kd_mode=tdf", "kd_mode=tdf: there is no such choice; did you mean tfd"),
        ("sweep/sampler=tpee", "sweep/sampler=tpee: there is no such choice; did you mean tpe?"),
        ("lambdas=zzz", "lambdas=zzz: there is no such choice; there are readme, script"),
        ("hydra/launcher=basicc", "hydra/launcher=basicc: there is no such choice; did you mean basic?"),
    ],
)
def test_unknown_names(override: str, message: str) -> None:
    with pytest.raises(ConfigCompositionException) as caught:
        compose_config(override)
    told = describe_composition(caught.value)
    assert told.startswith(message)
    assert "\n" not in told


def test_what_an_optional_entry_would_pass_over_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [config, optional extra: null, _self_]\n")
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "one.yaml").write_text("# @package _global_\nseed: 3\n")
    register_resolvers()
    search = [f"hydra.searchpath=[file://{CONF}]"]

    def faults(choice: str) -> list[str]:
        with initialize_config_dir(str(tmp_path)):
            cfg = compose("mine", overrides=[*search, f"extra={choice}"], return_hydra_config=True)
            return missing_choices(cfg, GlobalHydra.instance().config_loader().get_group_options)

    assert faults("one") == []
    assert faults("oen") == ["extra=oen: there is no such choice; did you mean one?"]
    assert faults("[one,tow]") == ["extra=tow: there is no such choice; there are one"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("experiment=cifar100_resnet2O",), "there is no such choice; did you mean"),
        (
            ("-m", "sweep=lambdas", "experiment=cifar100_resnet2O"),
            "experiment=cifar100_resnet2O: there is no such choice; did you mean cifar100_resnet32, cifar100_resnet20",
        ),
        (("-m", "kd_mode=none,tdf", "seed=0,1"), "there is no such choice; did you mean"),
        (("-m", "~teacher", "seed=0,1"), "~teacher: every run has a teacher; for none of it, set teacher=none"),
    ],
)
def test_a_command_with_an_unknown_name_is_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    refused = run_py(*arguments, *places(tmp_path))
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "results").exists()


def test_a_teacher_is_a_network_of_the_model_group() -> None:
    """Its own group has but `none` and `auto`; a name that neither has is told with the nearest of both."""
    register_resolvers()

    def faults(choice: str) -> list[str]:
        with initialize_config_dir(str(CONF)):
            cfg = compose("config", overrides=[f"teacher={choice}"], return_hydra_config=True)
            return missing_choices(cfg, GlobalHydra.instance().config_loader().get_group_options)

    assert [faults(name) for name in ("resnet56", "wrn_40_2", "auto", "none")] == [[], [], [], []]
    (fault,) = faults("resnet5O")
    assert fault.startswith("teacher=resnet5O: there is no such choice; did you mean resnet56")


def test_a_group_that_every_run_has_is_not_removed() -> None:
    names = {"teacher": ["auto", "none"], "trainer": ["quick", "script"], "mine": ["one"]}
    words = ["~teacher", "~trainer=quick", "~mine", "~trainer.lr", "teacher=none"]
    assert removed_groups(words, lambda group: names[group]) == [
        "~teacher: every run has a teacher; for none of it, set teacher=none",
        "~trainer=quick: every run has a trainer; choose one of quick, script",
    ]


def test_an_unknown_mode_of_a_composition_is_told() -> None:
    with pytest.raises(ConfigCompositionException) as caught:
        compose_config("kd_mode=[st,tdf]")
    assert describe_composition(caught.value, lambda group: ["st", "tfd"]) == (
        "kd_mode=tdf: there is no such choice; did you mean tfd?"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["kd_mode=none,st"], "kd_mode=[none,st]"),
        (["seed=0,1", "kd_mode=[st],[st,tfd],[at,tfd]"], "kd_mode=[st,tfd,at]"),
        (["kd_mode=st"], None),
        (["kd_mode=[st,tfd]"], None),
        (["seed=0,1"], None),
    ],
)
def test_all_modes_of_a_sweep(words: list[str], expected: str | None) -> None:
    assert all_modes(words) == expected
