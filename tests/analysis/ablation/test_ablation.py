"""The 2 x 2 of the terms against effects by hand, and what is said about it."""

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import permutation_test, ttest_1samp

from analysis.__main__ import main
from analysis.ablation.ablation import NoAblation, Reason, analyse
from analysis.ablation.conclusion import Conclusion, Support, conclude
from analysis.ablation.factorial import Factorial, Lack
from analysis.ablation.sheet import factorial_content, factorial_records, lay_out_factorial
from analysis.commands.output import as_json
from analysis.read.gather import gather
from analysis.sheets.notes import Kind
from analysis.statistics.contrasts import BOTH, INTER, INTRA, NEITHER
from tests.analysis.notes import cautions, kinds, text_of

LAMBDAS = {"none": (0.0, 0.0), "intra": (8e-4, 0.0), "inter": (0.0, 5e-4), "tfd": (8e-4, 5e-4)}


@pytest.fixture
def write_cells(write_runs: Any) -> Any:
    """Write runs of the four modes, with values by kd_mode and seeds 0, 1, ..."""

    def write(values: dict[str, list[float]], **fields: Any) -> None:
        for kd_mode, of_mode in values.items():
            intra, inter = LAMBDAS[kd_mode]
            write_runs(kd_mode, of_mode, lambda_intra=intra, lambda_inter=inter, **fields)

    return write


def _only(directory: Path, **options: Any) -> Factorial:
    (found,) = analyse(gather(directory), **options).found
    return found


def _refused(directory: Path, **options: Any) -> tuple[Reason, ...]:
    with pytest.raises(NoAblation) as raised:
        analyse(gather(directory), **options)
    assert str(raised.value).splitlines() == list(map(str, raised.value.reasons))
    return raised.value.reasons


def _effects(factorial: Factorial) -> dict[str, float]:
    return {effect.name: effect.difference.value for effect in factorial.effects}


def test_effects_by_hand(tmp_path: Path, write_cells: Any) -> None:
    # Seed 0: intra is worth 2 alone and 4 beside inter; inter 1 alone and 3 beside intra. Seed 1: 0, 2; 2, 4.
    write_cells({"none": [60.0, 70.0], "intra": [62.0, 70.0], "inter": [61.0, 72.0], "tfd": [65.0, 74.0]})
    factorial = _only(tmp_path)
    assert _effects(factorial) == {"intra": (3 + 1) / 2, "inter": (2 + 3) / 2, "interaction": (2 + 2) / 2}
    assert {terms: mean for terms, (mean, _) in factorial.means.items()} == {
        NEITHER: 65.0,
        INTRA: 66.0,
        INTER: 66.5,
        BOTH: 69.5,
    }
    assert factorial.seeds == (0, 1)
    assert factorial.kd_modes[BOTH] == "tfd"
    intra = factorial.effects[0].difference
    interval = ttest_1samp([3.0, 1.0], 0).confidence_interval(0.95)
    assert (intra.low, intra.high) == pytest.approx((interval.low, interval.high))
    assert (intra.p, intra.p_holm) == (0.5, 1.0)


def test_terms_that_add_up_have_no_interaction(tmp_path: Path, write_cells: Any) -> None:
    # Counts out of 389 pictures: intra is worth 7 more, inter 11, both 18, so that floats leave 1e-14 of each seed.
    counts = [241, 238, 250, 244, 239, 247, 243, 240]
    gains = {"none": 0, "intra": 7, "inter": 11, "tfd": 18}
    write_cells({kd_mode: [100 * (count + gain) / 389 for count in counts] for kd_mode, gain in gains.items()})
    interaction = _only(tmp_path).effects[2].difference
    assert (interaction.value, interaction.low, interaction.high, interaction.p) == (0.0, 0.0, 0.0, 1.0)


EIGHT = {
    "none": [60.0, 60.5, 61.0, 60.25, 60.75, 61.5, 60.0, 61.25],
    "intra": [61.0, 61.75, 61.75, 61.5, 61.5, 62.75, 61.0, 62.5],
    "inter": [60.5, 60.25, 61.0, 60.5, 60.5, 61.75, 60.25, 61.0],
    "tfd": [61.25, 61.75, 62.0, 61.5, 61.75, 62.75, 61.5, 62.25],
}


