"""What the composer makes is what Hydra makes, but for settings of kd_modes that a run does not have."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tests.support import CONF, places
from tffd.app import register_resolvers
from tffd.refusal import ConfigError
from tffd.sweep.compose import Composer
from tffd.sweep.planning import make_plan


class CountingLoader:
    """Hydra's loader, and how often it composed."""

    def __init__(self) -> None:
        self._loader = GlobalHydra.instance().config_loader()
        self.composed = 0

    def base(self, *overrides: str) -> DictConfig:
        """The config of a command, as Hydra hands it to a sweeper."""
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        assert not any(override.is_sweep_override() for override in parsed)
        return self._loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)

    def load_sweep_config(self, base: DictConfig, overrides: list[str]) -> DictConfig:
        self.composed += 1
        return self._loader.load_sweep_config(base, overrides)

    def get_group_options(self, group: str) -> list[str]:
        return self._loader.get_group_options(group)


@pytest.fixture
def loader() -> Iterator[CountingLoader]:
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        yield CountingLoader()


def as_text(config: DictConfig) -> str:
    return OmegaConf.to_yaml(config)  # Hydra's node and interpolations included


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=3"],
        ["seed=3", "kd_mode=intra", "+trainer.note=x", "trainer.note=y", "lambda_intra=null", "model=vgg8"],
        ["lambda_intra=1e-3", "lambda_inter=0.25"],
        ["sweep=lambdas", "trainer.epochs=3", "lambda_intra=0.002"],
        ["ablation=terms", "kd_mode=intra", "seed=4"],
        ["kd_mode=tfd", "kd_mode.tfd.weights.inter=0.1"],  # an interpolation that a number replaces
        ["dataset.train_size=null", "seed=4"],
        ["dataset.root='/some where/x=y'", "name=a"],
        ["trainer.milestones=[0.5]", "trainer.lr=0.2"],
        ["sweep.seeds=[1,2,3]", "seed=1"],
        ["++trainer.lr=0.3", "trainer.epochs=7"],
        ["model=vgg8", "dataset=cifar10", "trainer=script", "trainer.lr=0.2", "trainer.lr=0.4"],
        ["lambdas=script", "lambda_intra=${lambda_inter}"],
    ],
)
def test_a_config_equals_the_one_that_hydra_composes(loader: CountingLoader, overrides: list[str]) -> None:
    base = loader.base(*(line for line in overrides if line.startswith("sweep=")))  # which no trial may change
    composed = Composer(loader, base)
    composed(["seed=9", *(line for line in overrides if "seed" not in line)])
    config = composed(overrides)
    expected = loader.load_sweep_config(base, overrides)
    expected.name = base.name  # a sweep keeps its name, whatever the files that are varied say
    assert as_text(config) == as_text(expected)
    assert OmegaConf.is_struct(config)


def test_hydra_composes_once_for_runs_with_the_same_choices(loader: CountingLoader) -> None:
    composer = Composer(loader, loader.base())
    for value in range(5):
        config = composer(["kd_mode=tfd", f"kd_mode.tfd.weights.intra={value}", f"seed={value}"])
        assert (config.kd_mode.tfd.weights.intra, config.seed) == (value, value)
    assert loader.composed == 1
    composer(["kd_mode=intra", "seed=0"])  # which has no settings of a mode
    assert loader.composed == 1 + 1
    composer(["kd_mode=intra", "hydra.job.num=1", "seed=1"])  # which may not be set in a copy
    assert loader.composed == 1 + 1 + 1


def test_a_config_is_not_changed_by_what_happens_to_another(loader: CountingLoader) -> None:
    composer = Composer(loader, loader.base())
    first = composer(["seed=1"])
    first.trainer.lr = 9.0
    assert composer(["seed=1"]).trainer.lr == composer(["seed=2"]).trainer.lr != 9.0


