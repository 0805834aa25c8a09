"""docs/migration.md: what it says can be typed, and it leaves no flag and no example of the references out."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from tests.support import REPOSITORY, compose_config
from tffd.config import require_config
from tffd.instantiation import build_distillation
from tffd.refusal import ConfigError
from tffd.schema import Config

PAGE = (REPOSITORY / "docs" / "migration.md").read_text(encoding="utf-8")
COMMANDS = [
    *re.findall(r"`python run\.py ([^`]+)`", PAGE),
    *re.findall(r"^python run\.py ([^#\n]+)", PAGE, re.MULTILINE),
]
THERE = {here: there for there, here in re.findall(r"^\| (`.+) \| `python run\.py ([^`]+)`", PAGE, re.MULTILINE)}
SETTINGS = sorted(set(re.findall(r"`([a-z_0-9.]+=[^` ]+)`", PAGE)))
TRAIN_KD = (
    "save_root img_root s_init t_model print_freq epochs batch_size lr momentum weight_decay num_class cuda seed note "
    "data_name t_name s_name kd_mode lambda_kd T p w_dist w_angle m gamma P_order w_irg_vert w_irg_edge w_irg_tran sf "
    "init_var att_f lambda_inter lambda_intra kd-warm-up"
)
REPDISTILLER = (
    "print_freq tb_freq save_freq batch_size num_workers epochs init_epochs learning_rate lr_decay_epochs "
    "lr_decay_rate weight_decay momentum dataset model_s path_t distill trial gamma alpha beta kd_T feat_dim mode "
    "nce_k nce_t nce_m hint_layer model"
)


def check(overrides: list[str]) -> list[Config]:
    """Compose overrides as run.py does and build the modes; each value of a sweep beside the first of the others."""
    configs = []
    dimensions = []
    for override in OverridesParser.create().parse_overrides(overrides):
        sweeps = override.is_sweep_override()
        key = override.get_key_element()
        dimensions.append(
            [f"{key}={value}" for value in override.sweep_string_iterator()] if sweeps else [override.input_line]
        )
    first = [values[0] for values in dimensions]
    for place, values in enumerate(dimensions):
        for value in values if place == 0 else values[1:]:
            config = require_config(compose_config(*first[:place], value, *first[place + 1 :]))
            build_distillation(config)
            configs.append(config)
    return configs


def test_the_page_is_short_and_was_read() -> None:
    assert len(PAGE.splitlines()) < 150
    assert len(THERE) == 2 + 14 + 6 + 22 and sum("--lambda_kd" in there for there in THERE.values()) == 21
    assert len(COMMANDS) >= 2 + 14 + 6 + 22 and len(SETTINGS) > 60


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command: str) -> None:
    """And where the example there gives the weight of one loss, that is what runs."""
    configs = check([word for word in shlex.split(command) if word != "-m"])
    weight = re.search(r"--(?:lambda_kd |distill .* -b )([\d.]+)", THERE.get(command, ""))
    if weight and configs[0].composition not in ("st", "fsp", "rkd", "irg"):  # which have none there, or several here
        assert float(weight[1]) in configs[0].term_weights.values()


@pytest.mark.parametrize("choice", [setting for setting in SETTINGS if "." not in setting.partition("=")[0]])
def test_choices_compose(choice: str) -> None:
    check([choice])


def test_settings_compose() -> None:
    """All at once, for a composition takes a while. What has them is not built: several modes have a first stage."""
    settings = [setting for setting in SETTINGS if "." in setting.partition("=")[0]]
    modes = sorted({setting.split(".")[1] for setting in settings if setting.startswith("kd_mode.")})
    require_config(compose_config(f"kd_mode=[{','.join(modes)}]", "teacher=resnet110", *settings))


@pytest.mark.parametrize("wrong", ["trainer.epoch=3", "kd_mode.at.weight=3", "experiment=cifar10_kd_zoo", "seed=two"])
def test_a_slip_of_the_pen_would_show(wrong: str) -> None:
    with pytest.raises((HydraException, ConfigError)):
        check(["kd_mode=at", wrong])


@pytest.mark.parametrize("setting", ["nonsense=1", "trainer.nonsense=1"])
def test_unknown_keys_would_show(setting: str) -> None:
    with pytest.raises(HydraException, match="nonsense"):
        check([setting])
    with pytest.raises(ConfigError, match="no such key"):
        check([f"+{setting}"])


@pytest.mark.parametrize(
    ("title", "flags"),
    [
        ("Flags of Tf-FD's and KD-Zoo's train_kd.py", TRAIN_KD),
        ("Flags of RepDistiller's train_student.py", REPDISTILLER),
    ],
)
def test_every_flag_is_there(title: str, flags: str) -> None:
    (section,) = (part for part in PAGE.split("\n## ") if part.startswith(title))
    first_cells = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    assert {f"--{flag}" for flag in flags.split()} == set(re.findall(r"`(--[\w-]+)`", first_cells))


def test_the_page_names_no_file_that_is_not_there() -> None:
    for name in re.findall(r"\]\((?!http)([^)]+)\)", PAGE):
        assert (REPOSITORY / "docs" / Path(name)).exists()
