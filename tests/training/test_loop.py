"""The training loop on pictures of a few pixels."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests.distill.compositions import baseline, composed, tfd
from tffd.data import Augmentation, Batch, Data, Pictures
from tffd.data.splits import Split
from tffd.distill import Distillation, DistillMode, Step
from tffd.distill.teacher_free import TeacherFree
from tffd.models import ModelOutput, create_model
from tffd.training import loop
from tffd.training.loop import Progress, Recipe, Row, TrainingDiverged, evaluate, make_optimizer, train
from tffd.training.step import Learners, autocast

NOTHING = np.arange(0)
NO_AUGMENTATION = Augmentation(pad=0, mode="zero", flip=False)
RECIPE = Recipe(
    epochs=3,
    batch_size=8,
    lr=0.05,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    milestones=(0.625, 0.75, 0.875),
    gamma=0.1,
    warmup_epochs=2,
    augmentation=Augmentation(pad=1, mode="reflect", flip=True),
    seed=0,
)
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def recipe(**changes: Any) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)


def pictures(count: int, *, classes: int = 3, seed: int = 0, device: str = "cpu") -> Pictures:
    """Return random pictures of 8x8, which a network can only learn by heart."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 8, 8, 3), generator=generator, dtype=torch.uint8).to(device)
    labels = (torch.arange(count) % classes).to(device)
    return Pictures(images, labels, torch.full((3,), 0.5, device=device), torch.full((3,), 0.25, device=device))


def data(count: int = 24, *, val: int = 9, test: int = 0, classes: int = 3, device: str = "cpu") -> Data:
    return Data(
        train=pictures(count, classes=classes, device=device),
        val=pictures(val, classes=classes, seed=1, device=device) if val else None,
        test=pictures(test, classes=classes, seed=2, device=device) if test else None,
        classes=("",) * classes,
        channels=3,
        split=Split(NOTHING, NOTHING),
    )


def network(classes: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return create_model("resnet8", classes).to(memory_format=torch.channels_last)


def history(mode: Distillation, given: Data, how: Recipe = RECIPE, model: nn.Module | None = None) -> list[Row]:
    """Train from the start to the end."""
    learners = Learners(network() if model is None else model, mode)
    progress = Progress(epoch=0, history=[], seconds=0.0)
    epochs = [p.epoch for p in train(learners, given, how, make_optimizer(learners, how), progress)]
    assert epochs == list(range(1, how.epochs + 1))
    assert progress.seconds > 0
    return progress.history


class Fixed(nn.Module):
    """Answers with the logits of a table: a picture says which row by its first pixel."""

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table, dtype=torch.float32))
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> ModelOutput:
        self.modes.append(self.training)
        logits = self.table[x[:, 0, 0, 0].round().long()]
        return ModelOutput(logits, (), (), x, logits)


def numbered(labels: list[int]) -> Pictures:
    """Return pictures of one pixel, which is their number once it is normalised."""
    images = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    return Pictures(images, torch.tensor(labels), torch.zeros(1), torch.full((1,), 1 / 255))


class Watched(DistillMode):
    """Notes what passes through, and adds nothing."""

    terms = ("watched",)

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.losses: list[float] = []
        self.correct: list[int] = []

    def forward(self, step: Step) -> dict[str, Tensor]:
        self.sizes.append(len(step.labels))
        self.losses.append(F.cross_entropy(step.student.logits, step.labels).item())
        self.correct.append(int((step.student.logits.argmax(1) == step.labels).sum()))
        return {"watched": 0 * step.student.logits.sum()}


class Constant(DistillMode):
    """A term that moves nothing."""

    terms = ("constant",)

    def __init__(self, value: float = 4.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, step: Step) -> dict[str, Tensor]:
        return {"constant": 0 * step.student.logits.sum() + self.value}


def alone(mode: DistillMode, weight: float = 1.0) -> Distillation:
    return composed({"alone": (mode, dict.fromkeys(mode.terms, weight))})


# --- what it computes


