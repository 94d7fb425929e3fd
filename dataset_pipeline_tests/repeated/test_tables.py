"""From the tables of a show to what repeats in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.ids import panorama_id, plate_id
from dataset_pipeline.repeated.tables import repeats_of_show
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.schemas import SCHEMAS

SETTINGS = load_settings(DEFAULTS)
NO_TABLES = [SCHEMAS[name].empty() for name in ("shots", "keyframes", "frame_embeddings", "distinct_frames")]
OPENING, OWN = [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]


def panorama(episode: str, start_s: float = 10.0, width_px: int = 4000, verdict: str = "keep") -> dict:
    return {
        "image_id": panorama_id(episode, start_s, start_s + 5),
        "episode": episode,
        "kind": "panorama",
        "start_s": start_s,
        "end_s": start_s + 5,
        "verdict": verdict,
        "width_px": width_px,
        "height_px": 720,
    }


def kept(rows: Sequence[dict], vectors: Sequence[Sequence[float]], before: Collection[str] = ()) -> set[str]:
    """The ids that stay, of those with a vector, in the order of the rows."""
    probes = SCHEMAS["video_probe"].table([{"episode": it} for it in sorted({row["episode"] for row in rows})])
    embeddings = pa.table(
        {
            "image_id": [row["image_id"] for row in rows],
            "embedding": pa.array([np.float32(it) for it in vectors], pa.list_(pa.float32())),
        }
    )
    stitched = SCHEMAS["panoramas"].table(list(rows))
    limits = SETTINGS.repeated_frames, SETTINGS.frame_defects
    found = repeats_of_show("show", probes, *NO_TABLES, stitched, embeddings, *limits, before)
    return {frame["image_id"] for row in found for frame in row["frames"] if frame["kept"]}


def test_twelve_episodes_with_one_opening_yield_its_panorama_once_and_keep_it_as_more_arrive():
    episodes = [f"show.e{number:02d}" for number in range(5, 17)]
    pans = [panorama(it) for it in episodes] + [panorama("show.e05", 300.0)]
    vectors = [*[OPENING] * 12, OWN]
    first = kept(pans, vectors)
    assert first == {pans[0]["image_id"], pans[12]["image_id"]}
    earlier = [panorama("show.e01", width_px=4400), *pans]  # a tenth larger, and first in order: not clearly better
    assert kept(earlier, [OPENING, *vectors], first) == first
    longer = [panorama("show.e01", width_px=8000), *pans]
    assert kept(longer, [OPENING, *vectors], first) == {longer[0]["image_id"], pans[12]["image_id"]}


def test_a_plate_is_no_copy_of_a_panorama_and_what_is_no_still_repeats_nothing():
    pan, doubtful = panorama("show.e01"), panorama("show.e02", verdict="doubtful", width_px=9000)
    plate = pan | {"image_id": plate_id("show.e01", 10.0, 15.0), "kind": "plate"}
    with_subject = pan | {"image_id": plate_id("show.e01", 10.0, 15.0, 12.0), "kind": "plate_with_subject"}
    rows = [pan, doubtful, plate, with_subject]
    assert kept(rows, [OPENING] * 4) == {it["image_id"] for it in (pan, plate, with_subject)}
