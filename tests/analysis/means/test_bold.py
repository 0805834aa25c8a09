"""Bold is the best, and all that cannot be told from it."""

from pathlib import Path
from typing import Any

from analysis.means.means import summarise
from analysis.read.gather import gather
from tests.analysis.configured import write_configured


def _best(directory: Path, **options: Any) -> list[str]:
    return ["/".join(map(str, cell.key)) for cell in summarise(gather(directory), **options).cells if cell.is_best]


def _level(value: float, seeds: int) -> list[float]:
    return [value + seed / 16 for seed in range(seeds)]


def test_what_is_clearly_worse_is_not_marked(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", _level(60.0, 6))
    write_runs("tfd", _level(61.0, 6))
    assert _best(tmp_path) == ["tfd"]  # 2 / 64 < 0.05


def test_the_correction_is_for_all_pairs(tmp_path: Path, write_runs: Any) -> None:
    # 4 rows are 6 pairs: 6 * 2 / 2^7 = 0.094 and 6 * 2 / 2^8 = 0.047.
    for seeds, expected in ((7, ["none", "tfd", "inter", "intra"]), (8, ["tfd"])):
        for number, kd_mode in enumerate(("none", "intra", "inter", "tfd")):
            write_runs(kd_mode, _level(60.0 + number, seeds), name=f"{seeds}", dataset=f"{seeds}")
        assert [name.removeprefix(f"{seeds}/") for name in _best(tmp_path, rows=["dataset", "kd_mode"])
                if name.startswith(f"{seeds}/")] == expected  # fmt: skip


def test_a_small_difference_cannot_be_told(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0, 62.0, 60.0, 62.0, 60.0, 62.0])
    write_runs("tfd", [62.0, 61.0, 61.0, 62.0, 62.0, 60.0])
    write_runs("at", [50.0, 50.0, 50.0, 50.0, 50.0, 50.0])
    assert _best(tmp_path) == ["none", "tfd", "at"]  # three pairs: 3 * 2 / 64 is not enough even for at
    for kd_mode, level in (("none", 61.0), ("tfd", 61.5), ("at", 50.0)):
        write_runs(kd_mode, [level, level], first_seed=6, name="more")
    assert _best(tmp_path) == ["none", "tfd"]


def test_single_runs_cannot_be_told_apart(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    write_runs("tfd", [90.0])
    write_runs("at", [None])
    assert _best(tmp_path) == ["none", "tfd"]


def test_a_row_whose_comparison_was_refused_is_not_marked(tmp_path: Path, write_run: Any) -> None:
    write_configured(write_run, "none", "none", [11.0, 12.0], lr=0.1)
    write_configured(write_run, "tfd", "tfd", [37.0, 38.0], lr=0.001)
    write_configured(write_run, "at", "at", [36.0, 37.0], lr=0.001)
    assert _best(tmp_path, rows=["kd_mode"]) == ["tfd", "at"]
    assert _best(tmp_path, rows=["kd_mode"], mix=True) == ["none", "tfd", "at"]  # two seeds tell nothing apart


def test_models_do_not_compete_and_one_row_is_not_marked(tmp_path: Path, write_runs: Any) -> None:
    for model, level in (("vgg8", 50.0), ("resnet20", 70.0)):
        write_runs("none", _level(level, 6), model=model)
        write_runs("tfd", _level(level + 1, 6), model=model)
    write_runs("tfd", _level(90.0, 6), model="wrn_16_2")
    assert _best(tmp_path) == ["resnet20/tfd", "vgg8/tfd"]
    assert _best(tmp_path, rows=["kd_mode"], cols=["model"]) == ["tfd/resnet20", "tfd/vgg8"]


def test_each_metric_has_its_best(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", _level(60.0, 6), val_loss=1.0)
    for seed in range(6):
        write_runs("tfd", [61.0 + seed / 16], first_seed=seed, val_loss=2.0 + seed / 8)
    cells = summarise(gather(tmp_path), metrics=["val_top1", "val_loss"]).cells
    assert [(cell.row[0], cell.metric) for cell in cells if cell.is_best] == [("none", "val_loss"), ("tfd", "val_top1")]
