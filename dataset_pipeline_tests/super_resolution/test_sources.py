"""Which pictures are tiled, and why others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.images.resize import pixel_sha256
from dataset_pipeline.settings import FrameDefectsSettings, SrSourcesSettings
from dataset_pipeline.super_resolution.native_height import Upscale
from dataset_pipeline.super_resolution.signatures import as_vectors, signature
from dataset_pipeline.super_resolution.sources import (
    Excluded,
    Look,
    decide_pairs,
    decide_sources,
    excluded_in,
    looked_at,
    repeated_among,
    softness,
    with_upscale,
    without_excluded_pixels,
)

SETTINGS = SrSourcesSettings(
    of="keyframes",
    on_upscaled="keep",
    similarity=0.98,
    min_contrast=0.02,
    max_text=0.5,
    max_blur=0.65,
    min_correlation=0.9,
    excluded="",
)
DEFECTS = FrameDefectsSettings(max_combing=0.5, max_ghost=0.5, max_blockiness=0.6, drop=["combing", "blockiness"])
FIT = {"contrast": 0.2, "sharpness": 1.0, "combing": 0.0, "ghost": 0.0, "blockiness": 0.0, "text": 0.0}


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [draw_scene(seed, (320, 200), people=1, backdrop_seed=1000 + seed).image for seed in range(4)]


def frame(name: str, width_px: int = 320, **signals: float) -> dict[str, Any]:
    return {"image_id": f"a.a/{name}", "episode": "a.a", "width_px": width_px, "height_px": 200, **FIT, **signals}


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def told(frames: list[dict], looks: dict[str, Look], excluded: Excluded | None = None, **more: Any) -> dict[str, tuple]:
    rows = decide_sources(frames, looks, excluded or Excluded(), SETTINGS, DEFECTS, **more)
    assert all(row["kept"] == (row["reason"] == "kept") for row in rows)
    return {row["image_id"].partition("/")[2]: (row["reason"], row["of"].partition("/")[2]) for row in rows}


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"contrast": 0.01, "combing": 1.0}, "blank"),
        ({"combing": 0.6, "text": 0.9}, "combing"),
        ({"ghost": 0.6}, "kept"),
        ({"blockiness": 0.7}, "blockiness"),
        ({"text": 0.6}, "text"),
        ({}, "kept"),
    ],
)
def test_a_picture_with_a_defect_is_left_out_with_the_first_of_its_reasons(
    scenes: list[np.ndarray], signals: dict[str, float], reason: str
):
    assert told([frame("x", **signals)], {"a.a/x": looked_at(scenes[0])}) == {"x": (reason, "")}


def test_a_picture_that_cannot_be_read_or_has_found_text_or_bars_is_left_out(scenes: list[np.ndarray]):
    barred = scenes[2].copy()
    barred[:24], barred[-24:] = 0, 0
    looks = {"a.a/read": looked_at(scenes[0]), "a.a/lettered": looked_at(scenes[1]), "a.a/barred": looked_at(barred)}
    frames = [frame(name) for name in ("read", "lettered", "barred", "gone")]
    found = told(frames, looks, with_text={"a.a/lettered"})
    assert {name: reason for name, (reason, _) in found.items()} == {
        "read": "kept", "lettered": "text", "barred": "bars", "gone": "unreadable"
    }  # fmt: skip


def test_a_whip_pan_and_a_picture_out_of_focus_are_blurred_and_what_is_sharp_before_a_soft_background_is_not():
    scenes = [draw_scene(seed, (1280, 720), people=1, backdrop_seed=1000 + seed) for seed in range(3)]
    soft_behind = []
    for scene in scenes:
        backdrop = cv2.GaussianBlur(scene.image, (0, 0), 6)
        left, top, right, bottom = map(round, scene.people[0].person)
        backdrop[top:bottom, left:right] = scene.image[top:bottom, left:right]
        soft_behind.append(backdrop)
    blurs = {
        "sharp": lambda it: it,
        "whip": lambda it: cv2.blur(it, (106, 1)),
        "tilt": lambda it: cv2.blur(it, (1, 80)),
        "defocus": lambda it: cv2.GaussianBlur(it, (0, 0), 4),
        "upscaled": lambda it: cv2.resize(resized(it, (640, 360)), (1280, 720), interpolation=cv2.INTER_CUBIC),
    }
    pictures = {f"{name}{at}": blur(scene.image) for name, blur in blurs.items() for at, scene in enumerate(scenes)}
    pictures |= {f"before{at}": it for at, it in enumerate(soft_behind)}
    looks = {f"a.a/{name}": looked_at(it) for name, it in pictures.items()}
    found = told([frame(name) for name in pictures], looks, are_distinct=True)
    for name, (reason, _) in found.items():
        assert reason == ("blurred" if name.startswith(("whip", "tilt", "defocus")) else "kept"), name
    grey = np.full((90, 160), 90, np.uint8)
    assert softness(grey) == softness(grey[:5, :5]) == 0
    kept = decide_sources([frame("whip0")], looks, Excluded(), SETTINGS.model_copy(update={"max_blur": 1.0}), DEFECTS)
    assert kept[0]["kept"]


def test_of_pictures_that_look_alike_the_largest_stays_and_of_those_the_sharpest(scenes: list[np.ndarray]):
    pictures = {"soft": scenes[0], "sharp": scenes[0], "small": resized(scenes[0], (160, 100)), "other": scenes[1]}
    looks = {f"a.a/{name}": looked_at(it) for name, it in pictures.items()}
    frames = [frame("soft"), frame("sharp", sharpness=2.0), frame("small", 160, sharpness=9.0), frame("other")]
    gone = ("duplicate", "sharp")
    assert told(frames, looks) == {"soft": gone, "sharp": ("kept", ""), "small": gone, "other": ("kept", "")}
    assert set(told(frames, looks, are_distinct=True).values()) == {("kept", "")}
    frames[1]["ghost"] = 0.9
    assert told(frames, looks)["soft"] == ("kept", "")


def test_test_images_are_found_by_likeness_and_by_their_very_pixels(scenes: list[np.ndarray], tmp_path: Path):
    Image.fromarray(resized(scenes[0], (200, 125))).save(tmp_path / "shrunk.png")
    flat = np.full((200, 320, 3), 90, np.uint8)
    Image.fromarray(flat).save(tmp_path / "flat.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    excluded = excluded_in(tmp_path)
    assert sorted(excluded.names) == ["flat.png", "shrunk.png"]
    assert list(excluded.unread) == ["broken.png"]
    looks = {"a.a/same": looked_at(scenes[0]), "a.a/other": looked_at(scenes[1])}
    found = told([frame("same"), frame("other")], looks, excluded)
    assert found["other"] == ("kept", "")
    assert found["same"][0] == "excluded"
    drawn = {"kept": True, "reason": "kept", "of": "", "similarity": None, "path": "p"}
    rows = [drawn | {"pixel_sha256": pixel_sha256(it)} for it in (flat, scenes[1])]
    flat_row, other_row = without_excluded_pixels(rows, excluded)
    assert (flat_row["kept"], flat_row["reason"], flat_row["of"], flat_row["path"]) == (
        False,
        "excluded",
        "flat.png",
        "",
    )
    assert other_row == rows[1]
    assert excluded_in(None).names == []


def test_one_colour_is_like_nothing_and_brightness_does_not_count(scenes: list[np.ndarray]):
    darker = (scenes[0] * 0.6).astype(np.uint8)
    vectors = as_vectors([signature(it) for it in (scenes[0], darker, np.full_like(darker, 7), scenes[1])])
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.999
    assert likeness[0, 3] < 0.9
    assert not vectors[2].any()
    assert as_vectors([]).shape == (0, 256)


def test_pictures_of_an_upscaled_episode_are_dropped_or_get_their_native_size_and_where_it_is_unknown_nothing_changes():
    size = {"width_px": 320, "height_px": 176}
    rows = [
        {"image_id": name, "kept": kept, "reason": "kept" if kept else "text", **size} | more
        for name, kept, more in (("a", True, {}), ("b", False, {}), ("other", True, {"height_px": 170}))
    ]
    lies = Upscale((320, 200), 150, "mitchell", (0, 12, 0, 12))
    assert with_upscale(rows, None, "drop") == with_upscale(rows, lies, "keep") == rows
    assert [row["reason"] for row in with_upscale(rows, lies, "drop")] == ["upscaled", "text", "kept"]
    descaled = with_upscale(rows, lies, "descale")
    assert descaled[0] == rows[0] | {"width_px": 240, "height_px": 132, "native_px": 150, "kernel": "mitchell"}
    assert descaled[1:] == rows[1:]


def test_of_pictures_of_several_episodes_that_are_alike_the_largest_stays_and_those_of_one_episode_are_left_alone(
    scenes: list[np.ndarray],
):
    def row(episode: str, name: str, width_px: int, picture: np.ndarray) -> dict[str, Any]:
        size = {"width_px": width_px, "height_px": width_px // 2, "signature": signature(picture)}
        return {"image_id": f"{episode}/{name}", "episode": episode, **size}

    flat = np.full((32, 32, 3), 90, np.uint8)
    rows = [
        row("a.a", "first", 640, scenes[0]),
        row("a.a", "again", 640, scenes[0]),
        row("b.b", "small", 320, resized(scenes[0], (160, 100))),
        row("b.b", "large", 1280, scenes[1]),
        row("c.c", "other", 640, resized(scenes[1], (200, 125))),
        row("c.c", "own", 640, scenes[2]),
        row("a.a", "flat", 640, flat),
        row("b.b", "flat", 640, flat),
    ]
    assert repeated_among(rows, 0.98) == {"b.b/small", "c.c/other"}
    assert repeated_among(rows[::-1], 0.98) == {"b.b/small", "c.c/other"}
    assert repeated_among([], 0.98) == set()


def test_of_pairs_those_whose_pictures_are_too_little_alike_are_left_out_first(scenes: list[np.ndarray]):
    pairs = [frame("a") | {"correlation": 0.95}, frame("b") | {"correlation": 0.89}, frame("c") | {"correlation": 0.97}]
    looks = {f"a.a/{name}": looked_at(scenes[number]) for number, name in enumerate("aac")}
    looks["a.a/b"] = looks["a.a/a"]
    rows = decide_pairs(pairs, looks, Excluded(), SETTINGS, DEFECTS)
    assert [(row["image_id"], row["reason"]) for row in rows] == [
        ("a.a/a", "kept"), ("a.a/b", "unlike"), ("a.a/c", "kept")
    ]  # fmt: skip