def test_rows() -> None:
    """One an epoch, with these columns in this order."""
    rows = history(tfd(), data(test=6), recipe(epochs=4))
    columns = ["epoch", "lr", "kd_factor", "train_loss", "train_ce", "intra", "inter", "train_top1"]
    columns += ["val_loss", "val_top1", "val_top5"]
    assert [list(row) for row in rows] == [columns] * 3 + [[*columns, "test_loss", "test_top1", "test_top5"]]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["kd_factor"] for row in rows] == [0.5, 1, 1, 1]
    # After epochs 2 (2.5, to even), 3 and 4 (3.5, to even).
    assert [row["lr"] for row in rows] == pytest.approx([0.05, 0.05, 0.005, 0.0005])
    assert all(isinstance(value, int | float) for row in rows for value in row.values())
    for row in rows:
        expected = row["train_ce"] + row["kd_factor"] * 0.05 * (row["intra"] + row["inter"])
        assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_learning_rate_reaches_the_optimizer() -> None:
    """Every epoch's own."""
    learners, how = Learners(network(), baseline()), recipe(epochs=4)
    optimizer = make_optimizer(learners, how)
    seen = []
    for progress in train(learners, data(), how, optimizer, Progress(0, [], 0.0)):
        seen.append((optimizer.param_groups[0]["lr"], progress.history[-1]["lr"]))
    assert seen == [(rate, rate) for rate, _ in seen]
    assert [rate for rate, _ in seen] == pytest.approx([0.05, 0.05, 0.005, 0.0005])


def test_optimizer_is_the_recipe_s() -> None:
    """All parameters in one group, with these settings."""
    model = network()
    (group,) = make_optimizer(Learners(model, tfd()), RECIPE).param_groups
    expected = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "dampening": 0, "maximize": False}
    assert {name: group[name] for name in expected} == expected
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in model.parameters()]


def test_lambdas_of_zero_are_the_baseline_exactly() -> None:
    """Bit for bit, with the same columns."""
    rows = history(baseline(), data())
    assert history(tfd(0.0, 0.0), data()) == rows
    assert [row["train_loss"] for row in history(tfd(), data())] != [row["train_loss"] for row in rows]


def test_same_seed_same_history() -> None:
    """Bit for bit, whatever the global generator is at."""
    first = history(tfd(), data())
    model = network()
    torch.manual_seed(99)
    assert history(tfd(), data(), model=model) == first


def test_another_seed_another_history() -> None:
    """From the same weights: another order and other crops."""
    first, other = history(tfd(), data()), history(tfd(), data(), recipe(seed=1))
    assert [row["train_ce"] for row in first] != [row["train_ce"] for row in other]


