from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import FloatDistribution

from tests.support import CONF, compose_config, places
from tffd.refusal import ConfigError
from tffd.sweep.arguments import sort_arguments
from tffd.sweep.plan import GridPlan, SearchPlan, SweepPlan
from tffd.sweep.planning import make_plan


def plan(directory: Path, *arguments: str) -> SweepPlan:
    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*places(directory), *overrides)

    return make_plan(arguments, compose(sort_arguments(arguments).fixed), compose)


def faults(directory: Path, *arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan(directory, *arguments)
    assert not (directory / "results").exists()
    return caught.value.faults


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no fault")
def test_only_devices_of_this_machine_are_looked_for(tmp_path: Path) -> None:
    def compose(overrides: list[str]) -> DictConfig:
        cfg = compose_config(*places(tmp_path), "device=cuda", *overrides)
        OmegaConf.update(cfg, "hydra.launcher._target_", launcher, force_add=True)
        return cfg

    launcher = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
    assert make_plan(["seed=0,1"], compose([]), compose).config.device == "cuda"
    launcher = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"
    with pytest.raises(ConfigError, match="device=cuda: PyTorch sees no CUDA device here"):
        make_plan(["seed=0,1"], compose([]), compose)


def test_a_search_has_a_baseline_and_begins_with_the_published_points(tmp_path: Path) -> None:
    made = plan(tmp_path, "sweep=lambdas", "sweep.n_trials=12")
    baseline, search = made.studies
    assert baseline.cells == [{"kd_mode": "none", "seed": str(seed)} for seed in range(3)]
    assert (search.key, search.n_trials, type(search)) == ("search", 12, SearchPlan)
    assert [tuple(point.values()) for point in search.known_points] == [(8e-4, 5e-4), (4e-4, 5e-3)]
    assert made.objectives == ["val_top1"]


def test_fixing_one_lambda_searches_the_other(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=lambdas", "lambda_intra=0.01").studies[-1]
    assert search.keys == ("lambda_inter",)
    assert search.known_points == [{"lambda_inter": 5e-4}, {"lambda_inter": 5e-3}]


def test_an_ablation_is_a_grid(tmp_path: Path) -> None:
    (grid,) = plan(tmp_path, "ablation=terms").studies
    assert isinstance(grid, GridPlan)
    assert len(grid.cells) == grid.n_trials == 32
    assert grid.cells[8] == {"kd_mode": "intra", "seed": "0"}


def test_listed_values_alone_are_a_grid(tmp_path: Path) -> None:
    (grid,) = plan(tmp_path, "seed=0,1", "kd_mode=none,tfd").studies
    assert grid.n_trials == 4


def test_known_points_stay_when_a_dimension_joins_and_go_where_they_are_out_of_bounds(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=lambdas", "trainer.lr=interval(0.01,0.1)").studies[-1]
    assert search.keys == ("lambda_intra", "lambda_inter", "trainer.lr")
    assert [point["lambda_intra"] for point in search.known_points] == [8e-4, 4e-4]
    narrow = plan(tmp_path, "sweep=lambdas", "lambda_inter=interval(0.001,0.1)").studies[-1]
    assert [point["lambda_inter"] for point in narrow.known_points] == [5e-3]


def test_a_value_fixed_with_plus_leaves_the_search_too(tmp_path: Path) -> None:
    assert plan(tmp_path, "sweep=lambdas", "++lambda_intra=1e-3").studies[-1].keys == ("lambda_inter",)


def test_the_baseline_can_be_left_out(tmp_path: Path) -> None:
    assert [study.key for study in plan(tmp_path, "sweep=lambdas", "sweep.baseline=null").studies] == ["search"]


def test_cells_know_the_weights_of_their_terms(tmp_path: Path) -> None:
    (grid,) = plan(tmp_path, "kd_mode=none,intra", "lambda_intra=0.25").studies
    assert [identity.get("weight of intra") for identity in grid.identities] == [None, "0.25"]


def test_a_grid_may_run_under_any_protocol(tmp_path: Path) -> None:
    assert len(plan(tmp_path, "ablation=terms", "protocol=final").studies[0].identities) == 32
    assert plan(tmp_path, "protocol=validation,final", "kd_mode=none").studies[0].n_trials == 2


def test_a_search_over_modes_has_the_lambdas_of_each(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=terms", "sweep.baseline=null").studies[-1]
    assert search.keys == ("kd_mode", "lambda_intra", "lambda_inter")
    assert search.when == {"lambda_intra": {"kd_mode": ["intra", "tfd"]}, "lambda_inter": {"kd_mode": ["inter", "tfd"]}}
    assert [point["kd_mode"] for point in search.known_points] == ["tfd", "tfd"]


def test_a_search_over_modes_with_a_mode_fixed_searches_its_lambdas(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=terms", "kd_mode=inter", "sweep.baseline=null").studies[-1]
    assert (search.keys, search.when) == (("lambda_inter",), {})
    assert search.known_points == [{"lambda_inter": 5e-4}, {"lambda_inter": 5e-3}]


def test_a_search_over_some_of_the_modes(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=terms", "kd_mode=intra,inter", "sweep.baseline=null").studies[-1]
    assert search.keys == ("kd_mode", "lambda_intra", "lambda_inter")


def test_modes_are_compared_each_with_its_own_weights(tmp_path: Path) -> None:
    """From the configs of the modes, whatever they are; weights of 0 stay, shared ones reach around both defaults."""
    modes = "kd_mode=tf_kd,[intra,label_smoothing],intra,inter"
    weights = ("lambda_intra=0.5", "lambda_inter=0.02")
    baseline, search = plan(tmp_path, "sweep=modes", modes, *weights, "sweep.weights=10", "sweep.n_trials=3").studies
    assert isinstance(search, SearchPlan) and isinstance(baseline, GridPlan)
    assert (search.n_trials, search.evenly) == (4 * 3, "kd_mode")
    assert baseline.cells == [{"kd_mode": "none", "seed": str(seed)} for seed in range(3)]
    smoothing = "kd_mode.label_smoothing.weights.label_smoothing"
    assert search.when == {
        "kd_mode.tf_kd.weights.tf_kd_reg": {"kd_mode": ["tf_kd"]},
        "kd_mode.intra.weights.intra": {"kd_mode": ["[intra,label_smoothing]", "intra"]},
        smoothing: {"kd_mode": ["[intra,label_smoothing]"]},
        "kd_mode.inter.weights.inter": {"kd_mode": ["inter"]},
    }
    inter = search.space["kd_mode.inter.weights.inter"]
    assert isinstance(inter, FloatDistribution) and inter.log
    assert (inter.low, inter.high) == pytest.approx((0.002, 0.2))
    first = [point["kd_mode"] for point in search.known_points]
    assert first == ["tf_kd", "[intra,label_smoothing]", "intra", "inter"]
    assert search.known_points[2] == {"kd_mode": "intra", "kd_mode.intra.weights.intra": 0.5}


def test_a_mode_that_is_fixed_is_searched_alone(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=modes", "kd_mode=inter", "sweep.baseline=null").studies[-1]
    assert isinstance(search, SearchPlan)
    assert (search.keys, search.when, search.n_trials) == (("kd_mode.inter.weights.inter",), {}, 10)
    assert search.known_points == [{"kd_mode.inter.weights.inter": 5e-4}]


def test_modes_that_cannot_be_compared_by_weights_are_refused(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "sweep=modes", "kd_mode=none,tfd")
    assert fault.startswith("kd_mode=none: has no weight that counts, so sweep.weights=30 finds none to search")
    (fault,) = faults(tmp_path, "sweep=modes", "kd_mode=tdf,tfd")
    assert fault.startswith("kd_mode=tdf: there is no such choice; did you mean tfd")


def test_the_zoo_is_every_mode_on_one_pair(tmp_path: Path) -> None:
    """None of them is refused, and the teacher is trained once for all."""

    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*places(tmp_path), *overrides)

    modes = sorted(path.stem for path in (CONF / "kd_mode").glob("*.yaml"))
    made = make_plan(["ablation=zoo", "seed=0"], compose(["ablation=zoo"]), compose, lambda group: modes)
    teacher, grid = made.studies
    assert (teacher.n_trials, made.config.teacher.name) == (1, "resnet56")
    assert isinstance(grid, GridPlan) and [cell["kd_mode"] for cell in grid.cells] == modes and "none" in modes


def test_a_search_in_which_nothing_is_left_to_vary_is_refused(tmp_path: Path) -> None:
    assert "nothing varies in this sweep" in faults(tmp_path, "sweep=terms", "kd_mode=none")[0]


def test_several_objectives(tmp_path: Path) -> None:
    objectives = ("sweep.objective=[val_top1,train_seconds]", "sweep.direction=[maximize,minimize]")
    made = plan(tmp_path, "sweep=lambdas", "sweep.baseline=null", *objectives)
    assert made.objectives == ["val_top1", "train_seconds"]
    assert made.config.sweep.directions == ["maximize", "minimize"]


def test_the_baseline_has_the_seeds_of_the_search(tmp_path: Path) -> None:
    made = plan(tmp_path, "sweep=lambdas", "sweep.seeds=[5,6]")
    baseline, search = made.studies
    assert baseline.cells == [{"kd_mode": "none", "seed": "5"}, {"kd_mode": "none", "seed": "6"}]
    assert (baseline.n_trials, search.n_trials, made.config.sweep.seeds) == (2, 30, [5, 6])


def test_a_grid_search_tries_its_points_instead_of_the_known_ones(tmp_path: Path) -> None:
    arguments = ("sweep=lambdas", "sweep/sampler=grid", "sweep.sampler.points=3", "sweep.baseline=null")
    search = plan(tmp_path, *arguments, "sweep.n_trials=9").studies[-1]
    intra = [point["lambda_intra"] for point in search.known_points]
    assert intra == pytest.approx([1e-5] * 3 + [1e-3] * 3 + [0.1] * 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sweep=lambdas", "sweep.seeds=[1,1]"), "seeds=[1, 1] names a seed twice; each may count once"),
        (("sweep=lambdas", "sweep.seeds=[1]"), "sweep.seeds"),
        (("sweep=lambdas", "sweep.seeds=[1,2]", "seed=0,1"), "seed=0,1: a search over seeds would choose luck"),
        (("kd_mode=none,tfd", "sweep.seeds=[1,2]"), "sweep.seeds=[1, 2]: is for searches; a grid lists them"),
        (("ablation=terms", "sweep.seeds=[1,2]"), "sweep.seeds=[1, 2]: is for searches; a grid lists them"),
        (("kd_mode=none,tfd", "sweep/pruner=median"), "sweep/pruner: a grid runs every cell to its end"),
        (("sweep=lambdas", "+sweep.when={trainer:{kd_mode:[tfd]}}"), "sweep.when.trainer: this search has no such"),
        (("sweep=lambdas", "sweep/sampler=cmaes", "trainer=quick,short"), "sweep/sampler=cmaes: is for numbers"),
        (("sweep=lambdas", "sweep/pruner=wilcoxon"), "compares trials seed by seed; set sweep.seeds"),
        (("sweep=lambdas", "sweep/sampler=grid", "sweep.n_trials=7"), "sweep.n_trials=7: this grid has 36 points"),
        (("sweep=terms", "sweep/sampler=gp"), "sweep.when: conditional dimensions need sweep/sampler=tpe or random"),
        (("sweep=lambdas", "sweep.objective=[val_top1,train_seconds]"), "needs different objectives and a direction"),
        (
            ("sweep=lambdas", "sweep.objective=[val_top1,val_loss]", "sweep.direction=[maximize,maximize]"),
            "objective=val_loss with direction=maximize would choose the worst trial",
        ),
        (
            ("sweep=lambdas", "sweep.objective=[val_top1,test_top1]", "sweep.direction=[maximize,maximize]"),
            "sweep.objective=test_top1: is a test metric",
        ),
        (
            ("sweep=lambdas", "sweep.objective=train_seconds", "sweep.direction=minimize"),
            "sweep.objective=train_seconds: would choose the cheapest trial, however bad; add val_top1",
        ),
        (
            (
                "sweep=lambdas", "sweep/pruner=median",
                "sweep.objective=[val_top1,train_seconds]", "sweep.direction=[maximize,minimize]",
            ),
            "sweep/pruner: with several objectives no trial is the worse one early",
        ),
    ],
)  # fmt: skip
def test_settings_of_a_search_that_do_not_go_together(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    found = faults(tmp_path, *arguments)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sweep=lambdas", "sweep.objective=test_top1"), "sweep.objective=test_top1: is a test metric"),
        (("sweep=lambdas", "sweep.objective=best_test_top1"), "is a test metric"),
        (("ablation=terms", "sweep.objective=test_top1"), "is a test metric"),
        (("sweep=lambdas", "sweep.objective=accuracy"), "sweep.objective=accuracy: is no objective"),
        (("sweep=lambdas", "protocol=final"), "protocol=final: reads the test set"),
        (("sweep=lambdas", "protocol=paper"), "protocol=paper: reads the test set"),
        (("sweep=lambdas", "protocol.test=every_epoch"), "reads the test set, which no search may"),
        (("sweep=lambdas", "protocol=validation,final"), "protocol=final: reads the test set, which no search may"),
        (("sweep=lambdas", "sweep.objective=val_loss"), "would choose the worst trial; set sweep.direction=minimize"),
        (("sweep=lambdas", "sweep.sampler.seed=x"), "sweep.sampler.seed=x: needs a whole number"),
        (("sweep=lambdas", "sweep.sampler._target_=nonsense"), "nonsense"),
        (("sweep=lambdas", "sweep.n_trials=10,20"), "sweep.n_trials=10,20: holds for a whole sweep; start one command"),
        (("sweep=lambdas", "sweep/sampler=tpe,gp"), "sweep/sampler=tpe,gp: holds for a whole sweep"),
        (
            ("sweep=lambdas", "sweep.space.lambda_intra='tag(log, interval(1e-5'"),
            "lambda_intra=tag(log, interval(1e-5: cannot",
        ),
        (("sweep=lambdas", "lambda_intra=0,interval(1e-5,1e-1)"), "mixes an interval with choices; give one interval"),
        (("kd_mode=none,tfd", "name=a,b"), "name=a,b: holds for a whole sweep"),
        (
            ("ablation=terms", "sweep.n_trials=2"),
            "sweep.n_trials=2: is for searches; a grid runs each of its cells once",
        ),
        (("ablation=terms", "sweep/sampler=gp"), "sweep/sampler=gp: is for searches"),
        (
            ("sweep=lambdas", "sweep.enqueue=[{lambda_intra:5.0}]"),
            "sweep.enqueue: lambda_intra=5.0 lies outside what is searched, tag(log, interval(1e-5, 1e-1))",
        ),
        (("sweep=terms", "sweep.enqueue=[{kd_mode:tdf}]"), "sweep.enqueue: kd_mode=tdf lies outside what is searched"),
        (("sweep=lambdas", "sweep.enqueue=[{a:1}]"), "sweep.enqueue has a, which this search does not vary"),
        (("sweep=lambdas", "~sweep.space.lambda_intra", "~sweep.space.lambda_inter"), "nothing varies in this sweep"),
        ((), "nothing varies in this sweep"),
        (("sweep=lambdas", "seed=0,1"), "seed=0,1: a search over seeds would choose luck"),
        (("sweep=lambdas", "ablation=terms"), "a search and an ablation were asked for at once"),
        (("sweep=lambdas", "sweep.n_trials=0"), "sweep.n_trials=0: should be greater than or equal to 1"),
        (("sweep=lambdas", "sweep.n_jobs=0"), "sweep.n_jobs=0: should be greater than or equal to 1"),
        (("sweep=lambdas", "lambda_intra=interval(-1,1)"), "lambda_intra=-1"),
        (("kd_mode=none,tfd", "lambda_intra=-1,0.1"), "lambda_intra=-1: should be greater than or equal to 0"),
        (
            ("sweep=lambdas", "sweep.baseline=null", "kd_mode.tfd.weights.intra=1e-3"),
            "lambda_intra: reaches no run, which is the same with lambda_intra=1e-05 and with lambda_intra=0.1",
        ),
        (("sweep=lambdas", "dataset.root=choice(a,b)"), "dataset.root: reaches no run"),
        (("kd_mode=none", "lambda_inter=0.1,0.2", "seed=0,1"), "lambda_inter: reaches no run, which is the same with"),
        (
            ("sweep=lambdas", "sweep/pruner=hyperband", "trainer.epochs=2"),
            "sweep.pruner.min_resource=3: trials of trainer.epochs=2 end before the first rung",
        ),
        (("sweep=lambdas", "sweep/pruner=halving", "trainer.epochs=3"), "so none is pruned; use at most 2, or leave"),
        (
            ("sweep=lambdas", "sweep/pruner=median", "trainer.epochs=5"),
            "sweep.pruner.n_warmup_steps=5: trials of trainer.epochs=5 end before any epoch is judged, so none is",
        ),
        (("dataset.train_size=20,200",), "trainer.batch_size=32: larger than the training set of 20 pictures"),
    ],
)
def test_refused(tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where a relative cache belongs
    found = faults(tmp_path, *arguments)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "override", ["hydra.sweeper.n_trials=2", "+hydra.sweeper.direction=minimize", "hydra.sweep.dir=/x"]
)
def test_settings_of_hydras_own_sweepers_are_refused(tmp_path: Path, override: str) -> None:
    def compose(overrides: list[str]) -> DictConfig:
        cfg = compose_config(*places(tmp_path), *overrides)
        OmegaConf.update(cfg, "hydra.overrides.hydra", ["hydra.mode=MULTIRUN", override], force_add=True)
        return cfg

    with pytest.raises(ConfigError) as caught:
        make_plan(["sweep=lambdas"], compose(["sweep=lambdas"]), compose)
    assert [fault.split(";")[0] for fault in caught.value.faults] == [f"{override}: is for Hydra's own sweepers"]


def test_settings_that_only_cost_time_may_vary_in_a_grid(tmp_path: Path) -> None:
    assert plan(tmp_path, "threads=1,2", "trainer.checkpoint_every=1,5").studies[0].n_trials == 4


def test_a_search_that_a_file_sets_for_the_stock_sweeper_alone_is_refused(tmp_path: Path) -> None:
    def compose(overrides: list[str]) -> DictConfig:
        cfg = compose_config(*places(tmp_path), *overrides)
        params = {"lambda_intra": "interval(0, 1)", "trainer.lr": "interval(0, 1)"}
        OmegaConf.update(cfg, "hydra.sweeper", {"params": params}, force_add=True)
        return cfg

    with pytest.raises(ConfigError, match="hydra.sweeper.params.lambda_intra=interval") as caught:
        make_plan(["sweep=lambdas"], compose(["sweep=lambdas"]), compose)
    assert "does not hold here; set sweep.space, or use hydra/sweeper=optuna" in caught.value.faults[0]


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        ("hydra.sweeper", {"study_name": "x"}, "hydra.sweeper.study_name=x: is for Hydra's own sweepers"),
        ("hydra.sweeper", {"sampler": {"seed": 1}}, "hydra.sweeper.sampler={'seed': 1}: is for Hydra's own sweepers"),
        ("hydra.sweeper", {"n_jobs": 4}, "hydra.sweeper.n_jobs=4: is for Hydra's own sweepers"),
        ("hydra.sweep", {"dir": "/x"}, "hydra.sweep.dir=/x: does not hold here; set results_dir and name"),
    ],
)
def test_other_settings_of_the_stock_sweeper_in_a_file_are_refused(
    tmp_path: Path, section: str, settings: dict[str, object], message: str
) -> None:
    def compose(overrides: list[str]) -> DictConfig:
        cfg = compose_config(*places(tmp_path), *overrides)
        stock = {"params": "${sweep.space}", "n_jobs": 1}  # as conf/sweep/lambdas.yaml has them
        OmegaConf.update(cfg, "hydra.sweeper", stock, force_add=True)
        OmegaConf.update(cfg, "hydra.sweep.dir", "${results_dir}/${name}", force_add=True)
        OmegaConf.update(cfg, section, changed, force_add=True)
        return cfg

    changed: dict[str, object] = {}
    assert make_plan(["sweep=lambdas"], compose(["sweep=lambdas"]), compose).studies
    changed = settings
    with pytest.raises(ConfigError) as caught:
        make_plan(["sweep=lambdas"], compose(["sweep=lambdas"]), compose)
    assert caught.value.faults[0].startswith(message)


def test_a_glob_is_written_out_in_grids_and_searches(tmp_path: Path) -> None:
    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*places(tmp_path), *overrides)

    def options(group: str) -> list[str]:
        return ["resnet8", "resnet14", "resnet8x4"] if group == "model" else []

    glob = "model=glob(resnet8*,exclude=*x4)"
    (grid,) = make_plan([glob], compose([]), compose, options).studies
    assert grid.cells == [{"model": "resnet8"}]
    arguments = ["sweep=lambdas", "sweep.baseline=null", "model=glob(*,exclude=*x4)"]
    (search,) = make_plan(arguments, compose(arguments[:2]), compose, options).studies
    assert search.texts["model"] == "choice(resnet8,resnet14)"
    for key, there in (
        ("lambda_intra", "lambda_intra is no group of configs"),
        ("model", "there are resnet8, resnet14"),
    ):
        with pytest.raises(ConfigError, match="x\\*\\): matches no choice; ") as caught:
            make_plan([f"{key}=glob(x*)"], compose([]), compose, options)
        assert there in caught.value.faults[0]


def test_faults_of_all_cells_are_told_once_with_a_cell_that_has_them(tmp_path: Path) -> None:
    found = faults(tmp_path, "seed=0,1", "trainer.lr=-1,0.1", "kd_mode.tfd.stages=[7,8],[1,2]")
    assert [fault.split(":")[0].split(" names")[0] for fault in found] == ["trainer.lr=-1", "kd_mode=tfd"]
    assert all("[in seed=0" in fault for fault in found)


def test_faults_of_schema_objective_and_network_are_told_together(tmp_path: Path) -> None:
    found = faults(tmp_path, "sweep=lambdas", "lambda_inter=-1", "sweep.objective=test_top1", "model.name=resnet9")
    assert [fault.split(":")[0].split("=")[0] for fault in found] == ["sweep.objective", "lambda_inter", "model"]
