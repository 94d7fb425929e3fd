"""What tiles show of what was found on their pictures: whom, and which kinds of crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.boxes import Box, area, place_of, shared_area
from dataset_pipeline.images.stills import is_still

SHOWN_FROM = 0.5  # of the smaller of crop and tile


def crops_on_tiles(
    tiles: Iterable[Mapping[str, Any]], images: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Of each tile its id and the crops that it shows: at least half of the crop, or of the tile, lies on both.

    tiles: rows of `sr_tiles`. images: rows of `images`, stills and crops.
    """
    sizes: dict[str, tuple[int, int]] = {}
    crops: dict[str, list[Mapping[str, Any]]] = {}
    for image in images:
        if is_still(image):
            sizes[image["image_id"]] = image["width_px"], image["height_px"]
        else:
            crops.setdefault(image["still_id"], []).append(image)
    for tile in tiles:
        its: Sequence[Mapping[str, Any]] = crops.get(tile["image_id"], ())
        box = _on_still(tile, sizes[tile["image_id"]]) if its else None
        yield tile["tile_id"], [crop for crop in its if box and _shows(box, place_of(crop))]


def _on_still(tile: Mapping[str, Any], size_px: tuple[int, int]) -> Box:
    """The tile's place in pixels of its still, of which it may be cut from a smaller copy."""
    across, down = size_px[0] / tile["copy_width_px"], size_px[1] / tile["copy_height_px"]
    x, y, side = tile["x_px"], tile["y_px"], tile["side_px"]
    return (x * across, y * down, (x + side) * across, (y + side) * down)


def _shows(tile: Box, crop: Box) -> bool:
    return shared_area(tile, crop) >= SHOWN_FROM * min(area(tile), area(crop))