def test_the_runs_of_a_sweep_keep_its_name(loader: CountingLoader) -> None:
    """Their teachers and records lie below it, whatever an experiment that is varied calls itself."""
    composer = Composer(loader, loader.base("name=mine"))
    configs = [composer([f"experiment=cifar100_{student}", "seed=1"]) for student in ("vgg8", "resnet20")]
    assert [(config.name, config.model.name) for config in configs] == [("mine", "vgg8"), ("mine", "resnet20")]


@pytest.mark.parametrize("override", ["lambda_intraa=1", "trainer.lrr=1", "model=resnet21", "trainer.lr.x=1"])
def test_what_hydra_refuses_is_refused_in_its_words(loader: CountingLoader, override: str) -> None:
    base = loader.base()
    messages = []
    for compose in (Composer(loader, base), lambda overrides: loader.load_sweep_config(base, overrides)):
        with pytest.raises(ConfigCompositionException) as caught:
            compose(["seed=1", override])
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_key_that_no_such_mode_has_is_refused(loader: CountingLoader) -> None:
    composer = Composer(loader, loader.base("kd_mode=tfd"))
    assert composer(["kd_mode=tfd", "kd_mode.tfd.reduction=sum"]).kd_mode.tfd.reduction == "sum"
    with pytest.raises(ConfigCompositionException, match="reductoin"):
        composer(["kd_mode=tfd", "kd_mode.tfd.reductoin=sum"])


def test_text_that_is_no_override_is_refused(loader: CountingLoader) -> None:
    with pytest.raises(OverrideParseException):
        Composer(loader, loader.base())(["seed"])


def test_settings_of_a_mode_hold_for_the_runs_that_have_it(loader: CountingLoader) -> None:
    """`kd_mode=none,st,[st,tfd] kd_mode.st.temperature=2` is one grid."""
    composer = Composer(loader, loader.base())
    settings = ["kd_mode.st.temperature=2", "+kd_mode.tfd.note=x", "seed=3"]
    found = {mode: composer([f"kd_mode={mode}", *settings]) for mode in ("none", "st", "[st,tfd]")}
    assert {mode: list(config.kd_mode) for mode, config in found.items()} == {
        "none": [], "st": ["st"], "[st,tfd]": ["st", "tfd"]
    }  # fmt: skip
    assert [config.seed for config in found.values()] == [3, 3, 3]
    assert (found["st"].kd_mode.st.temperature, found["[st,tfd]"].kd_mode.st.temperature) == (2, 2)
    assert found["[st,tfd]"].kd_mode.tfd.note == "x"
    # What does not hold is not recorded as if it did.
    assert list(found["none"].hydra.overrides.task) == ["kd_mode=none", "seed=3"]


def test_settings_of_modes_make_no_cells_for_runs_without_them(loader: CountingLoader, tmp_path: Path) -> None:
    def cells(*words: str) -> list[dict[str, str]] | None:
        base = loader.base("kd_mode=[inter,tfd]", *places(tmp_path))
        made = make_plan([*words, *places(tmp_path)], base, Composer(loader, base))
        assert made.studies[-1].n_trials == len(made.studies[-1].cells or []) == len(made.studies[-1].identities)
        return made.studies[-1].cells

    weight = "kd_mode.tfd.weights.intra"
    assert cells("kd_mode=none,tfd", f"{weight}=0.1,0.2", "seed=0") == [
        {"kd_mode": "none"},
        {"kd_mode": "tfd", weight: "0.1"},
        {"kd_mode": "tfd", weight: "0.2"},
    ]
    two = cells("kd_mode=[tfd],[inter]", f"{weight}=0.1,0.2", "kd_mode.inter.weights.inter=1,2,3")
    assert two is not None
    assert [len(cell) for cell in two] == [2] * 5
    with pytest.raises(ConfigError, match=r"kd_mode\.tfd\.weights\.intra: reaches no run"):
        cells("kd_mode=none,inter", f"{weight}=0.1,0.2")
