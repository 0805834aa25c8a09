"""What the file of a sweep chooses for its runs is written as if it had been typed, and nothing else is."""

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from tests.support import CONF
from tffd.app import register_resolvers
from tffd.sweep.implied import implied_words, without_keys


def implied(folder: Path, *overrides: str, varied: tuple[str, ...] = ()) -> list[str]:
    register_resolvers()
    search_path = f"hydra.searchpath=[file://{folder}]"
    with initialize_config_dir(str(CONF)):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None

        def compose(words: list[str]) -> DictConfig:
            assert hydra is not None
            return hydra.compose_config("config", [search_path, *words], run_mode=RunMode.MULTIRUN)

        fixed = list(overrides)
        return implied_words(compose(fixed), fixed, varied, compose)


def write(folder: Path, content: str) -> None:
    (folder / "sweep").mkdir()
    (folder / "sweep" / "mine.yaml").write_text(f"# @package _global_\n{content}\n")


def test_the_teacher_of_an_ablation_is_implied(tmp_path: Path) -> None:
    assert implied(tmp_path, "ablation=composition", "seed=3", varied=("kd_mode", "seed")) == ["teacher=auto"]
    assert implied(tmp_path, "ablation=composition", "teacher=auto", varied=("kd_mode",)) == []


def test_groups_and_values_of_a_sweep_are_implied(tmp_path: Path) -> None:
    write(
        tmp_path,
        "defaults: [none, {override /model: vgg8}, {override /kd_mode: at}]\nname: mine\nsweep: {n_trials: 4}\n"
        "trainer: {epochs: 7}\nkd_mode: {at: {weights: {at: 3.0}, form: kdzoo}}\ndataset: {root: 'my data'}",
    )
    words = implied(tmp_path, "sweep=mine", "trainer.lr=0.3")
    assert sorted(words) == [
        "dataset.root='my data'", "kd_mode.at.form=kdzoo", "kd_mode.at.weights.at=3.0", "kd_mode=at", "model=vgg8",
        "trainer.epochs=7",
    ]  # fmt: skip
    assert "kd_mode" not in " ".join(implied(tmp_path, "sweep=mine", varied=("kd_mode",)))


@pytest.mark.parametrize("sweep", ["lambdas", "lambdas_pruned", "terms", "modes"])
def test_the_sweeps_of_the_library_imply_nothing(tmp_path: Path, sweep: str) -> None:
    assert implied(tmp_path, f"sweep={sweep}") == []


def test_a_key_takes_what_lies_below_it_along() -> None:
    assert without_keys(["a=1", "+a.b=1", "ab=1", "~a.c"], ["a"]) == ["ab=1"]