def test_no_two_epochs_share_their_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of one seed nor of neighbouring ones."""
    seeds: list[int] = []

    def epoch(self: Pictures, batch_size: int, augmentation: Augmentation, seed: int, partner: None) -> Iterator[Batch]:
        seeds.append(seed)
        yield Batch(self.images[:2].permute(0, 3, 1, 2).float(), self.labels[:2], self.labels[:2])

    monkeypatch.setattr(Pictures, "epoch", epoch)
    for seed in (0, 1, 2, 2**32 - 1):
        history(baseline(), data(val=0), recipe(seed=seed))
    assert len(set(seeds)) == len(seeds) == 12
    torch.Generator().manual_seed(max(seeds))  # not too large for it


def test_one_batch_can_be_learned_by_heart() -> None:
    """With Tf-FD, from random pictures."""
    how = recipe(epochs=25, augmentation=NO_AUGMENTATION, weight_decay=0.0, milestones=())
    rows = history(tfd(8e-4, 5e-4), data(8, val=0), how)
    assert rows[0]["train_ce"] > 1 > 100 * rows[-1]["train_ce"]
    assert rows[-1]["train_top1"] == 100


def test_distillation_lowers_what_it_measures() -> None:
    """The gradient of the terms reaches the weights."""
    how = recipe(epochs=6, warmup_epochs=0, milestones=())
    free, pulled = (history(tfd(weight, weight), data(val=0), how)[-1] for weight in (1e-6, 0.5))
    assert pulled["intra"] < 0.8 * free["intra"] and pulled["inter"] < 0.8 * free["inter"]


def test_kd_factor_scales_the_loss_alone() -> None:
    """40 x 1/4, 2/4, 3/4, 1, 1; the term is recorded unweighted."""
    rows = history(alone(Constant(), 10.0), data(), recipe(epochs=5, warmup_epochs=4))
    assert [row["train_loss"] - row["train_ce"] for row in rows] == pytest.approx([10, 20, 30, 40, 40], rel=1e-5)
    assert [row["constant"] for row in rows] == pytest.approx([4] * 5)


def test_epoch_means_weigh_pictures_not_batches() -> None:
    """10 pictures in batches of 4, 4 and 2."""
    mode = Watched()
    (row,) = history(alone(mode), data(10, val=0), recipe(epochs=1, batch_size=4))
    assert mode.sizes == [4, 4, 2]
    mean = sum(size * loss for size, loss in zip(mode.sizes, mode.losses, strict=True)) / 10
    assert row["train_loss"] == row["train_ce"] == pytest.approx(mean, rel=1e-6)
    assert row["train_top1"] == pytest.approx(100 * sum(mode.correct) / 10)
    assert abs(mean - sum(mode.losses) / 3) > 1e-3 * mean  # the test can tell


def test_last_batch_of_one_picture_is_dropped() -> None:
    """And not counted: 9 pictures in batches of 4 are 8."""
    mode = Watched()
    (row,) = history(alone(mode), data(9, val=0), recipe(epochs=1, batch_size=4))
    assert mode.sizes == [4, 4]
    assert row["train_loss"] == pytest.approx(sum(mode.losses) / 2, rel=1e-6)
    assert row["train_top1"] == pytest.approx(100 * sum(mode.correct) / 8)


def test_goes_on_from_where_progress_stands() -> None:
    """And does nothing where that is the end."""
    learners = Learners(network(), baseline())
    progress = Progress(epoch=2, history=[{"epoch": 1}, {"epoch": 2}], seconds=5.0)
    steps = train(learners, data(), RECIPE, make_optimizer(learners, RECIPE), progress)
    assert [p.epoch for p in steps] == [3]
    assert [row["epoch"] for row in progress.history] == [1, 2, 3] and progress.seconds > 5
    assert list(train(learners, data(), RECIPE, make_optimizer(learners, RECIPE), progress)) == []


# --- metrics


def test_evaluate_by_hand() -> None:
    """Six classes: ranks 1, 2, 6, 5, 1 of the true class, so top-1 is 2 of 5 and top-5 4 of 5."""
    table = [[3.0, 0, 0, 0, 0, 0], [2, 3, 1, 0, -1, -2], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0], [0, 0, 0, 0, 0, 3]]
    labels = [0, 0, 5, 4, 5]
    model = Fixed(table).train()
    with torch.enable_grad():
        scalars = evaluate(model, numbered(labels), "val")
    assert list(scalars) == ["val_loss", "val_top1", "val_top5"]
    assert not any(scalar.requires_grad for scalar in scalars.values())
    assert model.modes == [False]
    losses = [math.log(sum(map(math.exp, row))) - row[label] for row, label in zip(table, labels, strict=True)]
    expected = {"val_loss": sum(losses) / 5, "val_top1": 40, "val_top5": 80}
    assert {name: scalar.item() for name, scalar in scalars.items()} == pytest.approx(expected, rel=1e-6)


def test_evaluate_in_several_batches() -> None:
    """The last one smaller; every picture counts once."""
    table = [[float(i == j) for j in range(6)] for i in range(7)]
    labels = [0, 1, 0, 3, 4, 5, 0]
    expected = {name: scalar.item() for name, scalar in evaluate(Fixed(table), numbered(labels), "test").items()}
    model, pictures = Fixed(table), numbered(labels)
    pictures.eval_batch_size = 3
    scalars = {name: scalar.item() for name, scalar in evaluate(model, pictures, "test").items()}
    assert len(model.modes) == 3
    assert scalars == pytest.approx(expected, rel=1e-6)
    assert scalars["test_top1"] == pytest.approx(100 * 5 / 7)


def test_top5_of_fewer_than_five_classes() -> None:
    """Is always right."""
    scalars = evaluate(Fixed([[1.0, 0, 0], [1, 0, 0]]), numbered([0, 2]), "val")
    assert (scalars["val_top1"].item(), scalars["val_top5"].item()) == (50, 100)


def test_val_is_judged_after_the_epoch_in_eval_mode() -> None:
    """The row holds what evaluate gives for the weights that the epoch ended with."""
    model, given = network(), data()
    *_, row = history(tfd(), given, model=model)
    assert given.val is not None
    assert {k: v for k, v in row.items() if k.startswith("val_")} == {
        name: scalar.item() for name, scalar in evaluate(model, given.val, "val").items()
    }


@pytest.mark.parametrize(
    ("has_test", "every_epoch", "expected"),
    [(False, False, []), (False, True, []), (True, False, [3]), (True, True, [1, 2, 3])],
)
def test_when_the_test_set_is_read(
    has_test: bool, every_epoch: bool, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never, once after the last epoch, or after every epoch."""
    given = data(test=6 if has_test else 0)
    reads: list[Pictures] = []
    original = Pictures.in_order

    def in_order(self: Pictures) -> Iterator[tuple[Tensor, Tensor]]:
        reads.append(self)
        return original(self)

    monkeypatch.setattr(Pictures, "in_order", in_order)
    rows = history(baseline(), given, recipe(test_every_epoch=every_epoch))
    assert [row["epoch"] for row in rows if "test_top1" in row] == expected
    assert sum(pictures is given.test for pictures in reads) == len(expected)
    assert sum(pictures is given.val for pictures in reads) == 3


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (5, [3])])
def test_validation_pictures_are_seen_every_few_epochs_and_after_the_last(every: int, expected: list[int]) -> None:
    rows, all_seen = (history(tfd(), data(), recipe(evaluate_every=each)) for each in (every, 1))
    assert [row["epoch"] for row in rows if "val_top1" in row] == expected
    assert rows == [
        row if row["epoch"] in expected else {k: v for k, v in row.items() if not k.startswith("val")}
        for row in all_seen
    ]


