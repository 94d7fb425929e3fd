"""The batched answers on the demo pack equal those of imgutils' own public functions, run on the same files.

imgutils runs in a process of its own, with HF_HOME on the pack and HF_HUB_OFFLINE set, as its users would run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.models import Detector, Identity, ModelPack, Pose, Tagger
from dataset_pipeline.models.hub import verify
from dataset_pipeline.regularization.points import cut_window, on_picture, window_of

KINDS = ("person", "halfbody", "head", "face", "hand", "eye")
SCRIPT = """
import json, sys
sys.modules["torchvision"] = sys.modules["transformers"] = None  # imgutils does without them, and imports faster
import numpy as np
from PIL import Image
from imgutils.detect import detect_eyes, detect_faces, detect_halfbody, detect_hands, detect_heads, detect_person
from imgutils.generic.yolo import yolo_predict
from imgutils.pose import dwpose_estimate
from imgutils.metrics.ccip import ccip_batch_differences, ccip_batch_extract_features, ccip_default_threshold
from imgutils.tagging.wd14 import get_wd14_tags
source, target = sys.argv[1:]
pictures = [Image.fromarray(array) for array in np.load(source).values()]
functions = {"person": detect_person, "halfbody": detect_halfbody, "head": detect_heads, "face": detect_faces,
             "hand": detect_hands, "eye": detect_eyes}
features = ccip_batch_extract_features(pictures)
tags = [get_wd14_tags(picture, fmt=("rating", "general", "character", "prediction")) for picture in pictures]
json.dump({
    "points": dwpose_estimate(pictures[0], auto_detect=False, out_bboxes=[(220, 20, 420, 340)])[0].all.tolist(),
    "boxes": {kind: [function(picture) for picture in pictures] for kind, function in functions.items()},
    "low": [yolo_predict(picture, "deepghs/anime_head_detection", "head_detect_v2.0_s", 0.1, 0.7)
            for picture in pictures],
    "features": features.tolist(),
    "differences": ccip_batch_differences(list(features)).tolist(),
    "threshold": ccip_default_threshold(),
    "tags": [answer[:3] for answer in tags],
    "predictions": [answer[3].tolist() for answer in tags],
}, open(target, "w"))
"""


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Drawn scenes of several sizes, and one picture without anybody."""
    drawn = [
        draw_scene(seed, size, people=people).image
        for seed, size, people in ((1, (640, 360), 2), (2, (480, 480), 1), (3, (360, 480), 1), (4, (640, 360), 3))
    ]
    return [*drawn, np.full((50, 300, 3), 200, np.uint8)]