def test_effects_agree_with_scipy(tmp_path: Path, write_cells: Any) -> None:
    write_cells(EIGHT)
    factorial = _only(tmp_path)
    n, a, e, b = (EIGHT[kd_mode] for kd_mode in LAMBDAS)
    contrasts = {
        "intra": [(b[s] + a[s] - e[s] - n[s]) / 2 for s in range(8)],
        "inter": [(b[s] + e[s] - a[s] - n[s]) / 2 for s in range(8)],
        "interaction": [b[s] - e[s] - a[s] + n[s] for s in range(8)],
    }
    for effect in factorial.effects:
        contrast = contrasts[effect.name]
        test = permutation_test((contrast,), lambda x: x.mean(), permutation_type="samples", n_resamples=9999)
        assert effect.difference.value == pytest.approx(sum(contrast) / 8)
        assert effect.difference.p == pytest.approx(test.pvalue)
    # By hand: intra adds up to 8.5 alone and to 9 beside inter over the 8 seeds, inter to 0.5 and to 1.
    assert _effects(factorial) == {"intra": 17.5 / 16, "inter": 1.5 / 16, "interaction": 0.5 / 8}
    assert factorial.effects[0].difference.p_holm == 3 * 2 / 2**8


def test_what_eight_seeds_support(tmp_path: Path, write_cells: Any) -> None:
    write_cells(EIGHT)
    conclusion = conclude(_only(tmp_path))
    assert (conclusion.better, conclusion.left_open) == (("intra",), ("inter", "interaction"))
    assert conclusion.text == (  # the wording
        "The data of 8 seeds support that intra helps (+1.09 [+0.94, +1.25], p 0.023). Left open: "
        "inter +0.09 [-0.08, +0.29]; the interaction +0.06 [-0.25, +0.33]. A main effect is the average over the other "
        "term, in and out; an interaction is not excluded."
    )


def test_harm_and_interaction_are_said(tmp_path: Path, write_cells: Any) -> None:
    none = EIGHT["none"]
    write_cells(
        {
            "none": none,
            "intra": [value - 1 - seed / 64 for seed, value in enumerate(none)],
            "inter": [value - 2 - seed / 64 for seed, value in enumerate(none)],
            "tfd": [value - 5 - seed / 16 for seed, value in enumerate(none)],
        }
    )
    conclusion = conclude(_only(tmp_path))
    assert (conclusion.better, conclusion.worse) == ((), ("intra", "inter", "interaction"))
    assert "less than the sum of both alone (-2.11 [" in conclusion.text
    assert conclusion.text.endswith("intra is worth -1.05 alone and -3.16 beside inter.")


def test_losses_are_better_when_smaller(tmp_path: Path, write_cells: Any, write_sweep: Any) -> None:
    write_cells({kd_mode: [value / 100 for value in values] for kd_mode, values in EIGHT.items()}, metric="val_loss")
    conclusion = conclude(_only(tmp_path, metrics=["val_loss"]))
    assert (conclusion.better, conclusion.worse) == ((), ("intra",))
    assert "intra harms (+0.0109 [" in conclusion.text


def test_five_seeds_support_nothing(tmp_path: Path, write_cells: Any) -> None:
    write_cells({kd_mode: values[:5] for kd_mode, values in EIGHT.items()})
    conclusion = conclude(_only(tmp_path))
    assert (conclusion.support, conclusion.better, conclusion.worse) == (Support.TOO_FEW_SEEDS, (), ())
    assert all(words in conclusion.text for words in ("5 seeds", "7 seeds allow it", "intra +1.05 ["))


def test_no_effect(tmp_path: Path, write_cells: Any) -> None:
    noise = [0.0, 1.0, -1.0, 2.0, -2.0, 1.0, -1.0, 0.0]
    write_cells({kd_mode: [60 + x * sign for x in noise] for kd_mode, sign in zip(LAMBDAS, (1, -1, 2, 0), strict=True)})
    conclusion = conclude(_only(tmp_path))
    assert (conclusion.support, conclusion.better, conclusion.worse) == (Support.NO_EFFECT, (), ())
    assert conclusion.left_open == ("intra", "inter", "interaction")


def test_one_seed_has_no_effects(tmp_path: Path, write_cells: Any) -> None:
    write_cells({kd_mode: values[:1] for kd_mode, values in EIGHT.items()})
    factorial = _only(tmp_path)
    assert factorial.effects == ()
    text = conclude(factorial).text
    assert conclude(factorial) == Conclusion(Support.ONE_SEED, text) and "all four cells" in text
    assert [len(sheet.rows) for sheet in lay_out_factorial(factorial, "4 complete")] == [2, 0]


