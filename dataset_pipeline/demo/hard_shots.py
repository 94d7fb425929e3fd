"""Shots that make it hard to tell who is who: crowds, crossings, backs, figures cut off by the picture, mirrors."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from dataset_pipeline.demo.figure import SOLES_Y, Pose
from dataset_pipeline.demo.scenes import Placement
from dataset_pipeline.demo.staging import GESTURES, SHOTS, Held, ShotKind, Stage, said, speech, stature, stride

BACK_GESTURES = (("down", "down"), ("hip", "down"), ("down", "wave"), ("swing", "swing"))


def crowd(stage: Stage) -> Held:
    """Everybody of the shot in two rows that drift past one another, strangers behind them; some turn their backs."""
    width, height = stage.size
    rng, count = stage.rng, len(stage.cast)
    behind = stage.extras(3)
    people = []
    for k, character in enumerate(stage.cast):
        front = k % 2 == 1
        head_px = height * (0.2 if front else 0.15) * stature(character)
        x_px = width * (0.1 + 0.8 * (k + rng.uniform(0.2, 0.8)) / count)
        soles = height * (1.22 if front else 0.95)
        turned = rng.random() < 0.2
        gestures = BACK_GESTURES if turned else GESTURES
        pose = Pose(turn=rng.choice((-0.6, -0.2, 0.2, 0.6)), arms=rng.choice(gestures), behind=turned)
        drift = rng.choice((-1, 1)) * width * rng.uniform(0.03, 0.12)
        people.append((Placement(character, x_px, soles - SOLES_Y * head_px, head_px, pose), drift, front))
    people.sort(key=lambda entry: entry[2])
    drawings = math.ceil(stage.frames / 3)
    for k in range(drawings):
        share = k / max(1, drawings - 1) - 0.5
        now = [replace(p, x_px=p.x_px + drift * share) for p, drift, _ in people]
        yield stage.cel(stage.backdrop(), [*behind, *now]), 3


def cross(stage: Stage) -> Held:
    """Two people walk towards one another and past, the nearer one hiding the other for a moment."""
    width, height = stage.size
    walkers = []
    for k, character in enumerate(stage.cast[:2]):
        head_px = height * (0.13, 0.155)[k] * stature(character)
        way = (1, -1)[k]
        feet = height * (0.9, 0.97)[k]
        pose = Pose(turn=0.8 * way)
        walkers.append((Placement(character, 0.0, feet - SOLES_Y * head_px, head_px, pose), way))
    drawings = math.ceil(stage.frames / 2)
    for k in range(drawings):
        gone = 0.15 + 0.7 * k / max(1, drawings - 1)
        now = [stride(replace(p, x_px=width * (gone if way > 0 else 1 - gone)), k) for p, way in walkers]
        yield stage.cel(stage.backdrop(), now), 2


def turn_round(stage: Stage) -> Held:
    """One person seen from behind who turns to the picture and says something."""
    width, height = stage.size
    character = stage.cast[0]
    near = stage.rng.random() < 0.5
    head_px = height * (0.3 if near else 0.16) * stature(character)
    top_px = height * 0.12 if near else height * 0.95 - SOLES_Y * head_px
    x_px, side = width * stage.rng.uniform(0.3, 0.7), stage.rng.choice((-1, 1))
    arms = stage.rng.choice(BACK_GESTURES)
    back = Placement(character, x_px, top_px, head_px, Pose(turn=0.4 * side, arms=arms, behind=True))
    steps = [back, replace(back, pose=replace(back.pose, turn=0.9 * side))]
    steps += [replace(back, pose=Pose(turn=turn * side, arms=("down", "down"))) for turn in (1.0, 0.6)]
    rests = max(1, stage.frames // 3)
    yield stage.cel(stage.backdrop(), [steps[0]]), rests
    for step in steps[1:3]:
        yield stage.cel(stage.backdrop(), [step]), 2
    for mouth, eyes, held in speech(stage.rng, stage.frames - rests - 4):
        yield stage.cel(stage.backdrop(), [said(steps[3], mouth, eyes)]), held


def over_shoulder(stage: Stage) -> Held:
    """Somebody talks to a person whose large back fills a side of the picture, cut off by its edges."""
    width, height = stage.size
    side = stage.rng.choice((-1, 1))
    listener, speaker = stage.cast[:2]
    back = Placement(
        listener,
        width * (0.5 + 0.34 * side),
        height * stage.rng.uniform(0.1, 0.3),
        height * 0.5 * stature(listener),
        Pose(turn=-0.4 * side, behind=True),
    )
    pose = Pose(turn=0.5 * side, arms=stage.rng.choice(GESTURES))
    front = Placement(speaker, width * (0.5 - 0.2 * side), height * 0.2, height * 0.28 * stature(speaker), pose)
    for mouth, eyes, held in speech(stage.rng, stage.frames):
        yield stage.cel(stage.backdrop(), [said(front, mouth, eyes), back]), held


def cut_off(stage: Stage) -> Held:
    """Two people at the picture's sides, half outside it, who lean in and out."""
    width, height = stage.size
    placed = []
    for side, character in zip((-1, 1), stage.cast[:2], strict=True):
        head_px = height * stage.rng.uniform(0.24, 0.42) * stature(character)
        pose = Pose(turn=-0.5 * side, arms=stage.rng.choice(GESTURES), head_tilt=stage.rng.choice((-4, 0, 4)))
        top_px = height * stage.rng.uniform(-0.06, 0.2)
        placed.append(Placement(character, width * (0.5 + 0.5 * side) - 0.12 * side * head_px, top_px, head_px, pose))
    drawings = math.ceil(stage.frames / 3)
    for k in range(drawings):
        lean = 0.2 * math.sin(k * math.pi / 4)
        now = [replace(p, x_px=p.x_px - lean * p.head_px * side) for side, p in zip((-1, 1), placed, strict=True)]
        yield stage.cel(stage.backdrop(), now), 3


