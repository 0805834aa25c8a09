"""Boundary supporting samples: the kd_mode, the attack on the teacher that makes them, and its choices."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.st import soft_targets
from tffd.tensors import in_float32, require_logits, require_temperature, shape_of, unit_vectors


class BoundarySamples(DistillMode):
    """The student answers as the teacher does on pictures that an attack moved to the teacher's boundary.

    Of the pictures that both networks classify right, those of `base_samples` are moved towards classes of
    `drawn_classes` by `attack`; the loss of them is `boundary_sample_loss`, and 0 where there are none. Both networks
    are shown these pictures beside the batch, and the student's batch norms learn their statistics too, as in the
    source.

    The term is multiplied by a fade: 0 in the first `idle_epochs` epochs, then
    max(1 - (epoch - 1) / (end * epochs), 0).

    Args:
        temperature: T > 0.
        samples: Most pictures of a batch that are attacked, >= 1.
        attack_steps: Most steps of the attack, >= 1.
        attack_rate: The rate of the attack, > 0.
        bound: The bound of the attacked pictures' numbers, which are normalised, > 0.
        idle_epochs: At the beginning, without this loss, >= 0; the source's are 10.
        end: Fraction of the run after which the loss has faded out, > 0; None leaves it as it is.
    """

    terms = ("bss",)
    needs_teacher = True
    compiles = captures = False  # the number of attacked pictures depends on the data

    def __init__(
        self,
        temperature: float = 3.0,
        samples: int = 32,
        attack_steps: int = 10,
        attack_rate: float = 0.3,
        bound: float = 2.5,
        idle_epochs: int = 0,
        end: float | None = 0.8,
    ) -> None:
        super().__init__()
        require_temperature(temperature)
        _require_attack(attack_steps, attack_rate, bound)
        _require_samples(samples)
        if idle_epochs < 0 or (end is not None and not 0 < end < math.inf):
            raise ValueError(f"idle_epochs must be at least 0, and end above 0 or null; got {idle_epochs} and {end}.")
        self.temperature, self.samples = temperature, samples
        self.attack_steps, self.attack_rate, self.bound = attack_steps, attack_rate, bound
        self.idle_epochs, self.end = idle_epochs, end

    def check(self, setting: Setting) -> None:
        require_logits("bss", setting.student.logits, setting.teacher_output.logits)
        if setting.classes < 2:
            raise ValueError("bss moves pictures to the boundary between two classes, and there is one class alone.")
        if any(shape_of(maps)[2:] == (1, 1) for maps in setting.student.stages[-1:]):
            raise ValueError(
                "bss shows the student some pictures apart, of which there may be one alone, and for pictures "
                "of this size its last maps are single values, where batch norm needs two. Choose larger pictures or "
                "another network."
            )

    def build(self, setting: Setting) -> None:
        self._epochs = setting.epochs

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = in_float32(step.student.logits.detach()), in_float32(step.teacher_output.logits.detach())
        fade = self.fade(step.epoch)
        chosen = base_samples(ours, theirs, step.labels, self.samples) if fade > 0 else step.labels[:0]
        if len(chosen) == 0:
            return {"bss": ours.new_zeros(())}
        student, teacher = step.networks.student, step.networks.teacher
        assert teacher is not None
        labels = step.labels[chosen]
        targets = drawn_classes(theirs[chosen], labels, step.draw)
        pictures = attack(
            lambda shown: teacher(shown).logits, step.inputs[chosen], labels, targets,
            self.attack_steps, self.attack_rate, self.bound,
        )  # fmt: skip
        with torch.no_grad():
            answers = teacher(pictures).logits
        return {"bss": fade * boundary_sample_loss(student(pictures).logits, answers, self.temperature)}

    def fade(self, epoch: int) -> float:
        """Return what the loss is multiplied by in an epoch, counted from 1."""
        if epoch <= self.idle_epochs:
            return 0.0
        return 1.0 if self.end is None else max(1 - (epoch - 1) / (self.end * self._epochs), 0.0)


def boundary_sample_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Pull the student's softened class probabilities of attacked pictures towards the teacher's.

    `soft_targets` without its factor T^2

    Args:
        student: Class scores, [B, K].
        teacher: The teacher's for the same pictures, [B, K]; they receive no gradient.
        temperature: T > 0.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If `soft_targets` refuses them.
    Source: Heo et al., "Knowledge Distillation with Adversarial Samples Supporting Decision Boundary", AAAI 2019;
        kd_losses/bss.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    return soft_targets(student, teacher, temperature) / temperature**2


def attack(
    network: Callable[[Tensor], Tensor],
    pictures: Tensor,
    labels: Tensor,
    targets: Tensor,
    steps: int = 10,
    rate: float = 0.3,
    bound: float = 2.5,
) -> Tensor:
    """Move pictures along a network's gradient until it no longer gives them their classes.

    x[b] <- clamp(x[b] + rate * (p[label] - p[target] + 1e-4) * g / ||g||_2, -bound, bound),
    g the gradient of p[target] - p[label] with respect to x[b], p = softmax(network(x)[b])

    A picture that the network no longer gives its label stands still. Where g is 0, so does the picture; the source
    divides by 0 there.

    Args:
        network: Pictures to class scores [B, K]; one that does not mix the pictures of a batch.
        pictures: [B, ...].
        labels: Classes that the pictures have, [B].
        targets: Other classes, which they are moved towards, [B].
        steps: How many at most, >= 1.
        rate: > 0.
        bound: > 0, of each number.
    Returns:
        Pictures of the same shape, without a gradient.
    Raises:
        ValueError: If steps, rate or bound are not valid.
    Source: BSSAttacker of kd_losses/bss.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    _require_attack(steps, rate, bound)
    moved = pictures.detach()
    for _ in range(steps):
        moved.requires_grad_()
        with torch.enable_grad():
            scores = in_float32(network(moved))
            odds = scores.softmax(dim=1)
            lead = (odds.gather(1, labels[:, None]) - odds.gather(1, targets[:, None]))[:, 0]
            (gradient,) = torch.autograd.grad(-lead.sum(), moved)
        right = scores.detach().argmax(dim=1) == labels
        moved = moved.detach()
        if not right.any():
            break
        length = rate * right * (lead.detach() + 1e-4)
        moved = (moved + (length[:, None] * unit_vectors(gradient.flatten(1))).view_as(moved)).clamp(-bound, bound)
    return moved


