"""An episode in a store of its own, whose tables a test writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_pipeline.images.resize import encode, pixel_sha256
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

EPISODE = "show.e1"


def noise(width_px: int) -> np.ndarray:
    """A picture 120 px high that no other of another width is like, uint8 [120, width, 3]."""
    return np.random.default_rng(width_px).integers(0, 255, (120, width_px, 3), np.uint8)


@dataclass
class DrawnProject:
    """What the projects of the tests of whole chains have in common. The store lies below `root`."""

    root: Path

    @property
    def store(self) -> Store:
        return Store(str(self.root / "store"))

    def write(self, asset: str, rows: list[dict], episode: str | None = EPISODE) -> None:
        known = {"demo": True, "numbers": {}, "models": [], "inputs": {}, "settings": {}, "path": "show/1.mkv"}
        self.store.write(asset, SCHEMAS[asset].table(rows), episode, Provenance.from_json(known))

    def put(self, asset: str, image_id: str, pixels: np.ndarray) -> dict:
        """The columns of a picture, which is written. pixels: uint8 [height, width, 3]."""
        path = self.store.put_picture(asset, EPISODE, image_id, encode(pixels, "png"), "png")
        height, width = pixels.shape[:2]
        size = {"width_px": width, "height_px": height}
        return {"image_id": image_id, "episode": EPISODE, "path": path, "pixel_sha256": pixel_sha256(pixels), **size}
