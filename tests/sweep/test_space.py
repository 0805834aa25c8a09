from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tests.support import compose_config
from tffd.config import require_config
from tffd.sweep.arguments import (
    Arguments,
    as_overrides,
    decide_conditions,
    merge,
    sort_arguments,
    trial_overrides,
    write_value,
)
from tffd.sweep.rules import require_conditions
from tffd.sweep.space import applies, contains, corners, parse_distribution, parse_grid, suggest


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


@pytest.mark.parametrize(("override", "mode"), [((), "st"), (("ablation.beside=at",), "at")])
def test_a_composition_is_crossed_with_any_mode(override: tuple[str, ...], mode: str) -> None:
    grid = require_config(compose_config("ablation=composition", *override)).ablation.grid
    cells = parse_grid(grid)
    alone = ["none", "intra", "inter", "tfd"]
    beside = [f"[{mode}]", *(f"[{mode},{term}]" for term in alone[1:])]
    assert cells == [{"kd_mode": one, "seed": str(seed)} for one in (*alone, *beside) for seed in range(10)]


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


# conf/sweep/modes.yaml
DIMENSIONS = {
    "lambda_intra": "tag(log, interval(1e-5, 1e-1))",
    "lambda_inter": "tag(log, interval(1e-5, 1e-1))",
    "kd_mode": "intra,inter,tfd",
}
WHEN = {"lambda_intra": {"kd_mode": ["intra", "tfd"]}, "lambda_inter": {"kd_mode": ["inter", "tfd"]}}
KEYS = {
    "intra": {"kd_mode", "lambda_intra"},
    "inter": {"kd_mode", "lambda_inter"},
    "tfd": {"kd_mode", "lambda_intra", "lambda_inter"},
}


def decided(*fixed: str) -> tuple[dict[str, str], dict[str, Any]]:
    arguments = Arguments(list(fixed), {})
    return decide_conditions(merge(DIMENSIONS, arguments), WHEN, arguments)


def modes() -> dict[str, BaseDistribution]:
    dimensions, _ = decided()
    return {key: parse_distribution(key, text) for key, text in dimensions.items()}


def test_dimensions_with_a_condition_come_after_those_that_decide() -> None:
    dimensions, when = decided()
    assert list(dimensions) == ["kd_mode", "lambda_intra", "lambda_inter"]
    assert when == WHEN


@pytest.mark.parametrize(
    ("mode", "left"),
    [("intra", ["lambda_intra"]), ("inter", ["lambda_inter"]), ("tfd", ["lambda_intra", "lambda_inter"]), ("none", [])],
)
def test_a_mode_fixed_on_the_command_line_decides_its_conditions(mode: str, left: list[str]) -> None:
    dimensions, when = decided(f"kd_mode={mode}", "seed=3", "~ablation")
    assert (list(dimensions), when) == (left, {})


def test_a_conditional_dimension_that_is_fixed_leaves_the_others_their_conditions() -> None:
    dimensions, when = decided("lambda_intra=0.1")
    assert list(dimensions) == ["kd_mode", "lambda_inter"]
    assert when == {"lambda_inter": WHEN["lambda_inter"]}


def test_of_several_conditions_all_must_hold() -> None:
    when = {"x": {"a": ["1"], "b": ["2"]}}
    assert applies("x", {"a": 1, "b": "2"}, when)
    assert not applies("x", {"a": 1, "b": 3}, when)
    assert not applies("x", {"a": 1}, when)
    assert applies("y", {}, when)
    dimensions, left = decide_conditions({"x": "interval(0,1)", "a": "0,1", "b": "2,3"}, when, Arguments(["b=2"], {}))
    assert (list(dimensions), left) == (["a", "b", "x"], {"x": {"a": ["1"]}})


