"""What a demo pack can do on scenes it has never seen, measured through the public functions of the real libraries.

The hub client reads ``HF_HOME`` once, when it is imported, so measuring happens in a process of its own:

    python -m dataset_pipeline.demo.training.measure --pack resources/demo_models --scenes 60
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.demo.characters import DEMO_CAST, EYE_COLORS, HAIR_COLORS, TEST_CAST, Character
from dataset_pipeline.demo.scenes import DrawnPerson
from dataset_pipeline.demo.training import degrade
from dataset_pipeline.demo.training.boxes import CLASSES, boxes_of, iou, matches
from dataset_pipeline.demo.training.data import moment_views
from dataset_pipeline.demo.training.harder_figures import measure_harder_season
from dataset_pipeline.demo.training.layout import EMBEDDER_REPO, QUALITY_FILE, QUALITY_REPO, snapshot_dir
from dataset_pipeline.demo.training.points import FACE, LEFT_HAND
from dataset_pipeline.demo.training.pose import posed_scene
from dataset_pipeline.demo.training.worlds import MEASURED, Composed, cast_of, compose, staged

Measured = dict[str, dict[str, float]]
SCENES_PER_CAST = 24
SIZES = ((1280, 720), (640, 360))
NEAR_DUPLICATE_COSINE = 0.95
SCORED_SHORT_SIDE_PX = 512


@dataclass(frozen=True)
class Fresh:
    """A scene that no net has seen, as an episode would show it."""

    cast: int
    composed: Composed
    image: np.ndarray  # uint8 RGB, after darkness, blur and compression
    clean: bool


@dataclass(frozen=True)
class Crop:
    """A detected crop with the person it shows."""

    cast: int
    character: Character
    kind: str
    image: np.ndarray
    clean: bool


def measure(pack: Path, *, scenes: int) -> Measured:
    """Measure `pack` in a fresh process that is bound to it and offline.

    Raises `RuntimeError` with the end of the process's error output if it fails.
    """
    command = [sys.executable, "-m", "dataset_pipeline.demo.training.measure"]
    command += ["--pack", str(pack.resolve()), "--scenes", str(scenes)]
    offline = {"HF_HOME": str(pack.resolve()), "HF_HUB_OFFLINE": "1", "ONNX_MODE": "cpu"}
    done = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"measuring demo pack {pack} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measured_cast(number: int) -> tuple[Character, ...]:
    """The cast of the demo, that of the tests, or random people, in turn, each with one stranger."""
    strangers = cast_of(MEASURED, number)
    return (strangers, (*DEMO_CAST, strangers[0]), (*TEST_CAST, strangers[0]))[number % 3]


def fresh_scene(number: int) -> Fresh:
    """Scene `number` of the measuring world: two of five out of shots, one of three dark, one of four blurred."""
    rng = np.random.default_rng(MEASURED.first + number)
    cast = number // SCENES_PER_CAST
    draw = staged if number % 5 < 2 else compose
    composed = draw(MEASURED, number, SIZES[number % 2], measured_cast(cast))
    image = composed.image
    if dark := number % 3 == 2:
        image = degrade.grade(image, float(rng.uniform(0.35, 0.75)))
    if blurred := number % 4 == 3:
        image = degrade.blurred(image, float(rng.uniform(0.8, 2.2)) * image.shape[0] / 720)
    return Fresh(cast, composed, degrade.compressed(image, int(rng.uniform(40, 90))), not (dark or blurred))


def measure_detectors(scenes: list[Fresh]) -> tuple[Measured, list[list[tuple[str, tuple[int, ...]]]]]:
    """Precision and recall of each detector at imgutils' defaults and IoU 0.5, and each scene's person and head boxes.

    True boxes narrower or lower than 1 % of the picture's height are neither asked for nor punished.
    """
    from imgutils.detect import detect_eyes, detect_faces, detect_halfbody, detect_hands, detect_heads, detect_person
    from PIL import Image

    functions = (detect_person, detect_halfbody, detect_heads, detect_faces, detect_hands, detect_eyes)
    counts = {name: np.zeros(3) for name in CLASSES}  # right, found, wanted
    boxes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in scenes]
    for scene, kept in zip(scenes, boxes, strict=True):
        picture = Image.fromarray(scene.image)
        rows = boxes_of(scene.composed.people)
        for index, (name, detect) in enumerate(zip(CLASSES, functions, strict=True)):
            truth = rows[rows[:, 0] == index, 1:]
            tiny = np.minimum(truth[:, 2] - truth[:, 0], truth[:, 3] - truth[:, 1]) < 0.01 * picture.height
            found = sorted(detect(picture), key=lambda d: -d[2])
            if name in ("person", "head"):
                kept += [(name, box) for box, _, _ in found]
            places = np.array([box for box, _, _ in found], float).reshape(-1, 4)
            if len(places) and tiny.any():
                places = places[iou(places, truth[tiny]).max(1) < 0.3]
            right = matches(places, truth[~tiny])
            counts[name] += (sum(right), len(right), (~tiny).sum())
    table = {}
    for name, (right, found, wanted) in counts.items():
        table[f"detect_{name}"] = {
            "precision": right / max(1, found),
            "recall": right / max(1, wanted),
            "boxes": wanted,
        }
    return table, boxes


def detected_crops(scenes: list[Fresh], boxes: list[list[tuple[str, tuple[int, ...]]]]) -> list[Crop]:
    """The detected person and head boxes that lie on a drawn person at IoU 0.5, cut out."""
    crops = []
    for scene, found in zip(scenes, boxes, strict=True):
        for kind, box in found:
            person = shown_in(scene.composed.people, kind, box)
            x0, y0, x1, y1 = box
            if person is not None and min(x1 - x0, y1 - y0) >= 16:
                crops.append(Crop(scene.cast, person.character, kind, scene.image[y0:y1, x0:x1], scene.clean))
    return crops


def shown_in(people: tuple[DrawnPerson, ...], kind: str, box: tuple[int, ...]) -> DrawnPerson | None:
    """The person whose box of a kind meets `box` best, if at IoU 0.5 or better."""
    if not people:
        return None
    overlaps = iou(np.array([box], float), np.array([getattr(p, kind) for p in people], float))[0]
    return people[int(overlaps.argmax())] if overlaps.max() >= 0.5 else None


def measure_identity(crops: list[Crop]) -> Measured:
    """Pairs and clusters of detected crops per cast, at the pack's own threshold."""
    from imgutils.metrics import ccip_batch_differences, ccip_batch_extract_features, ccip_default_threshold
    from PIL import Image
    from sklearn.metrics import adjusted_rand_score

    threshold = ccip_default_threshold()
    table: Measured = {}
    for kind in ("person", "head", "person and head"):
        same, other, rand = [], [], []
        for cast in sorted({crop.cast for crop in crops}):
            chosen = [c for c in crops if c.cast == cast and c.kind in kind]
            if len(chosen) < 8:
                continue
            pictures = [Image.fromarray(c.image) for c in chosen]
            features = np.concatenate(
                [ccip_batch_extract_features(pictures[i : i + 16]) for i in range(0, len(pictures), 16)]
            )
            apart = ccip_batch_differences(list(features))
            names = np.array([c.character.name for c in chosen])
            upper = np.triu_indices(len(names), 1)
            pairs = names[upper[0]] == names[upper[1]]
            same += list(apart[upper][pairs])
            other += list(apart[upper][~pairs])
            rand.append(adjusted_rand_score(names, cluster(apart.clip(0), threshold, 2)))
        if rand:
            table[f"identity {kind}"] = {
                "same_within_threshold": float(np.mean(np.array(same) <= threshold)),
                "others_within_threshold": float(np.mean(np.array(other) <= threshold)),
                "adjusted_rand": float(np.mean(rand)),
                "adjusted_rand_worst_cast": float(np.min(rand)),
                "crops": float(sum(c.kind in kind for c in crops)),
            }
    return table


