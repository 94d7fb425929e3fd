"""Where the files of the demo pack lie: a hub cache of plain files, a card and a machine-readable index.

A hub cache holds ``hub/models--<org>--<name>/refs/main``, a text file with a 40-digit commit id, and
``hub/models--<org>--<name>/snapshots/<commit id>/<path>``. ``huggingface_hub`` reads it without links or blobs when
``HF_HOME`` points at the folder above ``hub`` and ``HF_HUB_OFFLINE=1`` is set.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CCIP_MODEL = "ccip-caformer-24-randaug-pruned"
CCIP_REPO = "deepghs/ccip_onnx"
EMBEDDER_REPO = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
POSE_FILE = "dw-ll_ucoco_384.onnx"
POSE_REPO = "yzd-v/DWPose"
QUALITY_FILE = "CNNIQA_koniq10k-e6f14c91.pth"
QUALITY_REPO = "chaofengc/IQA-PyTorch-Weights"
TAGGER_MODEL = "SmilingWolf/wd-swinv2-tagger-v3"
TAGGER_REPO = "deepghs/wd14_tagger_with_embeddings"


@dataclass(frozen=True)
class DetectorRole:
    """One detector as imgutils asks for it by default: its repository, model folder and confidence threshold."""

    repo: str
    model: str
    default_threshold: float


DETECTORS: dict[str, DetectorRole] = {
    "person": DetectorRole("deepghs/anime_person_detection", "person_detect_v1.1_m", 0.3),
    "halfbody": DetectorRole("deepghs/anime_halfbody_detection", "halfbody_detect_v1.0_s", 0.5),
    "head": DetectorRole("deepghs/anime_head_detection", "head_detect_v2.0_s", 0.4),
    "face": DetectorRole("deepghs/anime_face_detection", "face_detect_v1.4_s", 0.25),
    "hand": DetectorRole("deepghs/anime_hand_detection", "hand_detect_v1.0_s", 0.35),
    "eye": DetectorRole("deepghs/anime_eye_detection", "eye_detect_v1.0_s", 0.3),
}


def commit_id(repo: str) -> str:
    """The 40-digit commit id that the pack gives `repo`: the SHA-1 of a name that no real repository has."""
    return hashlib.sha1(f"demo:{repo}".encode()).hexdigest()


def snapshot_dir(pack: Path, repo: str) -> Path:
    """The folder of `repo`'s files in the pack."""
    return pack / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / commit_id(repo)


def write_repo(pack: Path, repo: str, files: dict[str, bytes]) -> None:
    """Write `files` (path in the repository -> content) as the one snapshot of `repo`."""
    snapshot = snapshot_dir(pack, repo)
    for path, content in files.items():
        target = snapshot / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    ref = snapshot.parent.parent / "refs" / "main"
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit_id(repo))


def required_files() -> list[str]:
    """Every file of a complete pack, relative to it, without the card and the index."""
    files: list[tuple[str, str]] = []
    for role in DETECTORS.values():
        files += [(role.repo, f"{role.model}/{name}") for name in ("model.onnx", "threshold.json", "model_type.json")]
    ccip = ("model_feat.onnx", "model_metrics.onnx", "metrics.json", "cluster.json")
    files += [(CCIP_REPO, f"{CCIP_MODEL}/{name}") for name in ccip]
    files += [(TAGGER_REPO, f"{TAGGER_MODEL}/model.onnx"), (TAGGER_MODEL, "selected_tags.csv")]
    files += [(EMBEDDER_REPO, "open_clip_config.json"), (EMBEDDER_REPO, "open_clip_model.safetensors")]
    files += [(QUALITY_REPO, QUALITY_FILE), (POSE_REPO, POSE_FILE)]
    paths = [(snapshot_dir(Path(), repo) / path).as_posix() for repo, path in files]
    refs = [(snapshot_dir(Path(), repo).parent.parent / "refs" / "main").as_posix() for repo, _ in files]
    return sorted(set(paths + refs))


def sha256_of_files(pack: Path) -> dict[str, str]:
    """SHA-256 of every file under ``hub``, by path relative to the pack.

    Raises `FileNotFoundError` naming what a complete pack still lacks.
    """
    missing = [path for path in required_files() if not (pack / path).is_file()]
    if missing:
        raise FileNotFoundError(f"demo pack {pack} lacks {', '.join(missing)}; rebuild it with its trainer")
    files = sorted(path for path in (pack / "hub").rglob("*") if path.is_file())
    return {path.relative_to(pack).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_index(pack: Path, *, seed: int, measured: dict[str, Any]) -> None:
    """Write ``pack.json``: the pack's name, its mark as a demo, the seed, file hashes and measured accuracy."""
    index = {"name": "demo", "demo": True, "seed": seed, "files": sha256_of_files(pack), "measured": measured}
    (pack / "pack.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
