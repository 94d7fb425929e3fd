"""One small anchor-free detector for six kinds of boxes, exported once per kind in the YOLO contract of imgutils.

The net predicts, at stride 8, a centre heat map per class and the distances to the four sides of the box (in the
manner of CenterNet, Zhou et al. 2019, and FCOS, Tian et al. 2019). The exported graph keeps only local peaks of its
heat map, so one thing gives one box whatever overlap the caller's non-maximum suppression allows, and moves each
class's scores so that the best threshold found on a calibration set falls on imgutils' default.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.training.data import CLASSES, DETECTION_SIZE_PX, matches
from dataset_pipeline.demo.training.export import to_onnx
from dataset_pipeline.demo.training.layout import DETECTORS

IMAGE_SIZE = DETECTION_SIZE_PX
STRIDE = 8
GRID = IMAGE_SIZE // STRIDE
BATCH_SIZE = 16
PEAK_LEARNING_RATE = 4e-3
MINIMUM_SIDE_PX = 3.0  # at IMAGE_SIZE; smaller things are neither learnt nor punished
TYPICAL_SIDE_PX = torch.tensor([64.0, 48.0, 24.0, 16.0, 8.0, 6.0])  # per class, the unit of the side distances


def stem(outputs: int) -> nn.Sequential:
    """RGB straight to stride 4: what is left to do at full size is what costs most on a processor."""
    return nn.Sequential(nn.Conv2d(3, outputs, 6, 4, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, with a skip where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return F.relu(x + y if self.skip else y)


class Detector(nn.Module):
    """RGB [b, 3, 320, 320] in 0..1 -> score logits [b, 6, G, G] and boxes x0, y0, x1, y1 in pixels [b, 6, 4, G, G]."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(stem(40), Separable(40, 80, 2), Separable(80, 80))
        self.middle = nn.Sequential(Separable(80, 112, 2), *(Separable(112, 112) for _ in range(3)))
        self.coarse = nn.Sequential(Separable(112, 160, 2), *(Separable(160, 160) for _ in range(3)))
        self.scene = nn.Linear(160, 160)
        self.from_coarse, self.from_middle, self.from_fine = (nn.Conv2d(c, 80, 1) for c in (160, 112, 80))
        self.merge_middle = nn.Sequential(Separable(80, 80), Separable(80, 80))
        self.merge_fine = nn.Sequential(*(Separable(80, 80) for _ in range(3)))
        self.head = nn.Conv2d(80, 5 * len(CLASSES), 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.bias[: len(CLASSES)], -4.0)
        axis = (torch.arange(GRID).float() + 0.5) * STRIDE
        self.register_buffer("x_px", axis[None, None, None, :])
        self.register_buffer("y_px", axis[None, None, :, None])
        self.register_buffer("unit_px", TYPICAL_SIDE_PX.clone())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(images - 0.5)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        coarse = coarse + self.scene(coarse.mean((2, 3)))[:, :, None, None]
        up = self.merge_middle(F.interpolate(self.from_coarse(coarse), scale_factor=2.0) + self.from_middle(middle))
        out = self.head(self.merge_fine(F.interpolate(up, scale_factor=2.0) + self.from_fine(fine)))
        logits = out[:, : len(CLASSES)]
        sides = (
            F.softplus(out[:, len(CLASSES) :].reshape(-1, len(CLASSES), 4, GRID, GRID))
            * self.unit_px[None, :, None, None, None]
        )
        left, top, right, bottom = sides.unbind(2)
        boxes = torch.stack([self.x_px - left, self.y_px - top, self.x_px + right, self.y_px + bottom], 2)
        return logits, boxes


class ExportedDetector(nn.Module):
    """One class of a `Detector` in the YOLO contract: [b, 3, S, S] -> [b, 5, anchors] of cx, cy, w, h, score."""

    def __init__(self, detector: Detector, name: str, shift: float) -> None:
        super().__init__()
        self.detector = detector
        self.index = CLASSES.index(name)
        self.shift = shift

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits, boxes = self.detector(images)
        scores = peaks(logits[:, self.index : self.index + 1] + self.shift)
        x0, y0, x1, y1 = boxes[:, self.index].reshape(-1, 4, GRID * GRID).split(1, dim=1)
        flat = scores.reshape(-1, 1, GRID * GRID)
        return torch.cat([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, flat], 1)


