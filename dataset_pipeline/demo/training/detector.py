"""Two small anchor-free detectors for six kinds of boxes, exported once per kind in the YOLO contract of imgutils.

One looks at the whole picture at 320 x 320 for people, heads and faces; the other at 640 x 640 for hands and eyes,
which are a few pixels large there, and learns them in windows of that picture. Each predicts, at stride 8, a centre
heat map per class and the distances to the four sides of the box (in the manner of CenterNet, Zhou et al. 2019, and
FCOS, Tian et al. 2019). The heat is learnt as how well the box that comes with it fits (quality focal loss, Li et al.
2020), so that loose boxes rank low. The exported graph keeps only local peaks of its heat map, so one thing gives one
box whatever overlap the caller's non-maximum suppression allows, and moves each class's scores so that the best
threshold found on a calibration set falls on imgutils' default.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.training.boxes import (
    DETECTION_SIZE_PX,
    LARGE_CLASSES,
    SMALL_CLASSES,
    SMALL_THINGS_SIZE_PX,
    SMALL_THINGS_WINDOW_PX,
    matches,
)
from dataset_pipeline.demo.training.export import to_onnx
from dataset_pipeline.demo.training.layout import DETECTORS

STRIDE = 8
PEAK_LEARNING_RATE = 4e-3
LEAST_HEAT = 0.15
BOX_FROM_HEAT = 0.4
WORST_FIT = 0.2  # what a box that misses its thing altogether counts, so that heat is learnt before boxes are
ZOOM = 1.25
SHIFT_SHARE = 0.1


@dataclass(frozen=True)
class DetectorKind:
    """What one of the two detectors looks for, and how large it is.

    Its pictures are squares of `size_px`, its training pictures squares of `window_px` at that scale, `batch` of them a
    step. Things narrower or lower than `least_side_px` are neither learnt nor punished. `spread` is the deviation of a
    thing's heat as a share of its width and height, `typical_px` the unit of the side distances, per class; `channels`
    are those of the stem, of strides 8, 16 and 32, and of the merged map. With `fine_stem` the way to stride 8 is dense
    and in small steps, for things of a few pixels. With `scene`, what the whole picture shows counts everywhere.
    """

    classes: tuple[str, ...]
    size_px: int
    window_px: int
    batch: int
    least_side_px: float
    spread: float
    typical_px: tuple[float, ...]
    channels: tuple[int, int, int, int, int]
    fine_stem: bool
    scene: bool


LARGE_THINGS = DetectorKind(
    classes=LARGE_CLASSES,
    size_px=DETECTION_SIZE_PX,
    window_px=DETECTION_SIZE_PX,
    batch=16,
    least_side_px=3.0,
    spread=0.04,
    typical_px=(64.0, 48.0, 24.0, 16.0),
    channels=(40, 80, 112, 160, 80),
    fine_stem=False,
    scene=True,
)
SMALL_THINGS = DetectorKind(
    classes=SMALL_CLASSES,
    size_px=SMALL_THINGS_SIZE_PX,
    window_px=SMALL_THINGS_WINDOW_PX,
    batch=24,
    least_side_px=3.5,
    spread=0.125,
    typical_px=(16.0, 12.0),
    channels=(40, 72, 96, 112, 72),
    fine_stem=True,
    scene=False,
)


def stem(outputs: int) -> nn.Sequential:
    """RGB straight to stride 4: what is left to do at full size is what costs most on a processor."""
    return nn.Sequential(nn.Conv2d(3, outputs, 6, 4, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def halving(inputs: int, outputs: int) -> nn.Sequential:
    """A dense convolution that halves the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


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
    """RGB [b, 3, S, S] in 0..1 -> score logits [b, c, G, G] and boxes x0, y0, x1, y1 in pixels [b, c, 4, G, G].

    c classes; G = S / 8. `grid` is the G that the next pictures have: that of the windows until it is set to another.
    """

    def __init__(self, kind: DetectorKind) -> None:
        super().__init__()
        self.kind = kind
        self.grid = kind.window_px // STRIDE
        classes = len(kind.classes)
        first, eighth, sixteenth, last, merged = kind.channels
        if kind.fine_stem:
            eased = (halving(3, first // 2), halving(first // 2, first), halving(first, eighth))
        else:
            eased = (stem(first), Separable(first, eighth, 2))
        self.fine = nn.Sequential(*eased, Separable(eighth, eighth))
        self.middle = nn.Sequential(
            Separable(eighth, sixteenth, 2), *(Separable(sixteenth, sixteenth) for _ in range(3))
        )
        self.coarse = nn.Sequential(Separable(sixteenth, last, 2), *(Separable(last, last) for _ in range(3)))
        self.scene = nn.Linear(last, last) if kind.scene else None
        self.from_coarse, self.from_middle, self.from_fine = (
            nn.Conv2d(c, merged, 1) for c in (last, sixteenth, eighth)
        )
        self.merge_middle = nn.Sequential(Separable(merged, merged), Separable(merged, merged))
        self.merge_fine = nn.Sequential(*(Separable(merged, merged) for _ in range(3)))
        self.head = nn.Conv2d(merged, 5 * classes, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.bias[:classes], -4.0)
        axis = (torch.arange(kind.size_px // STRIDE).float() + 0.5) * STRIDE
        self.register_buffer("axis_px", axis)
        self.register_buffer("unit_px", torch.tensor(kind.typical_px))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(images - 0.5)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        if self.scene is not None:
            coarse = coarse + self.scene(coarse.mean((2, 3)))[:, :, None, None]
        up = self.merge_middle(F.interpolate(self.from_coarse(coarse), scale_factor=2.0) + self.from_middle(middle))
        out = self.head(self.merge_fine(F.interpolate(up, scale_factor=2.0) + self.from_fine(fine)))
        classes, grid = len(self.kind.classes), self.grid
        logits = out[:, :classes]
        sides = (
            F.softplus(out[:, classes:].reshape(-1, classes, 4, grid, grid)) * self.unit_px[None, :, None, None, None]
        )
        left, top, right, bottom = sides.unbind(2)
        x_px, y_px = self.axis_px[None, None, None, :grid], self.axis_px[None, None, :grid, None]
        return logits, torch.stack([x_px - left, y_px - top, x_px + right, y_px + bottom], 2)


class ExportedDetector(nn.Module):
    """One class of a `Detector` in the YOLO contract: [b, 3, S, S] -> [b, 5, anchors] of cx, cy, w, h, score."""

    def __init__(self, detector: Detector, name: str, shift: float) -> None:
        super().__init__()
        self.detector = detector
        self.index = detector.kind.classes.index(name)
        self.shift = shift

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        cells = self.detector.grid**2
        logits, boxes = self.detector(images)
        scores = peaks(logits[:, self.index : self.index + 1] + self.shift)
        x0, y0, x1, y1 = boxes[:, self.index].reshape(-1, 4, cells).split(1, dim=1)
        flat = scores.reshape(-1, 1, cells)
        return torch.cat([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, flat], 1)


def peaks(logits: torch.Tensor) -> torch.Tensor:
    """Sigmoid scores, zero wherever a neighbouring cell is surer."""
    scores = logits.sigmoid()
    return scores * (scores >= F.max_pool2d(scores, 3, 1, 1)).float()


def targets(kind: DetectorKind, boxes: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat maps [b, c, G, G], box targets [b, c, 4, G, G] where there is heat, and where a map counts [b, c, G, G].

    A thing's heat is 1 in the cell of its centre and falls with the distance from the centre, so a centre halfway
    between two cells heats both. `boxes` holds one array [n, 5] per training picture: class index, x0, y0, x1, y1 in
    pixels. Rows of classes that the detector does not look for are passed over.
    """
    grid, classes = kind.window_px // STRIDE, len(kind.classes)
    heat = np.zeros((len(boxes), classes, grid, grid), np.float32)
    sides = np.zeros((len(boxes), classes, 4, grid, grid), np.float32)
    counts = np.ones((len(boxes), classes, grid, grid), np.float32)
    axis = (np.arange(grid) + 0.5) * STRIDE
    for i, rows in enumerate(boxes):
        for index, x0, y0, x1, y1 in rows:
            c, w, h = int(index), x1 - x0, y1 - y0
            if c >= classes:
                continue
            column = min(grid - 1, int((x0 + x1) / 2 / STRIDE))
            row = min(grid - 1, int((y0 + y1) / 2 / STRIDE))
            if min(w, h) < kind.least_side_px:
                counts[i, c, row, column] = 0
                continue
            spread_x, spread_y = (max(kind.spread * side, STRIDE * 0.7) for side in (w, h))
            gauss = np.exp(
                -((axis[None, :] - (x0 + x1) / 2) ** 2) / (2 * spread_x**2)
                - ((axis[:, None] - (y0 + y1) / 2) ** 2) / (2 * spread_y**2)
            ).astype(np.float32)
            gauss /= gauss[row, column]
            hottest = (gauss > heat[i, c]) & (gauss > LEAST_HEAT)
            heat[i, c][hottest] = gauss[hottest]
            sides[i, c][:, hottest] = np.array([x0, y0, x1, y1], np.float32)[:, None]
    counts[heat > 0] = 1
    return torch.from_numpy(heat), torch.from_numpy(sides), torch.from_numpy(counts)


def box_fit(predicted: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of boxes [n, 4], row by row."""
    overlap = (torch.minimum(predicted[:, 2:], wanted[:, 2:]) - torch.maximum(predicted[:, :2], wanted[:, :2])).clamp(0)
    hull = torch.maximum(predicted[:, 2:], wanted[:, 2:]) - torch.minimum(predicted[:, :2], wanted[:, :2])
    union = (predicted[:, 2:] - predicted[:, :2]).prod(1) + (wanted[:, 2:] - wanted[:, :2]).prod(1) - overlap.prod(1)
    hull_area = hull.prod(1) + 1e-6
    iou = overlap.prod(1) / (union + 1e-6)
    return iou, iou - (hull_area - union) / hull_area


def detection_loss(
    logits: torch.Tensor, boxes: torch.Tensor, heat: torch.Tensor, sides: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Twice the quality focal loss of the heat, per thing, plus twice the generalised IoU loss of the boxes."""
    predicted, wanted = boxes.movedim(2, -1), sides.movedim(2, -1)
    warm, hot = heat.gt(0), heat.gt(BOX_FROM_HEAT)
    quality = torch.zeros_like(heat)
    with torch.no_grad():
        iou, _ = box_fit(predicted[warm], wanted[warm])
        quality[warm] = heat[warm] * (WORST_FIT + (1 - WORST_FIT) * iou)
    wrong = F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * (logits.sigmoid() - quality) ** 2
    things = heat.ge(1).sum().clamp(min=1)
    _, giou = box_fit(predicted[hot], wanted[hot])
    # A class with few, large things must weigh as much as one with many small ones.
    weight = heat[hot] * heat.sum((0, 2, 3), keepdim=True).clamp(min=1.0).expand_as(heat)[hot].rsqrt()
    box_loss = ((1 - giou) * weight).sum() / weight.sum().clamp(min=1e-6)
    return 2 * (wrong * counts).sum() / things + 2 * box_loss


def cosine_rate(step: int, steps: int, peak: float) -> float:
    """A learning rate that warms up over the first twentieth and falls along a cosine to 1 % of `peak`."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    return peak * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / max(1, steps))))


def detector_rate(step: int, steps: int) -> float:
    """The learning rate: a cosine cut off after three quarters of its way, over the last third times a ramp to zero."""
    return cosine_rate(step, steps * 4 // 3, PEAK_LEARNING_RATE) * min(1.0, 3 * (steps - step) / steps)


def mirrored_boxes(rows: np.ndarray, width_px: int) -> np.ndarray:
    flipped = rows.copy()
    flipped[:, 1], flipped[:, 3] = width_px - rows[:, 3], width_px - rows[:, 1]
    return flipped


def jittered(
    batch: torch.Tensor, boxes: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[torch.Tensor, list[np.ndarray]]:
    """Square pictures [b, 3, W, W] zoomed by up to `ZOOM` either way and shifted by up to a share of their width.

    What lies outside a picture repeats its edge; boxes that leave it by more than 60 % are left out.
    """
    count, side = len(batch), batch.shape[-1]
    scale = np.exp(rng.uniform(-np.log(ZOOM), np.log(ZOOM), count))
    shift_px = rng.uniform(-SHIFT_SHARE * side, SHIFT_SHARE * side, (count, 2))
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.from_numpy(scale)
    maps[:, :, 2] = torch.from_numpy(shift_px * 2 / side)
    grid = F.affine_grid(maps, list(batch.shape), align_corners=False)
    moved_boxes = []
    for rows, zoom, shift in zip(boxes, scale, shift_px, strict=True):
        moved = rows.copy()
        moved[:, 1:] = (rows[:, 1:] - np.tile(shift, 2) - side / 2) / zoom + side / 2
        inside = moved.copy()
        inside[:, 1:] = moved[:, 1:].clip(0, side)
        share = (inside[:, 3:] - inside[:, 1:3]).prod(1) / (moved[:, 3:] - moved[:, 1:3]).prod(1).clip(1e-6)
        moved_boxes.append(inside[share >= 0.4])
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False), moved_boxes


def train_detector(
    kind: DetectorKind, images: np.ndarray, boxes: Sequence[np.ndarray], *, steps: int, seed: int
) -> Detector:
    """Train on windows (uint8 [n, W, W, 3] RGB) and their `boxes` (see `targets`) for `steps` batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Detector(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-3)
    order = np.empty(0, np.int64)
    net.train()
    for step in range(steps):
        if len(order) < kind.batch:
            order = np.concatenate([order, rng.permutation(len(images))])
        picked, order = order[: kind.batch], order[kind.batch :]
        batch = torch.from_numpy(images[picked]).permute(0, 3, 1, 2).float() / 255
        flip = rng.random(len(picked)) < 0.5
        batch[torch.from_numpy(flip)] = batch[torch.from_numpy(flip)].flip(3)
        rows = [mirrored_boxes(boxes[i], kind.window_px) if f else boxes[i] for i, f in zip(picked, flip, strict=True)]
        if kind.window_px < kind.size_px:
            batch, rows = jittered(batch, rows, rng)
        gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(picked), 3, 1, 1)).astype(np.float32))
        batch = (batch * gain).clamp(0, 1).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = detector_rate(step, steps)
        # Half the time of single precision on processors that know the type; the loss itself needs the digits.
        with torch.autocast("cpu", torch.bfloat16):
            logits, predicted = net(batch)
        loss = detection_loss(logits.float(), predicted.float(), *targets(kind, rows))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"detector of {kind.classes[0]} step {step}/{steps} loss {loss.item():.3f}", flush=True)
    return net.eval()


def calibrate(net: Detector, images: np.ndarray, boxes: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """For each class, the logit shift that puts the threshold of best F1 on imgutils' default, and that F1.

    Thresholds whose F1 is within 1 % of the best are as good on so few things; the middle one of them wins.
    A prediction is right if its IoU with a so far unmatched true box of its class is at least 0.5.
    """
    kind = net.kind
    net.grid = kind.size_px // STRIDE
    scored: dict[str, list[tuple[float, bool]]] = {name: [] for name in kind.classes}
    wanted = dict.fromkeys(kind.classes, 0)
    with torch.inference_mode():
        for start in range(0, len(images), kind.batch):
            batch = torch.from_numpy(images[start : start + kind.batch]).permute(0, 3, 1, 2).float() / 255
            logits, predicted = net(batch)
            scores = peaks(logits)
            for i in range(len(batch)):
                rows = boxes[start + i]
                for c, name in enumerate(kind.classes):
                    truth = rows[rows[:, 0] == c, 1:]
                    truth = truth[
                        np.minimum(truth[:, 2] - truth[:, 0], truth[:, 3] - truth[:, 1]) >= kind.least_side_px
                    ]
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
        good = np.flatnonzero(f1 >= 0.99 * f1.max())
        threshold = pairs[(good[0] + good[-1]) // 2][0] if pairs else 0.5
        default = DETECTORS[name].default_threshold
        result[name] = (logit(default) - logit(threshold) + 1e-3, float(f1.max()))
    return result


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def detector_files(net: Detector, shifts: dict[str, tuple[float, float]]) -> dict[str, dict[str, bytes]]:
    """The files of each class's repository folder: ``model.onnx``, ``threshold.json``, ``model_type.json``."""
    side = net.kind.size_px
    net.grid = side // STRIDE
    example = torch.rand(2, 3, side, side)
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    files = {}
    for name in net.kind.classes:
        role = DETECTORS[name]
        shift, f1 = shifts[name]
        metadata = {
            "names": repr({0: name}),
            "imgsz": json.dumps([side, side]),
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
