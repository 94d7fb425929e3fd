"""Which square tiles of which scaled copies of a picture a super-resolution set may take. Rows alone are decided here;
`tiles_of` cuts them from a picture in memory.

Copies and tiles lie where Real-ESRGAN's scripts put them (scripts/generate_multiscale_DF2K.py, extract_subimages.py):
sides are cut to whole pixels, the last tile of a row or column lies flush with the edge. Unlike there no copy is
enlarged or made twice, and a picture that is smaller than a tile is told, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from dataset_pipeline.images.resize import fitted_size

SHORTEST_EDGE = "shortest_edge"  # the copy that is told by its short side
TILED, SMALLER_THAN_TILE, SAME_SIZE, ENLARGED = "tiled", "smaller_than_tile", "same_size", "enlarged"

Rows = list[dict[str, Any]]


class TilesSettings(Protocol):
    """What copies and tiles are made. Sides are in pixels."""

    @property
    def scales(self) -> Sequence[float]:
        """Of the picture's sides."""
        ...

    @property
    def shortest_edge_px(self) -> int:
        """One more copy with this short side; 0: none."""
        ...

    @property
    def keep_every_copy(self) -> bool:
        """Also copies that are enlarged or of the size of another, as Real-ESRGAN's script writes them."""
        ...

    @property
    def tile_px(self) -> int: ...
    @property
    def step_px(self) -> int: ...
    @property
    def threshold_px(self) -> int:
        """What is left at the right and lower edge makes one more tile if it is more than this."""
        ...


@dataclass(frozen=True)
class Copy:
    """A scaled copy of a picture. name: its scale as text, or SHORTEST_EDGE. reason: empty where it may be tiled."""

    name: str
    width_px: int
    height_px: int
    reason: str = ""


def copies_of(width_px: int, height_px: int, settings: TilesSettings) -> list[Copy]:
    """The copies of a picture of that size, those of listed scales first. One of an earlier copy's size is SAME_SIZE,
    one that is larger than the picture ENLARGED, unless every copy is kept."""
    sizes = {f"{scale:g}": (int(width_px * scale), int(height_px * scale)) for scale in settings.scales}
    if settings.shortest_edge_px:
        sizes[SHORTEST_EDGE] = _by_short_side(width_px, height_px, settings.shortest_edge_px)
    seen: set[tuple[int, int]] = set()
    copies = []
    for name, size in sizes.items():
        enlarged = size[0] > width_px or size[1] > height_px
        reason = ENLARGED if enlarged else SAME_SIZE if size in seen else ""
        copies.append(Copy(name, *size, "" if settings.keep_every_copy else reason))
        seen.add(size)
    return copies


def _by_short_side(width_px: int, height_px: int, side_px: int) -> tuple[int, int]:
    """Width and height of the copy with that short side, which may be larger than the picture."""
    short_px = min(width_px, height_px)
    if side_px <= short_px:
        return fitted_size(width_px, height_px, "short_side", side_px)
    return width_px * side_px // short_px, height_px * side_px // short_px


def offsets(length_px: int, settings: TilesSettings) -> list[int]:
    """Where tiles begin along a side; none on one that is shorter than a tile."""
    last_px = length_px - settings.tile_px
    begins = list(range(0, last_px + 1, settings.step_px))
    if begins and last_px - begins[-1] > settings.threshold_px:
        begins.append(last_px)
    return begins


def tile_id(image_id: str, copy: Copy, x_px: int, y_px: int, tile_px: int) -> str:
    """The tile at a place of a copy: `<image>@<copy>-<width>x<height>-<x>-<y>-<side>`."""
    return f"{image_id}@{copy.name}-{copy.width_px}x{copy.height_px}-{x_px}-{y_px}-{tile_px}"


def plan_tiles(sources: Iterable[Mapping[str, Any]], settings: TilesSettings) -> tuple[Rows, Rows]:
    """(copies, tiles) of pictures. sources: image_id, width_px, height_px, pixel_sha256.

    A copy's row has its name, size, number of tiles and reason: TILED, or why it has none. A tile's row says where in
    which copy it lies, and the pixels of the picture. Tiles go by rows, those of a picture by copies.
    """
    copies, tiles = [], []
    for source in sources:
        image_id = source["image_id"]
        for copy in copies_of(source["width_px"], source["height_px"], settings):
            xs, ys = offsets(copy.width_px, settings), offsets(copy.height_px, settings)
            places = [] if copy.reason else [(x, y) for y in ys for x in xs]
            tiles += [
                {
                    "tile_id": tile_id(image_id, copy, x, y, settings.tile_px),
                    "image_id": image_id,
                    "copy": copy.name,
                    "copy_width_px": copy.width_px,
                    "copy_height_px": copy.height_px,
                    "x_px": x,
                    "y_px": y,
                    "side_px": settings.tile_px,
                    "pixel_sha256": source["pixel_sha256"],
                }
                for x, y in places
            ]
            copies.append(
                {
                    "image_id": image_id,
                    "copy": copy.name,
                    "width_px": copy.width_px,
                    "height_px": copy.height_px,
                    "tiles": len(places),
                    "reason": copy.reason or (TILED if places else SMALLER_THAN_TILE),
                }
            )
    return copies, tiles


def tiles_of(picture: np.ndarray, rows: Iterable[Mapping[str, Any]]) -> Iterator[np.ndarray]:
    """The tile of each row of one picture, uint8 [side, side, 3] RGB with memory of its own, in their order.

    The picture is scaled once for each copy that follows another. Raises ValueError for a tile that sticks out of
    its copy.
    """
    copy, made = picture, (picture.shape[1], picture.shape[0])
    for row in rows:
        size = row["copy_width_px"], row["copy_height_px"]
        if size != made:
            copy, made = scaled(picture, *size), size
        x, y, side = row["x_px"], row["y_px"], row["side_px"]
        tile = copy[y : y + side, x : x + side]
        if min(x, y) < 0 or tile.shape[:2] != (side, side):
            raise ValueError(f"{row['tile_id']} sticks out of its copy of {size[0]}x{size[1]} px")
        yield tile.copy()


def scaled(picture: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """A copy of a picture by Lanczos' filter; the picture itself where that is its size."""
    if picture.shape[:2] == (height_px, width_px):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width_px, height_px), Image.Resampling.LANCZOS))
