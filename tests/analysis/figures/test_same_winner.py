"""All texts and pictures of a search name the same winner, and each says which trials it leaves out."""

from pathlib import Path
from typing import Any

import pytest

from analysis.best.best import find_best
from analysis.figures.history import history_info
from analysis.figures.importance import importance_info
from analysis.figures.landscape import landscape_info
from analysis.figures.learning import learning_info, terms_info
from analysis.figures.log_axis import log_axis
from analysis.figures.mpl import draw_chart
from analysis.figures.parallel import parallel_info
from analysis.figures.pareto import pareto_info
from analysis.figures.saliency import read_saliency, saliency_info
from analysis.figures.series import judging, make_series
from analysis.figures.web import draw_chart as draw_web_chart
from analysis.read.curves import read_curves
from analysis.read.gather import gather
from analysis.select.ranking import front
from analysis.select.trials import trials_by_search
from tests.analysis.figures.support import write_saliency

LOG = "tag(log, interval(1e-5, 1e-1))"
STUDY = {"study": "search", "kind": "search", "n_trials": 8}


@pytest.fixture
def zeros(tmp_path: Path, write_trial: Any, write_sweep: Any) -> Path:
    """Five trials in a square with its centre, and two with a lambda of 0, the first of which is the best by far."""
    write_sweep(STUDY, path="demo", space={"lambda_intra": LOG, "lambda_inter": LOG})
    pairs = [(1e-4, 1e-4), (1e-2, 1e-4), (1e-4, 1e-2), (1e-2, 1e-2), (1e-3, 1e-3), (1e-3, 0.0), (0.0, 1e-3)]
    for number, (intra, inter) in enumerate(pairs):
        value = 97.0 if number == 5 else 90.0 + number
        write_trial(number, [value], lambda_intra=intra, lambda_inter=inter, train_seconds=10.0 - number)
    return tmp_path


@pytest.fixture
def modes(tmp_path: Path, write_trial: Any, write_run: Any, write_sweep: Any) -> Path:
    """Five trials with both terms, the best one with the intra term alone, and a pruned one."""
    write_sweep(STUDY, path="demo", space={"kd_mode": "intra,tfd", "lambda_intra": LOG, "lambda_inter": LOG})
    for number in range(5):
        lambdas = {"lambda_intra": 10.0 ** -(1 + number), "lambda_inter": 10.0 ** -(1 + number % 3)}
        write_trial(number, [90.0 + number / 2], **lambdas, params={"kd_mode": "tfd"})
    fields = {"study": "search", "trial": 5, "kd_mode": "intra", "lambda_intra": 1e-3, "lambda_inter": 0.0}
    words = ("kd_mode=intra", "lambda_intra=0.001")
    write_run("demo/search/0005", overrides=words, **fields, epochs=4, epochs_run=4, val_top1=97.0)
    write_trial(6, [10.0], lambda_intra=1e-3, lambda_inter=1e-3, status="pruned", params={"kd_mode": "tfd"})
    return tmp_path


def test_a_lambda_of_zero_has_a_place_in_every_picture(zeros: Path) -> None:
    gathered = gather(zeros)
    assert [entry.trial for entry in find_best(gathered).front] == [5]
    landscape = landscape_info(gathered)
    assert (landscape.best, landscape.best_value) == (5, 97.0)
    assert landscape.points[5].lambdas == (1e-3, 0.0)
    assert landscape.surface is not None and len(landscape.surface.hull) == 4  # 0 has no logarithm
    assert "A lambda of 0 lies beyond a gap of its axis" in landscape.notes
    infos = [landscape, history_info(gathered), parallel_info(gathered), importance_info(gathered)]
    for info in (*infos, pareto_info(gathered)):
        assert "Best: trial 5, val_top1 97.00" in info.notes
        assert not any("left out" in note for note in info.notes)


def test_a_zero_leaves_the_axes_of_parallel_coordinates_logarithmic(zeros: Path) -> None:
    intra, inter, _ = parallel_info(gather(zeros)).scales
    assert [text for _, text in intra.ticks] == ["0", "1e-5", "1e-4", "1e-3", "1e-2", "0.1"]
    assert intra.positions.count(0.0) == 1
    by_text = {text: at for at, text in inter.ticks}
    gap, decade = by_text["1e-5"] - by_text["0"], by_text["1e-3"] - by_text["1e-4"]
    assert gap == pytest.approx(0.8 * decade)  # a fifth of the four decades
    assert inter.positions[-1] == 0.0  # of the best, which lies on top


def test_both_libraries_draw_the_gap(zeros: Path) -> None:
    chart = landscape_info(gather(zeros)).chart()
    axes = draw_chart(chart).axes[0]
    assert axes.get_xscale() == "log"
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert texts == ["0", "1e-4", "1e-3", "1e-2"]
    web = draw_web_chart(chart).layout.xaxis
    assert (web.type, list(web.ticktext)) == ("log", texts)
    assert web.tickvals[0] == axes.get_xticks()[0] < 1e-4


