"""An episode that was upscaled is found out, and its tiles are cut from what was drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.graph.declaration import behind
from dataset_pipeline.images.resize import decode
from dataset_pipeline_tests.scenarios.conftest import new_project
from dataset_pipeline_tests.super_resolution.drawn_heights import drawn_cels, write_videos

DRAWN_PX, FULL_PX, SEED = 288, 360, 11


def luma(picture: np.ndarray) -> np.ndarray:
    """What H.264 keeps at full size, without the edge."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[4:-4, 4:-4].astype(int)


def test_tiles_of_an_upscaled_episode_are_cut_from_what_was_drawn(tmp_path: Path):
    [path] = write_videos(tmp_path, DRAWN_PX, SEED, "mitchell", (18,), FULL_PX).values()
    project = new_project(tmp_path / "project")
    changes: dict[str, Any] = {"keyframes__mode": "interval", "keyframes__every_s": 0.2, "sr_tiles__tile_px": 96}
    changes["sr_sources__on_upscaled"] = "descale"
    outcome, calls = project.run(path, only=behind("sr_tiles", project.settings(**changes)), **changes)
    assert (outcome.failures, calls) == ([], {})
    [found] = project.rows("native_size")
    assert (found["verdict"], found["height_px"], found["frame_height_px"]) == ("upscaled", DRAWN_PX, FULL_PX)
    pointer = project.store.pointer("native_size", found["episode"])
    assert pointer is not None
    assert any("data:image/png" in note for note in pointer.provenance.notes.values())
    kept = [row for row in project.rows("sr_sources") if row["kept"]]
    assert len(kept) > 3
    assert {(row["width_px"], row["height_px"], row["native_px"]) for row in kept} == {(512, DRAWN_PX, DRAWN_PX)}
    assert {row["copy_height_px"] for row in project.rows("sr_tiles")} == {DRAWN_PX, DRAWN_PX * 3 // 4, DRAWN_PX // 2}
    cels = [luma(cel) for shot in drawn_cels(DRAWN_PX, SEED) for cel, _ in shot]
    pictures = [luma(decode(project.store.read_picture(row["path"]))) for row in kept]
    assert max(min(np.abs(picture - cel).mean() for cel in cels) for picture in pictures) < 3
