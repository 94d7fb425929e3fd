"""The pose net of the pack: 133 points of one person, in the contract of DWPose's ONNX file.

It looks at half the size of its input and learns a heat map at stride 16 for each point. A point lies where the softmax
of its map has its mean (integral regression, Sun et al. 2018); what the map looks at says how far off that is, and
whether the point is seen at all. The exported graph writes this as SimCC (Li et al. 2022): along each axis a bell at
the point, as high as it is sure.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.demo.backdrops import draw_backdrop
from dataset_pipeline.demo.scenes import place_people
from dataset_pipeline.demo.training import degrade
from dataset_pipeline.demo.training.detector import Separable, cosine_rate, halving
from dataset_pipeline.demo.training.export import to_onnx
from dataset_pipeline.demo.training.points import FACE, LEFT_HAND, POINTS, RIGHT_HAND, Posed, draw_posed
from dataset_pipeline.demo.training.worlds import BEHIND_SHARE, World, cast_of, dressed, turned

INPUT_SIZE = (288, 384)  # width and height that dw-ll_ucoco_384.onnx takes
SHRINK = 2
WIDTH = 128
CELL_PX = 16  # of the input, a cell of a heat map
PADDING = 1.25  # imgutils looks at this much more than a person's box
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BINS_PER_PX, SPREAD_BINS = 2, 6.0
SIZES = ((640, 360), (1280, 720), (640, 480), (480, 640), (512, 512))
BATCH = 32
PEAK_LEARNING_RATE = 4e-3
HEAT_SPREAD_CELLS = 0.8
NOBODY_SHARE = 0.06


def _pairs() -> np.ndarray:
    """Which point a point becomes in a mirrored picture."""
    swapped = np.arange(POINTS)

    def swap(first: int, pairs: Sequence[tuple[int, int]]) -> None:
        for one, other in pairs:
            swapped[first + one], swapped[first + other] = first + other, first + one

    swap(0, [(k, k + 1) for k in range(1, 17, 2)])
    swap(17, [(k, k + 3) for k in range(3)])
    swap(FACE, [(k, 16 - k) for k in range(8)] + [(17 + k, 26 - k) for k in range(5)] + [(31, 35), (32, 34)])
    swap(FACE, [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)])
    swap(FACE, [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)])
    swap(LEFT_HAND, [(k, k + RIGHT_HAND - LEFT_HAND) for k in range(21)])
    return swapped


MIRRORED = _pairs()


class PoseNet(nn.Module):
    """RGB [b, 3, 192, 144], normalised -> points [b, 133, 2] in pixels of the input at its full size, logits [b, 133]
    of whether they are seen, and the heat maps' logits [b, 133, 24, 18]."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(halving(3, 24), halving(24, 64))
        self.middle = nn.Sequential(Separable(64, WIDTH, 2), *(Separable(WIDTH, WIDTH) for _ in range(3)))
        self.coarse = nn.Sequential(Separable(WIDTH, 192, 2), *(Separable(192, 192) for _ in range(4)))
        self.scene = nn.Linear(192, 192)
        self.from_coarse = nn.Conv2d(192, WIDTH, 1)
        self.merge = nn.Sequential(*(Separable(WIDTH, WIDTH) for _ in range(3)))
        self.heat = nn.Conv2d(WIDTH, POINTS, 1)
        # Of what a point's map looks at: how far it lies off, in cells, and whether it is seen.
        self.told = nn.Parameter(torch.zeros(3, POINTS, WIDTH))
        self.bias = nn.Parameter(torch.zeros(3, POINTS))
        width, height = (side // CELL_PX for side in INPUT_SIZE)
        self.register_buffer("x_px", (torch.arange(width).float() + 0.5) * CELL_PX)
        self.register_buffer("y_px", (torch.arange(height).float() + 0.5) * CELL_PX)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        middle = self.middle(self.fine(images))
        coarse = self.coarse(middle)
        coarse = coarse + self.scene(coarse.mean((2, 3)))[:, :, None, None]
        features = self.merge(F.interpolate(self.from_coarse(coarse), scale_factor=2.0) + middle)
        logits = self.heat(features)
        share = logits.flatten(2).softmax(2)
        looked = torch.matmul(share, features.flatten(2).transpose(1, 2))
        off_x, off_y, seen = ((looked * self.told[k]).sum(2) + self.bias[k] for k in range(3))
        maps = share.reshape(logits.shape)
        x_px, y_px = (maps.sum(2) * self.x_px).sum(2), (maps.sum(3) * self.y_px).sum(2)
        return torch.stack([x_px + CELL_PX * off_x, y_px + CELL_PX * off_y], 2), seen, logits


class ExportedPose(nn.Module):
    """A `PoseNet` in the contract of DWPose: [b, 3, 384, 288] -> simcc_x [b, 133, 576], simcc_y [b, 133, 768]."""

    def __init__(self, net: PoseNet) -> None:
        super().__init__()
        self.net = net
        for name, side in zip(("bins_x", "bins_y"), INPUT_SIZE, strict=True):
            self.register_buffer(name, torch.arange(side * BINS_PER_PX).float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points, seen, _ = self.net(F.avg_pool2d(images, SHRINK))
        at, score = points * BINS_PER_PX, seen.sigmoid()[:, :, None]
        bells = []
        for axis, bins in enumerate((self.bins_x, self.bins_y)):
            off = (bins - at[:, :, axis : axis + 1]) / SPREAD_BINS
            bells.append(score * torch.exp(-0.5 * off * off))
        return bells[0], bells[1]


def posed_sample(job: tuple[World, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One person of a scene as the net looks at people, job (world, cast number, scene number): uint8 [192, 144, 3],
    points [133, 2] in pixels of the full input, and which of them are seen [133]. Some look past everybody."""
    world, cast, scene = job
    rng, noise = random.Random(world.first + 600_000 + scene), np.random.default_rng(world.first + 600_000 + scene)
    image, people = posed_scene(world, cast, rng)
    image = degrade.as_broadcast(image, noise)
    if not people or rng.random() < NOBODY_SHARE:
        view, _ = window(image, _anywhere(rng, image))
        hidden = np.zeros(POINTS, bool)
        return (
            cv2.resize(view, None, fx=1 / SHRINK, fy=1 / SHRINK, interpolation=cv2.INTER_AREA),
            np.zeros((POINTS, 2)),
            hidden,
        )
    person = rng.choice(people)
    view, move = window(image, _as_found(rng, person.box, image))
    points = person.points @ move[:, :2].T + move[:, 2]
    inside = ((points >= 0) & (points < INPUT_SIZE)).all(1)
    small = cv2.resize(view, None, fx=1 / SHRINK, fy=1 / SHRINK, interpolation=cv2.INTER_AREA)
    return small, points, person.seen & inside


def posed_scene(world: World, cast: int, rng: random.Random) -> tuple[np.ndarray, list[Posed]]:
    """A scene with up to three people of one of a world's casts, of whom something is seen."""
    size = rng.choice(SIZES)
    members = [dressed(rng, it) for it in rng.sample(list(cast_of(world, cast)), rng.choice((1, 1, 1, 2, 2, 3)))]
    placements = place_people(rng, members, size)
    placements = [turned(it) if rng.random() < BEHIND_SHARE else it for it in placements]
    image = draw_backdrop(rng.choice(world.backdrops), size)
    return image, [person for person in draw_posed(image, placements) if person.seen.mean() > 0.1]


def _as_found(rng: random.Random, box: tuple[float, float, float, float], image: np.ndarray) -> tuple[float, ...]:
    """A person's box as a detector gives it: what lies in the picture, a little off."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])
    w, h = x1 - x0, y1 - y0
    off = [rng.uniform(-0.07, 0.07) for _ in range(4)]
    return x0 + off[0] * w, y0 + off[1] * h, x1 + off[2] * w, y1 + off[3] * h


def _anywhere(rng: random.Random, image: np.ndarray) -> tuple[float, ...]:
    height, width = image.shape[:2]
    w, h = width * rng.uniform(0.1, 0.3), height * rng.uniform(0.1, 0.4)
    x0, y0 = rng.uniform(0, width - w), rng.uniform(0, height * 0.25)
    return x0, y0, x0 + w, y0 + h


def window(image: np.ndarray, box: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """What imgutils shows the net of a box, uint8 [384, 288, 3], and the 2x3 matrix from the picture to it."""
    width, height = INPUT_SIZE
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    scale = min(width / max(1.0, box[2] - box[0]), height / max(1.0, box[3] - box[1])) / PADDING
    move = np.array([[scale, 0, width / 2 - scale * middle[0]], [0, scale, height / 2 - scale * middle[1]]])
    return cv2.warpAffine(image, move, INPUT_SIZE, flags=cv2.INTER_LINEAR), move


def pose_loss(
    points: torch.Tensor, seen: torch.Tensor, logits: torch.Tensor, wanted: torch.Tensor, is_seen: torch.Tensor
) -> torch.Tensor:
    """How far points that are seen lie off, in cells, how unlike a bell there their maps are, and whether each is told
    to be seen that is."""
    counted = is_seen.float()
    total = counted.sum().clamp(min=1)
    off = F.smooth_l1_loss(points / CELL_PX, wanted / CELL_PX, reduction="none", beta=0.1).sum(2)
    height, width = logits.shape[2:]
    cells = wanted / CELL_PX - 0.5
    bell_x = torch.exp(-0.5 * ((torch.arange(width) - cells[:, :, :1]) / HEAT_SPREAD_CELLS) ** 2)
    bell_y = torch.exp(-0.5 * ((torch.arange(height) - cells[:, :, 1:]) / HEAT_SPREAD_CELLS) ** 2)
    bell = bell_y[:, :, :, None] * bell_x[:, :, None]
    bell = bell / bell.sum((2, 3), keepdim=True).clamp(min=1e-6)
    unlike = -(bell.flatten(2) * logits.flatten(2).log_softmax(2)).sum(2)
    told = F.binary_cross_entropy_with_logits(seen, counted)
    return ((2 * off + 0.25 * unlike) * counted).sum() / total + told


def train_pose(samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], *, steps: int, seed: int) -> PoseNet:
    """Train on what `posed_sample` gives for `steps` batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = PoseNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=1e-3)
    images, points, seen = (np.stack([it[k] for it in samples]) for k in range(3))
    order = np.empty(0, np.int64)
    net.train()
    for step in range(steps):
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(images))])
        picked, order = order[:BATCH], order[BATCH:]
        batch, wanted, is_seen = _batch(images[picked], points[picked], seen[picked], rng)
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_LEARNING_RATE)
        found, told, logits = net(batch)
        loss = pose_loss(found, told, logits, wanted, is_seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            off_px = (found - wanted).norm(dim=2)[is_seen].mean().item()
            print(f"pose step {step}/{steps} loss {loss.item():.3f}, {off_px:.2f} px off", flush=True)
    return net.eval()


def _batch(
    images: np.ndarray, points: np.ndarray, seen: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch, half of it mirrored, in another light and moved by some pixels."""
    count = len(images)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    wanted, is_seen = points.copy(), seen.copy()
    for at in np.flatnonzero(rng.random(count) < 0.5):
        batch[at] = batch[at].flip(2)
        wanted[at] = (points[at] * (-1, 1) + (INPUT_SIZE[0] - 1, 0))[MIRRORED]
        is_seen[at] = seen[at][MIRRORED]
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (count, 3, 1, 1)).astype(np.float32))
    scale, deviation = (torch.tensor(it).reshape(1, 3, 1, 1) for it in (MEAN, DEVIATION))
    batch = ((batch * gain).clamp(0, 255) - scale) / deviation
    zoom, shift = np.exp(rng.uniform(-0.12, 0.12, count)), rng.uniform(-0.05, 0.05, (count, 2))
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.from_numpy(zoom)
    maps[:, :, 2] = torch.from_numpy(shift * 2)
    batch = F.grid_sample(batch, F.affine_grid(maps, list(batch.shape), align_corners=False), align_corners=False)
    size = np.array(INPUT_SIZE)
    wanted = (wanted - size / 2 - shift[:, None] * size) / zoom[:, None, None] + size / 2
    is_seen &= ((wanted >= 0) & (wanted < size)).all(2)
    batch = batch.contiguous(memory_format=torch.channels_last)
    return batch, torch.from_numpy(wanted).float(), torch.from_numpy(is_seen)


def pose_file(net: PoseNet) -> bytes:
    """The net as DWPose's file is laid out."""
    width, height = INPUT_SIZE
    example = torch.zeros(2, 3, height, width)
    return to_onnx(ExportedPose(net), example, inputs=["input"], outputs=["simcc_x", "simcc_y"])
