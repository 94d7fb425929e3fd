"""One small net that looks at a person or a frame and gives both tags and an identity vector.

The tagger and the identity model of the pack are two exports of this net, behind the preprocessing of each contract.
Tags are learnt with binary cross-entropy, identity with the supervised contrastive loss (Khosla et al. 2020) over
crops of the same person in other outfits, poses, sizes, lights and framings. A batch holds people in twos who are
easily taken for one another: twins of one trait in the same outfits, or members of one cast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.training.data import CROP_SIZE_PX, Views
from dataset_pipeline.demo.training.detector import Separable, cosine_rate, stem
from dataset_pipeline.demo.training.vocabulary import (
    ACCESSORIES,
    EYE_COLORS,
    FRAMINGS,
    HAIR_COLORS,
    HAIR_STYLES,
    INDEX,
    OUTFITS,
)

CROP_SIZE = CROP_SIZE_PX
TAG_WIDTH = 192
IDENTITY_WIDTH = 96
CHARACTERS_PER_GROUP = 2
VIEWS_PER_CHARACTER = 4
TEMPERATURE = 0.1
CHOICES = [[INDEX[tag] for tag in group] for group in (HAIR_COLORS, HAIR_STYLES, EYE_COLORS, OUTFITS, FRAMINGS)]
# What is said of a person beside the learnt vector, and how much it weighs beside that.
DESCRIBED = (
    ([INDEX[tag] for tag in HAIR_COLORS], 0.5),
    ([INDEX[tag] for tag in HAIR_STYLES], 0.7),
    ([INDEX[tag] for tag in EYE_COLORS], 0.5),
)
ACCESSORY_TAGS = [INDEX[tag] for tag in ACCESSORIES]
ACCESSORY_WEIGHT = 0.7
TAG_WEIGHT = 30.0  # the mean over a hundred tags is small beside one contrastive loss


class PeopleNet(nn.Module):
    """RGB [b, 3, 128, 128] in 0..1 -> tag logits [b, tags], tag features [b, 192], identity [b, 96]."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.near = nn.Sequential(
            stem(48),
            Separable(48, 64),
            Separable(64, 128, 2),
            Separable(128, 128),
            Separable(128, 128),
        )
        self.far = nn.Sequential(Separable(128, 192, 2), Separable(192, 192), Separable(192, 192))
        # Means and maxima differ in scale; unlevelled they kill the units that follow. Eyes and glasses are small: the
        # finer map's maxima tell of them.
        self.level = nn.BatchNorm1d(512)
        self.features = nn.Linear(512, TAG_WIDTH)
        self.tags = nn.Linear(TAG_WIDTH, tags)
        self.identity = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, IDENTITY_WIDTH))
        # Means and maxima forget where a thing is, and a hair style is a matter of where the hair is.
        self.layout = nn.Sequential(
            nn.Conv2d(192, 32, 1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.BatchNorm1d(512)
        )
        self.layout_features = nn.Linear(512, TAG_WIDTH)
        self.layout_identity = nn.Linear(512, 256)
        for added in (self.layout_features, self.layout_identity):
            nn.init.zeros_(added.weight)
            nn.init.zeros_(added.bias)
        self.sees_layout = False

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        near = self.near(images - 0.5)
        far = self.far(near)
        pooled = self.level(torch.cat([far.mean((2, 3)), far.amax((2, 3)), near.amax((2, 3))], 1))
        features, first = self.features(pooled), self.identity[0](pooled)
        if self.sees_layout:
            layout = self.layout(far)
            features, first = features + self.layout_features(layout), first + self.layout_identity(layout)
        features = F.relu(features)
        return self.tags(features), features, self.identity[2](F.relu(first))


def person_vectors(logits: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    """Unit vectors [b, 126]: the learnt identity and the square roots of the probabilities of hair, eyes, accessory.

    The dot product of two of them is the cosine of the learnt parts plus, weighted, the Bhattacharyya coefficients of
    what the tags say: nothing of the clothes is in it, and what a picture cannot tell counts half.
    """
    parts = [F.normalize(identity)]
    parts += [logits[:, group].softmax(1).sqrt() * weight**0.5 for group, weight in DESCRIBED]
    none = torch.zeros_like(logits[:, :1])
    parts.append(torch.cat([logits[:, ACCESSORY_TAGS], none], 1).softmax(1).sqrt() * ACCESSORY_WEIGHT**0.5)
    return F.normalize(torch.cat(parts, 1))


def contrastive_loss(vectors: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss of [n, d] vectors whose rows share a character where `identity` [n] is equal."""
    unit = F.normalize(vectors)
    itself = torch.eye(len(unit), dtype=torch.bool)
    log_p = F.log_softmax((unit @ unit.T / TEMPERATURE).masked_fill(itself, -1e9), 1)
    same = (identity[:, None] == identity[None]) & ~itself
    return -(log_p * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


def twin_loss(vectors: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    """The mean `contrastive_loss` within each group of a batch, where only the two people of the group are compared."""
    rows = CHARACTERS_PER_GROUP * VIEWS_PER_CHARACTER
    whole = len(vectors) // rows * rows
    parts = zip(vectors[:whole].split(rows), identity[:whole].split(rows), strict=True)
    return torch.stack([contrastive_loss(v, who) for v, who in parts]).mean()


def choice(logits: torch.Tensor, true: torch.Tensor, group: list[int]) -> torch.Tensor:
    """Cross-entropy among tags of which a person has one, over the pictures where exactly one of them is true."""
    one = true[:, group].sum(1) == 1
    if not one.any():
        return torch.zeros(())
    return F.cross_entropy(logits[one][:, group], true[one][:, group].argmax(1))


def augment(batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Mirror half of the pictures and vary light and colour a little."""
    n = len(batch)
    flip = torch.from_numpy(rng.random(n) < 0.5)
    batch[flip] = batch[flip].flip(3)
    gain = torch.from_numpy(rng.uniform(0.9, 1.1, (n, 3, 1, 1)) * rng.uniform(0.7, 1.15, (n, 1, 1, 1))).float()
    return (batch * gain).clamp(0, 1)


def numbered(names: Sequence[str]) -> np.ndarray:
    """Each picture's character as a number, in the order they first appear, -1 for whole frames."""
    numbers: dict[str, int] = {"": -1}
    for name in names:
        numbers.setdefault(name, len(numbers) - 1)
    return np.array([numbers[name] for name in names], np.int64)


def grouped(names: Sequence[str]) -> list[list[np.ndarray]]:
    """The rows of each person, by group: of people called `<group>-<number>` those with at least two pictures."""
    groups: dict[str, dict[str, list[int]]] = {}
    for row, name in enumerate(names):
        if name:
            groups.setdefault(name.rpartition("-")[0], {}).setdefault(name, []).append(row)
    people = [[np.array(rows) for rows in group.values() if len(rows) >= 2] for group in groups.values()]
    return [group for group in people if group]


def picked(groups: list[list[np.ndarray]], rng: np.random.Generator, count: int) -> np.ndarray:
    """The rows of a batch's crops: two people of each of `count` groups, four pictures of each.

    Groups of a single person give four pictures; they come last, so that whole groups lie one after another.
    """
    rows = []
    for g in sorted(rng.choice(len(groups), min(count, len(groups)), replace=False), key=lambda g: len(groups[g]) < 2):
        group = groups[g]
        people = rng.choice(len(group), min(CHARACTERS_PER_GROUP, len(group)), replace=False)
        rows += [rng.choice(group[k], VIEWS_PER_CHARACTER, replace=len(group[k]) < VIEWS_PER_CHARACTER) for k in people]
    return np.concatenate(rows)


@dataclass(frozen=True)
class Round:
    """One of the two rounds of training: how it samples and what counts."""

    groups: int
    frames: int
    peak_learning_rate: float
    tags_alone_share: float  # of the steps learn tags before identity joins in, which otherwise holds both back
    sees_layout: bool
    choice_weight: float
    twin_weight: float


FIRST = Round(8, 10, 5e-3, 0.3, sees_layout=False, choice_weight=1.0, twin_weight=0.0)
SECOND = Round(6, 6, 2.5e-3, 0.0, sees_layout=True, choice_weight=2.0, twin_weight=1.0)
ROUNDS = (FIRST, SECOND)


def train_people(samples: Views, *, steps: tuple[int, int], seed: int) -> PeopleNet:
    """Train for `steps` batches of each of `ROUNDS`: groups x 2 people x 4 views, and whole frames."""
    torch.manual_seed(seed)
    net = PeopleNet(samples.tags.shape[1]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for k, (a_round, count) in enumerate(zip(ROUNDS, steps, strict=True)):
        train_round(net, samples, a_round, steps=count, seed=seed + k)
    return net.eval()


def train_round(net: PeopleNet, samples: Views, a_round: Round, *, steps: int, seed: int) -> None:
    """Train `net` for `steps` batches of one round, with an optimizer of its own."""
    rng = np.random.default_rng(seed)
    net.sees_layout = a_round.sees_layout
    optimizer = torch.optim.AdamW(net.parameters(), lr=a_round.peak_learning_rate, weight_decay=1e-3)
    identity = numbered(samples.characters)
    groups, frames = grouped(samples.characters), np.flatnonzero(identity < 0)
    net.train()
    for step in range(steps):
        crops = picked(groups, rng, a_round.groups)
        rows = np.concatenate([crops, rng.choice(frames, a_round.frames)])
        batch = torch.from_numpy(samples.images[rows]).permute(0, 3, 1, 2).float() / 255
        batch = augment(batch, rng).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, a_round.peak_learning_rate)
        logits, _, vectors = net(batch)
        tags, known = torch.from_numpy(samples.tags[rows]), torch.from_numpy(samples.known[rows])
        wrong = F.binary_cross_entropy_with_logits(logits, tags, reduction="none")
        tag_loss = (wrong * known).sum() / known.sum()
        choice_loss = sum((choice(logits, tags * known, group) for group in CHOICES), torch.zeros(()))
        who, vectors = torch.from_numpy(identity[crops]), vectors[: len(crops)]
        identity_loss = contrastive_loss(vectors, who)
        if a_round.twin_weight:
            identity_loss = identity_loss + a_round.twin_weight * twin_loss(vectors, who)
        alone = a_round.tags_alone_share
        joined = min(1.0, max(0.0, step / steps / alone - 1)) if alone else 1.0
        loss = TAG_WEIGHT * tag_loss + a_round.choice_weight * choice_loss + joined * identity_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            parts = {"tags": tag_loss, "choice": choice_loss, "identity": identity_loss}
            told = ", ".join(f"{name} {part.item():.3f}" for name, part in parts.items())
            print(f"people step {step}/{steps} {told}", flush=True)


def people_outputs(net: PeopleNet, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tag probabilities [n, tags] and unit `person_vectors` [n, 126] of uint8 pictures [n, 128, 128, 3]."""
    probabilities, vectors = [], []
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2).float() / 255
            logits, _, identity = net(batch)
            probabilities.append(logits.sigmoid().numpy())
            vectors.append(person_vectors(logits, identity).numpy())
    return np.concatenate(probabilities), np.concatenate(vectors)
