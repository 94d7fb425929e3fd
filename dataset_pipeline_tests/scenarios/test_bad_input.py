"""Bad files, missing weights, absent devices: named with what to do, and nothing else is lost because of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.cli.app import app
from dataset_pipeline.cli.common import FAILED, PARTLY
from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.images.stills import stills_of
from dataset_pipeline.models import QualityMetric

SMALL = """
[selection]
min_short_side_px = 64
[detections]
kinds = ["head"]
[text_lines]
long_side_px = 320
"""


def command(project, *arguments: str, settings: str = "") -> tuple[int, str, str]:
    """Exit code, standard output and error of the command line, on a project's store and a history of its own.

    settings: more of them, as TOML.
    """
    overlay = project.root / "overlay.toml"
    overlay.write_text(
        f"""
        [models]
        device = "cpu"
        cache = {json.dumps(str(project.root / "cache"))}
        [store]
        root = {json.dumps(str(project.root / "store"))}
        picture_memory_mib = 0 # so that what a test does to a stored picture is seen by the same run
        [exported_set]
        root = {json.dumps(str(project.root / "exports"))}
        """
        + settings
    )
    home = project.root / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    environment = {"DAGSTER_HOME": str(home), "DATASET_PIPELINE_SETTINGS": str(overlay), "COLUMNS": "300"}
    result = CliRunner().invoke(app, list(arguments), env=environment)
    if isinstance(result.exception, PermanentError):  # `main` prints it, as test_errors.py shows
        return FAILED, result.stdout, f"{result.stderr}{result.exception}"
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def damaged_tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("damaged") / "episodes"
    show = root / "Broken Show"
    show.mkdir(parents=True)
    few_shots = replace(TEST_SHOW, scripts=("talk 1.2, pair 1",))
    [episode] = write_show(tmp_path_factory.mktemp("whole") / "episodes", few_shots, workers=1)
    whole = episode.read_bytes()
    (show / "Broken Show - S01E01.mp4").write_bytes(whole)
    (show / "Broken Show - S01E02.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (show / "Broken Show - S01E03.mkv").write_text("this is a shopping list\n" * 50)
    pictures = root / "Scans"
    pictures.mkdir()
    rng = np.random.default_rng(5)
    for number in range(3):
        noise = rng.integers(0, 255, (12, 20, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((640, 384), Image.Resampling.BICUBIC).save(pictures / f"scan {number}.png")
    whole_picture = (pictures / "scan 2.png").read_bytes()
    (pictures / "scan 2.png").write_bytes(whole_picture[: len(whole_picture) // 2])
    (root / "Nothing here").mkdir()
    return root


def test_each_damaged_source_is_named_with_its_reason_and_the_rest_finishes(fresh, damaged_tree):
    code, output, errors = command(fresh, "run", str(damaged_tree), "--models", "demo", "--json", settings=SMALL)
    assert code == PARTLY, errors
    report = json.loads(output)
    assert report["whole"] is False
    assert report["failures"] == []
    damaged = {key: " ".join(reasons) for key, reasons in report["damaged"].items()}
    scans = next(key for key in damaged if key.startswith("scans"))
    assert set(damaged) == {"broken-show.s01e02", "broken-show.s01e03", scans}
    assert "scan 2.png" in damaged[scans]
    assert any(path.endswith("Nothing here") for path in report["rejected"])
    assert "keyframes" in report["empty"]["broken-show.s01e03"]
    frames = {row["episode"] for row in fresh.rows("keyframes")}
    assert "broken-show.s01e01" in frames
    assert any(episode.startswith("scans") for episode in frames)
    assert fresh.rows("training_set")
    assert Path(report["export_folder"]).is_dir()


def test_a_run_for_which_nothing_is_there_says_so(fresh, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, errors = command(fresh, "run", str(tmp_path / "empty"), "--models", "demo")
    assert code == FAILED
    assert "holds neither videos nor pictures" in errors
    code, _, errors = command(fresh, "run", str(tmp_path / "nowhere.mkv"), "--models", "demo")
    assert code == FAILED
    assert "nowhere.mkv" in errors


def test_missing_weights_are_named_with_role_repository_file_and_command(fresh, drawn_show):
    code, _, errors = command(fresh, "run", str(drawn_show.episodes[0]))
    assert code == FAILED
    for part in ("embedder", "detector", "identity", "quality", "tagger"):  # text_detector is installed
        assert part in errors
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in errors
    assert "HyperIQA-resnet50-koniq10k-c96c41b1.pth" in errors
    assert "dataset-pipeline models pull" in errors
    assert not (fresh.root / "store").exists()


def test_a_gpu_that_was_asked_for_and_is_not_there_stops_the_run(fresh, drawn_show, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    overlay = tmp_path / "cuda.toml"
    overlay.write_text(f'[models]\ndevice = "cuda"\n[store]\nroot = {json.dumps(str(fresh.root / "store"))}\n')
    code, _, errors = command(fresh, "run", str(drawn_show.episodes[0]), "--models", "demo", "--settings", str(overlay))
    assert code == FAILED
    assert "cuda" in errors.lower()
    assert not (fresh.root / "store").exists()


def test_a_cut_meant_for_another_metric_stops_the_run_before_anything_is_measured(fresh, drawn_show, tmp_path):
    overlay = tmp_path / "cut.toml"
    store = json.dumps(str(fresh.root / "store"))
    overlay.write_text(f'[selection]\nby = "score"\nmetric = "hyperiqa"\n[store]\nroot = {store}\n')
    code, _, errors = command(fresh, "run", str(drawn_show.episodes[0]), "--models", "demo", "--settings", str(overlay))
    assert code == FAILED
    assert '[selection] metric = "hyperiqa", for which its cut by score is meant' in " ".join(errors.split())
    assert not (fresh.root / "store").exists()


def test_an_unknown_setting_stops_with_its_name(fresh, tmp_path):
    overlay = tmp_path / "typo.toml"
    overlay.write_text("[crops]\nmin_sise = 4\n")
    code, _, errors = command(fresh, "run", "--models", "demo", "--settings", str(overlay))
    assert code == FAILED
    assert "crops.min_sise" in errors
    assert "person_min_side_px" in errors


def test_an_image_nobody_knows_is_named(finished):
    code, _, errors = command(finished, "explain", "no-show.s01e01/00000000", "--models", "demo")
    assert code == FAILED
    assert "no-show.s01e01" in errors


def test_explain_takes_the_path_of_an_exported_picture(finished):
    picture = next(finished.exported_folder.rglob("*.webp"))
    code, output, _ = command(finished, "explain", str(picture), "--json")
    assert code == 0
    told = json.loads(output)
    assert told["second_s"] is not None
    assert told["decisions"]


def test_loading_the_definitions_imports_no_model_library():
    program = (
        "import sys, dataset_pipeline.definitions as d; d.defs(); d.demo_defs();"
        "heavy = ('torch', 'torchvision', 'onnxruntime', 'imgutils', 'open_clip', 'pyiqa');"
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.strip() == "[]"


def test_a_broken_still_a_failing_model_and_a_strip_cost_the_set_nothing_else(fresh, tmp_path, monkeypatch):
    """A stored still is cut off on the disk, the quality model fails on another picture, a third is a long strip."""
    pictures = tmp_path / "pictures" / "Scans"
    pictures.mkdir(parents=True)
    sizes = {"whole": (320, 200), "cut": (322, 200), "failing": (324, 200), "strip": (64, 17_000)}
    rng = np.random.default_rng(5)
    for name, size in sizes.items():
        noise = rng.integers(0, 255, (12, 20, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(pictures / f"{name}.png")

    def cut_off(frames, **others):
        for row in frames.to_pylist():
            if row["width_px"] == 322:
                stored = fresh.root / "store-demo" / row["path"]
                stored = stored if stored.exists() else next(fresh.root.rglob(stored.name))
                stored.write_bytes(stored.read_bytes()[:200])
        return stills_of(frames, **others)

    def failing(self, images):
        some = list(images)
        if any(image.shape[1] == 324 for image in some):
            raise RuntimeError("negative dimension")
        return score(self, some)

    score = QualityMetric.score
    monkeypatch.setattr("dataset_pipeline.assets.frames.stills_of", cut_off)
    monkeypatch.setattr(QualityMetric, "score", failing)
    arguments = ("run", str(pictures), "--models", "demo", "--json")
    code, output, errors = command(fresh, *arguments, settings=SMALL)
    assert code == PARTLY, errors
    report = json.loads(output)
    assert report["failures"] == []
    [(episode, faults)] = report["faults"].items()
    told = "; ".join(faults)
    for asset in ("detections", "quality_scores"):  # tag_scores says the same as detections, which is told once
        assert f"{asset}: {episode}/cut-" in told
    assert "is damaged: delete it, and the next run makes it again" in told
    assert f"{episode}/failing-" in told
    assert "negative dimension" in told
    stages = {(stage, outcome): count for stage, outcome, count in report["funnel"]}
    assert stages["images", "not_scored"] == 2
    set_of = list((fresh.root / "exports").rglob("*.webp"))
    assert {path.name.partition("@")[2].partition("-")[0] for path in set_of} == {"whole", "strip"}

    # Mended: the picture that was deleted is made again, and only what was lost is measured.
    monkeypatch.undo()
    [stored] = [path for path in fresh.root.rglob("*@cut-*.png") if path.stat().st_size == 200]
    stored.unlink()
    code, output, errors = command(fresh, *arguments, settings=SMALL)
    assert (code, json.loads(output)["faults"]) == (0, {}), errors
    set_of = list((fresh.root / "exports").rglob("*.webp"))
    assert {path.name.partition("@")[2].partition("-")[0] for path in set_of} == set(sizes)
