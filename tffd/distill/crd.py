"""Contrastive representation distillation (CRD): the kd_mode, its memory, and the pure functions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, without_autocast

_EPS = 1e-7  # the reference's, in its denominators


class ContrastiveDistillation(DistillMode):
    """A picture's embedding in one network tells its embedding in the other from those of pictures of other classes.

    Both networks' pooled features pass through a linear layer to unit vectors; both layers are trained. Each network's
    last embeddings of all training pictures are remembered, and an embedding is compared with the other network's
    memory: with the picture's own place, and with `negatives` places of other classes.

    The memory takes 8 bytes times pictures times width (51 MB for CIFAR) and is kept in checkpoints. The source gathers
    a copy of the remembered vectors for each picture of a batch, 537 MB a network at batch 64; here all products with
    the memory are taken at once and only the numbers that are asked for are gathered, 13 MB, which is equal.

    The negatives are drawn with replacement, as the formula has it; the sources draw them without where a class leaves
    enough others.

    Args:
        negatives: How many places a picture is compared with.
        temperature: T > 0.
        momentum: The momentum of the memory, from 0 to below 1: how much of a remembered embedding stays.
        width: The width of the embeddings.
    Source: Tian et al., "Contrastive Representation Distillation", ICLR 2020; crd/criterion.py and crd/memory.py of
        RepDistiller at b84f547, kd_losses/crd.py of Knowledge-Distillation-Zoo at 65470c8.
    """

    terms = ("crd",)
    needs_teacher = True
    compiles = captures = False  # a generator is seeded in every step

    def __init__(
        self, negatives: int = 16384, temperature: float = 0.07, momentum: float = 0.5, width: int = 128
    ) -> None:
        super().__init__()
        if negatives < 1 or width < 1:
            raise ValueError(f"negatives and width must be at least 1; got {negatives} and {width}.")
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature divides the products, so it must be finite and above 0; got {temperature}.")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is what stays of the memory, at least 0 and below 1; got {momentum}.")
        self.negatives, self.temperature, self.momentum, self.width = negatives, temperature, momentum, width

    def check(self, setting: Setting) -> None:
        if setting.classes < 2 or setting.pictures < 2:
            raise ValueError(
                f"a picture is compared with those of other classes, so there must be 2 at least; there are "
                f"{setting.pictures} pictures of {setting.classes} classes. Train on more."
            )

    def build(self, setting: Setting) -> None:
        if setting.labels is None:
            raise ValueError("crd draws pictures of other classes; it needs the labels of all training pictures.")
        ours, theirs = (each.pooled.shape[1] for each in (setting.student, setting.teacher_output))
        self.embed_student, self.embed_teacher = UnitEmbedding(ours, self.width), UnitEmbedding(theirs, self.width)
        self.student_memory: Tensor
        self.teacher_memory: Tensor
        self.constants: Tensor
        bound = math.sqrt(3 / self.width)
        for name in ("student_memory", "teacher_memory"):
            self.register_buffer(name, torch.empty(setting.pictures, self.width).uniform_(-bound, bound))
        # Z of the student's and of the teacher's embeddings; 0 until the first step sets them.
        self.register_buffer("constants", torch.zeros(2))
        # The pictures class by class, and where each class begins and ends; they follow from the data set.
        self.by_class: Tensor
        self.bounds: Tensor
        self.register_buffer("by_class", setting.labels.argsort(stable=True), persistent=False)
        counts = torch.bincount(setting.labels, minlength=setting.classes)
        ends = counts.cumsum(0)
        self.register_buffer("bounds", torch.stack([ends - counts, ends], dim=1), persistent=False)

    def forward(self, step: Step) -> dict[str, Tensor]:
        drawn = draw_others(step.labels, self.by_class, self.bounds, self.negatives, step.draw)
        return {"crd": self.contrast(step, torch.cat([step.index[:, None], drawn], dim=1))}

    def contrast(self, step: Step, places: Tensor) -> Tensor:
        """Return the loss for places [B, 1 + k] of the memory, each picture's own first, and remember what came."""
        embedded = (self.embed_student(step.student.pooled), self.embed_teacher(step.teacher_output.pooled))
        memories = (self.student_memory, self.teacher_memory)
        pictures, losses = len(self.student_memory), []
        for number, (vectors, memory) in enumerate(zip(embedded, reversed(memories), strict=True)):
            scores = memory_scores(vectors, memory, places, self.temperature)
            constant = self.constants[number]
            constant = torch.where(constant > 0, constant, scores.detach().mean() * pictures)
            self.constants[number] = constant
            losses.append(noise_contrast(scores / constant, pictures))
        for vectors, memory in zip(embedded, memories, strict=True):
            remember(memory, step.index, vectors.detach(), self.momentum)
        return losses[0] + losses[1]


class UnitEmbedding(nn.Module):
    """A linear layer, and what comes out at length 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn [B, inputs] into unit vectors [B, outputs], float32 for half precision."""
        return F.normalize(in_float32(self.linear(vectors)), dim=1)


def draw_others(labels: Tensor, by_class: Tensor, bounds: Tensor, count: int, seed: int) -> Tensor:
    """Draw pictures of other classes, with replacement.

    Args:
        labels: The labels of the batch, [B].
        by_class: Places of all pictures, class by class, [N].
        bounds: The places at which each class begins and ends in it, [K, 2].
        count: How many for each.
        seed: The seed of the draw, which is the same on every device.
    Returns:
        Places, [B, count]; any, where all pictures are of one class.
    """
    random = torch.rand(len(labels), count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    first, end = bounds[labels].unbind(dim=1)
    own, every = end - first, len(by_class)
    others = torch.where(own < every, every - own, every)[:, None]
    places = (random.to(labels.device) * others).long()
    return by_class[torch.where((places >= first[:, None]) & (own < every)[:, None], places + own[:, None], places)]


def memory_scores(vectors: Tensor, memory: Tensor, places: Tensor, temperature: float) -> Tensor:
    """Compare embeddings with remembered ones.

    exp(vectors[b] . memory[places[b, k]] / T)

    Args:
        vectors: Embeddings, [B, D].
        memory: One of each training picture, [N, D]; it may be written to afterwards.
        places: The places of those that are compared, [B, 1 + k].
        temperature: T > 0.
    Returns:
        Scores, [B, 1 + k].
    """
    with without_autocast(vectors):
        products = vectors @ memory.detach().clone().mT
    return (products.gather(1, places) / temperature).exp()


def noise_contrast(probabilities: Tensor, pictures: int) -> Tensor:
    """Return how badly a picture's own place is told from k places that were drawn as noise.

    -(1 / B) * sum over b of (log(p[b, 0] / (p[b, 0] + k / N + eps))
                              + sum over j = 1 to k of log((k / N) / (p[b, j] + k / N + eps)))

    Args:
        probabilities: The probabilities of the own place, in column 0, and of the others, [B, 1 + k].
        pictures: N.
    Returns:
        Unweighted scalar.
    """
    noise = (probabilities.shape[1] - 1) / pictures
    own, others = probabilities[:, 0], probabilities[:, 1:]
    right = (own / (own + noise + _EPS)).log().sum()
    wrong = (noise / (others + noise + _EPS)).log().sum()
    return -(right + wrong) / len(probabilities)


@torch.no_grad()
def remember(memory: Tensor, index: Tensor, vectors: Tensor, momentum: float) -> None:
    """Move remembered embeddings [N, D] towards those of a batch [B, D], and back to length 1."""
    moved = momentum * memory[index] + (1 - momentum) * vectors.to(memory)
    memory[index] = F.normalize(moved, dim=1)
