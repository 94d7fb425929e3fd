"""One small net that looks at a person or a frame and gives both tags and an identity vector.

The tagger and the identity model of the pack are two exports of this net, behind the preprocessing of each contract.
Tags are learnt with binary cross-entropy, identity with the supervised contrastive loss (Khosla et al. 2020) over
crops of the same character in other poses, sizes, lights and framings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.training.data import CROP_SIZE_PX
from dataset_pipeline.demo.training.detector import Separable, cosine_rate, stem

CROP_SIZE = CROP_SIZE_PX
TAG_WIDTH = 192
IDENTITY_WIDTH = 96
CHARACTERS_PER_BATCH = 20
VIEWS_PER_CHARACTER = 4
FRAMES_PER_BATCH = 32
PEAK_LEARNING_RATE = 3e-3
TEMPERATURE = 0.1
IDENTITY_WEIGHT = 0.15


@dataclass(frozen=True)
class PeopleSamples:
    """Pictures with what is true of them.

    images: uint8 [n, 128, 128, 3] RGB. tags: float32 [n, tags], 1 where a tag is true. known: float32 [n, tags], 0
    where the picture cannot tell. identity: int64 [n], the character, or -1 for a whole frame.
    """

    images: np.ndarray
    tags: np.ndarray
    known: np.ndarray
    identity: np.ndarray


class PeopleNet(nn.Module):
    """RGB [b, 3, 128, 128] in 0..1 -> tag logits [b, tags], tag features [b, 192], identity [b, 96]."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            stem(48),
            Separable(48, 64),
            Separable(64, 128, 2),
            Separable(128, 128),
            Separable(128, 128),
            Separable(128, 192, 2),
            Separable(192, 192),
            Separable(192, 192),
        )
        self.features = nn.Linear(384, TAG_WIDTH)
        self.tags = nn.Linear(TAG_WIDTH, tags)
        self.identity = nn.Sequential(nn.Linear(384, TAG_WIDTH), nn.ReLU(), nn.Linear(TAG_WIDTH, IDENTITY_WIDTH))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y = self.body(images - 0.5)
        pooled = torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)
        features = F.relu(self.features(pooled))
        return self.tags(features), features, self.identity(pooled)


def contrastive_loss(vectors: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss of [n, d] vectors whose rows share a character where `identity` [n] is equal."""
    unit = F.normalize(vectors)
    itself = torch.eye(len(unit), dtype=torch.bool)
    log_p = F.log_softmax((unit @ unit.T / TEMPERATURE).masked_fill(itself, -1e9), 1)
    same = (identity[:, None] == identity[None]) & ~itself
    return -(log_p * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


def augment(batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Mirror half of the pictures and vary light and colour a little."""
    n = len(batch)
    flip = torch.from_numpy(rng.random(n) < 0.5)
    batch[flip] = batch[flip].flip(3)
    gain = torch.from_numpy(rng.uniform(0.9, 1.1, (n, 3, 1, 1)) * rng.uniform(0.7, 1.15, (n, 1, 1, 1))).float()
    return (batch * gain).clamp(0, 1)


def train_people(samples: PeopleSamples, *, steps: int, seed: int) -> PeopleNet:
    """Train for `steps` batches of 20 characters x 4 views, drawn so that views differ, and 32 whole frames."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = PeopleNet(samples.tags.shape[1]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-3)
    views = {c: np.flatnonzero(samples.identity == c) for c in np.unique(samples.identity) if c >= 0}
    characters = np.array(sorted(c for c, rows in views.items() if len(rows) >= 2))
    frames = np.flatnonzero(samples.identity < 0)
    net.train()
    for step in range(steps):
        chosen = rng.choice(characters, min(CHARACTERS_PER_BATCH, len(characters)), replace=False)
        crops = np.concatenate(
            [rng.choice(views[c], VIEWS_PER_CHARACTER, replace=len(views[c]) < VIEWS_PER_CHARACTER) for c in chosen]
        )
        rows = np.concatenate([crops, rng.choice(frames, FRAMES_PER_BATCH)])
        batch = torch.from_numpy(samples.images[rows]).permute(0, 3, 1, 2).float() / 255
        batch = augment(batch, rng).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_LEARNING_RATE)
        logits, _, vectors = net(batch)
        known = torch.from_numpy(samples.known[rows])
        wrong = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(samples.tags[rows]), reduction="none")
        tag_loss = (wrong * known).sum() / known.sum()
        identity_loss = contrastive_loss(vectors[: len(crops)], torch.from_numpy(samples.identity[crops]))
        loss = 10 * tag_loss + IDENTITY_WEIGHT * 10 * identity_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(
                f"people step {step}/{steps} tags {tag_loss.item():.4f} identity {identity_loss.item():.3f}", flush=True
            )
    return net.eval()


def people_outputs(net: PeopleNet, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tag probabilities [n, tags] and unit identity vectors [n, 96] of uint8 pictures [n, 128, 128, 3]."""
    probabilities, vectors = [], []
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2).float() / 255
            logits, _, identity = net(batch)
            probabilities.append(logits.sigmoid().numpy())
            vectors.append(F.normalize(identity).numpy())
    return np.concatenate(probabilities), np.concatenate(vectors)
