"""Pictures of a search: landscape, history, parallel coordinates, importance, Pareto front."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.history import history_info
from analysis.figures.importance import importance_info
from analysis.figures.landscape import landscape_info
from analysis.figures.parallel import parallel_info
from analysis.figures.pareto import pareto_info
from analysis.figures.published_pairs import PUBLISHED
from analysis.read.gather import gather
from analysis.select.dimensions import make_dimension
from analysis.select.trials import find_search


@pytest.fixture
def square(tmp_path: Path, write_trial: Any) -> Path:
    """Four trials at the corners of a square in log10(lambda), valued 60, 62, 64 and 66."""
    corners = [(1e-4, 1e-4), (1e-2, 1e-4), (1e-4, 1e-2), (1e-2, 1e-2)]
    for number, (intra, inter) in enumerate(corners):
        write_trial(number, [60.0 + 2 * number], lambda_intra=intra, lambda_inter=inter)
    return tmp_path


def test_landscape_is_linear_in_the_logarithms(square: Path) -> None:
    info = landscape_info(gather(square))
    assert [(p.lambda_intra, p.lambda_inter, p.value, p.n, p.name) for p in info.points] == [
        (1e-4, 1e-4, 60.0, 1, "trial 0"),
        (1e-2, 1e-4, 62.0, 1, "trial 1"),
        (1e-4, 1e-2, 64.0, 1, "trial 2"),
        (1e-2, 1e-2, 66.0, 1, "trial 3"),
    ]
    assert info.best == 3
    assert info.published == PUBLISHED
    surface = info.surface
    assert surface is not None
    middle = len(surface.x) // 2
    assert surface.x[middle] == pytest.approx(1e-3)
    assert surface.z[0][0] == pytest.approx(60.0)  # z[row of inter][column of intra]
    assert surface.z[0][-1] == pytest.approx(62.0)
    assert surface.z[-1][0] == pytest.approx(64.0)
    assert surface.z[middle][middle] == pytest.approx(63.0)
    assert sorted(surface.hull) == [(1e-4, 1e-4), (1e-4, 1e-2), (1e-2, 1e-4), (1e-2, 1e-2)]
    assert info.notes[:3] == (
        "val top-1, last epoch (%)",
        "resnet20 on digits, protocol validation, 4 epochs, seed 0",
        "4 pairs of lambdas, single runs, whose noise is part of it",
    )


def test_landscape_says_nothing_outside_the_hull(tmp_path: Path, write_trial: Any) -> None:
    for number, (intra, inter) in enumerate([(1e-4, 1e-4), (1e-2, 1e-4), (1e-4, 1e-2)]):
        write_trial(number, [60.0], lambda_intra=intra, lambda_inter=inter)
    surface = landscape_info(gather(tmp_path)).surface
    assert surface is not None
    assert math.isnan(surface.z[-1][-1])
    assert surface.z[0][0] == pytest.approx(60.0)


def test_landscape_of_trials_on_a_line_has_points_alone(tmp_path: Path, write_trial: Any) -> None:
    for number in range(3):
        write_trial(number, [60.0], lambda_intra=10.0**-number, lambda_inter=1e-3)
    info = landscape_info(gather(tmp_path))
    assert info.surface is None
    assert "All on one line: nothing is drawn between them" in info.notes


def test_landscape_averages_seeds_and_prefers_what_has_them_all(tmp_path: Path, write_trial: Any) -> None:
    write_trial(0, [60.0, 62.0], lambda_intra=1e-4, lambda_inter=1e-4)
    write_trial(1, [62.0, 64.0], lambda_intra=1e-2, lambda_inter=1e-4)
    write_trial(2, [70.0], lambda_intra=1e-4, lambda_inter=1e-2)  # another seed is still to come
    write_trial(3, [20.0], lambda_intra=1e-3, lambda_inter=1e-3, status="pruned", epochs_run=1)
    info = landscape_info(gather(tmp_path))
    assert [(point.value, point.n) for point in info.points] == [(61.0, 2), (63.0, 2), (70.0, 1)]
    assert (info.best, info.best_value) == (1, 63.0)
    assert info.pruned == ((1e-3, 1e-3),)
    assert "3 pairs of lambdas, means of 1 to 2 runs" in info.notes
    assert info.notes[-2:] == (
        "1 trial drawn without all seeds or objectives, which cannot be the best",
        "Best: trial 1, val_top1 63.00",
    )


def test_landscape_of_trials_that_all_lack_a_seed_has_no_best(square: Path, write_sweep: Any) -> None:
    write_sweep({"study": "search", "kind": "search", "n_trials": 4}, path="demo", seeds=[0, 1])
    info = landscape_info(gather(square))
    assert (info.best, len(info.points)) == (None, 4)
    assert info.notes[-1] == "4 trials drawn without all seeds or objectives, which cannot be the best"
    assert not any(getattr(mark, "name", "").startswith("best") for mark in info.chart().panels[0].marks)


def test_landscape_of_a_loss_has_its_best_at_the_bottom(square: Path) -> None:
    for number, path in enumerate(sorted(square.glob("demo/search/*/result.json"))):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"val_loss": 1.0 + number}))
    info = landscape_info(gather(square), "val_loss")
    assert (info.best, info.metric.smaller_is_better) == (0, True)


@pytest.mark.parametrize("key", ["kd_mode.tfd.reduction", "config", "kd_mode.at.reduction"])
def test_landscape_of_another_normalisation_has_no_published_pairs(tmp_path: Path, write_trial: Any, key: str) -> None:
    for number in range(4):
        write_trial(number, [60.0], params={key: "sum", "trainer.lr": 0.1 * number})
    if key == "config":  # as a file of a user sets it
        for path in tmp_path.rglob("config.yaml"):
            path.write_text("kd_mode:\n  tfd:\n    reduction: sum\n")
    info = landscape_info(gather(tmp_path))
    assert len(info.published) == (2 if key == "kd_mode.at.reduction" else 0)
    assert info.notes[-1] == "Varies as well: trainer.lr"


def test_the_normalisation_of_other_terms_says_nothing_of_the_lambdas(tmp_path: Path, write_trial: Any) -> None:
    """Terms are told by the weights in the config: a mode of any name may have those of the lambdas."""
    for mine, number in (("sum", 2), ("mean", 2), ("max", 0)):
        for trial in range(4):
            write_trial(trial, [60.0], root=mine, params={"kd_mode.at.reduction": "sum"}, kd_mode="at+mine")
        for path in (tmp_path / mine).rglob("config.yaml"):
            of_mine = f"  mine:\n    weights: {{{'own' if mine == 'sum' else 'inter'}: 1}}\n    reduction: {mine}\n"
            path.write_text(f"kd_mode:\n  at:\n    weights: {{at: 1}}\n    reduction: sum\n{of_mine}")
        assert len(landscape_info(gather(tmp_path / mine)).published) == number


def test_landscape_refuses_what_does_not_compare(tmp_path: Path, write_trial: Any, write_run: Any) -> None:
    write_trial(0, [60.0])
    write_trial(1, [61.0])
    with pytest.raises(ValueError, match="needs at least 3 pairs of lambdas above 0; 2 complete pairs so far"):
        landscape_info(gather(tmp_path))
    write_trial(2, [62.0], model="vgg8")
    with pytest.raises(ValueError, match="its runs differ in model: resnet20, vgg8"):
        landscape_info(gather(tmp_path))


def test_history_of_the_best_so_far(search: Path) -> None:
    info = history_info(gather(search))
    assert info.numbers == tuple(range(12))
    assert len(info.values) == 12
    assert info.values[0] == pytest.approx(60 + 5 * math.exp(-(1.5**2)))
    assert info.best[0] == info.values[0]
    assert info.best[-1] == max(info.values)
    assert list(info.best) == sorted(info.best)
    assert info.pruned == ((12, 40.5),)
    assert info.baseline == (pytest.approx(60.333333), pytest.approx(1.527525), 3)
    assert info.notes[2:] == (
        "12 complete trials (mean of 2 runs)",
        "1 trial left out: 1 stale",
        f"Best: trial 2, val_top1 {max(info.values):.2f}",
        "1 pruned trial at the last value",
    )


def test_trials_read_their_overrides(search: Path) -> None:
    found = find_search(gather(search))
    assert [(d.name, d.scale) for d in found.dimensions] == [
        ("lambda_intra", "log"),
        ("lambda_inter", "log"),
        ("trainer.lr", "linear"),
        ("trainer.name", "choice"),
    ]
    assert (found.dimensions[0].low, found.dimensions[0].high) == (1e-5, 1e-1)
    assert found.trials[1].params["trainer.lr"] == 0.12
    assert found.trials[1].params["trainer.name"] == "<b>"
    assert [trial.status for trial in found.trials[-2:]] == ["pruned", "stale"]


def test_a_sweep_without_a_recorded_space(search: Path) -> None:
    plan = json.loads((search / "sweep.json").read_text())
    del plan["space"]
    (search / "sweep.json").write_text(json.dumps(plan))
    found = find_search(gather(search))
    scales = {d.name: d.scale for d in found.dimensions}
    assert scales == {
        "lambda_intra": "log", "lambda_inter": "log", "trainer.lr": "linear", "trainer.name": "choice",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "values", "scale", "low", "high"),
    [
        ("interval(0, 1)", [0.2, 0.4], "linear", 0.0, 1.0),
        ("tag(log, interval(1e-3,1))", [0.2, 0.4], "log", 1e-3, 1.0),
        ("range(1, 9)", [2.0, 4.0], "linear", 2.0, 4.0),
        ("32,64", [32.0, 64.0], "choice", math.nan, math.nan),
        ("", [1.0, 100.0], "log", 1.0, 100.0),
        ("", [1.0, 99.0], "linear", 1.0, 99.0),
        ("", [1.0, "a"], "choice", math.nan, math.nan),
        ("", [], "choice", math.nan, math.nan),
        ("tag(log, interval(1e-3,1))", [0.0, 0.4], "log", 1e-3, 1.0),
        ("", [0.0, 1.0, 100.0], "log", 1.0, 100.0),
        ("tag(log, interval(1e-3,1))", [-1.0, 0.4], "linear", -1.0, 1.0),
    ],
)
def test_dimensions(text: str, values: list[Any], scale: str, low: float, high: float) -> None:
    dimension = make_dimension("x", text, values)
    assert (dimension.scale, [dimension.low, dimension.high]) == (scale, pytest.approx([low, high], nan_ok=True))


def test_a_trial_with_fewer_runs_than_others_has_seeds_to_come(tmp_path: Path, write_trial: Any) -> None:
    write_trial(0, [60.0, 61.0])
    write_trial(1, [62.0])
    assert [trial.status for trial in find_search(gather(tmp_path)).trials] == ["complete", "missing"]


def test_the_plan_says_how_many_seeds_a_trial_has(tmp_path: Path, write_trial: Any, write_sweep: Any) -> None:
    study = {"study": "search", "kind": "search", "n_trials": 2}
    write_sweep(study, path="demo", seeds=[0, 1, 2])
    write_trial(0, [60.0, 61.0, 62.0])
    write_trial(1, [62.0, 63.0])
    found = find_search(gather(tmp_path))
    assert [(trial.status, trial.value) for trial in found.trials] == [("complete", 61.0), ("missing", 62.5)]
    assert found.described(found.complete())[1:3] == (
        "1 complete trial (mean of 3 runs)",
        "1 trial left out: 1 with seeds to come",
    )


def test_a_dimension_whose_condition_did_not_hold_is_absent(
    tmp_path: Path, write_run: Any, write_trial: Any, write_sweep: Any
) -> None:
    space = {"kd_mode": "intra,tfd", "lambda_intra": "tag(log, interval(1e-4, 1))", "lambda_inter": "interval(0, 1)"}
    write_sweep({"study": "search", "kind": "search", "n_trials": 3}, path="demo", space=space)
    for number in range(2):
        write_trial(number, [60.0 + number], lambda_intra=1e-3, lambda_inter=0.5, params={"kd_mode": "tfd"})
    fields = {"study": "search", "trial": 2, "kd_mode": "intra", "lambda_intra": 1e-2, "lambda_inter": 0.0}
    write_run("demo/search/0002", overrides=("kd_mode=intra", "lambda_intra=0.01"), **fields)
    gathered = gather(tmp_path)
    assert find_search(gathered).trials[2].params == {"kd_mode": "intra", "lambda_intra": 0.01}
    info = parallel_info(gathered)
    assert len(info.values) == 2
    assert info.notes[-2:] == ("1 trial left out: 1 without lambda_inter", "Best: trial 1, val_top1 61.00")


def test_pictures_of_one_search_refuse_none_and_several(tmp_path: Path, write_trial: Any, write_run: Any) -> None:
    write_run("demo/grid/0000")
    with pytest.raises(ValueError, match="there is no search"):
        history_info(gather(tmp_path))
    write_trial(0, [60.0], status="failed")
    with pytest.raises(ValueError, match="no trial of the search is complete"):
        history_info(gather(tmp_path))
    write_trial(0, [60.0], root="other")
    with pytest.raises(ValueError, match="there are 2 searches, whose trials do not compare"):
        history_info(gather(tmp_path))


def test_parallel_places_values_between_the_bounds(tmp_path: Path, write_trial: Any, write_sweep: Any) -> None:
    space = {"lambda_intra": "tag(log, interval(1e-4, 1))", "trainer.lr": "interval(0, 1)", "x": "choice(b,a)"}
    write_sweep({"study": "search", "kind": "search", "n_trials": 2}, path="demo", space=space)
    write_trial(0, [63.0], lambda_intra=1e-3, params={"trainer.lr": 0.5, "x": "b"})
    write_trial(1, [61.0], lambda_intra=1e-4, params={"trainer.lr": 0.25, "x": "a"})
    info = parallel_info(gather(tmp_path))
    assert info.values == (61.0, 63.0)  # worst first, so that the best lies on top
    intra, lr, x, objective = info.scales
    assert intra.positions == pytest.approx((0.0, 0.25))
    assert lr.positions == (0.25, 0.5)
    assert x.positions == (0.0, 1.0)
    assert x.ticks == ((0.0, "a"), (1.0, "b"))
    assert objective.positions == (0.0, 1.0)
    assert [text for _, text in intra.ticks] == ["1e-4", "1e-3", "1e-2", "0.1", "1"]
    assert [text for _, text in objective.ticks] == ["61", "61.5", "62", "62.5", "63"]


def test_importance_finds_what_matters(tmp_path: Path, write_trial: Any) -> None:
    for number in range(30):
        params = {"trainer.lr": 0.01 * (number * 7 % 30), "trainer.name": "ab"[number % 2]}
        write_trial(number, [50 + number * 7 % 30], lambda_intra=1e-3, lambda_inter=1e-3, params=params)
    info = importance_info(gather(tmp_path))
    assert info.evaluator == "fANOVA"
    assert [name for name, _ in info.shares] == ["trainer.lr", "trainer.name"]
    assert info.shares[0][1] > 0.9
    assert sum(share for _, share in info.shares) == pytest.approx(1.0)
    assert info.notes[0].endswith("30 trials; below 50 trials this is a rough guide")
    assert importance_info(gather(tmp_path)) == info


def test_importance_needs_something_to_weigh(tmp_path: Path, write_trial: Any) -> None:
    for number in range(4):
        write_trial(number, [60.0])
    with pytest.raises(ValueError, match="needs 5 complete trials; there are 4"):
        importance_info(gather(tmp_path))
    write_trial(4, [60.0])
    with pytest.raises(ValueError, match="all trials have the same objective"):
        importance_info(gather(tmp_path))


def test_pareto_front_of_trials_and_settings(tmp_path: Path, write_trial: Any, write_run: Any) -> None:
    for number, (seconds, value) in enumerate([(10.0, 60.0), (20.0, 65.0), (30.0, 64.0), (40.0, 66.0), (40.0, 66.0)]):
        write_trial(number, [value], train_seconds=seconds)
    for seed, value in enumerate([50.0, 54.0]):
        write_run(f"demo/baseline/{seed}", study="baseline", seed=seed, val_top1=value, train_seconds=5.0 + seed)
    info = pareto_info(gather(tmp_path))
    assert [info.choices[i].label for i in info.front] == ["none", "trial 0", "trial 1", "trial 3"]
    none = info.choices[0]
    assert (none.cost, none.value, none.n, none.baseline) == (5.5, 52.0, 2, True)
    assert none.high - none.value == pytest.approx(12.706205 * 2.0, abs=1e-5)  # t of 1 degree, sd/sqrt(n) = 2
    assert math.isnan(info.choices[1].low)


def test_a_trial_given_up_between_its_seeds_has_no_place_on_the_front(tmp_path: Path, write_trial: Any) -> None:
    for number, values in enumerate([[60.0, 61.0, 62.0], [70.0, 71.0], [63.0, 64.0, 65.0]]):
        write_trial(number, values, train_seconds=10.0 + number)
    (tmp_path / "demo" / "search" / "0001" / "trial.json").write_text('{"status": "pruned", "seeds": [0, 1]}')
    info = pareto_info(gather(tmp_path))
    assert [info.choices[i].label for i in info.front] == ["trial 0", "trial 2"]
    assert info.notes[-2:] == ("1 trial left out: 1 pruned", "Best: trial 2, val_top1 64.00")


def test_pareto_front_of_two_objectives(tmp_path: Path, write_trial: Any, write_sweep: Any) -> None:
    study = {"study": "search", "kind": "search", "n_trials": 2}
    write_sweep(study, path="demo", objectives=["val_top1", "val_loss"], directions=["maximize", "minimize"])
    for number, (value, loss) in enumerate([(60.0, 0.5), (65.0, 1.0), (64.0, 1.5)]):
        write_trial(number, [value], val_loss=loss)
    info = pareto_info(gather(tmp_path))
    assert (info.metric.name, info.cost.name) == ("val_top1", "val_loss")
    assert [info.choices[i].label for i in info.front] == ["trial 0", "trial 1"]


def test_pareto_refuses_what_does_not_compare(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    write_runs("tfd", [61.0])
    write_runs("st", [90.0], dataset="cifar10", train_seconds=None)  # has no cost, so it is not drawn
    info = pareto_info(gather(tmp_path))
    assert [choice.label for choice in info.choices] == ["none, dataset=digits", "tfd, dataset=digits"]
    assert "1 setting left out, without val_top1 or train_seconds" in info.notes
    write_runs("at", [91.0], dataset="cifar10")
    with pytest.raises(ValueError, match="is of one data set and one protocol, and its runs differ in dataset: "):
        pareto_info(gather(tmp_path))


def test_pareto_front_is_of_one_protocol(tmp_path: Path, write_runs: Any) -> None:
    write_runs("none", [60.0])
    write_runs("tfd", [61.0], protocol="paper")
    with pytest.raises(ValueError, match="its runs differ in protocol: validation, paper"):
        pareto_info(gather(tmp_path))


def test_pareto_says_that_times_of_other_machines_do_not_compare(tmp_path: Path, write_trial: Any) -> None:
    write_trial(0, [60.0])
    write_trial(1, [61.0], device="cuda (H100)")
    assert (
        "The runs' devices or threads differ, so that their times do not compare" in pareto_info(gather(tmp_path)).notes
    )
    with pytest.raises(ValueError, match="cost and value are both val_top1"):
        pareto_info(gather(tmp_path), cost="val_top1")