def peaks(logits: torch.Tensor) -> torch.Tensor:
    """Sigmoid scores, zero wherever a neighbouring cell is surer."""
    scores = logits.sigmoid()
    return scores * (scores >= F.max_pool2d(scores, 3, 1, 1)).float()


def targets(boxes: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat maps [b, 6, G, G], box targets [b, 6, 4, G, G] and where they count [b, 6, G, G] (0 no, 1 yes, -1 ignore).

    `boxes` holds one array [n, 5] per image: class index, x0, y0, x1, y1 in pixels at `IMAGE_SIZE`.
    """
    heat = np.zeros((len(boxes), len(CLASSES), GRID, GRID), np.float32)
    sides = np.zeros((len(boxes), len(CLASSES), 4, GRID, GRID), np.float32)
    counts = np.zeros((len(boxes), len(CLASSES), GRID, GRID), np.float32)
    axis = (np.arange(GRID) + 0.5) * STRIDE
    for i, rows in enumerate(boxes):
        area = (rows[:, 3] - rows[:, 1]) * (rows[:, 4] - rows[:, 2])
        for kind, x0, y0, x1, y1 in rows[np.argsort(-area)]:
            c, w, h = int(kind), x1 - x0, y1 - y0
            column = min(GRID - 1, int((x0 + x1) / 2 / STRIDE))
            row = min(GRID - 1, int((y0 + y1) / 2 / STRIDE))
            if min(w, h) < MINIMUM_SIDE_PX:
                counts[i, c, row, column] = -1
                continue
            spread_x, spread_y = max(w / 10, STRIDE * 0.45), max(h / 10, STRIDE * 0.45)
            gauss = np.exp(
                -((axis[None, :] - (x0 + x1) / 2) ** 2) / (2 * spread_x**2)
                - ((axis[:, None] - (y0 + y1) / 2) ** 2) / (2 * spread_y**2)
            ).astype(np.float32)
            gauss[row, column] = 1
            heat[i, c] = np.maximum(heat[i, c], gauss)
            near = gauss > 0.4
            counts[i, c][near] = 1
            sides[i, c][:, near] = np.array([x0, y0, x1, y1], np.float32)[:, None]
    return torch.from_numpy(heat), torch.from_numpy(sides), torch.from_numpy(counts)


def detection_loss(
    logits: torch.Tensor, boxes: torch.Tensor, heat: torch.Tensor, sides: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """CenterNet's focal loss on the heat map plus twice the generalised IoU loss (Rezatofighi et al. 2019)."""
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    positive = heat.ge(0.99).float()
    learnt = counts.ge(0).float()
    focal = positive * (1 - p) ** 2 * p.log() + (1 - positive) * (1 - heat) ** 4 * p**2 * (1 - p).log() * learnt
    mask = counts.gt(0)
    predicted, wanted = boxes.movedim(2, -1)[mask], sides.movedim(2, -1)[mask]
    overlap = (torch.minimum(predicted[:, 2:], wanted[:, 2:]) - torch.maximum(predicted[:, :2], wanted[:, :2])).clamp(0)
    hull = torch.maximum(predicted[:, 2:], wanted[:, 2:]) - torch.minimum(predicted[:, :2], wanted[:, :2])
    union = (predicted[:, 2:] - predicted[:, :2]).prod(1) + (wanted[:, 2:] - wanted[:, :2]).prod(1) - overlap.prod(1)
    hull_area = hull.prod(1) + 1e-6
    giou = overlap.prod(1) / (union + 1e-6) - (hull_area - union) / hull_area
    # A class with few, large things must weigh as much as one with many small ones.
    weight = heat.sum((0, 2, 3), keepdim=True).clamp(min=1.0).expand_as(heat)[mask].rsqrt()
    box_loss = ((1 - giou) * weight).sum() / weight.sum().clamp(min=1e-6)
    return -focal.sum() / positive.sum().clamp(min=1) + 2 * box_loss


def cosine_rate(step: int, steps: int, peak: float) -> float:
    """A learning rate that warms up over the first twentieth and falls along a cosine to 1 % of `peak`."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    return peak * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / max(1, steps))))


def mirrored_boxes(rows: np.ndarray) -> np.ndarray:
    flipped = rows.copy()
    flipped[:, 1], flipped[:, 3] = IMAGE_SIZE - rows[:, 3], IMAGE_SIZE - rows[:, 1]
    return flipped


def train_detector(images: np.ndarray, boxes: Sequence[np.ndarray], *, steps: int, seed: int) -> Detector:
    """Train on `images` (uint8 [n, 320, 320, 3] RGB) and their `boxes` (see `targets`) for `steps` batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-3)
    order = np.empty(0, np.int64)
    net.train()
    for step in range(steps):
        if len(order) < BATCH_SIZE:
            order = np.concatenate([order, rng.permutation(len(images))])
        picked, order = order[:BATCH_SIZE], order[BATCH_SIZE:]
        batch = torch.from_numpy(images[picked]).permute(0, 3, 1, 2).float() / 255
        rows = [boxes[i] for i in picked]
        flip = rng.random(len(picked)) < 0.5
        batch[torch.from_numpy(flip)] = batch[torch.from_numpy(flip)].flip(3)
        rows = [mirrored_boxes(r) if f else r for r, f in zip(rows, flip, strict=True)]
        gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(picked), 3, 1, 1)).astype(np.float32))
        batch = (batch * gain).clamp(0, 1).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_LEARNING_RATE)
        loss = detection_loss(*net(batch), *targets(rows))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"detector step {step}/{steps} loss {loss.item():.3f}", flush=True)
    return net.eval()


