"""Tiles out of their pictures, a picture read once for all its tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from dataset_pipeline.super_resolution.tiles import tiles_of


class TileReader:
    """tiles: rows of `sr_tiles` by tile id. read: an image's picture by its id; its errors are those of each of the
    image's tiles."""

    def __init__(self, tiles: Mapping[str, Mapping[str, Any]], read: Callable[[str], np.ndarray]) -> None:
        self._tiles, self._read = tiles, read
        self._last: tuple[str, np.ndarray] = ("", np.zeros((0, 0, 3), np.uint8))

    def tile(self, tile_id: str) -> np.ndarray:
        """uint8 [side, side, 3] RGB."""
        return next(self.tiles([tile_id]))

    def tiles(self, tile_ids: Iterable[str]) -> Iterator[np.ndarray]:
        """In the order given; those of a picture, and of a copy of it, should follow one another."""
        for image_id, its in groupby((self._tiles[it] for it in tile_ids), key=lambda row: row["image_id"]):
            if image_id != self._last[0]:
                self._last = image_id, self._read(image_id)
            yield from tiles_of(self._last[1], its)

    def in_chunks(self, tile_ids: Sequence[str], least: int) -> Iterator[list[str]]:
        """The ids in lists of so many or more that part no picture's tiles."""
        chunk: list[str] = []
        for _, its in groupby(tile_ids, key=lambda it: self._tiles[it]["image_id"]):
            chunk += its
            if len(chunk) >= least:
                yield chunk
                chunk = []
        if chunk:
            yield chunk