def measure_tagger(scenes: list[Fresh], crops: list[Crop]) -> Measured:
    """Most probable hair and eye colour of detected crops and the count of people in whole frames."""
    from imgutils.tagging import get_wd14_tags
    from PIL import Image

    hair: dict[str, list[bool]] = {"clean": [], "dark or blurred": []}
    eyes, sex = [], []
    for crop in crops:
        tags = get_wd14_tags(Image.fromarray(crop.image), general_threshold=0.0)[1]
        top = max(HAIR_COLORS, key=lambda tag: tags.get(tag, 0.0))
        hair["clean" if crop.clean else "dark or blurred"].append(top == crop.character.hair_color)
        if crop.kind == "head" and crop.image.shape[0] >= 64:
            eyes.append(max(EYE_COLORS, key=lambda tag: tags.get(tag, 0.0)) == crop.character.eye_color)
        sex.append((tags["1girl"] > tags["1boy"]) == (crop.character.sex == "girl"))
    counted = []
    for scene in scenes:
        tags = get_wd14_tags(Image.fromarray(scene.image))[1]
        people = len(scene.composed.people)
        counted.append(("solo" in tags, "no_humans" in tags) == (people == 1, people == 0))
    table = {f"hair colour, {light}": {"top1": share(h), "crops": len(h)} for light, h in hair.items()}
    table["hair colour"] = {"top1": share([*hair["clean"], *hair["dark or blurred"]]), "crops": len(crops)}
    table["eye colour, heads of 64 px"] = {"top1": share(eyes), "crops": len(eyes)}
    table["girl or boy"] = {"accuracy": share(sex), "crops": len(sex)}
    table["none, one or more people"] = {"accuracy": share(counted), "frames": len(counted)}
    return table