@pytest.mark.parametrize(("allowed", "typed"), [("True", "true"), ("a", "'a'"), ("0.1", "0.10"), ("None", "null")])
def test_a_condition_is_met_however_the_value_is_written(allowed: str, typed: str) -> None:
    dimensions, _ = decide_conditions({"x": "interval(0,1)"}, {"x": {"c": [allowed]}}, Arguments([f"c={typed}"], {}))
    assert list(dimensions) == ["x"]


def test_a_trial_asks_only_for_what_applies() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(20):
        trial = study.ask()
        values = suggest(trial, modes(), WHEN)
        assert values.keys() == KEYS[str(values["kd_mode"])] == trial.params.keys()
        again = optuna.trial.Trial(study, trial._trial_id)
        assert suggest(again, modes(), WHEN) == values
        seen.add(values["kd_mode"])
    assert seen == set(KEYS)


def test_the_corners_of_each_choice_meet_the_bounds_that_apply_to_it() -> None:
    points = corners(modes(), WHEN)
    assert [(point["kd_mode"], point.keys()) for point in points] == [
        (mode, KEYS[mode]) for mode in ("intra", "inter", "tfd") for _ in range(2)
    ]
    assert [point.get("lambda_intra") for point in points] == [1e-5, 0.1, None, None, 1e-5, 0.1]
    assert [point.get("lambda_inter") for point in points] == [None, None, 1e-5, 0.1, 1e-5, 0.1]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            {"lambda_intra": {"trainer": ["quick", "short"]}},
            "sweep.when.lambda_intra: trainer is no unconditional choice of this search; add it to sweep.space, such "
            'as trainer: "quick,short"',
        ),
        ({"kd_mode": {"lambda_intra": ["0.1"]}}, "lambda_intra is no unconditional choice of this search"),
        (
            {"lambda_intra": {"kd_mode": ["intra"]}, "kd_mode": {"trainer": ["quick"]}},
            "sweep.when.lambda_intra: kd_mode is no unconditional choice of this search",
        ),
        (
            {"lambda_intra": {"kd_mode": ["intra", "both"]}},
            "sweep.when.lambda_intra.kd_mode=both: is none of its choices, intra, inter, tfd",
        ),
    ],
)
def test_conditions_that_ask_for_what_is_not_there(when: dict[str, dict[str, list[str]]], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        require_conditions(modes(), when)
    assert message in str(caught.value)


def test_conditions_that_ask_for_choices() -> None:
    require_conditions(modes(), WHEN)
    require_conditions({"x": FloatDistribution(0, 1), "n": CategoricalDistribution([1, 2])}, {"x": {"n": ["2"]}})


@pytest.mark.parametrize(
    ("distribution", "value", "within"),
    [
        (FloatDistribution(0.1, 0.2), 0.2, True),
        (FloatDistribution(0.1, 0.2), 0.3, False),
        (FloatDistribution(0.1, 0.2), "0.15", False),
        (IntDistribution(1, 3), 3, True),
        (CategoricalDistribution(["a", None]), None, True),
        (CategoricalDistribution(["a", None]), "b", False),
    ],
)
def test_what_a_distribution_contains(distribution: BaseDistribution, value: Any, within: bool) -> None:
    assert contains(distribution, value) is within


def test_a_whole_number_between_the_steps_is_not_contained() -> None:
    assert not contains(IntDistribution(1, 7, step=3), 2)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("choice('a b','c,d=e')", ["'a b'", "'c,d=e'"]),
        ("choice(tfd,none)", ["tfd", "none"]),
        ("[1,2],[1,3]", ["[1,2]", "[1,3]"]),
        (r"choice('it\'s','[x]','1e-3')", [r"'it\'s'", "'[x]'", "'1e-3'"]),
        ("1,true,null", [1, True, None]),
    ],
)
def test_a_choice_is_written_as_it_was_typed(text: str, written: list[object]) -> None:
    choices = parse_distribution("k", text).choices  # type: ignore[attr-defined]
    assert [write_value("k", choice, text) for choice in choices] == written
