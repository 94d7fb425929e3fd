"""What a super-resolution set says of itself: the manifest for programs, the card for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from dataset_pipeline.settings.degradation import DegradationStep
from dataset_pipeline.super_resolution.layout import (
    HR,
    META_INFO,
    SCORES,
    SIZED_META_INFO,
    TRAIN,
    VALIDATION,
    Tile,
    lq_folder,
)
from dataset_pipeline.super_resolution.low_quality import Applied

MANIFEST, CARD = "manifest.json", "README.md"
FORMAT = 1
_OWN = "Low-quality pictures are the very pixels of another release of the same episode; none was drawn."


def entry(tile: Tile, applied: Mapping[int, Sequence[Applied]]) -> dict[str, Any]:
    """A tile's line of the manifest: where its pixels come from, and by scale what was done to its low-quality ones."""
    row = tile.row
    return {
        "file": tile.path(),
        "tile_id": row["tile_id"],
        "image_id": row["image_id"],
        "pixel_sha256": row["pixel_sha256"],
        "copy_px": [row["copy_width_px"], row["copy_height_px"]],
        "place_px": [row["x_px"], row["y_px"], row["side_px"]],
        "score": tile.score,
        "low_quality": {
            lq_folder(scale): [{"step": it.kind, "strength": it.strength} for it in steps]
            for scale, steps in applied.items()
        },
    }


def manifest(entries: Iterable[Mapping[str, Any]], recipe: Sequence[DegradationStep], about: Mapping[str, Any]) -> str:
    """The manifest, a line for each tile. about: the set's lineage and settings."""
    steps = [{"step": it.kind, "low": it.low, "high": it.high, "probability": it.probability} for it in recipe]
    head = json.dumps({"format": FORMAT, "about": about, "recipe": steps}, sort_keys=True, ensure_ascii=False)
    lines = ",\n".join(
        json.dumps(it, sort_keys=True, ensure_ascii=False) for it in sorted(entries, key=lambda it: it["file"])
    )
    return f'{head[:-1]}, "tiles": [\n{lines}\n]}}\n'


def card(
    tiles: Sequence[Tile],
    scales: Sequence[int],
    filter: str,
    recipe: Sequence[DegradationStep],
    own: bool = False,
    held_out_by: str = "",
) -> str:
    """The card in Markdown. own: low-quality pictures are those of another release. held_out_by: what told how alike
    tiles for validation are."""
    parts = {split: [tile for tile in tiles if tile.split == split] for split in sorted({tile.split for tile in tiles})}
    sizes = sorted({tile.row["side_px"] for tile in tiles})
    lines = [
        "# A super-resolution set", "",
        f"Tiles of {' and '.join(f'{side} x {side}' for side in sizes)} pixels, RGB PNG of 8 bits, numbered from the "
        "best score down.", "",
        "| folder | pictures | mean score |", "| --- | ---: | ---: |",
    ]  # fmt: skip
    for split, its in parts.items():
        mean = fmean(tile.score for tile in its)
        lines += [f"| {split}/{folder} | {len(its)} | {mean:.4f} |" for folder in (HR, *map(lq_folder, scales))]
    if VALIDATION in parts:
        lines += ["", f"Tiles in `{VALIDATION}/` are of the next ranks, those least like one another and like those in "
                  f"`{TRAIN}/`, as told by {held_out_by or 'their vectors'}."]  # fmt: skip
    lines += ["", _OWN if own else _low_quality_text(scales, filter, recipe), ""]
    lines += [
        f"- BasicSR: `basicsr_x*.yml`, which names its pairs by `{SIZED_META_INFO}`.",
        "- traiNNer-redux: `trainner_redux_x*.yml` by folders; `trainner_redux_otf_x4.yml` makes low-quality pictures "
        "as it goes. Its `meta_info` and LMDB do not work for pairs.",
        "- neosr: `neosr_x*.toml` by folders. Its `meta_info` does not work.",
        "- Real-ESRGAN: "
        f"`{META_INFO}` holds the paths of `{TRAIN}/{HR}` below this folder.",
        "",
        "Settings of this folder hold paths from within it, where the trainer is then started; those in `absolute/` "
        "the path that it had when it was made.",
        f"`{SCORES}` has the score of each tile, `{MANIFEST}` where each comes from. In the folders of pictures lies "
        "nothing else, as trainers take every file there for a picture.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _low_quality_text(scales: Sequence[int], filter: str, recipe: Sequence[DegradationStep]) -> str:
    if not scales:
        return "Low-quality pictures are left to the trainer."
    text = f"Low-quality pictures are smaller by {' and '.join(map(str, scales))}, by the filter {filter}"
    if not recipe:
        return f"{text}, and not changed otherwise."
    steps = ", ".join(
        it.kind if it.low == it.high == 0 else f"{it.kind} {it.low:g} to {it.high:g} ({100 * it.probability:g} %)"
        for it in recipe
    )
    return f"{text}, and went through: {steps}. What each got stands in `{MANIFEST}`."
