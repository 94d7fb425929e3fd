"""The readiness report of a project's set: what its tables say, as a page for people and JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import still_of
from dataset_pipeline.base.paths import write_whole
from dataset_pipeline.regularization.joining import rows_of_export
from dataset_pipeline.reports.readiness.classes import classes_of
from dataset_pipeline.reports.readiness.judging import readiness
from dataset_pipeline.reports.readiness.leakage import Embedded, Leak, leaks
from dataset_pipeline.reports.readiness.page import page
from dataset_pipeline.reports.readiness.texts import text_in
from dataset_pipeline.reports.readiness.tokens import clip_token_counter
from dataset_pipeline.reports.regularization import unmade_classes
from dataset_pipeline.reports.run_report import account
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.store import Store
from dataset_pipeline.training.contents import face_sizes
from dataset_pipeline.training.split import TRAIN, VALIDATION

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

PAGE, DATA = "readiness.html", "readiness.json"


def readiness_of(store: Store, settings: Settings, resolution: int) -> dict[str, Any]:
    """What `judging.readiness` says of the current set. Raises StoreError where there is none."""
    table = store.read("training_set")
    pointer = store.pointer("training_set")
    episodes = sorted(set(table["episode"].to_pylist()))
    return readiness(
        table,
        account(store, store.episodes("selection")),
        resolution=resolution,
        leaked=leaks_in(store, table, episodes, settings.distinct_frames.similarity),
        face_sides_px=_faces(store, table, episodes, settings.crops.face_min_score),
        count_tokens=clip_token_counter(),
        text=text_in(store, table, episodes),
        classes=_classes(store, settings, table),
        unmade=unmade_classes(store, settings),
        made_with_demo_models=pointer is not None and pointer.provenance.demo,
    )


def write_readiness(found: dict[str, Any], folder: Path) -> Path:
    """`readiness.html` and `readiness.json` into the folder, in place of earlier ones. Returns the page."""
    write_whole(folder / DATA, f"{json.dumps(found, indent=1)}\n".encode())
    write_whole(folder / PAGE, page(found).encode())
    return folder / PAGE


def leaks_in(store: Store, table: pa.Table, episodes: Iterable[str], similarity: float) -> list[Leak]:
    """The held-out images of these episodes that are known from training; nothing is read where nothing is held out.

    Stills are compared by the vectors of `frame_embeddings`. Raises StoreError.
    """
    splits = table["split"].to_pylist()
    if VALIDATION not in splits:
        return []
    rows = list(zip(splits, table["image_id"].to_pylist(), table["file_sha256"].to_pylist(), strict=True))
    stills = pa.array(sorted({still_of(image_id) for _, image_id, _ in rows}))
    groups: dict[str, str] = {}
    ids: list[str] = []
    vectors: list[np.ndarray] = []
    for episode in episodes:
        if (frames := store.find("distinct_frames", episode)) is not None:
            groups |= dict(zip(frames["image_id"].to_pylist(), frames["group"].to_pylist(), strict=True))
        if (embeddings := store.find("frame_embeddings", episode)) is not None:
            embeddings = embeddings.filter(pc.is_in(embeddings["image_id"], stills))
            ids += embeddings["image_id"].to_pylist()
            vectors += [np.asarray(vector, np.float32) for vector in embeddings["embedding"].to_pylist()]
    return leaks(
        {image_id: sha256 for split, image_id, sha256 in rows if split != VALIDATION},
        {image_id: sha256 for split, image_id, sha256 in rows if split == VALIDATION},
        {still: group for still, group in groups.items() if group},
        Embedded(ids, np.stack(vectors)) if vectors else None,
        similarity,
    )


def _classes(store: Store, settings: Settings, table: pa.Table) -> list[dict[str, Any]]:
    """What the trainer of `[exported_set] profile` will make of the regularization classes that are made."""
    classes = settings.regularization.classes
    made = store.find("regularization_set") if classes else None
    if made is None:
        return []
    rows = rows_of_export(made.to_pylist(), classes, table.to_pylist())
    train = table.filter(pc.equal(table["split"], TRAIN))
    return classes_of(train, rows, settings.exported_set.profile)


def _faces(store: Store, table: pa.Table, episodes: Iterable[str], min_score: float) -> list[float]:
    """The shorter side of every face in every picture of the set, in pixels of that picture."""
    widths_px = dict(zip(table["image_id"].to_pylist(), table["width_px"].to_pylist(), strict=True))
    found = []
    for episode in episodes:
        there, detections = store.find("images", episode), store.find("detections", episode)
        if there is None or detections is None:
            continue
        made = store.find("training_images", episode)
        cuts_px = (
            {} if made is None else dict(zip(*(made[it].to_pylist() for it in ("image_id", "cut_px")), strict=True))
        )
        images = [row for row in there.to_pylist() if row["image_id"] in widths_px]
        sizes = face_sizes(detections, images, min_score)
        for row in images:
            cut_px = cuts_px.get(row["image_id"])
            scale = widths_px[row["image_id"]] / (cut_px[2] - cut_px[0] if cut_px else row["width_px"])
            found += [min(size) * scale for size in sizes.get(row["image_id"], ())]
    return found
