"""A training of two steps writes a pack that every loader takes, each part by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch.nn import Module

from dataset_pipeline.demo.training.layout import (
    CCIP_MODEL,
    CCIP_REPO,
    DETECTORS,
    EMBEDDER_REPO,
    POSE_REPO,
    QUALITY_FILE,
    QUALITY_REPO,
    TAGGER_MODEL,
    TAGGER_REPO,
    sha256_of_files,
    snapshot_dir,
)


def run(path: Path, batch: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch.astype(np.float32)})


@pytest.mark.thorough
def test_a_short_training_writes_a_complete_pack(tiny_pack: Path) -> None:
    index = json.loads((tiny_pack / "pack.json").read_text())
    assert index["files"] == sha256_of_files(tiny_pack)
    assert index["seed"] == 3
    assert "Not measured" in (tiny_pack / "CARD.md").read_text()


@pytest.mark.thorough
def test_the_exported_detectors_keep_the_yolo_contract(tiny_pack: Path) -> None:
    import onnx

    for name, role in DETECTORS.items():
        folder = snapshot_dir(tiny_pack, role.repo) / role.model
        model = onnx.load(folder / "model.onnx")
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert metadata["names"] == repr({0: name})
        side = json.loads(metadata["imgsz"])[0]
        for batch in (1, 3):
            (boxes,) = run(folder / "model.onnx", np.random.default_rng(0).random((batch, 3, side, side)))
            assert boxes.shape == (batch, 5, (side // 8) ** 2)
            assert (boxes[:, 2:4] > 0).all()
            assert boxes[:, 4].min() >= 0
            assert boxes[:, 4].max() <= 1
        assert json.loads((folder / "threshold.json").read_text())["threshold"] == role.default_threshold


@pytest.mark.thorough
def test_the_exported_identity_keeps_the_ccip_contract(tiny_pack: Path) -> None:
    folder = snapshot_dir(tiny_pack, CCIP_REPO) / CCIP_MODEL
    pictures = np.random.default_rng(0).random((3, 3, 384, 384))
    (features,) = run(folder / "model_feat.onnx", np.concatenate([pictures, pictures[:1]]))
    assert features.shape == (4, 768)
    (differences,) = run(folder / "model_metrics.onnx", features)
    assert differences.shape == (4, 4)
    np.testing.assert_allclose(differences, differences.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(differences), 0, atol=1e-6)
    assert differences[0, 3] == pytest.approx(0, abs=1e-6)
    assert json.loads((folder / "metrics.json").read_text())["threshold"] == pytest.approx(0.178475)


@pytest.mark.thorough
def test_the_exported_tagger_keeps_the_wd14_contract(tiny_pack: Path) -> None:
    with (snapshot_dir(tiny_pack, TAGGER_MODEL) / "selected_tags.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows[:4]] == ["general", "sensitive", "questionable", "explicit"]
    assert [row["category"] for row in rows[:5]] == ["9", "9", "9", "9", "0"]
    path = snapshot_dir(tiny_pack, TAGGER_REPO) / TAGGER_MODEL / "model.onnx"
    picture = np.random.default_rng(0).random((2, 256, 256, 3)) * 255
    prediction, embedding = run(path, picture)
    assert prediction.shape == (2, len(rows))
    assert embedding.ndim == 2
    assert ((prediction > 0) & (prediction < 1)).all()
    assert not np.allclose(prediction, run(path, picture[..., ::-1])[0])


@pytest.mark.thorough
def test_open_clip_and_torch_load_what_was_written(tiny_pack: Path) -> None:
    import open_clip
    import torch

    folder = snapshot_dir(tiny_pack, EMBEDDER_REPO)
    local, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    hub, _, _ = open_clip.create_model_and_transforms(f"hf-hub:{EMBEDDER_REPO}", cache_dir=str(tiny_pack / "hub"))
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(local.eval().encode_image(images), hub.eval().encode_image(images))
    assert "(96, 96)" in str(preprocess)
    checkpoint = torch.load(snapshot_dir(tiny_pack, QUALITY_REPO) / QUALITY_FILE, weights_only=True)
    assert sorted({name.split(".")[0] for name in checkpoint["params"]}) == ["conv1", "fc1", "fc2", "fc3"]


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["detectors", "people", "embedder", "quality", "pose"])
def test_a_part_made_alone_is_the_same_as_made_with_the_others(tiny_pack: Path, tmp_path: Path, part: str) -> None:
    import shutil

    from dataset_pipeline.demo.training.build import build_pack
    from dataset_pipeline.demo.training.plans import TINY

    repos = {
        "detectors": [role.repo for role in DETECTORS.values()],
        "people": [CCIP_REPO, TAGGER_REPO, TAGGER_MODEL],
        "embedder": [EMBEDDER_REPO],
        "quality": [QUALITY_REPO],
        "pose": [POSE_REPO],
    }
    pack = Path(shutil.copytree(tiny_pack, tmp_path / "pack"))
    for repo in repos[part]:
        shutil.rmtree(snapshot_dir(pack, repo))
    build_pack(pack, plan=TINY, seed=3, parts=(part,))
    assert sha256_of_files(pack) == sha256_of_files(tiny_pack)


def test_the_trainer_leaves_a_folder_that_is_no_pack_alone(tmp_path: Path) -> None:
    from dataset_pipeline.demo.training.build import build_pack
    from dataset_pipeline.demo.training.plans import TINY

    (tmp_path / "holiday.txt").write_text("photos")
    with pytest.raises(ValueError, match=r"holds no pack\.json"):
        build_pack(tmp_path, plan=TINY, seed=0)
    assert (tmp_path / "holiday.txt").read_text() == "photos"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def people_of_noise() -> Module:
    from dataset_pipeline.demo.training.data import Views
    from dataset_pipeline.demo.training.people import train_people
    from dataset_pipeline.demo.training.vocabulary import TAGS

    names = ("", *(f"family-{g}-{k}" for g in range(8) for k in range(2) for _ in range(4)))
    tags = np.zeros((len(names), len(TAGS)), np.float32)
    return train_people(Views(noise(len(names), 128, 128, 3), tags, tags + 1, names), steps=(1, 0), seed=5)


def detector_of_noise() -> Module:
    from dataset_pipeline.demo.training.detector import SMALL_THINGS, train_detector

    boxes = [np.array([[0, 50, 50, 70, 80]], np.float32)] * 24
    return train_detector(SMALL_THINGS, noise(24, 192, 192, 3), boxes, steps=1, seed=5)


def embedder_of_noise() -> Module:
    from dataset_pipeline.demo.training.embedder import train_embedder

    return train_embedder(noise(2, 2, 3, 96, 96, 3), steps=1, seed=5)


def quality_of_noise() -> Module:
    from dataset_pipeline.demo.training.quality import train_quality

    return train_quality(noise(2, 3, 64, 64, 3), np.full((2, 3), 0.5, np.float32), steps=1, seed=5)


@pytest.mark.parametrize("trained", [detector_of_noise, people_of_noise, embedder_of_noise, quality_of_noise])
def test_what_a_net_learns_hangs_on_its_seed_and_on_nothing_that_was_trained_before(
    trained: Callable[[], Module],
) -> None:
    import torch

    torch.manual_seed(1)
    first = trained().state_dict()
    torch.manual_seed(2)
    again = trained().state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
