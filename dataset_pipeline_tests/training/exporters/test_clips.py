"""Clips in sets: in parts of their own, for the trainers that take videos, and written again with the rest."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from dataset_pipeline.training.exporters import PROFILES, ExportError, load_profile
from dataset_pipeline.training.exporters.remake import rebalance, recaption, recipe_of
from dataset_pipeline_tests.training.exporters.test_remake import RULES, SETTINGS

WITH_CLIPS = {"musubi", "diffusion_pipe"}
FOLDER = "clips/1_character~fern"
# Of the keys that ConfigSanitizer of musubi-tuner allows for videos those that a set writes.
VIDEOS = {
    "video_directory": str,
    "cache_directory": str,
    "num_repeats": int,
    "resolution": list,
    "frame_extraction": str,
    "target_frames": list,
}


def read_toml(path: Path) -> dict:
    return tomllib.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("profile", PROFILES)
def test_only_trainers_of_videos_are_given_any(profile: str, clipped, tmp_path: Path):
    assert load_profile(profile).reads_clips == (profile in WITH_CLIPS)
    folder = clipped.export(profile, tmp_path).folder
    videos = list(folder.rglob("*.mp4"))
    assert len(videos) == (4 if profile in WITH_CLIPS else 0)
    assert all(video.with_suffix(".txt").read_text("utf-8") for video in videos)
    if profile not in WITH_CLIPS:
        clipped.rows = clipped.rows[:-4]
        assert clipped.export(profile, tmp_path).reused  # as if there were no clips


def test_musubi_is_told_the_length_and_size_of_each_folder_of_clips(clipped, tmp_path: Path):
    folder = clipped.export("musubi", tmp_path).folder
    datasets = read_toml(folder / "dataset.toml")["datasets"]
    videos = [dataset for dataset in datasets if "video_directory" in dataset]
    told = {it["video_directory"]: (it["target_frames"], it["resolution"], it["num_repeats"]) for it in videos}
    assert told == {f"{FOLDER}/81": ([81], [848, 480], 1), f"{FOLDER}/33": ([33], [848, 480], 1)}
    assert all({key: type(value) for key, value in dataset.items()} == VIDEOS for dataset in videos)
    caches = [dataset["cache_directory"] for dataset in datasets]
    assert len(set(caches)) == len(caches)
    assert len(list((folder / FOLDER / "81").glob("*.mp4"))) == 2


def test_diffusion_pipe_is_told_the_sizes_of_clips_as_buckets(clipped, tmp_path: Path):
    folder = clipped.export("diffusion_pipe", tmp_path).folder
    for name, expected in (
        ("dataset.toml", {f"{FOLDER}/81": [[640, 352, 81], [848, 480, 81]], f"{FOLDER}/33": [[848, 480, 33]]}),
        ("eval.toml", {"clips_validation/1_character~fern/81": [[848, 480, 81]]}),
    ):
        directories = read_toml(folder / name)["directory"]
        assert {it["path"]: it["size_buckets"] for it in directories if "size_buckets" in it} == expected
    repeats = {it["path"]: it["num_repeats"] for it in read_toml(folder / "dataset.toml")["directory"]}
    assert (repeats[f"{FOLDER}/81"], repeats[f"{FOLDER}/33"]) == (2.0, 1.0)  # 3 of two sizes, each rounded down; 1
    [held_out] = [it for it in read_toml(folder / "eval.toml")["directory"] if "size_buckets" in it]
    assert held_out["num_repeats"] == 1.0


def test_the_manifest_lists_clips_in_parts_of_their_own_and_the_card_counts_them(clipped, tmp_path: Path):
    folder = clipped.export("musubi", tmp_path).folder
    listed = json.loads((folder / "manifest.json").read_text("utf-8"))["images"]
    clips = [(it["part"], it["frames"], it["fps"], it["kind"]) for it in listed if it["file"].endswith(".mp4")]
    assert clips == [("clips", n, 16, "clip") for n in (81, 33, 81)] + [("clips_validation", 81, 16, "clip")]
    assert not any("frames" in it for it in listed if not it["file"].endswith(".mp4"))
    card = (folder / "README.md").read_text("utf-8")
    assert "pictures and clips (6 to train on, 3 held out for validation, 3 clips to train" in card
    assert "their 16 frames per second" in card


def test_masks_are_of_pictures_alone(clipped, tmp_path: Path):
    clipped.add(40, mask=True)
    folder = clipped.export("diffusion_pipe", tmp_path).folder
    assert (folder / "masks/train/1_character~fern").is_dir()
    assert not (folder / "masks/clips").exists()


@pytest.mark.parametrize("profile", sorted(WITH_CLIPS))
def test_captions_and_multiplies_of_clips_are_made_again_with_those_of_the_images(
    profile: str, clipped, tmp_path: Path
):
    for row in clipped.rows:
        row |= {"people": "1girl", "tags": ["long hair"], "image_type": "" if row.get("frames") else "screencap"}
    made_with = (getattr(SETTINGS, section).model_dump(mode="json") for section in ("captions", "concept_balance"))
    folder = clipped.export(profile, tmp_path, recipe=recipe_of(*made_with, {"long hair"}, RULES)).folder
    report = recaption(folder, {"template": "sentence", "image_type": "still"})
    assert {row["image_id"] for row in clipped.rows if row.get("frames")} <= report.captions
    captions = {path.read_text("utf-8") for path in (folder / "clips").rglob("*.txt")}
    assert captions == {"A video clip of fern with long hair."}
    rebalance(folder, {"weights": [{"pattern": "fern", "weight": 40.0}], "max_multiply": 50.0})
    listed = json.loads((folder / "manifest.json").read_text("utf-8"))["images"]
    by_part: dict[str, set[float]] = {}
    for entry in listed:
        if entry["concept"] == "1_character/fern":
            by_part.setdefault(entry["part"], set()).add(entry["multiply"])
    assert by_part["clips"] == by_part["train"] != {1.361}
    assert by_part["clips_validation"] == {1.0}


def test_a_clip_of_another_format_is_refused(clipped, tmp_path: Path):
    clipped.rows[-1]["path"] = "training_clips/show.e1/33.webm"
    clipped.data["training_clips/show.e1/33.webm"] = b"video 33"
    with pytest.raises(ExportError, match=r"musubi-tuner does not read .*33\.webm"):
        clipped.export("musubi", tmp_path)
