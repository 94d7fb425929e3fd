"""Rows of tables as the tests of this room need them."""

from __future__ import annotations

from typing import Any

from dataset_pipeline.base.boxes import SIDES
from dataset_pipeline.base.ids import episode_of, show_of


def training_row(image_id: str = "show.e1/00000001", **changes: Any) -> dict[str, Any]:
    """A row of `training_set`."""
    texts = ("image_type", "rating", "face_position", "quality_word", "text", "written", "people", "concept", "caption")
    return {
        "image_id": image_id,
        "episode": episode_of(image_id),
        "show": show_of(image_id),
        "show_title": "Spy x Family",
        "kind": "still",
        **{name: [] for name in ("characters", "series", "artists", "activation_tags", "tags")},
        **dict.fromkeys(texts, ""),
        "image_type": "screencap",
        "n_people": 0,
        "split": "train",
        "multiply": 1.0,
        "quality": 0.5,
        "width_px": 1280,
        "height_px": 720,
        "path": "pictures/a.webp",
        "file_sha256": "",
        **changes,
    }


def asked_row(image_id: str, **changes: Any) -> dict[str, Any]:
    """A row of `regularization_requests`."""
    texts = ("negative_prompt", "caption", "mirrors", "path")
    numbers = {"seed": 0, "width_px": 512, "height_px": 512, "people": None}
    return {"image_id": image_id, "source": "prompts", "prompt": "p", **dict.fromkeys(texts, ""), **numbers, **changes}


def found_box(kind: str, box: tuple[float, float, float, float], score: float = 1.0) -> dict[str, Any]:
    """A row of detections but for its picture."""
    return {"kind": kind, **dict(zip(SIDES, box, strict=True)), "score": score}
