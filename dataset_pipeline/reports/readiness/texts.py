"""How much of a set bears text that was laid over its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from dataset_pipeline.base.boxes import place_of, shared_area
from dataset_pipeline.images.burnt_in_text import boxes_by_still
from dataset_pipeline.store.store import Store

NO_TEXT: dict[str, Any] = {"stills": 0, "kinds": {}, "cut_away": 0, "left_in": 0}


def text_in(store: Store, training_set: pa.Table, episodes: Iterable[str]) -> dict[str, Any]:
    """stills: how many of the episodes bear such text; kinds: how many each kind of it; cut_away: how many images of
    the set were cut for it; left_in: the ids of those that bear it. Raises StoreError."""
    in_set = set(training_set["image_id"].to_pylist())
    kinds: Counter[str] = Counter()
    stills, cut_away, left_in = 0, 0, []
    for episode in episodes:
        found, images, made = (store.find(it, episode) for it in ("burnt_in_text", "images", "training_images"))
        if found is None or images is None or made is None:
            continue
        rows = found.to_pylist()
        boxes = boxes_by_still(rows)
        stills += len(boxes)
        kinds.update(kind for _, kind in {(row["image_id"], row["kind"]) for row in rows if row["burnt_in"]})
        cut = {row["image_id"] for row in made.to_pylist() if row["cut_px"]} & in_set
        cut_away += len(cut)
        left_in += [
            row["image_id"]
            for row in images.to_pylist()
            if row["image_id"] in in_set - cut
            and any(shared_area(box, place_of(row)) > 0 for box in boxes.get(row["still_id"], ()))
        ]
    return {"stills": stills, "kinds": dict(sorted(kinds.items())), "cut_away": cut_away, "left_in": sorted(left_in)}