def test_a_picture_without_a_place_for_the_winner_says_so(modes: Path) -> None:
    gathered = gather(modes)
    assert [entry.trial for entry in find_best(gathered).front] == [5]
    hidden = "Best: trial 5, val_top1 97.00, which is not in the picture"
    landscape = landscape_info(gathered)
    assert landscape.best is None
    assert not any(getattr(mark, "name", "").startswith("best") for mark in landscape.chart().panels[0].marks)
    assert landscape.notes[-2:] == ("1 trial left out: 1 with kd_mode intra", hidden)  # the pruned one is a cross
    left_out = "2 trials left out: 1 without lambda_inter, 1 pruned"
    assert parallel_info(gathered).notes[-2:] == (left_out, hidden)
    importance = importance_info(gathered)
    assert importance.notes[-3:] == (left_out, hidden, "The same in all of these, so without a share: kd_mode")
    assert history_info(gathered).notes[-2:] == ("Best: trial 5, val_top1 97.00", "1 pruned trial at the last value")
    assert pareto_info(gathered).notes[-2:] == ("1 trial left out: 1 pruned", "Best: trial 5, val_top1 97.00")


def test_curves_and_saliency_leave_out_the_trials_that_do_not_count(modes: Path) -> None:
    for number in (0, 5):
        write_saliency(modes / f"demo/search/{number:04d}", level=1.0)
    gathered = gather(modes)
    curves = read_curves(gathered)
    infos = [learning_info(gathered, curves), terms_info(gathered, curves)]
    for info in (*infos, saliency_info(gathered, read_saliency(gathered))):
        notes = ("1 trial left out: 1 pruned", "Best: trial 5, val_top1 97.00")
        assert tuple(note for note in info.notes if "trial" in note) == notes


def test_a_grid_beside_which_there_is_no_search_says_what_it_leaves_out(tmp_path: Path, write_run: Any) -> None:
    for number, (intra, inter) in enumerate([(1e-4, 1e-4), (1e-2, 1e-4), (1e-4, 1e-2), (0.0, 1e-4)]):
        write_run(f"grid/{number}", kd_mode="tfd", lambda_intra=intra, lambda_inter=inter, val_top1=60.0 + number)
    write_run("grid/none", kd_mode="none", val_top1=99.0)
    write_run("grid/unknown", kd_mode="tfd", lambda_intra=1e-3, lambda_inter=1e-3, val_top1=None)
    info = landscape_info(gather(tmp_path))
    assert (info.best, info.best_value) == (3, 63.0)
    assert "2 complete runs left out: 1 with kd_mode none, 1 without a value" in info.notes


def test_trials_count_if_they_measured_every_objective(tmp_path: Path, write_trial: Any, write_sweep: Any) -> None:
    objectives = {"objectives": ["val_top1", "val_loss"], "directions": ["maximize", "minimize"]}
    write_sweep(STUDY, path="demo", space={"lambda_intra": LOG, "lambda_inter": LOG}, **objectives)
    for number, (top1, loss) in enumerate([(60.0, 0.5), (65.0, 1.0), (70.0, None), (65.0, 1.0)]):
        write_trial(number, [top1], val_loss=loss, lambda_intra=10.0**-number)
    gathered = gather(tmp_path)
    assert [entry.trial for entry in find_best(gathered).front] == [1, 0]  # of two equal ones the first
    note = ("1 trial left out: 1 without val_loss", "Best: trial 1, val_top1 65.00")
    assert history_info(gathered).notes[-2:] == parallel_info(gathered).notes[-2:] == note
    pareto = pareto_info(gathered)
    assert pareto.notes[-2:] == note
    assert [pareto.choices[place].label for place in pareto.front] == ["trial 0", "trial 1"]
    metrics = judging(gathered, None)
    series = make_series(gathered, trials_by_search(gathered, metrics), metrics)
    trials = [one.label for one in series if one.trial]
    assert trials == ["trial 1", "trial 3", "trial 0"]


def test_two_searches_of_one_name_keep_all_their_trials(tmp_path: Path, write_trial: Any) -> None:
    for number, root in enumerate(("a/demo", "b/demo")):
        write_trial(0, [60.0 + number], root=root)
    info = pareto_info(gather(tmp_path))
    assert [choice.value for choice in info.choices] == [61.0, 60.0]
    assert info.notes[-2:] == ("demo: Best: trial 0, val_top1 60.00", "demo: Best: trial 0, val_top1 61.00")


def test_costs_with_a_zero_stay_on_a_logarithmic_axis(tmp_path: Path, write_trial: Any) -> None:
    for number, seconds in enumerate((0.0, 1.0, 100.0)):
        write_trial(number, [60.0 + number], train_seconds=seconds)
    axis = pareto_info(gather(tmp_path)).chart().panels[0].x
    assert axis.log and axis.ticks is not None
    assert [text for _, text in axis.ticks] == ["0", "1", "10", "100"]


def test_the_place_of_zero_is_below_all_others() -> None:
    axis = log_axis([0.0, 1e-4, 1e-2])
    assert axis.place(1e-2) == -2 and axis.place(0.0) == pytest.approx(-4.4)
    assert axis.drawn(1e-4) == 1e-4 and axis.drawn(0.0) == pytest.approx(10**-4.4)
    assert log_axis([1e-4, 1e-2]).axis("x").ticks is None
    narrow = log_axis([2.0, 3.0])
    assert [text for _, text in narrow.ticks] == ["2", "3"]


def test_a_front_holds_what_nothing_beats() -> None:
    assert front([(2, 2), (1, 3), (3, 1), (2, 2), (3, 3)]) == [1, 0, 2]