def test_only_seeds_with_all_four_cells_count(tmp_path: Path, write_cells: Any) -> None:
    write_cells(EIGHT | {"tfd": EIGHT["tfd"][:6]})
    factorial = _only(tmp_path)
    assert (factorial.seeds, factorial.other_seeds) == ((0, 1, 2, 3, 4, 5), (6, 7))
    mean, _ = factorial.means[NEITHER]
    assert mean == pytest.approx(sum(EIGHT["none"][:6]) / 6)
    assert text_of(lay_out_factorial(factorial, "")[1].notes, Kind.UNSHARED_SEEDS).endswith(": seed 6, 7")


def test_each_model_and_metric_is_an_ablation_of_its_own(tmp_path: Path, write_cells: Any) -> None:
    for model in ("resnet20", "vgg8"):
        write_cells(EIGHT, model=model)
    found = analyse(gather(tmp_path), metrics=["val_top1", "val_loss"]).found
    assert [(factorial.context, factorial.metric.name) for factorial in found] == [
        ({"model": "resnet20"}, "val_top1"),
        ({"model": "resnet20"}, "val_loss"),
        ({"model": "vgg8"}, "val_top1"),
        ({"model": "vgg8"}, "val_loss"),
    ]
    assert len(analyse(gather(tmp_path), where={"model": "vgg8"}).found) == 1


def test_what_is_no_2_x_2_is_refused(tmp_path: Path, write_cells: Any, write_runs: Any) -> None:
    write_cells({"none": [60.0], "tfd": [61.0]})
    text = (  # the wording
        "a 2 x 2 ablation needs runs with neither term, each alone, and both; no complete run has intra alone and a "
        "value for val_top1. python run.py -m ablation=terms makes them all."
    )
    assert _refused(tmp_path) == (Reason(Lack.CELL, "", text),)
    write_cells({"intra": [60.0]}, first_seed=1)
    write_cells({"inter": [60.0]})
    (reason,) = _refused(tmp_path)
    assert (reason.kind, "seeds of neither: 0; intra alone: 1;" in reason.text) == (Lack.SEEDS, True)
    write_runs("st", [65.0])
    (reason,) = _refused(tmp_path)
    assert (reason.kind, reason.text.startswith("neither: ")) == (Lack.ONE_MODE, True)
    assert "(none, st); choose: --modes none,intra" in reason.text
    with pytest.raises(ValueError, match="unknown kd_mode 'nonee'; the nearest: none"):
        analyse(gather(tmp_path), modes=["nonee"])
    write_cells({"intra": [62.0]})
    assert _effects(_only(tmp_path, modes=list(LAMBDAS))) == {}
    write_runs("intra", [60.0], lambda_intra=4e-4, lambda_inter=0.0)
    (reason,) = _refused(tmp_path, modes=list(LAMBDAS))
    assert (reason.kind, reason.text.startswith("intra alone: ")) == (Lack.ONE_SETTING, True)
    assert "(lambdas 0.0004 and 0; 0.0008 and 0)" in reason.text


def test_each_protocol_is_judged_by_its_own_metric(tmp_path: Path, write_cells: Any) -> None:
    write_cells(EIGHT)
    write_cells(EIGHT, protocol="final", metric="test_top1", val_top1=None)
    analysed = analyse(gather(tmp_path))
    assert [(factorial.context, factorial.metric.name) for factorial in analysed.found] == [
        ({"protocol": "final"}, "test_top1"),
        ({"protocol": "validation"}, "val_top1"),
    ]
    asked = analyse(gather(tmp_path), metrics=["val_top1"])
    assert [factorial.context for factorial in asked.found] == [{"protocol": "validation"}]
    (reason,) = asked.reasons
    assert (reason.kind, reason.what) == (Lack.CELL, "protocol=final")


