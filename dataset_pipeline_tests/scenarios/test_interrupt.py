"""A run that a person stops with Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.cli.common import INTERRUPTED
from dataset_pipeline.settings import PACKAGE
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.store.looks import intact

# The child of a shell's background job, or of a test runner, may have been told to ignore the signal.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from dataset_pipeline.cli.app import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="a process of Windows is sent no signal of its own")
def test_ctrl_c_ends_the_command_at_once_and_a_later_run_goes_on_from_there(fresh, tmp_path):
    pictures = tmp_path / "episodes" / "show" / "e01"
    pictures.mkdir(parents=True)
    noise = np.random.default_rng(5).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 384), Image.Resampling.BICUBIC).save(pictures / "0.png")
    process = start(fresh.root, pictures.parent)
    try:
        wait_for(fresh.root / "store" / "keyframes", process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
        output, errors = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED, errors
    assert "stopped; what is finished is kept, run again to go on" in errors
    assert "Traceback" not in output + errors

    [episode] = fresh.store.episodes("video")
    assert fresh.store.pointer("training_set") is None
    for asset in SCHEMAS:
        if fresh.store.pointer(asset, episode):
            assert intact(fresh.store, asset, episode), asset
    assert not [*fresh.root.rglob("*.tmp")]

    outcome, _ = fresh.run(pictures.parent)
    assert outcome.failures == []
    assert fresh.store.read("training_set").num_rows == 1


def start(root: Path, episodes: Path) -> subprocess.Popen:
    places = {name: json.dumps(str(root / name)) for name in ("store", "exports")}
    (root / "settings.toml").write_text(
        f'[models]\npack = "demo"\ndevice = "cpu"\n[store]\nroot = {places["store"]}\n'
        f"[exported_set]\nroot = {places['exports']}\n"
    )
    (root / "dagster").mkdir()
    (root / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", str(episodes), "--settings", str(root / "settings.toml")],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "DAGSTER_HOME": str(root / "dagster")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    end_s = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.05)
    assert path.exists(), process.communicate()[1] if process.poll() is not None else f"no {path} yet"
