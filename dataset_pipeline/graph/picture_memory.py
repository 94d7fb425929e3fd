"""Decoded pictures that a run hands from asset to asset, so that each is read and decoded once.

A PNG takes ten times as long to decode as LZ4 takes to give its pixels back, which at this rate are a third to a fifth
of their size.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pyarrow as pa

CODEC = "lz4_raw"
MIB = 1 << 20


@dataclass(frozen=True)
class _Packed:
    pixels: pa.Buffer
    shape: tuple[int, ...]


class PictureMemory:
    """Pictures by their path in the store, whose names hold their content: what is found is what lies there.

    Holds at most `limit_bytes`, packed. Where these are full, the asset whose pictures nobody asked for the longest
    loses all of its own; one that is larger than that keeps its first pictures, as its readers pass over them in
    order. Safe for several threads.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._assets: OrderedDict[str, dict[str, _Packed]] = OrderedDict()
        self._lock = Lock()

    def get(self, path: str) -> np.ndarray | None:
        """The picture, uint8 [height, width, 3], not to be written to; None if it is not held."""
        asset = _asset(path)
        with self._lock:
            packed = self._assets.get(asset, {}).get(path)
            if packed is None:
                return None
            self._assets.move_to_end(asset)
        size_bytes = int(np.prod(packed.shape))
        pixels = pa.Codec(CODEC).decompress(packed.pixels, size_bytes)
        picture = np.frombuffer(pixels, np.uint8).reshape(packed.shape)
        picture.flags.writeable = False
        return picture

    def put(self, path: str, picture: np.ndarray) -> None:
        """Hold a picture, uint8 [height, width, 3], if there is room."""
        asset = _asset(path)
        with self._lock:
            if not self._limit_bytes or path in self._assets.get(asset, {}):
                return
        packed = pa.Codec(CODEC).compress(np.ascontiguousarray(picture).data)
        if packed.size > self._limit_bytes:
            return
        with self._lock:
            held = self._assets.setdefault(asset, {})
            self._assets.move_to_end(asset)
            if path in held:
                return
            while self._size_bytes + packed.size > self._limit_bytes and len(self._assets) > 1:
                _, dropped = self._assets.popitem(last=False)
                self._size_bytes -= sum(it.pixels.size for it in dropped.values())
            if self._size_bytes + packed.size <= self._limit_bytes:
                held[path] = _Packed(packed, picture.shape)
                self._size_bytes += packed.size


_OF_RUN: dict[str, PictureMemory] = {}
_LOCK = Lock()


def memory_of(run_id: str, limit_mib: int) -> PictureMemory:
    """The memory of a run; that of an earlier run in this process is dropped."""
    with _LOCK:
        if run_id not in _OF_RUN:
            _OF_RUN.clear()
            _OF_RUN[run_id] = PictureMemory(limit_mib * MIB)
        return _OF_RUN[run_id]


def _asset(path: str) -> str:
    return path.partition("/")[0]