def test_test_set_changes_nothing_else() -> None:
    """Reading it leaves no trace in the training."""
    without, watched = (history(tfd(), data(test=n), recipe(test_every_epoch=True)) for n in (0, 6))
    assert [{k: v for k, v in row.items() if not k.startswith("test")} for row in watched] == without


# --- what goes wrong


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_divergence_names_the_epoch(poison: float) -> None:
    """The epoch is not counted as finished: progress stays at the last good one."""
    model = network()
    progress = Progress(0, [], 0.0)
    learners = Learners(model, tfd())
    steps = train(learners, data(), RECIPE, make_optimizer(learners, RECIPE), progress)
    next(steps)
    with torch.no_grad():
        model.fc.bias[0] = poison
    with pytest.raises(TrainingDiverged, match="^the training loss became (nan|inf) in epoch 2 of 3; lower trainer.lr"):
        next(steps)
    assert progress.epoch == 1 and len(progress.history) == 1
    assert issubclass(TrainingDiverged, ValueError)


def test_an_infinite_loss_is_divergence_too() -> None:
    """The distillation loss may overflow while cross-entropy is fine."""

    with pytest.raises(TrainingDiverged, match="the training loss became inf in epoch 1 of 3"):
        history(alone(Constant(math.inf)), data())


def test_too_high_a_learning_rate_diverges() -> None:
    """As it happens to people."""
    with pytest.raises(TrainingDiverged):
        history(tfd(), data(), recipe(lr=1e6, epochs=5))


# --- cost and precision


class Synchronisations(TorchDispatchMode):
    """Counts what would make the CPU wait for a device: reading a value, or a shape that depends on values."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(getattr(i, "dtype", None) == torch.bool for i in _flat(args[1:]))
        self.count += name in self.WAITING or by_mask
        return func(*args, **(kwargs or {}))


def _flat(args: Any) -> Iterator[Any]:
    for arg in args:
        yield from arg if isinstance(arg, list | tuple) else [arg]


def count_synchronisations(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> int:
    with Synchronisations() as dispatched, monkeypatch.context() as patch:

        def counted(name: str) -> Callable[..., Any]:
            original = getattr(Tensor, name)

            def wrapper(self: Tensor, *args: Any) -> Any:
                dispatched.count += 1
                return original(self, *args)

            return wrapper

        for name in ("tolist", "numpy", "cpu"):  # on a CPU these bypass the dispatcher
            patch.setattr(Tensor, name, counted(name))
        action()
    return dispatched.count


@pytest.mark.parametrize("count", [8, 40])
def test_one_synchronisation_an_epoch(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of batches, and with both held-out sets."""
    given, how = data(count, test=6), recipe(epochs=2, test_every_epoch=True)
    assert count_synchronisations(monkeypatch, lambda: history(tfd(), given, how)) == 2
    # The instrument sees what it is meant to see.
    ones = torch.ones(2)
    assert count_synchronisations(monkeypatch, lambda: (ones.tolist(), ones.sum().item(), ones[ones > 0])) == 3


