"""What every later stage means by a still and by an image, whatever it came out of.

A still is a full picture: a frame of a video, a picture of a folder, and what is made of a whole shot: a panorama of a
pan, a clean plate, a plate with the main figure put back. An image is a still or a crop of one. Both are listed only
where there is a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

FRAME, PICTURE = "frame", "picture"
KEEP, DOUBTFUL, REFUSED = "keep", "doubtful", "refused"  # verdicts on panoramas and plates; those to keep are stills
UNKNOWN_SHRUNK = 8  # by which the masks of what is unknown are smaller than what was stitched
_SHARED = ("path", "pixel_sha256", "width_px", "height_px")


def stills_of(distinct_frames: pa.Table, **stitched: pa.Table) -> list[dict]:
    """Rows of `stills`: the kept frames of a video, which last no time, the pictures of a folder, which have none, and
    what of `stitched` is certain. distinct_frames: a table of that name. stitched: `panoramas` and `backdrops`."""
    kept = (
        distinct_frames.filter(distinct_frames["kept"]).select(["image_id", "episode", "pts_s", *_SHARED]).to_pylist()
    )
    rows = [
        {
            **{name: row[name] for name in ("image_id", "episode", *_SHARED)},
            "kind": PICTURE if row["pts_s"] is None else FRAME,
            "start_s": row["pts_s"],
            "end_s": row["pts_s"],
            "source": "distinct_frames",
        }
        for row in kept
    ]
    columns = ["image_id", "episode", "kind", "start_s", "end_s", "verdict", *_SHARED]
    for source, table in stitched.items():
        rows += [
            row | {"source": source}
            for row in table.select(columns).to_pylist()
            if row.pop("verdict") == KEEP and row["path"]
        ]
    return rows


def images_of(stills: pa.Table, pieces: Mapping[str, pa.Table]) -> list[dict]:
    """Rows of `images`: the stills, and of their pieces those that are kept. pieces: tables of crops by their asset."""
    whole = {row["image_id"]: row for row in stills.to_pylist()}
    place = ("still_id", "kind", "x_px", "y_px", "still_share")
    rows = [
        {name: value for name, value in still.items() if name != "episode"}
        | {"still_id": image_id, "x_px": 0, "y_px": 0, "still_share": None}
        for image_id, still in whole.items()
    ]
    rows += [
        {**piece, "source": asset, "start_s": still["start_s"], "end_s": still["end_s"]}
        for asset, table in pieces.items()
        for piece in table.filter(table["kept"]).select(["image_id", *place, *_SHARED]).to_pylist()
        if (still := whole.get(piece["still_id"]))
    ]
    return sorted(rows, key=lambda row: row["image_id"])


def is_still(image: Mapping[str, Any]) -> bool:
    """Whether a row of `images` is a full picture."""
    return image["image_id"] == image["still_id"]