def share(hits: list[bool]) -> float:
    return float(np.mean(hits)) if hits else float("nan")


def measure_embedder(pack: Path, moments: int) -> Measured:
    """Cosines of near-duplicate views and of different shots of the same moment, as open_clip computes them."""
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{snapshot_dir(pack, EMBEDDER_REPO)}")
    model.eval()
    near, other = [], []
    for moment in range(moments):
        shots = moment_views((MEASURED, moment, moment))
        images = torch.stack([preprocess(Image.fromarray(view)) for shot in shots for view in shot])
        with torch.inference_mode():
            vectors = model.encode_image(images, normalize=True).numpy()
        shot = np.repeat(np.arange(len(shots)), len(shots[0]))
        upper = np.triu_indices(len(shot), 1)
        cosine, same = (vectors @ vectors.T)[upper], (shot[:, None] == shot[None])[upper]
        near += list(cosine[same])
        other += list(cosine[~same])
    return {
        "near-duplicates": {
            **quantiles(near),
            "above_0.95": float(np.mean(np.array(near) > NEAR_DUPLICATE_COSINE)),
        },
        "different shots of one moment": {
            **quantiles(other),
            "above_0.95": float(np.mean(np.array(other) > NEAR_DUPLICATE_COSINE)),
        },
    }


