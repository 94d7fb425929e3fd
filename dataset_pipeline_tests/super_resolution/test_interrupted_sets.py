"""A set that is stopped in the middle: nothing is taken for a set, and the next run draws what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.settings.degradation import DOWNSCALE
from dataset_pipeline.super_resolution import set_files as files_of_sets
from dataset_pipeline.super_resolution.assembling import begun_in, told
from dataset_pipeline.super_resolution.layout import Tile
from dataset_pipeline.super_resolution.set_files import LowQuality, set_files
from dataset_pipeline.training.exporters.folder import differences_in, write_folder
from dataset_pipeline_tests.super_resolution.drawn_sets import drawn_pictures, ranked_tiles, step

HOW = LowQuality((2,), "box", (step("blur", 0.3, 1.5, 0.5), step(DOWNSCALE), step("jpeg", 50, 90)), seed=7)
PARTIAL = ".a set.partial"
PROGRAM = """
import sys, time
from pathlib import Path
from dataset_pipeline.super_resolution import set_files
from dataset_pipeline_tests.super_resolution import test_interrupted_sets as it
encode = set_files.encode_png
def slow(picture):
    time.sleep(0.05)
    return encode(picture)
set_files.encode_png = slow
it.written(Path(sys.argv[1]), it.drawn_pictures(), it.ranked_tiles())
"""


def written(root: Path, pictures: dict[str, np.ndarray], tiles: list[Tile]) -> Path:
    return write_folder(
        root,
        "a set",
        lambda partial: set_files(
            tiles, pictures.__getitem__, HOW, about={"drawn": told(HOW)}, earlier=begun_in(partial, HOW)
        ),
        lambda folder: {},
        lambda folder: [],
        resumes=True,
    )[0]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every picture that is encoded."""
    found: list[np.ndarray] = []
    encode = files_of_sets.encode_png
    monkeypatch.setattr(files_of_sets, "encode_png", lambda picture: found.append(picture) or encode(picture))
    return found


def test_a_set_that_was_killed_is_none_and_goes_on_with_what_is_whole(
    tmp_path: Path, pictures: dict[str, np.ndarray], tiles: list[Tile], encoded: list[np.ndarray]
):
    whole = written(tmp_path / "undisturbed", pictures, tiles)
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "killed")])
    partial = tmp_path / "killed" / PARTIAL
    while len(list(partial.glob("train/*/*.png"))) < 9:
        assert child.poll() is None, "it came to its end"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    child.wait()
    assert [it.name for it in (tmp_path / "killed").iterdir()] == [PARTIAL]
    low = min(partial.glob("*/x2/*.png"))
    low.write_bytes(low.read_bytes()[:-9])  # as where a file was being written
    (partial / "train/hr/nothing of this set.png").write_bytes(b"left")
    there = sum(begun_in(partial, HOW)(tile) is not None for tile in tiles)
    assert 3 <= there < len(tiles)
    encoded.clear()
    resumed = written(tmp_path / "killed", pictures, tiles)
    assert len(encoded) == 2 * (len(tiles) - there)
    assert (resumed / "checksums.sha256").read_bytes() == (whole / "checksums.sha256").read_bytes()
    assert differences_in(resumed) == []
    assert [it.name for it in (tmp_path / "killed").iterdir()] == ["a set"]


def test_what_fails_in_the_middle_keeps_what_it_wrote(tmp_path: Path, tiles: list[Tile], encoded: list[np.ndarray]):
    pictures = drawn_pictures()
    gone = pictures.pop(max(pictures))
    with pytest.raises(KeyError):
        written(tmp_path, pictures, tiles)
    assert [it.name for it in tmp_path.iterdir()] == [PARTIAL]
    first = len(encoded)
    written(tmp_path, pictures | {max(drawn_pictures()): gone}, ranked_tiles())
    assert first > 0
    assert len(encoded) < first + 2 * len(tiles)
