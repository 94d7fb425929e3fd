"""Pictures for the page: sheets of small tiles, made when they are asked for, and single crops and stills."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from dataset_pipeline.images.looks import look_of
from dataset_pipeline.images.resize import decode, encode
from dataset_pipeline.images.thumbnails import thumbnail
from dataset_pipeline.review.facts import Facts
from dataset_pipeline.store.files import StoreError
from dataset_pipeline.store.store import Store

SHEET_SIDE = 10  # tiles a row and a column
TILE_PX = 128
SHEET_QUALITY = 82
SHEETS_BYTES = 64 << 20  # of sheets and small pictures that are kept in memory
MAT = (38, 40, 46)
RIM = 2  # cells of a mask of what is unknown
TINT = np.array((60, 60, 230, 150), np.uint8)  # blue, green, red and opacity
CONTENT_TYPES = {"webp": "image/webp", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}


class Pictures:
    """Reads a project's pictures. Safe for several threads."""

    def __init__(self, store: Store, facts: Facts) -> None:
        self._store, self._facts = store, facts
        self._looks: dict[str, str] = {}
        self._kept = _Kept(SHEETS_BYTES)

    def path_of(self, image: str) -> str:
        """Where the picture lies in the store. Raises KeyError for an image that is not there."""
        row = self._facts.row_of(image)
        if row is None or not row["path"]:
            raise KeyError(image)
        return row["path"]

    def whole(self, image: str) -> tuple[bytes, str]:
        """The picture as it lies in the store, and its content type. Raises KeyError, StoreError."""
        path = self.path_of(image)
        return self._store.read_picture(path), CONTENT_TYPES[path.rpartition(".")[2]]

    def small(self, image: str, side_px: int) -> bytes:
        """A JPEG of at most so many pixels a side. Raises KeyError, StoreError, ValueError for a damaged picture."""
        path = self.path_of(image)
        return self._kept.get(f"{side_px} {path}", lambda: thumbnail(self._store.read_picture(path), side_px))

    def unknown(self, image: str) -> bytes:
        """A PNG, an eighth as large as all that was seen for a panorama or a plate, that tints what is not known of it
        and is clear elsewhere; nothing is known of the outermost pixels of any, so that the rim shows what lies within.
        Raises KeyError."""
        mask = cv2.imdecode(np.frombuffer(self._facts.stitched[image]["unknown"], np.uint8), cv2.IMREAD_GRAYSCALE)
        if min(mask.shape) > 2 * RIM:
            mask = np.pad(mask[RIM:-RIM, RIM:-RIM], RIM, mode="edge")
        return cv2.imencode(".png", np.where((mask > 0)[..., None], TINT, np.uint8(0)))[1].tobytes()

    def sheet(self, covers: Sequence[str]) -> bytes:
        """A JPEG of at most 100 crops, each in a square of TILE_PX; one that cannot be read stays empty."""
        key = f"sheet {' '.join(covers)}"
        return self._kept.get(key, lambda: encode(self._drawn(covers), "jpg", SHEET_QUALITY))

    def _drawn(self, covers: Sequence[str]) -> np.ndarray:
        rows = -(-len(covers) // SHEET_SIDE)
        sheet = np.full((max(rows, 1) * TILE_PX, SHEET_SIDE * TILE_PX, 3), MAT, np.uint8)
        for number, cover in enumerate(covers):
            picture = self._readable(cover)
            if picture is None:
                continue
            self._looks.setdefault(cover, look_of(picture))
            y, x = number // SHEET_SIDE * TILE_PX, number % SHEET_SIDE * TILE_PX
            sheet[y : y + TILE_PX, x : x + TILE_PX] = _square(picture)
        return sheet

    def _readable(self, image: str) -> np.ndarray | None:
        try:
            return decode(self._store.read_picture(self.path_of(image)))
        except (KeyError, StoreError, OSError, ValueError):
            return None  # its tile says so by being empty; the run that made it has told of it

    def looks(self, images: Sequence[str], most: int | None = None) -> Mapping[str, str]:
        """How images look, of those that can be read; at most so many are read that were not seen before."""
        unseen = [image for image in dict.fromkeys(images) if image not in self._looks]
        for image in unseen if most is None else unseen[:most]:
            picture = self._readable(image)
            self._looks[image] = "" if picture is None else look_of(picture)
        return {image: look for image in images if (look := self._looks.get(image))}


def _square(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture that covers a square of TILE_PX; of a high one the upper part, where the head is."""
    height, width = picture.shape[:2]
    side = min(height, width)
    x, y = (width - side) // 2, 0 if height > width else (height - side) // 2
    piece = np.ascontiguousarray(picture[y : y + side, x : x + side])
    method = cv2.INTER_AREA if side > TILE_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(piece, (TILE_PX, TILE_PX), interpolation=method))


class _Kept:
    """What was made last, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._size = most_bytes, 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._size += len(made)
            while self._size > self._most and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made