def calibrate(net: Detector, images: np.ndarray, boxes: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """For each class, the logit shift that puts the threshold of best F1 on imgutils' default, and that F1.

    A prediction is right if its IoU with a so far unmatched true box of its class is at least 0.5.
    """
    scored: dict[str, list[tuple[float, bool]]] = {name: [] for name in CLASSES}
    wanted = dict.fromkeys(CLASSES, 0)
    with torch.inference_mode():
        for start in range(0, len(images), BATCH_SIZE):
            batch = torch.from_numpy(images[start : start + BATCH_SIZE]).permute(0, 3, 1, 2).float() / 255
            logits, predicted = net(batch)
            scores = peaks(logits)
            for i in range(len(batch)):
                rows = boxes[start + i]
                for c, name in enumerate(CLASSES):
                    truth = rows[rows[:, 0] == c, 1:]
                    truth = truth[np.minimum(truth[:, 2] - truth[:, 0], truth[:, 3] - truth[:, 1]) >= MINIMUM_SIDE_PX]
                    wanted[name] += len(truth)
                    flat = scores[i, c].flatten()
                    chosen = torch.nonzero(flat > 0.02).flatten()
                    chosen = chosen[flat[chosen].argsort(descending=True)]
                    found = predicted[i, c].reshape(4, -1)[:, chosen].T.numpy()
                    scored[name] += list(zip(flat[chosen].tolist(), matches(found, truth), strict=True))
    result: dict[str, tuple[float, float]] = {}
    for name, pairs in scored.items():
        pairs.sort(key=lambda pair: -pair[0])
        right = np.cumsum([hit for _, hit in pairs]) if pairs else np.zeros(1)
        f1 = 2 * right / (np.arange(1, len(right) + 1) + max(1, wanted[name]))
        best = int(np.argmax(f1))
        threshold = pairs[best][0] if pairs else 0.5
        default = DETECTORS[name].default_threshold
        result[name] = (logit(default) - logit(threshold) + 1e-3, float(f1[best]))
    return result


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def detector_files(net: Detector, shifts: dict[str, tuple[float, float]]) -> dict[str, dict[str, bytes]]:
    """The files of each class's repository folder: ``model.onnx``, ``threshold.json``, ``model_type.json``."""
    example = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    files = {}
    for name, role in DETECTORS.items():
        shift, f1 = shifts[name]
        metadata = {
            "names": repr({0: name}),
            "imgsz": json.dumps([IMAGE_SIZE, IMAGE_SIZE]),
            "stride": str(STRIDE),
            "task": "detect",
        }
        threshold = {"f1_score": round(f1, 4), "threshold": role.default_threshold}
        files[name] = {
            "model.onnx": to_onnx(
                ExportedDetector(net, name, shift), example, inputs=["images"], outputs=["output0"], metadata=metadata
            ),
            "threshold.json": json.dumps(threshold).encode(),
            "model_type.json": b'{"model_type": "yolo"}',
        }
    return files