def test_what_is_no_2_x_2_leaves_the_others_alone(tmp_path: Path, write_cells: Any, capsys: Any) -> None:
    write_cells(EIGHT)
    write_cells({"none": [60.0], "tfd": [61.0]}, model="vgg8")
    assert main(["ablation", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Model resnet20, val top-1" in out
    assert out.count("\n- no 2 x 2: model=vgg8: ") == 1
    for path in tmp_path.rglob("inter-*/result.json"):
        path.unlink()
    assert [reason.what for reason in _refused(tmp_path)] == ["model=resnet20", "model=vgg8"]


def test_a_message_lists_few_settings(tmp_path: Path, write_cells: Any, write_runs: Any) -> None:
    write_cells(EIGHT)
    for number in range(30):
        write_runs("tfd", [60.0], lambda_intra=1e-4 * (number + 1), lambda_inter=1.0)
    (reason,) = _refused(tmp_path)
    assert (reason.kind, reason.text.startswith("both: ")) == (Lack.ONE_SETTING, True)
    assert "(lambdas 0.0001 and 1; " in reason.text and "; and 26 more)" in reason.text


def test_lambdas_that_differ_between_cells_are_a_caution(tmp_path: Path, write_cells: Any, write_runs: Any) -> None:
    write_cells({kd_mode: values for kd_mode, values in EIGHT.items() if kd_mode != "tfd"})
    write_runs("tfd", EIGHT["tfd"], lambda_intra=4e-4, lambda_inter=5e-4)
    factorial = _only(tmp_path)
    assert factorial.weights == {"lambda_intra": (4e-4, 8e-4)}
    notes = lay_out_factorial(factorial, "")[1].notes
    assert Kind.WEIGHTS in cautions(notes)
    assert all(words in text_of(notes, Kind.WEIGHTS) for words in ("lambda_intra", "0.0004, 0.0008"))


def test_sheets(tmp_path: Path, write_cells: Any) -> None:
    write_cells(EIGHT)
    factorial = _only(tmp_path)
    cells, effects = lay_out_factorial(factorial, "32 complete")
    assert [[text.text for text in row] for row in cells.rows] == [
        ["without intra", "60.66 ± 0.57", "60.72 ± 0.51"],
        ["with intra", "61.72 ± 0.63", "61.84 ± 0.48"],
    ]
    assert cells.caption.startswith("Val top-1, last epoch (%): mean ± sample sd, n = 8 in each cell. Dataset digits; ")
    assert [[text.text for text in row] for row in effects.rows] == [
        ["intra", "+1.09 [+0.94, +1.25]", "0.023", "8 paired seeds, exact"],
        ["inter", "+0.09 [-0.08, +0.29]", "0.688", "8 paired seeds, exact"],
        ["interaction", "+0.06 [-0.25, +0.33]", "0.766", "8 paired seeds, exact"],
    ]
    assert kinds(effects.notes)[:2] == [Kind.CONCLUSION, Kind.COUNTS]
    assert [note.text for note in effects.notes[:2]] == [conclude(factorial).text, "32 complete"]


def test_for_programs(tmp_path: Path, write_cells: Any) -> None:
    write_cells(EIGHT)
    factorial = _only(tmp_path)
    records = list(factorial_records(factorial))
    assert [record["what"] for record in records] == [
        "neither",
        "intra alone",
        "inter alone",
        "both",
        "intra",
        "inter",
        "interaction",
    ]
    assert len({tuple(record) for record in records}) == 1
    assert (records[0]["mean"], records[0]["n"], records[0]["p"]) == (60.65625, 8, None)
    assert (records[4]["mean"], records[4]["p"], records[4]["p_holm"]) == (1.09375, 2 / 256, 6 / 256)
    content = factorial_content(factorial, ["32 complete"])
    assert content["conclusion"] == conclude(factorial).text
    assert '"neither": "none"' in as_json(content)


# --- beside another mode


def write_composition(write_runs: Any, others: dict[str, float], values: dict[str, list[float]]) -> None:
    """Write runs of the four modes with other terms of these weights beside them."""
    for kd_mode, of_mode in values.items():
        intra, inter = LAMBDAS[kd_mode]
        weights = {"intra": intra, "inter": inter, **others}
        name = "+".join([*others, kd_mode] if kd_mode != "none" else others) or "none"
        write_runs(name, of_mode, lambda_intra=intra, lambda_inter=inter, term_weights=weights)


def test_a_cube_has_all_effects_by_hand(tmp_path: Path, write_runs: Any) -> None:
    """st is worth 4 alone and 5 beside intra; the other effects follow from the eight cells."""
    plain = {"none": [60.0, 61.0], "intra": [61.0, 62.0], "inter": [60.0, 61.0], "tfd": [62.0, 63.0]}
    beside = {"none": [64.0, 65.0], "intra": [66.0, 67.0], "inter": [63.0, 64.0], "tfd": [66.0, 67.0]}
    write_composition(write_runs, {}, plain)
    write_composition(write_runs, {"st": 1.0}, beside)
    factorial = _only(tmp_path)
    assert (factorial.factors, len(factorial.means)) == (("st", "intra", "inter"), 8)
    assert _effects(factorial) == {
        "st": (4 + 5 + 3 + 4) / 4,
        "intra": (1 + 2 + 2 + 3) / 4,
        "inter": (0 + 1 - 1 + 0) / 4,
        "st x intra": ((2 - 1) + (3 - 2)) / 2,
        "st x inter": ((-1 - 0) + (0 - 1)) / 2,
        "intra x inter": ((2 - 1) + (3 - 2)) / 2,
        "st x intra x inter": (3 - 2) - (2 - 1),
    }
    assert factorial.kd_modes[True, True, True] == "st+tfd"
    cells, effects = lay_out_factorial(factorial, "16 complete")
    assert [column.title for column in cells.columns] == [
        "", "without st, without inter", "without st, with inter", "with st, without inter", "with st, with inter"
    ]  # fmt: skip
    assert [row[0].text for row in cells.rows] == ["without intra", "with intra"]
    assert [row[4].text.split()[0] for row in cells.rows] == ["63.50", "66.50"]
    assert [row[0].text for row in effects.rows] == list(_effects(factorial))
    assert [record["what"] for record in factorial_records(factorial)][:3] == ["none", "intra", "inter"]


def test_what_a_cube_supports(tmp_path: Path, write_runs: Any) -> None:
    """Of eight seeds a family of seven effects can be judged: 7 x 2 / 256 is 0.055, of ten 0.014."""
    ten = {kd_mode: [*of, of[0] + 0.25, of[1] - 0.25] for kd_mode, of in EIGHT.items()}
    write_composition(write_runs, {}, ten)
    better = {kd_mode: [value + 4 + seed / 64 for seed, value in enumerate(of)] for kd_mode, of in ten.items()}
    write_composition(write_runs, {"st": 1.0}, better)
    conclusion = conclude(_only(tmp_path))
    assert conclusion.better == ("st", "intra")
    assert "10 seeds support that st helps (+4.07 [" in conclusion.text
    assert "the factors that it does not name" in conclusion.text


def test_an_incomplete_cube_leaves_the_square(tmp_path: Path, write_runs: Any) -> None:
    """With the reason; and each mode beside the terms is a cube of its own."""
    write_composition(write_runs, {}, EIGHT)
    write_composition(write_runs, {"st": 1.0}, {"none": EIGHT["none"], "tfd": EIGHT["tfd"]})
    analysed = analyse(gather(tmp_path))
    assert [factorial.factors for factorial in analysed.found] == [("intra", "inter")]
    reason, of_square = analysed.reasons
    assert (of_square.kind, of_square.what) == (Lack.CELL, "beside=st")
    assert (reason.kind, "has st + intra and a value for val_top1" in reason.text) == (Lack.CELL, True)
    assert "with st and without it" in reason.text and "-m ablation=composition " in reason.text
    write_composition(write_runs, {"at": 1000.0}, EIGHT)
    assert [factorial.factors[0] for factorial in analyse(gather(tmp_path)).found] == ["at"]


def test_a_square_of_runs_that_all_have_another_term(tmp_path: Path, write_runs: Any) -> None:
    write_composition(write_runs, {"st": 1.0}, EIGHT)
    factorial = _only(tmp_path)
    assert (factorial.factors, factorial.context) == (("intra", "inter"), {"beside": "st"})
    assert factorial.kd_modes[NEITHER] == "st"


def test_weights_of_other_terms_that_differ_are_a_caution(tmp_path: Path, write_runs: Any) -> None:
    write_composition(write_runs, {}, EIGHT)
    write_composition(write_runs, {"st": 1.0}, {kd_mode: of for kd_mode, of in EIGHT.items() if kd_mode != "tfd"})
    write_composition(write_runs, {"st": 0.5}, {"tfd": EIGHT["tfd"]})
    factorial = _only(tmp_path)
    assert factorial.weights == {"term_weights.st": (0.5, 1.0)}
