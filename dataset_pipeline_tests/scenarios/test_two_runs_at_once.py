"""Two commands on the same episode at the same moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from dataset_pipeline.demo.training.measure import fresh_scene
from dataset_pipeline.settings import PACKAGE
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.store.looks import intact

CHECKOUT = PACKAGE.parent
HANGS_AFTER_S = 280
# A command that hangs says where, and ends.
PROGRAM = f"""
import faulthandler
faulthandler.dump_traceback_later({HANGS_AFTER_S}, exit=True)
from dataset_pipeline.cli.app import main
main()
"""
SETTINGS = """
[models]
pack = "demo"
device = "cpu"
[crops]
person_min_side_px = 60
head_min_side_px = 48
[selection]
min_short_side_px = 48
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with one small folder of drawn pictures."""
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    (tmp_path / "settings.local.toml").write_text(SETTINGS)
    pictures = tmp_path / "episodes" / "show" / "e01"
    pictures.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(fresh_scene(number).image).save(pictures / f"{number}.png")
    return tmp_path


def start(project: Path) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", "episodes", "--json"],
        cwd=project,
        env=environment | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.thorough
def test_two_runs_of_one_episode_give_one_result_and_nothing_to_clean_up(project):
    both = [start(project), start(project)]
    with ThreadPoolExecutor(2) as readers:  # of both at once, or a full pipe stops the one that nobody reads
        said = [*readers.map(lambda process: "\n".join(process.communicate()), both)]
    assert [process.returncode for process in both] == [0, 0], "\n\n".join(said)
    store = Store(str(project / "data" / "demo" / "store"))
    assert len(store.episodes("distinct_frames")) == 1
    for asset in SCHEMAS:
        for episode in [*store.episodes(asset), None]:
            if store.pointer(asset, episode):
                assert intact(store, asset, episode), asset
    [exported] = [path for path in (project / "data" / "demo" / "exports").iterdir() if path.is_dir()]
    assert store.read("training_set").num_rows == len([*exported.rglob("*.webp")]) > 0
    assert not [*(project / "data").rglob("*.tmp")]
