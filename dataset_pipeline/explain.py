"""Where an image comes from and why it is, or is not, in the set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_pipeline.aliases import current_id
from dataset_pipeline.ids import episode_of, image_id, still_of
from dataset_pipeline.store.store import Store


class UnknownImage(LookupError):
    """No table of the store speaks of the image."""


@dataclass(frozen=True)
class Decision:
    """What one asset says of the image: its row, and the code, settings and models it was made by."""

    asset: str
    of: str  # the image the row speaks of: the image itself or its still
    row: dict[str, Any]
    code_version: str
    settings: dict[str, Any]
    models: list[dict[str, Any]]


@dataclass(frozen=True)
class Explanation:
    """`second_s`: of the video, None for pictures. `box_px`: (x0, y0, x1, y1) of a crop in its still."""

    image_id: str
    still_id: str
    source: str
    second_s: float | None
    box_px: tuple[int, int, int, int] | None
    made_with_demo_models: bool
    decisions: list[Decision]


# Tables in the order of the work: (asset, whether the still's row counts for a crop too).
PER_IMAGE = (
    ("keyframes", True),
    ("distinct_frames", True),
    ("detections", True),
    ("crops", False),
    ("clusters", False),
    ("quality_scores", False),
    ("tag_scores", False),
    ("hand_edited_tags", False),
    ("tags", False),
    ("selection", False),
    ("descriptions", False),
    ("captions", False),
    ("training_images", False),
    ("multiplies", False),
)
LONG_COLUMNS = frozenset({"pixel_sha256", "model_sha256", "algorithm"})


def image_of(image: str) -> str:
    """The image id meant by an id, a file name or a path of an exported or stored picture."""
    path = Path(image)
    if path.suffix and ("/" not in image or path.exists() or "@" in path.name):
        return image_id(path.name)
    return image_id(image) if "@" in image else image


def explain(store: Store, image: str) -> Explanation:
    """Gather every row about an image, which may be called by a former id. Raises UnknownImage."""
    image = current_id(store, image)
    episode, still = episode_of(image), still_of(image)
    video = store.pointer("video", episode)
    if video is None:
        raise UnknownImage(f"no episode {episode} in {store.root}")
    decisions, box_px, second_s, demo = [], None, None, False
    for asset, of_still in PER_IMAGE:
        subject = still if of_still else image
        rows = [row for row in _rows(store, asset, episode) if row["image_id"] == subject]
        if asset == "keyframes" and rows and rows[0]["pts_s"] is not None:
            second_s = rows[0]["pts_s"]
        if asset == "crops" and rows:
            row = rows[0]
            box_px = (row["x_px"], row["y_px"], row["x_px"] + row["width_px"], row["y_px"] + row["height_px"])
        pointer = store.pointer(asset, episode)
        if pointer is None:
            continue
        demo = demo or bool(pointer.provenance.get("demo"))
        for row in rows:
            told = {name: value for name, value in row.items() if name not in LONG_COLUMNS and name != "image_id"}
            decisions.append(
                Decision(
                    asset,
                    subject,
                    told,
                    pointer.provenance.get("code_version", ""),
                    pointer.provenance.get("settings", {}),
                    pointer.provenance.get("models", []),
                )
            )
    if not any(decision.of == image for decision in decisions):
        raise UnknownImage(f"no image {image} in {store.root}; the episode {episode} is there")
    return Explanation(image, still, video.provenance["path"], second_s, box_px, demo, decisions)


def _rows(store: Store, asset: str, episode: str) -> list[dict[str, Any]]:
    table = store.find(asset, episode)
    return [] if table is None else table.to_pylist()