def quantiles(values: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {"cosine_p05": float(low), "cosine_p50": float(middle), "cosine_p95": float(high)}


def measure_quality(pack: Path, scenes: list[Fresh]) -> Measured:
    """How often the damaged version of a clean frame scores lower, at a short side of 512 px, as pyiqa computes it."""
    import pyiqa
    import torch

    with contextlib.redirect_stdout(sys.stderr):
        path = snapshot_dir(pack, QUALITY_REPO) / QUALITY_FILE
        metric = pyiqa.create_metric("cnniqa", pretrained_model_path=str(path), device="cpu")

    def score(image: np.ndarray) -> float:
        with torch.inference_mode():
            return float(metric(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255))

    rng = np.random.default_rng(MEASURED.first)
    damages = {
        "blur of 1.5 px": lambda image: degrade.blurred(image, 1.5),
        "blur of 3 px": lambda image: degrade.blurred(image, 3.0),
        "motion blur of 9 px": lambda image: degrade.motion_blurred(image, 9, 30),
        "noise of 20 grey levels": lambda image: degrade.noisy(image, 20, rng),
        "JPEG quality 12": lambda image: degrade.compressed(image, 12),
        "rescaled through 40 %": lambda image: degrade.rescaled(image, 0.4),
    }
    lower: dict[str, list[bool]] = {name: [] for name in damages}
    sharp_scores = []
    for scene in scenes:
        height = scene.composed.image.shape[0]
        clean = degrade.compressed(scene.composed.image, 92)
        if height > SCORED_SHORT_SIDE_PX:
            clean = degrade.resized(clean, SCORED_SHORT_SIDE_PX / height)
        sharp = score(clean)
        sharp_scores.append(sharp)
        for name, damage in damages.items():
            lower[name].append(score(damage(clean)) < sharp)
    table = {f"quality, {name}": {"lower_than_clean": share(hits), "pairs": len(hits)} for name, hits in lower.items()}
    table["quality of clean frames"] = {"mean": float(np.mean(sharp_scores)), "deviation": float(np.std(sharp_scores))}
    return table


def measure_pose(scenes: int) -> Measured:
    """How far points that are seen lie off, as shares of the face's width, and how often imgutils' usual threshold of
    0.3 tells those that are from those that are not; of people whose face is seen, by their own boxes."""
    from imgutils.pose import dwpose_estimate
    from PIL import Image

    off: dict[str, list[float]] = {"face": [], "hands": []}
    told, true = [], []
    for number in range(scenes):
        image, people = posed_scene(MEASURED, number // SCENES_PER_CAST, random.Random(MEASURED.first + number))
        for person in (it for it in people if it.seen[FACE:LEFT_HAND].all()):
            box = [round(side) for side in person.box]
            [found] = dwpose_estimate(Image.fromarray(image), auto_detect=False, out_bboxes=[tuple(box)])
            at = found.all[FACE + 1 :]  # the neck is put in before
            apart = np.hypot(*(at[:, :2] - person.points[FACE:]).T) / np.ptp(person.points[FACE : FACE + 17, 0])
            off["face"] += apart[: LEFT_HAND - FACE].tolist()
            off["hands"] += apart[LEFT_HAND - FACE :][person.seen[LEFT_HAND:]].tolist()
            told += (at[:, 2] > 0.3).tolist()
            true += person.seen[FACE:].tolist()
    sure, seen = np.array(told), np.array(true)
    return {
        **{
            f"pose, points of {name}": {"median_off": float(np.median(of)), "points": len(of)}
            for name, of in off.items()
        },
        "pose, seen or not": {
            "precision": float((sure & seen).sum() / max(1, sure.sum())),
            "recall": float((sure & seen).sum() / max(1, seen.sum())),
        },
    }


def measure_here(pack: Path, scenes: int) -> Measured:
    """All measurements, in a process whose hub cache is `pack`."""
    fresh = [fresh_scene(number) for number in range(scenes)]
    table, boxes = measure_detectors(fresh)
    crops = detected_crops(fresh, boxes)
    table |= measure_identity(crops)
    table |= measure_harder_season(max(1, scenes // 24))
    table |= measure_tagger(fresh, crops)
    table |= measure_embedder(pack, max(4, scenes // 6))
    table |= measure_quality(pack, fresh[: max(6, scenes // 6)])
    table |= measure_pose(scenes)
    return {row: {key: round(float(value), 4) for key, value in values.items()} for row, values in table.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_pipeline.demo.training.measure", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=120)
    arguments = parser.parse_args()
    if Path(os.environ.get("HF_HOME", "")) != arguments.pack.resolve() or os.environ.get("HF_HUB_OFFLINE") != "1":
        print(json.dumps(measure(arguments.pack, scenes=arguments.scenes), indent=2))
        return
    print(json.dumps(measure_here(arguments.pack, arguments.scenes)))


if __name__ == "__main__":
    main()