@pytest.fixture(scope="module")
def imgutils_answers(scenes: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("imgutils")
    np.savez(folder / "pictures.npz", *scenes)
    environment = {**os.environ, "HF_HOME": str(ModelPack.open("demo").root), "HF_HUB_OFFLINE": "1", "ONNX_MODE": "cpu"}
    command = [sys.executable, "-c", SCRIPT, str(folder / "pictures.npz"), str(folder / "answers.json")]
    subprocess.run(command, check=True, env=environment)
    return json.loads(Path(folder / "answers.json").read_text())


def same_boxes(ours: list, theirs: list) -> bool:
    """Equal corners in equal order; scores within the rounding of another batch."""
    corners = [list(box[1:5]) for box in ours] == [list(box) for box, _, _ in theirs]
    return corners and np.allclose([box.score for box in ours], [score for _, _, score in theirs], atol=1e-5)


def test_boxes_above_the_default_thresholds_are_those_of_imgutils_detect(
    scenes: list[np.ndarray], imgutils_answers: dict[str, Any]
):
    detector = Detector(pack="demo", device="cpu", batch_size=3)
    thresholds = detector.default_thresholds()
    found = detector.detect(scenes, KINDS)
    number = 0
    for kind in KINDS:
        for ours, theirs in zip(found, imgutils_answers["boxes"][kind], strict=True):
            assert same_boxes([box for box in ours if box.kind == kind and box.score > thresholds[kind]], theirs), kind
            number += len(theirs)
    assert number >= 10


def test_boxes_down_to_the_floor_are_those_of_imgutils_yolo_predict(
    scenes: list[np.ndarray], imgutils_answers: dict[str, Any]
):
    found = Detector(pack="demo", device="cpu", batch_size=5, score_floor=0.1).detect(scenes, ["head"])
    assert all(same_boxes(ours, theirs) for ours, theirs in zip(found, imgutils_answers["low"], strict=True))


def test_features_differences_and_threshold_are_those_of_imgutils_ccip(
    scenes: list[np.ndarray], imgutils_answers: dict[str, Any]
):
    identity = Identity(pack="demo", device="cpu", batch_size=2)
    features = identity.embed(scenes)
    np.testing.assert_allclose(features, imgutils_answers["features"], atol=1e-5)
    np.testing.assert_allclose(identity.differences(features), imgutils_answers["differences"], atol=1e-5)
    assert identity.threshold == imgutils_answers["threshold"]


def test_points_are_those_of_imgutils_dwpose(scenes: list[np.ndarray], imgutils_answers: dict[str, Any]):
    """Feet, face and hands: of the body imgutils gives other points, in another order."""
    window = window_of((220.0, 20.0, 420.0, 340.0))
    [found] = Pose(pack="demo", device="cpu").points([cut_window(scenes[0], window)])
    ours, theirs = on_picture(found.ravel(), window)[17:], np.array(imgutils_answers["points"])[18:]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert (ours[:, 2] > 0.3).any()


def test_tag_scores_are_those_of_imgutils_wd14(scenes: list[np.ndarray], imgutils_answers: dict[str, Any]):
    found = Tagger(pack="demo", device="cpu", batch_size=2).tag(scenes)
    np.testing.assert_allclose(found.scores, imgutils_answers["predictions"], atol=1e-5)
    for scores, (rating, general, character) in zip(found.scores, imgutils_answers["tags"], strict=True):
        ours = dict(zip(found.tags, scores.tolist(), strict=True))
        category = dict(zip(found.tags, found.categories, strict=True))
        assert {tag for tag in ours if category[tag] == "rating"} == set(rating)
        assert {tag for tag in ours if category[tag] == "general" and ours[tag] > 0.35} == set(general)
        assert {tag for tag in ours if category[tag] == "character" and ours[tag] > 0.85} == set(character)
        assert all(ours[tag] == pytest.approx(score, abs=1e-5) for tag, score in {**rating, **general}.items())


FAMILIES = """
import json, sys
sys.modules["torchvision"] = sys.modules["transformers"] = None
import numpy as np
from PIL import Image
from imgutils.generic.multilabel_timm import multilabel_timm_predict
from imgutils.tagging.camie import get_camie_tags
from imgutils.tagging.deepdanbooru import get_deepdanbooru_tags
from imgutils.tagging.mldanbooru import get_mldanbooru_tags
from imgutils.tagging.pixai import get_pixai_tags
source, target = sys.argv[1:]
timm = "animetimm/mobilenetv3_large_150d.dbv4-full"
functions = {
    "ml-danbooru": lambda picture: get_mldanbooru_tags(picture, threshold=-1.0),
    "deepdanbooru": lambda picture: {
        tag.removeprefix("rating:"): score
        for part in get_deepdanbooru_tags(picture, general_threshold=-1.0, character_threshold=-1.0)
        for tag, score in part.items()
    },
    "pixai-tagger-v0.9": lambda picture: get_pixai_tags(picture, thresholds=-1.0, fmt="tag"),
    "camie-tagger": lambda picture: get_camie_tags(picture, fmt="prediction").tolist(),
    "animetimm-mobilenetv3-large": lambda picture: multilabel_timm_predict(
        picture, timm, thresholds=-1.0, use_tag_thresholds=False, fmt="tag"
    ),
}
pictures = [Image.fromarray(array) for array in np.load(source).values()]
json.dump({name: [get(picture) for picture in pictures] for name, get in functions.items()}, open(target, "w"))
"""


@pytest.fixture(scope="module")
def answers_of_families(scenes: list[np.ndarray], families_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("families")
    np.savez(folder / "pictures.npz", *scenes)
    environment = {**os.environ, "HF_HOME": str(families_pack), "HF_HUB_OFFLINE": "1", "ONNX_MODE": "cpu"}
    command = [sys.executable, "-c", FAMILIES, str(folder / "pictures.npz"), str(folder / "answers.json")]
    subprocess.run(command, check=True, env=environment)
    return json.loads(Path(folder / "answers.json").read_text())


@pytest.mark.parametrize(
    "model", ["ml-danbooru", "deepdanbooru", "pixai-tagger-v0.9", "camie-tagger", "animetimm-mobilenetv3-large"]
)
def test_other_taggers_score_as_imgutils_scores_with_the_same_files(
    model: str, scenes: list[np.ndarray], families_pack: Path, answers_of_families: Any
):
    found = Tagger(cache=str(families_pack), device="cpu", models=[model], batch_size=2).tag(scenes)
    assert found.scores.shape == (len(scenes), len(found.tags))
    assert len({tuple(scores) for scores in found.scores.round(4).tolist()}) == len(scenes)
    for scores, theirs in zip(found.scores, answers_of_families[model], strict=True):
        if isinstance(theirs, list):
            np.testing.assert_allclose(scores, theirs, atol=1e-5)
        else:
            assert dict(zip(found.tags, scores.tolist(), strict=True)) == pytest.approx(theirs, abs=1e-5)


def test_every_file_of_the_shipped_pack_is_the_recorded_one():
    checks = verify(ModelPack.open("demo"))
    assert {check.path.name: check.problem for check in checks if check.problem} == {}
    assert len(checks) > 10
