import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tffd.sweep.space import (
    Arguments,
    as_overrides,
    corners,
    merge,
    parse_distribution,
    parse_grid,
    sort_arguments,
    suggest,
    trial_overrides,
)


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("tag(log, interval(1e-5, 1e-1))", FloatDistribution(1e-5, 0.1, log=True)),
        ("interval(0, 0.5)", FloatDistribution(0.0, 0.5)),
        ("int(interval(1, 8))", IntDistribution(1, 8)),
        ("int(tag(log, interval(1, 8)))", IntDistribution(1, 8, log=True)),
        ("range(1, 10, 3)", IntDistribution(1, 7, step=3)),
        ("choice(a, b)", CategoricalDistribution(["a", "b"])),
        ("0.1,0.2", CategoricalDistribution([0.1, 0.2])),
        ("true,null", CategoricalDistribution([True, None])),
    ],
)
def test_hydras_sweep_syntax_becomes_a_distribution(text: str, distribution: object) -> None:
    assert parse_distribution("x", text) == distribution


@pytest.mark.parametrize("text", ["interval(1, 1)", "interval(2, 1)", "tag(log, interval(0, 1))"])
def test_impossible_intervals(text: str) -> None:
    with pytest.raises(ValueError, match="an interval needs low < high"):
        parse_distribution("x", text)


def test_a_single_value_is_no_dimension() -> None:
    with pytest.raises(ValueError, match="x=3: is one value"):
        parse_distribution("x", "3")


def test_arguments_are_sorted_as_they_were_typed() -> None:
    arguments = sort_arguments(["sweep=lambdas", "seed=0,1", "trainer.lr=interval(0.1,0.2)", "name='a,b'", "~ablation"])
    assert arguments == Arguments(
        fixed=["sweep=lambdas", "name='a,b'", "~ablation"],
        varied={"seed": "0,1", "trainer.lr": "interval(0.1,0.2)"},
    )


def test_the_command_line_wins_over_the_config() -> None:
    configured = {"lambda_intra": "interval(0,1)", "lambda_inter": "interval(0,1)", "seed": "0,1"}
    arguments = Arguments(fixed=["lambda_intra=0.5"], varied={"seed": "7,8", "kd_mode": "none,tfd"})
    assert merge(configured, arguments) == {
        "lambda_inter": "interval(0,1)", "seed": "7,8", "kd_mode": "none,tfd"
    }  # fmt: skip


def test_grid_is_the_product_with_the_last_key_fastest() -> None:
    assert parse_grid({"kd_mode": "none,tfd", "seed": "range(2)", "trainer": "quick"}) == [
        {"kd_mode": "none", "seed": "0", "trainer": "quick"},
        {"kd_mode": "none", "seed": "1", "trainer": "quick"},
        {"kd_mode": "tfd", "seed": "0", "trainer": "quick"},
        {"kd_mode": "tfd", "seed": "1", "trainer": "quick"},
    ]


def test_a_grid_has_no_intervals_and_no_cell_twice() -> None:
    with pytest.raises(ValueError, match="a grid needs a list of values"):
        parse_grid({"lambda_intra": "interval(0,1)"})
    assert parse_grid({"seed": "1,1,2"}) == [{"seed": "1"}, {"seed": "2"}]


def test_corners_meet_every_bound_and_choice() -> None:
    space = {
        "x": FloatDistribution(0.1, 0.2),
        "kd_mode": CategoricalDistribution(["none", "intra", "tfd"]),
    }
    points = corners(space, {})
    assert {point["x"] for point in points} == {0.1, 0.2}
    assert [point["kd_mode"] for point in points] == ["none", "intra", "tfd"]


def test_a_trial_keeps_values_that_it_has() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = {
        "x": FloatDistribution(1e-5, 0.1, log=True),
        "n": IntDistribution(1, 9),
        "c": CategoricalDistribution("ab"),
    }
    trial = study.ask()
    first = suggest(trial, space, {})
    again = optuna.trial.Trial(study, trial._trial_id)
    assert suggest(again, space, {}) == first
    assert first.keys() == space.keys()
    assert 1e-5 <= float(str(first["x"])) <= 0.1


def test_values_as_overrides() -> None:
    assert as_overrides({"a": 1e-05, "b": None, "c": "x"}) == ["a=1e-05", "b=null", "c=x"]


def test_a_trials_values_replace_what_holds_for_all() -> None:
    assert trial_overrides(["kd_mode=tfd", "seed=5", "~ablation"], {"kd_mode": "none"}) == [
        "seed=5", "~ablation", "kd_mode=none"
    ]  # fmt: skip