def test_bf16_autocast_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps are bfloat16; losses, sums and metrics are float32, near those without autocast (8 bits: 1e-2)."""
    seen: list[torch.dtype] = []
    original = TeacherFree.forward

    def forward(self: TeacherFree, step: Step) -> Any:
        seen.extend((step.student.logits.dtype, *(stage.dtype for stage in step.student.stages)))
        terms = original(self, step)
        assert {term.dtype for term in terms.values()} == {torch.float32}
        return terms

    monkeypatch.setattr(TeacherFree, "forward", forward)
    model, how = network(), recipe(epochs=1, bf16=True)
    (row,) = history(tfd(), data(), how, model=model)
    assert set(seen) == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    (exact,) = history(tfd(), data(), recipe(epochs=1))
    assert row["train_ce"] != exact["train_ce"]
    for name in ("train_ce", "intra", "inter"):
        # Three steps of training lie between.
        assert row[name] == pytest.approx(exact[name], rel=5e-2), name


def test_evaluation_runs_under_autocast_too() -> None:
    """But its loss is that of the logits in float32."""
    model, given = network(), pictures(9)
    logits: list[Tensor] = []
    model.fc.register_forward_hook(lambda module, inputs, output: logits.append(output))
    low, full = evaluate(model, given, "val", bf16=True), evaluate(model, given, "val")
    assert [output.dtype for output in logits] == [torch.bfloat16, torch.float32]
    for scalars, output in ((low, logits[0]), (full, logits[1])):
        expected = F.cross_entropy(output.double(), given.labels).item()
        assert scalars["val_loss"].item() == pytest.approx(expected, rel=1e-6)


def test_compiled_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """One graph for all epochs of the warm-up, none for the batch that is left over; without generating code."""
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compile_(function, backend=backend, fullgraph=True))
    how = recipe(epochs=4, warmup_epochs=4)
    expected = history(tfd(), data(28), how)
    torch.compiler.reset()
    actual = history(tfd(), data(28), dataclasses.replace(how, compile=True))
    assert len(graphs) == 1
    assert actual == expected
    torch.compiler.reset()
    history(tfd(intra=0.5), data(28), dataclasses.replace(how, compile=True))
    torch.compiler.reset()
    assert graphs[1].code == graphs[0].code, "what one trial of a search has compiled serves the others"


# --- on a GPU


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")  # PyTorch says so of itself
class TestOnGpu:
    pytestmark = gpu

    def test_steps_do_not_wait(self, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the start of an epoch and the reading of its results nothing synchronises."""
        given, model = data(44, device="cuda"), network().cuda()  # the last batch is smaller
        how = recipe(epochs=3, bf16=bf16)
        to_numbers = loop._to_numbers

        def allowed(scalars: dict[str, Tensor]) -> Row:
            torch.cuda.set_sync_debug_mode("default")
            return to_numbers(scalars)

        monkeypatch.setattr(loop, "_to_numbers", allowed)
        learners = Learners(model, tfd())
        steps = train(learners, given, how, make_optimizer(learners, how), Progress(0, [], 0.0))
        next(steps)  # the first epoch also starts CUDA's libraries
        try:
            torch.cuda.set_sync_debug_mode("error")
            next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_trains_as_on_a_cpu(self, bf16: bool) -> None:
        """Over one epoch: TF32, the default of convolutions, has 10 bits (1e-2), bfloat16 has 8 (5e-2)."""
        how = recipe(epochs=1, bf16=bf16)
        (expected,) = history(tfd(), data(), recipe(epochs=1))
        (actual,) = history(tfd(), data(device="cuda"), how, model=network().cuda())
        tolerance = 5e-2 if bf16 else 1e-2
        for name in ("train_ce", "intra", "inter"):
            assert actual[name] == pytest.approx(expected[name], rel=tolerance), name

    def test_channels_last_is_kept(self, bf16: bool) -> None:
        """Through the whole network: no map is laid out anew."""
        model = network().cuda()
        inputs = pictures(8, device="cuda").images.permute(0, 3, 1, 2).float()
        with autocast(inputs.device, bf16):
            output = model(inputs)
        assert all(stage.is_contiguous(memory_format=torch.channels_last) for stage in output.stages)
        assert {stage.dtype for stage in output.stages} == {torch.bfloat16 if bf16 else torch.float32}
