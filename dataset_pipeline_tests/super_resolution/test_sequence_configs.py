from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_pipeline.settings import DEFAULTS, SettingsError, load_settings
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION
from dataset_pipeline.super_resolution.sequence_configs import SequenceFacts, sequence_configs
from dataset_pipeline.super_resolution.sequences import Layout, frame_paths
from dataset_pipeline_tests.super_resolution.drawn_sequences import (
    HEIGHT_PX,
    LENGTHS,
    ROOM_FOR_FLOW_PX,
    runs_of,
    written_sequences,
)
from dataset_pipeline_tests.super_resolution.loaders import (
    REDS_PARTITIONS,
    basicsr_sequences,
    trainner_sequences,
)

ALL_SCALES = (2, 3, 4, 8)


def options_of(facts: SequenceFacts, folder: str = "") -> dict[str, Any]:
    return {name: yaml.safe_load(text) for name, text in sequence_configs(facts, folder).items()}


def facts(layout: Layout, held_out: int, frames: int = 0, side_px: int = 400) -> SequenceFacts:
    return SequenceFacts("a_set", layout, frames or LENGTHS[layout], 640, side_px, ALL_SCALES, held_out)


@pytest.mark.parametrize(
    ("layout", "height_px", "expected"),
    [
        ("reds", HEIGHT_PX, ["basicsr_x4.yml"]),
        ("vimeo", ROOM_FOR_FLOW_PX, ["basicsr_recurrent_x4.yml", "basicsr_x4.yml"]),
    ],
)
def test_basicsr_reads_the_parts_of_a_set_by_its_settings(
    tmp_path: Path, layout: Layout, height_px: int, expected: list[str]
):
    folder = written_sequences(tmp_path, layout, 2, 1, (4,), height_px)
    names = sorted(it.name for it in (folder / "absolute").iterdir())
    assert names == expected
    for name in names:
        options = yaml.safe_load((folder / "absolute" / name).read_text("utf-8"))
        read = {part: basicsr_sequences(its, options["scale"]) for part, its in options["datasets"].items()}
        if layout == "reds":
            assert read == {"train": ["300", "301"], "val": ["000"]}
        else:
            assert read == {"train": ["00001/0001", "00001/0002"], "val": ["00001/0001"]}


def test_trainner_redux_reads_the_parts_of_a_set_by_its_settings(tmp_path: Path):
    folder = written_sequences(tmp_path, "trainner", 3, 2)
    for scale in (2, 4):
        options = yaml.safe_load((folder / f"absolute/trainner_redux_x{scale}.yml").read_text("utf-8"))
        for part, count in (("train", 3), ("val", 2)):
            scenes = trainner_sequences(options["datasets"][part], scale)
            assert [len(windows) for windows in scenes.values()] == [LENGTHS["trainner"] - 4] * count


@pytest.mark.parametrize(("held_out", "partition"), [(0, "REDS4"), (4, "REDS4"), (5, "official"), (30, "official")])
def test_clips_that_are_held_out_have_names_that_basicsr_takes_out_of_training(
    tmp_path: Path, held_out: int, partition: str
):
    runs = runs_of("reds", 40, held_out)
    clips = {split: {its[0].split("/")[0] for its in frame_paths(runs[split], "reds", split)} for split in runs}
    assert len(clips[VALIDATION]) == held_out
    assert clips[VALIDATION] <= REDS_PARTITIONS[partition]
    assert not any(clips[TRAIN] & names for names in REDS_PARTITIONS.values())
    for options in options_of(facts("reds", held_out)).values():
        assert options["datasets"]["train"]["val_partition"] == partition
        assert ("val" in options["datasets"]) == ("val" in options) == (held_out > 0)


def test_more_clips_than_basicsr_has_names_for_are_refused():
    with pytest.raises(ValueError, match="31 sequences held out, and REDSDataset takes 30 at most"):
        frame_paths(runs_of("reds", 1, 31)[VALIDATION], "reds", VALIDATION)
    changes = {"sr_sequences__layout": "reds", "sr_sequences__validation_sequences": 31}
    with pytest.raises(SettingsError, match=r"sr_sequences\.validation_sequences = 31 is above 30"):
        load_settings(DEFAULTS, **changes)
    assert load_settings(DEFAULTS, **changes | {"sr_sequences__validation_sequences": 30})


def test_there_are_settings_for_the_scales_that_networks_know_and_frames_have_room_for():
    assert [*options_of(facts("vimeo", 1))] == [
        "basicsr_x2.yml", "basicsr_x3.yml", "basicsr_x4.yml", "basicsr_recurrent_x4.yml", "basicsr_x8.yml",
    ]  # fmt: skip
    assert [*options_of(facts("trainner", 1, side_px=190))] == [f"trainner_redux_x{scale}.yml" for scale in (2, 3, 4)]
    assert options_of(facts("reds", 1, side_px=47)) == {}
    for options in options_of(facts("vimeo", 1)).values():
        assert options["datasets"]["train"]["gt_size"] <= 400
        assert options["val"]["save_img"] is False


@pytest.mark.parametrize(("frames", "clip"), [(3, 3), (4, 3), (5, 5), (6, 5), (100, 5)])
def test_trainner_redux_takes_an_odd_number_of_frames_that_its_network_takes_too(frames: int, clip: int):
    for options in options_of(facts("trainner", 1, frames)).values():
        assert {its["clip_size"] for its in options["datasets"].values()} == {clip}
        assert options["network_g"]["num_frames"] == clip


def test_relative_settings_name_places_below_the_set():
    [absolute, relative] = (options_of(facts("reds", 1), folder)["basicsr_x2.yml"] for folder in ("/sets/a", ""))
    for part in ("train", "val"):
        for key in ("dataroot_gt", "dataroot_lq", "meta_info_file"):
            assert absolute["datasets"][part][key] == f"/sets/a/{relative['datasets'][part][key]}"