def base_samples(student: Tensor, teacher: Tensor, labels: Tensor, count: int) -> Tensor:
    """Choose the pictures to attack: those that both networks classify right, and on which they differ most.

    Where there are more than `count`, those with the largest sum over the wrong classes k of (q[b, k] - p[b, k]) ** 2
    are taken, p = softmax(student), q = softmax(teacher).

    Args:
        student: Class scores, [B, K].
        teacher: The teacher's for the same pictures, [B, K].
        labels: Classes, [B].
        count: How many at most, >= 1.
    Returns:
        Places in the batch, [at most count].
    Raises:
        ValueError: If the scores are not [B, K] of one shape, or the count is below 1.
    Source: train_bss.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_logits("base_samples", student, teacher)
    _require_samples(count)
    places = ((student.argmax(dim=1) == labels) & (teacher.argmax(dim=1) == labels)).nonzero()[:, 0]
    if len(places) <= count:
        return places
    gaps = (teacher[places].softmax(dim=1) - student[places].softmax(dim=1)).square()
    wrong = gaps.scatter(1, labels[places, None], 0).sum(dim=1)
    return places[wrong.topk(count).indices]


def drawn_classes(teacher: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Draw a wrong class for each picture, with the probability that the teacher gives it among the wrong ones.

    Args:
        teacher: Class scores, [B, K], K >= 2.
        labels: Classes, [B].
        seed: The seed of the draw, which is the same on every device.
    Returns:
        Classes, [B]; the likeliest, where all wrong ones have probability 0.
    Raises:
        ValueError: If the scores are not [B, K] with 2 classes or more.
    Source: train_bss.py of Knowledge-Distillation-Zoo at 65470c8.
    """
    require_logits("drawn_classes", teacher)
    if teacher.shape[1] < 2:
        raise ValueError(f"drawn_classes draws a wrong class, so it needs at least 2; got shape {shape_of(teacher)}.")
    # The right class is the last of its row, and left out.
    odds, classes = F.softmax(teacher, dim=1).scatter(1, labels[:, None], -1).sort(dim=1, descending=True, stable=True)
    sums = odds[:, :-1].double().cumsum(dim=1)
    random = torch.rand(len(teacher), 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rank = (sums >= random.to(sums.device) * sums[:, -1:]).int().argmax(dim=1, keepdim=True)
    return classes.gather(1, rank)[:, 0]


def _require_attack(steps: int, rate: float, bound: float) -> None:
    if steps < 1 or not 0 < rate < math.inf or not 0 < bound < math.inf:
        raise ValueError(
            "an attack has at least 1 step, and a rate and a bound that are finite and above 0; got "
            f"{steps}, {rate} and {bound}."
        )


def _require_samples(count: int) -> None:
    if count < 1:
        raise ValueError(f"at least 1 picture must be attacked; got {count}. Leave the mode out to attack none.")
