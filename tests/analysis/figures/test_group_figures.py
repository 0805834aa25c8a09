"""Pictures of settings: learning curves, terms, saliency, ablation."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.figures.ablation import ablation_info
from analysis.figures.chart import Band, Line, Rule
from analysis.figures.learning import learning_info, terms_info
from analysis.figures.saliency import read_saliency, saliency_info
from analysis.figures.series import choose_styles, make_series, mean_and_band
from analysis.figures.style import BASELINE, GREY, MOST
from analysis.read.curves import read_curves
from analysis.read.faults import Fault
from analysis.read.gather import gather
from analysis.select.metrics import describe_metric
from analysis.select.trials import trials_by_search
from tests.analysis.figures.support import write_csv, write_saliency
from tests.analysis.notes import faults


def test_interval_of_two_and_three_runs() -> None:
    values = np.array([[1.0, 5.0, np.nan], [3.0, np.nan, np.nan], [5.0, np.nan, np.nan]])
    mean, low, high = mean_and_band(values, "sd")
    assert mean == pytest.approx((3.0, 5.0, np.nan), nan_ok=True)
    assert low == pytest.approx((1.0, np.nan, np.nan), nan_ok=True)  # sample sd 2
    _, low, high = mean_and_band(values[:, :1], "ci")
    assert (high[0] - low[0]) / 2 == pytest.approx(4.302653 * 2 / math.sqrt(3), abs=1e-5)


def test_learning_curves_have_bands_over_seeds(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0], tfd=[62.0, 66.0])
    gathered = gather(tmp_path)
    info = learning_info(gathered, read_curves(gathered))
    assert [panel.y_label for panel in info.panels] == ["val top-1 (%)", "training cross-entropy"]
    assert info.labels == (("none", True), ("tfd", False))
    none, tfd = info.panels[0].curves
    assert none.n == 1 and none.mean == (15.0, 30.0, 45.0, 60.0)
    assert all(map(math.isnan, none.low))
    assert tfd.x == (1.0, 2.0, 3.0, 4.0)
    assert tfd.mean == (16.0, 32.0, 48.0, 64.0)
    assert tfd.high[-1] - 64.0 == pytest.approx(math.sqrt(8))
    assert info.notes[:2] == (
        "resnet20 on digits, protocol validation, 4 epochs, 2 seeds",
        "Mean of 1 to 2 runs; band: ± 1 sample standard deviation",
    )
    marks = info.chart().panels[0].marks
    assert [type(mark) for mark in marks] == [Band, Line, Line]
    assert [mark.name for mark in marks if isinstance(mark, Line)] == ["none", "tfd (n=2)"]


def test_where_the_objective_was_measured_once_training_accuracy_is_shown(tmp_path: Path, write_run: Any) -> None:
    run = write_run("grid/0", val_top1=None, test_top1=90.0, protocol="final")
    rows = [(1, 2.0, 30.0, ""), (2, 1.0, 60.0, 90.0)]
    write_csv(run / "metrics.csv", "epoch,train_ce,train_top1,test_top1", rows)
    gathered = gather(tmp_path)
    info = learning_info(gathered, read_curves(gathered))
    assert [panel.y_label for panel in info.panels] == ["training top-1 (%)", "training cross-entropy"]
    assert info.panels[0].curves[0].mean == (30.0, 60.0)


def test_learning_curves_can_show_an_interval(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0, 62.0, 64.0])
    gathered = gather(tmp_path)
    info = learning_info(gathered, read_curves(gathered), band="ci")
    assert info.panels[0].curves[0].high[-1] - 62.0 == pytest.approx(4.302653 * 2 / math.sqrt(3), abs=1e-5)
    assert "band: 95 % t interval of the mean" in info.notes[1]


def test_runs_without_a_curve_are_counted(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0, 62.0])
    (tmp_path / "demo/grid/none-1/metrics.csv").write_text("epoch")
    gathered = gather(tmp_path)
    info = learning_info(gathered, read_curves(gathered))
    assert info.panels[0].curves[0].n == 1
    assert info.notes[-1] == "1 complete run left out, without a file that can be read"


def test_terms_appear_where_a_mode_has_them(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0], tfd=[62.0, 66.0])
    gathered = gather(tmp_path)
    info = terms_info(gathered, read_curves(gathered))
    assert [panel.y_label for panel in info.panels] == ["intra term, unweighted", "inter term, unweighted"]
    assert [curve.label for curve in info.panels[0].curves] == ["tfd"]
    assert info.panels[0].curves[0].mean == pytest.approx((10.0, 5.0, 10 / 3, 2.5))
    assert not info.panels[0].log


def test_every_column_of_a_term_is_drawn_by_its_name(tmp_path: Path, write_run: Any) -> None:
    """Of any mode, beside columns of other things."""
    header = "epoch,lr,kd_factor,kd_factor.at,val_top1,train_ce,at,st"
    for seed, run in enumerate([write_run(f"grid/{seed}", kd_mode="at+st", seed=seed) for seed in (0, 1)]):
        write_csv(run / "metrics.csv", header, [(1, 0.1, 1, 1, 50, 2.0, 4.0 + seed, 3), (2, 0.1, 1, 1, 60, 1.0, 2, 1)])
    gathered = gather(tmp_path)
    at, st = terms_info(gathered, read_curves(gathered)).panels
    assert (at.y_label, st.y_label) == ("at term, unweighted", "st term, unweighted")
    assert [(curve.label, curve.mean) for curve in at.curves] == [("at+st", (4.5, 2.0))]
    assert [curve.mean for curve in st.curves] == [(3.0, 1.0)]


def test_terms_that_fall_by_decades_are_drawn_on_a_log_axis(tmp_path: Path, write_run: Any) -> None:
    run = write_run("grid/0")
    write_csv(run / "metrics.csv", "epoch,intra", [(1, 10.0), (2, 0.01)])
    gathered = gather(tmp_path)
    (panel,) = terms_info(gathered, read_curves(gathered)).panels
    assert panel.log


def test_no_terms(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0])
    gathered = gather(tmp_path)
    with pytest.raises(ValueError, match="no complete run has recorded a term of a kd_mode by epoch"):
        terms_info(gathered, read_curves(gathered))


def test_series_are_the_baseline_and_then_trials_by_score(search: Path) -> None:
    gathered, metrics = gather(search), [describe_metric("val_top1")]
    series = make_series(gathered, trials_by_search(gathered, metrics), metrics)
    assert series[0].label == "none" and series[0].baseline
    values = [np.mean(one.values("val_top1")) for one in series[1:]]
    assert len(values) == 12
    assert values == sorted(values, reverse=True)
    styles = list(choose_styles([(one.label, one.baseline) for one in series]).by_label.values())
    assert styles[0] is BASELINE
    assert styles.count(GREY) == 12 - MOST
    assert len({(style.colour, style.marker) for style in styles}) == MOST + 2


def test_many_settings_are_told_apart_by_two_things() -> None:
    labels = [
        (f"{mode}, model={model}", False) for model in ("vgg8", "resnet20") for mode in ("none", "intra", "tfd", "st")
    ]
    styles = choose_styles(labels)
    assert len({(style.colour, style.marker) for style in styles.by_label.values()}) == 8
    assert styles.by_label["tfd, model=vgg8"].colour == styles.by_label["st, model=vgg8"].colour
    assert styles.by_label["tfd, model=vgg8"].dash == styles.by_label["tfd, model=resnet20"].dash
    assert [name for name, _ in styles.keys] == ["none", "intra", "tfd", "st", "model=vgg8", "model=resnet20"]


def test_saliency_by_rank_and_stage(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0], tfd=[62.0, 66.0])
    for name, level in (("none-0", 1.0), ("tfd-0", 2.0), ("tfd-1", 4.0)):
        write_saliency(tmp_path / "demo/grid" / name, level)
    gathered = gather(tmp_path)
    info = saliency_info(gathered, read_saliency(gathered))
    first, second = info.panels
    assert (first.title, first.mark, second.mark) == ("stage 1", 2.5, 3.5)
    none, tfd = first.curves
    assert none.mean == pytest.approx((1.0, 0.5, 1 / 3, 0.25))
    assert tfd.mean == pytest.approx((3.0, 1.5, 1.0, 0.75))
    assert tfd.n == 2
    rules = [mark for mark in info.chart().panels[1].marks if isinstance(mark, Rule)]
    assert [(rule.at, rule.name) for rule in rules] == [(3.5, "half of the channels")]


@pytest.mark.parametrize(
    ("header", "rows", "fault"),
    [
        ("stage,rank", [(1, 1)], Fault.NO_COLUMN),
        ("stage,rank,saliency", [], Fault.EMPTY),
        ("stage,rank,saliency", [(2, 1, 0.5)], Fault.MISCOUNTED),
        ("stage,rank,saliency", [(1, 2, 0.5)], Fault.MISCOUNTED),
        ("stage,rank,saliency", [(1, 1, 0.5), (1, 2, 0.6)], Fault.DISORDERED),
        ("stage,rank,saliency", [(1, 1, "nan")], Fault.DISORDERED),
        ("stage,rank,saliency", [(1, 1, "high")], Fault.NO_NUMBER),
    ],
)
def test_malformed_saliency(tmp_path: Path, write_run: Any, header: str, rows: list[Any], fault: Fault) -> None:
    run = write_run("0000")
    write_csv(run / "saliency.csv", header, rows)
    saliency = read_saliency(gather(tmp_path))
    assert saliency.stages == {}
    assert faults(saliency.skipped, tmp_path) == [("0000/saliency.csv", fault)]
    with pytest.raises(ValueError, match="no complete run has a saliency.csv"):
        saliency_info(gather(tmp_path), saliency)


def test_ablation_bars(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[59.0, 60.0, 61.0], inter=[61.0, 63.0, 65.0], tfd=[64.0])
    info = ablation_info(gather(tmp_path))
    by_label = {bar.label: bar for bar in info.bars}
    none, inter, tfd = (by_label[label] for label in ("none", "inter", "tfd"))
    assert (none.mean, none.baseline, none.is_baseline) == (60.0, None, True)
    assert (inter.mean, inter.baseline) == (63.0, 60.0)
    assert inter.high is not None and inter.high - 63.0 == pytest.approx(4.302653 * 2 / math.sqrt(3), abs=1e-5)
    assert inter.runs == ((0, 61.0), (1, 63.0), (2, 65.0))
    assert (tfd.mean, tfd.low, tfd.high) == (64.0, None, None)
    assert info.notes[0] == "val top-1, last epoch (%)"


def test_ablation_compares_within_a_model(tmp_path: Path, write_runs: Any) -> None:
    for model, level in (("vgg8", 50.0), ("resnet20", 60.0)):
        write_runs("none", [level, level + 2], model=model)
        write_runs("tfd", [level + 2, level + 4], model=model)
    bars = {bar.label: (bar.mean, bar.baseline) for bar in ablation_info(gather(tmp_path)).bars}
    assert bars == {
        "none, model=resnet20": (61.0, None),
        "tfd, model=resnet20": (63.0, 61.0),
        "none, model=vgg8": (51.0, None),
        "tfd, model=vgg8": (53.0, 51.0),
    }


def test_ablation_leaves_trials_out(search: Path) -> None:
    with pytest.raises(ValueError, match="an ablation compares 2 to 30 settings; there is 1 outside of a search"):
        ablation_info(gather(search))
