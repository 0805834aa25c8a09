"""Parts of one's own that lack something are refused by name before anything trains; those that do not, train."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from tests.lab import page_files
from tests.support import compose_config, places
from tffd import build, rehearsal
from tffd.app import register_resolvers
from tffd.checks import check_config
from tffd.config import require_config
from tffd.refusal import ConfigError
from tffd.sweep.samplers import make_sampler

OWN = (
    "model._target_=ownlab.parts.Tiny", "model.name=tiny", "trainer.batch_size=16", "dataset.train_size=null",
    "dataset.source._target_=ownlab.data.Stripes", "dataset.name=stripes", "kd_mode=[]",
    "+kd_mode.ours={_target_:ownlab.parts.Decorrelate,weights:{decorrelate:0.1}}",
)  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's package under another name, in a directory that can be imported from; forgotten again afterwards."""
    package = tmp_path / "ownlab"
    package.mkdir()
    for name, content in page_files().items():
        if name.endswith(".py"):
            (package / Path(name).name).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TFFD_TRUST", "ownlab")
    monkeypatch.setattr(rehearsal, "_rehearsed", {})
    build._described.cache_clear()  # the same name is another class each time
    register_resolvers()
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "ownlab"]:
        del sys.modules[name]


def config(directory: Path, *overrides: str) -> DictConfig:
    return compose_config(*places(directory), *OWN, *overrides)


def faults(directory: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_config(config(directory, *overrides))
    assert not (directory / "results").exists()
    return caught.value.faults


def test_sound_parts_are_taken(own: Path, tmp_path: Path) -> None:
    assert check_config(config(tmp_path)).term_weights == {"decorrelate": 0.1}


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("parts", "def forward(self, inputs)", "def froward(self, inputs)", "Tiny: lacks forward"),
        ("parts", "return ModelOutput(self", "return (self", "Tiny: returned a tuple; a network returns a tffd.models"),
        ("parts", "self.head(pooled), (", "self.head(pooled).mean(), (", "Tiny: logits are [], and should be [2"),
        ("parts", "(one, two), inputs", "(one,), inputs", "Tiny: preacts are [2, 8, 8, 8], and should have the shapes"),
        ("parts", "two = self.second(shallow := one.relu())", "two = one.nothing", "Tiny: forward, shown shapes alone"),
        ("parts", "inputs, pooled)", "inputs, two)", "Tiny: pooled is [2, 16, 4, 4], and should be [2, D]"),
        ("parts", "def forward(self, step)", "def froward(self, step)", "Decorrelate: lacks forward; derive it from"),
        ("parts", '    terms = ("decorrelate",)\n', "", "Decorrelate: lacks terms; derive it from tffd.distill.Dist"),
        ("parts", '= ("decorrelate",)', '= "decorrelate"', "terms='decorrelate', and should be a tuple of names"),
        ("parts", "class Decorrelate(DistillMode)", "class Decorrelate", "Decorrelate: is no class of torch.nn.Module"),
        ("parts", 'return {"decorrelate":', 'return {"decor":', "forward returned no term decorrelate; there"),
        ("parts", ".square().mean()}", ".square()}", "its term decorrelate is [16, 16], and should be a scalar tensor"),
        ("parts", "pooled.float()", "pooled.detach()", "decorrelate depends on nothing that is trained"),
        ("parts", "/ len(scores)", "/ step.classes", "Decorrelate: forward ended in AttributeError: 'Step' object has"),
        ("data", "def check", "def chekc", "Stripes: lacks check; a data source has what tffd.data.Source says"),
        ("data", "def read", "def raed", "Stripes: lacks read; a data source has what tffd.data.Source says"),
        ("data", "return Summary(", "return (), dict(", "check returned a tuple, and should a tffd.data.Summary"),
        ("data", 'f"stripes-{', 'f"my/stripes {', "fingerprint returned 'my/stripes 240', and should the name of"),
        ("data", "content = fingerprint", "content = lambda self: None", "content returned None, and should a text"),
        ("data", "return Arrays(", "return (", "Stripes: read returned a tuple, and should a tffd.data.Arrays"),
        ("data", "classes=2, ch", "classes=3, ch", "Stripes: check told of classes=3, and read returned 2"),
        ("data", "labels = np.arange(count) % 2", "labels = self.nothing", "read ended in AttributeError"),
    ],
)  # fmt: skip
def test_what_a_part_lacks_is_said_with_its_name(
    own: Path, tmp_path: Path, file: str, old: str, new: str, fault: str
) -> None:
    path = own / f"{file}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    found = faults(tmp_path)
    assert any("ownlab." in line and fault in line for line in found), found


def test_a_mode_that_compares_what_a_network_does_not_have_is_refused(own: Path, tmp_path: Path) -> None:
    path = own / "parts.py"
    path.write_text(path.read_text().replace("(one, two), inputs", "(), inputs"))
    assert check_config(config(tmp_path)).model.name == "tiny"
    (fault,) = faults(tmp_path, "kd_mode=frskd", "kd_mode.frskd.feature=od")
    assert "kd_mode=frskd" in fault


def test_a_sampler_that_is_none_is_refused(own: Path, tmp_path: Path) -> None:
    with (own / "data.py").open("a") as file:
        file.write("\n\nclass Other:\n    def __init__(self, **settings):\n        pass\n")
    composed = config(tmp_path, "sweep.sampler._target_=ownlab.data.Other", "sweep.sampler.seed=null")
    with pytest.raises(ValueError, match=r"ownlab\.data\.Other made a Other; a sampler is an optuna"):
        make_sampler(require_config(composed).sweep)


def test_what_a_trusted_package_imports_is_not_trusted_with_it(own: Path, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "dataset.source._target_=ownlab.data.np.load")
    assert "this name is an import of it" in fault
