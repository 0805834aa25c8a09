"""What a run was started with, and the command of a single cell."""

from pathlib import Path

from analysis.overrides import as_pairs, cell_overrides, read_overrides, single_command
from analysis.plan import Sweep


def test_reading_what_hydra_wrote(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    text = "- kd_mode=tfd\n- 'seed=1'\n- +new=a=b\n- 'name=it''s'\n- ~dropped\n"
    (tmp_path / ".hydra" / "overrides.yaml").write_text(text)
    words = read_overrides(str(tmp_path))
    assert words == ("kd_mode=tfd", "seed=1", "+new=a=b", "name=it's")
    assert as_pairs(words) == {"kd_mode": "tfd", "seed": "1", "new": "a=b", "name": "it's"}
    assert read_overrides(str(tmp_path / "none")) == ()


def test_a_single_run_of_a_cell_leaves_out_what_makes_a_sweep() -> None:
    fixed = ("ablation=terms", "ablation.grid.seed='0,1'", "sweep.n_jobs=2", "hydra/launcher=joblib", "trainer.lr=0.1")
    sweep = Sweep("results/terms", (), name="terms", fixed=(*fixed, "name=old", "seed=9", "note=two words"))
    words = cell_overrides(sweep, {"kd_mode": "tfd", "seed": "3"})
    assert words == ("trainer.lr=0.1", "note=two words", "name=terms", "kd_mode=tfd", "seed=3")
    assert single_command(words) == "python run.py trainer.lr=0.1 'note=two words' name=terms kd_mode=tfd seed=3"
    assert cell_overrides(Sweep("results/terms", ()), {"seed": "3"}) is None  # it is not known what else holds