def mirror(stage: Stage) -> Held:
    """Somebody before a mirror: the person from behind or from the side, and the face in the glass."""
    width, height = stage.size
    side = stage.rng.choice((-1, 1))
    middle = width * (0.5 - 0.16 * side)
    glass = (
        round(middle - 0.14 * width),
        round(height * 0.06),
        round(middle + 0.14 * width),
        round(height * 0.86),
    )
    backdrop = hung_mirror(stage.backdrop(), glass)
    character = stage.cast[0]
    head_px = height * stage.rng.uniform(0.26, 0.32) * stature(character)
    turned = stage.rng.random() < 0.6
    pose = Pose(turn=-0.4 * side if turned else -0.9 * side, arms=stage.rng.choice(BACK_GESTURES), behind=turned)
    person = Placement(character, width * (0.5 + 0.2 * side), height * 0.16, head_px, pose)
    seen = Pose(turn=0.3 * side, arms=pose.arms)
    image = Placement(character, middle, height * 0.18, head_px * 0.8, seen, glass)
    for mouth, eyes, held in speech(stage.rng, stage.frames):
        yield stage.cel(backdrop, [said(image, mouth, eyes), person]), held


def hung_mirror(backdrop: np.ndarray, glass: tuple[int, int, int, int]) -> np.ndarray:
    """A place with a framed mirror, whose glass shows the place itself, pale and flipped."""
    x0, y0, x1, y1 = glass
    hung = backdrop.copy()
    frame = max(3, round(0.016 * backdrop.shape[0]))
    cv2.rectangle(hung, (x0 - frame, y0 - frame), (x1 + frame, y1 + frame), (122, 84, 56), -1)
    image = cv2.GaussianBlur(backdrop[y0:y1, x0:x1][:, ::-1], (0, 0), 0.01 * backdrop.shape[0])
    hung[y0:y1, x0:x1] = np.rint(image * 0.6 + np.array([206, 222, 232]) * 0.4).astype(np.uint8)
    return hung


# Name of a shot -> how it is drawn and how many of the cast it takes.
HARD_SHOTS: dict[str, ShotKind] = {
    "crowd": (crowd, 5),
    "cross": (cross, 2),
    "turn_round": (turn_round, 1),
    "over_shoulder": (over_shoulder, 2),
    "cut_off": (cut_off, 2),
    "mirror": (mirror, 1),
}
ALL_SHOTS = SHOTS | HARD_SHOTS
