"""The quality net of the pack: CNNIQA (Kang et al. 2014) as pyiqa builds it, trained on degraded drawings.

The net takes the maximum and minimum of 50 linear 7x7 filters over the whole picture and three dense layers over
these 100 numbers. It learns a graded target, 1 for a clean drawing and towards 0 the more it is blurred, noisy, blocky
or rescaled, and the order of the versions of one picture.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.training.detector import cosine_rate

PICTURES_PER_BATCH = 4
PEAK_LEARNING_RATE = 2e-3
TARGET_RANGE = (0.15, 0.85)


class QualityNet(nn.Module):
    """The layers of pyiqa's CNNIQA under its parameter names; RGB [b, 3, h, w] in 0..1 -> score [b]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 50, 7)
        self.fc1 = nn.Linear(100, 800)
        self.fc2 = nn.Linear(800, 800)
        self.fc3 = nn.Linear(800, 1)
        # Filters that sum to zero see detail instead of brightness from the first step on.
        with torch.no_grad():
            self.conv1.weight -= self.conv1.weight.mean((1, 2, 3), keepdim=True)

    def forward(self, images: torch.Tensor, stride: int = 1) -> torch.Tensor:
        """`stride` 2 samples every second position: in training, edges are long enough to be met all the same."""
        h = F.conv2d(images, self.conv1.weight, self.conv1.bias, stride=stride)
        extremes = torch.cat([h.amax((2, 3)), h.amin((2, 3))], 1)
        hidden = F.dropout(F.relu(self.fc1(extremes)), 0.1, self.training)
        return self.fc3(F.relu(self.fc2(hidden))).squeeze(1)


def train_quality(versions: np.ndarray, quality: np.ndarray, *, steps: int, seed: int) -> QualityNet:
    """Train on `versions`, uint8 RGB [n, v, s, s, 3], v versions of n pictures, and `quality`, [n, v] in 0..1."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = QualityNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-4)
    low, high = TARGET_RANGE
    pictures, per_picture, side = versions.shape[:3]
    net.train()
    for step in range(steps):
        rows = rng.choice(pictures, min(PICTURES_PER_BATCH, pictures), replace=False)
        cut = int(rng.integers(side // 2, side * 3 // 4))
        y, x = rng.integers(0, side - cut + 1, 2)
        batch = torch.from_numpy(versions[rows, :, y : y + cut, x : x + cut]).flatten(0, 1).permute(0, 3, 1, 2)
        images = batch.float() / 255
        if rng.random() < 0.5:
            images = images.flip(3)
        gain = rng.uniform(0.4, 1.1, (len(rows), 1)).repeat(per_picture, 1).reshape(-1, 1, 1, 1)
        images = (images * torch.from_numpy(gain).float()).clamp(0, 1).contiguous()
        wanted = torch.from_numpy(quality[rows]).float()
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_LEARNING_RATE)
        scores = net(images, stride=2).reshape(len(rows), per_picture)
        value_loss = F.smooth_l1_loss(scores, low + (high - low) * wanted, beta=0.05)
        ahead = wanted[:, :, None] - wanted[:, None, :]
        margin = (high - low) * 0.5 * ahead
        order_loss = (F.relu(margin - (scores[:, :, None] - scores[:, None, :])) * (ahead > 0)).mean()
        loss = value_loss + 2 * order_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(
                f"quality step {step}/{steps} value {value_loss.item():.4f} order {order_loss.item():.4f}", flush=True
            )
    return net.eval()


def quality_file(net: QualityNet) -> bytes:
    """The checkpoint as pyiqa loads it: the state dict under ``params``; half precision, which loading widens again."""
    buffer = io.BytesIO()
    torch.save({"params": {name: tensor.half() for name, tensor in net.state_dict().items()}}, buffer)
    return buffer.getvalue()
