"""`python -m analysis best`: the winner, its uncertainty, and commands that train it on fresh seeds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.best.best import find_best
from analysis.best.sheet import lay_out_best, remarks
from analysis.read.gather import gather
from analysis.sheets.notes import Kind, Note
from tests.analysis.notes import cautions, kinds, of_kind, text_of

FIXED = ["model=resnet8", "protocol=validation", "protocol.split_seed=1", "seed=1", "dataset.root=a b", "name=lambdas"]
SPACE = {"lambda_intra": "tag(log, interval(1e-5, 1e-1))", "lambda_inter": "tag(log, interval(1e-5, 1e-1))"}
SEARCH = {"study": "search", "kind": "search", "n_trials": 4, "cells": None}
BASELINE = [{"kd_mode": "none", "seed": str(seed)} for seed in (0, 1, 2)]

WriteSearch = Callable[..., Path]


@pytest.fixture
def write_search(tmp_path: Path, write_run: Any, write_sweep: Any, monkeypatch: Any) -> WriteSearch:
    """Write results/lambdas: a value a trial, or a list of one a seed; tmp_path becomes the current directory."""
    monkeypatch.chdir(tmp_path)

    def write(*trials: Any, baseline: Any = (60.0, 61.0, 65.0), cells: Any = BASELINE, **plan: Any) -> Path:
        root = "results/lambdas"
        for number, values in enumerate(trials):
            lambdas = {"lambda_intra": 0.001 * (number + 1), "lambda_inter": 0.000123456789012345}
            words = ("sweep=lambdas", *FIXED, *(f"{key}={value!r}" for key, value in lambdas.items()))
            fields = {"study": "search", "trial": number, "kd_mode": "tfd", **lambdas}
            for seed, value in enumerate(values if isinstance(values, list) else [values], start=1):
                one = f"/seed{seed}" if isinstance(values, list) else ""
                more = value if isinstance(value, dict) else {"val_top1": value}
                write_run(f"{root}/search/{number:04d}{one}", overrides=words, **fields | {"seed": seed} | more)
        for seed, value in enumerate(baseline):
            words = ("sweep=lambdas", *FIXED, "kd_mode=none", f"seed={seed}")
            write_run(f"{root}/baseline/{seed:04d}", overrides=words, study="baseline", seed=seed, val_top1=value)
        grid = {"study": "baseline", "kind": "grid", "n_trials": len(cells), "cells": cells}
        fields = {"name": "lambdas", "space": SPACE, "fixed": FIXED, "command": "python run.py -m sweep=lambdas"} | plan
        write_sweep(*([grid] if cells else []), SEARCH, path=root, **fields)
        return Path(root)

    return write


def _notes(root: Path) -> list[Note]:
    return list(remarks(find_best(gather(root))))


def test_a_single_run_has_the_baselines_spread_as_its_yardstick(write_search: WriteSearch) -> None:
    root = write_search(63.0, 66.0, 64.0)
    best = find_best(gather(root))
    (entry,) = best.front
    assert (entry.trial, entry.directory) == (1, "results/lambdas/search/0001")
    assert entry.settings == {"lambda_intra": "0.002", "lambda_inter": "0.000123456789012345"}
    measured = entry.measured["val_top1"]
    assert (measured.mean, measured.sd, measured.low, measured.n) == (66.0, None, None, 1)
    (baseline,) = best.baselines
    assert baseline.settings == {"kd_mode": "none"}
    beside = baseline.measured["val_top1"]
    assert (beside.mean, beside.n) == (62.0, 3)
    assert beside.sd == pytest.approx(2.6457513)
    assert entry.difference is not None
    assert (entry.difference.value, entry.difference.low) == (4.0, None)
    assert kinds(_notes(root)) == [Kind.PROGRESS, Kind.PICKED, Kind.CERTAINTY, Kind.SEEDS]
    assert list(map(str, _notes(root))) == [  # the wording
        "3 of 4 trials are complete; the search goes on, and the best may change",
        "picked for its score as the best of 3 complete trials, which flatters it and its difference to the baseline",
        "a single run: its own spread is unknown; the only yardstick is the sample sd of the baseline's 3 runs, 2.65",
        "seeds used so far: 0 to 2; fresh: 3 to 7",
    ]


def test_a_search_of_one_trial_is_told_in_the_singular(write_search: WriteSearch) -> None:
    root = write_search(63.0)
    assert text_of(_notes(root), Kind.PROGRESS).startswith("1 of 4 trials are complete; ")
    plan = json.loads((root / "sweep.json").read_text())
    plan["studies"][-1]["n_trials"] = 1
    (root / "sweep.json").write_text(json.dumps(plan))
    assert text_of(_notes(root), Kind.PROGRESS) == "1 of 1 trial is complete"
    (root / "sweep.json").unlink()
    assert text_of(_notes(root), Kind.PROGRESS) == "1 trial is complete"


def test_runs_elsewhere_take_nothing_away_from_a_search(write_search: WriteSearch, write_run: Any) -> None:
    """Its trial 1 and its baseline are repeated by a newer grid: they stay trial and baseline."""
    root = write_search(63.0, 66.0, 64.0, 61.0)
    again = {"finished": "2026-11-26T10:00:00", "study": "grid"}
    for number, path in enumerate(("search/0001", "baseline/0000", "baseline/0001", "baseline/0002")):
        result = json.loads((root / path / "result.json").read_text())
        write_run(f"results/terms/grid/{number:04d}", **result | again)
    assert gather("results").counts()["duplicate"] == 4
    best = find_best(gather("results"))
    assert (best.front[0].trial, best.complete, best.statuses) == (1, 4, {"complete": 4})
    assert [entry.measured["val_top1"].n for entry in best.baselines] == [3]


def test_trials_at_the_same_point_all_count(write_search: WriteSearch, write_run: Any) -> None:
    root = write_search(63.0, 66.0, 64.0)
    result = json.loads((root / "search" / "0001" / "result.json").read_text())
    write_run("results/lambdas/search/0003", **result | {"trial": 3, "finished": "2026-11-26T10:00:00"})
    best = find_best(gather(root))
    assert (best.front[0].trial, best.complete) == (1, 4)


def test_several_seeds_have_a_mean_with_its_interval(write_search: WriteSearch) -> None:
    root = write_search([60.0, 62.0, 64.0], [70.0, 72.0], [65.0, 66.0, 70.0], seeds=[1, 2, 3])
    best = find_best(gather(root))
    (entry,) = best.front  # trial 1 has a seed to come
    assert (entry.trial, entry.directory) == (2, "results/lambdas/search/0002")
    measured = entry.measured["val_top1"]
    assert (measured.mean, measured.n) == (67.0, 3)
    assert measured.sd == pytest.approx(7**0.5)
    half = 4.302652730 * (7 / 3) ** 0.5
    assert (measured.low, measured.high) == (pytest.approx(67.0 - half), pytest.approx(67.0 + half))
    assert (best.complete, best.statuses) == (2, {"complete": 2, "missing": 1})
    assert entry.difference is not None
    assert (entry.difference.value, entry.difference.pairs) == (2.5, 2)  # seeds 1 and 2: 65 - 61 and 66 - 65
    notes = _notes(root)
    assert text_of(notes, Kind.PROGRESS).startswith("2 of 4 trials are complete, 1 with seeds to come; ")
    assert "best of 2 complete trials" in text_of(notes, Kind.PICKED)
    certainty = text_of(notes, Kind.CERTAINTY)
    assert all(words in certainty for words in ("3 seeds (1 to 3)", "sd 2.65", "[60.43, 73.57]", "picking"))


def test_a_trial_pruned_between_its_seeds_has_none_to_come(write_search: WriteSearch) -> None:
    root = write_search([60.0, 62.0, 64.0], [70.0, 72.0], [65.0, 66.0, 70.0], seeds=[1, 2, 3])
    (root / "search" / "0001" / "trial.json").write_text('{"status": "pruned", "seeds": [1, 2], "epochs_run": 4}')
    best = find_best(gather(root))
    assert (best.front[0].trial, best.statuses) == (2, {"complete": 2, "pruned": 1})
    assert text_of(_notes(root), Kind.PROGRESS).startswith("2 of 4 trials are complete, 1 pruned; ")


def test_the_command_trains_both_on_fresh_seeds(write_search: WriteSearch) -> None:
    root = write_search(63.0, 66.0)
    again = find_best(gather(root), seeds=3).retraining
    assert (again.used, again.seeds) == ((0, 1, 2), (3, 4, 5))
    assert again.train == (
        "python run.py -m name=lambdas-final protocol=final model=resnet8 'dataset.root=a b' kd_mode=none,tfd "
        "lambda_intra=0.002 lambda_inter=0.000123456789012345 seed=3,4,5",
    )
    assert again.tabulate == "python -m analysis table results/lambdas-final"


@pytest.mark.parametrize("place", ["moved/lambdas", "results/renamed", "copied/anew"])
def test_the_command_goes_where_the_results_lie_now_and_keeps_its_configs(
    write_search: WriteSearch, tmp_path: Path, place: str
) -> None:
    start = "python run.py -m --config-dir mine -cn theirs"
    recorded = {"cwd": str(tmp_path), "results_dir": str(tmp_path / "results"), "command": f"{start} sweep=lambdas"}
    root = write_search(63.0, fixed=[*FIXED, "results_dir=results"], **recorded)
    again = find_best(gather(root), seeds=1).retraining
    usual = (
        "-m --config-dir mine -cn theirs name=lambdas-final protocol=final model=resnet8 'dataset.root=a b' kd_mode="
    )
    assert again.directory == "results/lambdas-final" and usual in again.train[0]
    shutil.copytree(root, place)
    if not place.startswith("copied"):
        shutil.rmtree(root)
    parent, name = place.split("/")
    again = find_best(gather(place), seeds=1).retraining
    assert (again.directory, again.tabulate) == (f"{place}-final", f"python -m analysis table {place}-final")
    results = "" if parent == "results" else f"results_dir={parent} "
    moved = usual.replace("lambdas-final", f"{name}-final").replace("kd_mode=", f"{results}kd_mode=none,tfd ")
    assert moved in again.train[0] and again.train[0].count("results_dir=") == bool(results)


def test_seeds_of_unfinished_and_planned_runs_are_not_fresh(write_search: WriteSearch, write_run: Any) -> None:
    cells = [{"kd_mode": "none", "seed": "9"}]
    root = write_search(63.0, cells=cells, seeds=[1])
    assert find_best(gather(root)).retraining.seeds == (10, 11, 12, 13, 14)
    write_run("results/lambdas/search/0001", ended=False, overrides=("seed=20",))
    again = find_best(gather(root), seeds=1).retraining
    assert (again.used, again.seeds) == ((0, 1, 2, 9, 20), (21,))
    assert again.train[0].endswith("kd_mode=none,tfd lambda_intra=0.001 lambda_inter=0.000123456789012345 seed=21")


def test_a_searched_mode_and_dimensions_that_do_not_apply(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    space = {"kd_mode": "intra,tfd", **SPACE}
    write_sweep(SEARCH, path="modes", name="modes", space=space, fixed=["+extra=1"])
    words = ("+extra=1", "kd_mode=intra", "lambda_intra=0.01")
    fields = {"study": "search", "trial": 0, "kd_mode": "intra", "lambda_intra": 0.01}
    write_run("modes/search/0000", overrides=words, **fields)
    best = find_best(gather(tmp_path / "modes"))
    assert best.front[0].settings == {"kd_mode": "intra", "lambda_intra": "0.01"}
    assert best.retraining.train == (
        "python run.py -m name=modes-final protocol=final +extra=1 kd_mode=intra lambda_intra=0.01 seed=1,2,3,4,5",
    )
    notes = list(remarks(best))
    assert kinds(notes)[1:-1] == [Kind.PICKED, Kind.CERTAINTY, Kind.NO_BASELINE, Kind.NO_BASELINE]
    assert "nothing was picked" in text_of(notes, Kind.PICKED)
    assert "no runs of a baseline" in text_of(notes, Kind.CERTAINTY)
    measured, trained = of_kind(notes, Kind.NO_BASELINE)
    assert "measured" in measured.text and "none is trained" in trained.text
    # One kd_mode and one seed are no grid, which -m would refuse.
    (command,) = find_best(gather(tmp_path / "modes"), seeds=1).retraining.train
    assert command.startswith("python run.py name=modes-final")


def test_settings_that_the_baseline_lacks_make_commands_of_their_own(write_search: WriteSearch) -> None:
    cells = [{"kd_mode": "none", "trainer.lr": "0.1", "seed": "0"}]
    root = write_search(63.0, cells=cells, fixed=["kd_mode.reduction=sum"], command="python run.py -m hydra/launcher=x")
    again = find_best(gather(root), seeds=2).retraining
    place = "results_dir=results/lambdas-final protocol=final"
    assert again.train == (
        f"python run.py -m hydra/launcher=x name=best {place} kd_mode.reduction=sum kd_mode=tfd lambda_intra=0.001 "
        "lambda_inter=0.000123456789012345 seed=3,4",
        f"python run.py -m hydra/launcher=x name=baseline {place} kd_mode=none trainer.lr=0.1 seed=3,4",
    )
    assert again.tabulate == "python -m analysis table results/lambdas-final"


@pytest.mark.parametrize("typed", [(), ("kd_mode=[tfd,st]",)])
def test_a_composition_is_trained_again_beside_its_baseline(
    write_search: WriteSearch, write_run: Any, typed: tuple[str, ...]
) -> None:
    """As it was typed, or else as it is recorded; with its teacher, and in one grid."""
    fixed = [*FIXED, "teacher=resnet56", "teacher.checkpoint=auto", *typed]
    root = write_search(fixed=fixed, cells=BASELINE)
    words = (*fixed, "lambda_intra=0.002")
    fields = {"study": "search", "trial": 0, "kd_mode": "st+tfd", "teacher": "resnet56", "lambda_intra": 0.002}
    write_run(f"{root}/search/0000", overrides=words, **fields)
    choice = typed[0].removeprefix("kd_mode=") if typed else "[st,tfd]"
    assert find_best(gather(root), seeds=2).retraining.train == (
        "python run.py -m name=lambdas-final protocol=final model=resnet8 'dataset.root=a b' teacher=resnet56 "
        f"teacher.checkpoint=auto 'kd_mode=none,{choice}' lambda_intra=0.002 seed=3,4",
    )


def test_a_composition_that_a_search_chose_keeps_the_settings_of_its_modes(
    write_search: WriteSearch, write_run: Any
) -> None:
    """The baseline has none of them, and so a command of its own."""
    space = {"kd_mode": "[st],[at,tfd]", "kd_mode.at.weights.at": "interval(1, 1e4)"}
    root = write_search(space=space, fixed=["teacher=auto"])
    chosen = ("kd_mode=[at,tfd]", "kd_mode.at.weights.at=31.5")
    fields = {"study": "search", "trial": 0, "kd_mode": "at+tfd", "teacher": "wrn_40_2"}
    write_run(f"{root}/search/0000", overrides=("teacher=auto", *chosen), **fields)
    place = "results_dir=results/lambdas-final protocol=final teacher=auto"
    assert find_best(gather(root), seeds=1).retraining.train == (
        f"python run.py name=best {place} 'kd_mode=[at,tfd]' kd_mode.at.weights.at=31.5 seed=3",
        f"python run.py name=baseline {place} kd_mode=none seed=3",
    )


def test_a_name_that_another_winner_took_is_left_alone(write_search: WriteSearch, write_sweep: Any) -> None:
    root = write_search(63.0, 62.0)
    first = find_best(gather(root)).retraining
    write_sweep(path="results/lambdas-final", command=first.train[0])
    assert find_best(gather(root)).retraining == first  # the same command goes on
    assert find_best(gather(root), seeds=9).retraining.directory == "results/lambdas-final"
    result = root / "search/0001/result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"val_top1": 70.0}))
    second = find_best(gather(root)).retraining
    assert second.directory == "results/lambdas-final2"
    assert "name=lambdas-final2 " in second.train[0]


def test_several_objectives_have_a_front(write_search: WriteSearch, capsys: Any) -> None:
    pairs = [(60.0, 10.0), (65.0, 20.0), (64.0, 30.0), (66.0, 40.0)]
    trials = [[{"val_top1": value, "train_seconds": seconds}] for value, seconds in pairs]
    objectives = {"objectives": ["val_top1", "train_seconds"], "directions": ["maximize", "minimize"]}
    root = write_search(*trials, **objectives)
    best = find_best(gather(root))
    assert [entry.trial for entry in best.front] == [3, 1, 0]
    assert [metric.name for metric in best.metrics] == ["val_top1", "train_seconds"]
    assert main(["best", str(root)]) == 0
    out = capsys.readouterr().out
    assert "| 3, in search/0003 | lambda_intra=0.004 lambda_inter=0.000123457 |" in out
    assert "Pareto front of results/lambdas (3 trials): mean ± sample sd over runs." in out
    assert "Train trial 3, best in val_top1, on fresh seeds (3, 4, 5, 6, 7), the baseline beside it; " in out


def test_of_a_loss_the_smallest_is_best(write_search: WriteSearch) -> None:
    trials = [[{"val_loss": loss}] for loss in (2.0, 1.0, 3.0)]
    root = write_search(*trials, objective="val_loss", direction="minimize")
    assert find_best(gather(root)).front[0].trial == 1


def test_conditions_are_those_of_the_trial_and_its_baseline(write_search: WriteSearch) -> None:
    root = write_search(63.0, 66.0)
    result = root / "baseline/0002/result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"device": "another", "git_commit": None}))
    best = find_best(gather(root))
    assert {run["path"] for run in best.runs} == {
        "results/lambdas/search/0001",
        *(f"results/lambdas/baseline/{seed:04d}" for seed in range(3)),
    }
    caption = lay_out_best(best).caption
    assert "seeds 0 to 2; devices another, cpu;" in caption
    assert caption.endswith("commits 0123456789, not recorded for 1 run.")
    assert cautions(_notes(root)) == [Kind.CONDITIONS]
    assert text_of(_notes(root), Kind.CONDITIONS).endswith(" devices, commits")


def test_the_page(write_search: WriteSearch, capsys: Any) -> None:
    root = write_search([65.0, 66.0, 70.0], seeds=[1, 2, 3])
    assert main(["best", str(root), "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[2:4] == [
        "| 0, in search/0000 | lambda_intra=0.001 lambda_inter=0.000123457 |                67.00 ± 2.65 |"
        "   3 |        [60.43, 73.57] |             +2.50 [-16.56, +21.56] |",
        "| baseline          | kd_mode=none                                |                62.00 ± 2.65 |"
        "   3 |        [55.43, 68.57] |                                    |",
    ]
    assert out.splitlines()[5].startswith("Best trial of results/lambdas so far: mean ± sample sd over runs. Dataset")
    head = (
        "Train trial 0, on fresh seeds (4, 5), the baseline beside it; protocol=final reads the test set, once a run:"
    )
    assert out.splitlines()[-11:] == [
        head,
        "",
        "```",
        "python run.py -m name=lambdas-final protocol=final model=resnet8 'dataset.root=a b' kd_mode=none,tfd "
        "lambda_intra=0.001 lambda_inter=0.000123456789012345 seed=4,5",
        "```",
        "",
        "Then tabulate that:",
        "",
        "```",
        "python -m analysis table results/lambdas-final",
        "```",
    ]


def test_json_in_full_precision(write_search: WriteSearch, capsys: Any) -> None:
    root = write_search([65.0, 66.0, 70.0], seeds=[1, 2, 3])
    assert main(["best", str(root), "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["best"]["trial"] == 0
    assert content["best"]["settings"]["lambda_inter"] == "0.000123456789012345"
    assert content["best"]["measured"]["val_top1"]["sd"] == pytest.approx(7**0.5, rel=1e-12)
    assert content["best"]["measured"]["val_top1"]["values"][0] == {"seed": 1, "value": 65.0}
    assert (content["complete_trials"], content["planned_trials"], content["finished"]) == (1, 4, False)
    assert content["retrain"]["seeds"] == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a directory"),
        (["results/terms"], "there is no search: no run lies in a directory search/"),
        (["results/failed"], "no trial of the search is complete: 0 complete, 0 pruned, 1 failed"),
        (["results/half"], "no trial of the search is complete on all its seeds: 1 complete"),
        (["results"], "there are 3 searches, whose trials do not compare; give one: "),
        (["results/good", "--seeds", "0"], "--seeds 0: training needs at least 1 seed"),
    ],
)
def test_mistakes_end_in_one_message(
    tmp_path: Path, write_run: Any, write_sweep: Any, monkeypatch: Any, capsys: Any, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run("results/terms/grid/0000")
    write_run("results/failed/search/0000", status="failed")
    write_run("results/good/search/0000", trial=0)
    write_run("results/half/search/0000/seed1", trial=0)
    write_sweep(SEARCH, path="results/half", seeds=[1, 2])
    assert main(["best", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("analysis: ")
    assert message in err
