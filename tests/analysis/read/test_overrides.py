"""What a run was started with, and the command of a single cell."""

import shlex
from pathlib import Path

import pytest
import yaml

from analysis.read.command_lines import NO_COMMAND
from analysis.read.overrides import as_pairs, cell_overrides, read_overrides, single_command
from analysis.read.plans import Sweep


def test_reading_what_hydra_wrote(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    text = "- kd_mode=tfd\n- 'seed=1'\n- +new=a=b\n- 'name=it''s'\n- ~dropped\n"
    (tmp_path / ".hydra" / "overrides.yaml").write_text(text)
    words = read_overrides(str(tmp_path))
    assert words == ("kd_mode=tfd", "seed=1", "+new=a=b", "name=it's")
    assert as_pairs(words) == {"kd_mode": "tfd", "seed": "1", "new": "a=b", "name": "it's"}
    assert read_overrides(str(tmp_path / "none")) == ()


@pytest.mark.parametrize(
    "word",
    [
        f"results_dir=/data/a folder with spaces/{'long name ' * 9}end",  # YAML goes on in the next line
        f"note=it's {'long and quoted, ' * 6}",
        "note=a\tb",  # YAML writes it in double quotes, with an escape
        'note="\u2028\x1b"',
        "note=two\nlines",
    ],
)
def test_words_that_yaml_folds_or_escapes(tmp_path: Path, word: str) -> None:
    (tmp_path / ".hydra").mkdir()
    written = yaml.dump(["kd_mode=tfd", word, "seed=1"], default_flow_style=False, allow_unicode=True)  # as Hydra does
    (tmp_path / ".hydra" / "overrides.yaml").write_text(written)
    words = read_overrides(str(tmp_path))
    assert words == ("kd_mode=tfd", word, "seed=1")
    command = single_command(words)
    if word.isprintable():
        assert shlex.split(command) == ["python", "run.py", *words]
    else:  # a terminal or a page would obey it, or break the line
        assert command == NO_COMMAND


@pytest.mark.parametrize("content", ["[]\n", "", '- "a=1\n', "a=1\n", "{a=: 1}\n", "[[a=1]]\n", "[" * 2000])
def test_what_is_no_list_of_words_has_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(content)
    assert read_overrides(str(tmp_path)) == ()


def test_a_single_run_of_a_cell_leaves_out_what_makes_a_sweep() -> None:
    fixed = ("ablation=terms", "ablation.grid.seed='0,1'", "sweep.n_jobs=2", "hydra/launcher=joblib", "trainer.lr=0.1")
    everywhere = (*fixed, "name=old", "seed=9", "note=two words")
    sweep = Sweep("results/terms", (), name="terms", fixed=everywhere, place={"name": "terms"})
    words = cell_overrides(sweep, {"kd_mode": "tfd", "seed": "3"})
    assert words == ("trainer.lr=0.1", "note=two words", "name=terms", "kd_mode=tfd", "seed=3")
    assert single_command(words) == "python run.py trainer.lr=0.1 'note=two words' name=terms kd_mode=tfd seed=3"
    assert cell_overrides(Sweep("results/terms", ()), {"seed": "3"}) is None  # it is not known what else holds
