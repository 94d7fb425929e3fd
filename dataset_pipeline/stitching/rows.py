"""Alignments as rows of the table `alignments`, and back."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dataset_pipeline.stitching.alignment import FIXED_CELL_PX, Alignment, CleanFrames, Layer

PLACE = ("x_px", "y_px", "log_scale", "angle_rad")


def row_of(alignment: Alignment, clean: CleanFrames | None = None) -> dict[str, Any]:
    """The columns of `alignments` that say how a shot's frames lie, and which of them are clean if that is given."""
    found: dict[str, Any] = {
        "reason": "",
        "width_px": alignment.size_px[0],
        "height_px": alignment.size_px[1],
        "pts": alignment.pts.tolist(),
        "pts_s": alignment.pts_s.tolist(),
        **{name: alignment.places[:, i].tolist() for i, name in enumerate(PLACE)},
        "gains": alignment.gains.tolist(),
        "is_similarity": bool(alignment.is_similarity),
        "layers": [{"ratio": layer.ratio, "share": layer.share} for layer in alignment.layers],
        "fixed": _packed(alignment.fixed),
        "agreement": float(alignment.agreement),
        "residual_px": float(alignment.residual_px),
        "texture": float(alignment.texture),
    }
    if clean is not None:
        found |= {
            "block_px": float(clean.block_px),
            "left_px": float(clean.left_px),
            "top_px": float(clean.top_px),
            "rows": clean.known.shape[0],
            "columns": clean.known.shape[1],
            "used": clean.used.tolist(),
            "clean": zlib.compress(clean.clean.astype("<u8").tobytes()),
            "known": _packed(clean.known),
            "moving": zlib.compress(np.rint(clean.moving * 255).astype(np.uint8).tobytes()),
            "like_frame": float(clean.like_frame),
            "moved": float(clean.moved),
        }
    return found


def alignment_of(row: Mapping[str, Any]) -> Alignment:
    """What a row without a `reason` says of its frames."""
    width, height = row["width_px"], row["height_px"]
    return Alignment(
        pts=np.array(row["pts"], np.int64),
        pts_s=np.array(row["pts_s"], np.float64),
        size_px=(width, height),
        places=np.array([row[name] for name in PLACE], np.float64).T.reshape(-1, 4),
        gains=np.array(row["gains"], np.float64),
        is_similarity=row["is_similarity"],
        layers=tuple(Layer(it["ratio"], it["share"]) for it in row["layers"]),
        fixed=_unpacked(row["fixed"], (-(-height // FIXED_CELL_PX), -(-width // FIXED_CELL_PX))),
        agreement=row["agreement"],
        residual_px=row["residual_px"],
        texture=row["texture"],
    )


def clean_frames_of(row: Mapping[str, Any]) -> CleanFrames | None:
    """Which frames are clean where; None for a row that does not say it."""
    if row["rows"] is None:
        return None
    shape = row["rows"], row["columns"]
    return CleanFrames(
        block_px=row["block_px"],
        left_px=row["left_px"],
        top_px=row["top_px"],
        used=np.array(row["used"], np.int64),
        clean=np.frombuffer(zlib.decompress(row["clean"]), "<u8").reshape(shape),
        known=_unpacked(row["known"], shape),
        moving=np.frombuffer(zlib.decompress(row["moving"]), np.uint8).reshape(shape).astype(np.float32) / 255,
        like_frame=row["like_frame"],
        moved=row["moved"],
    )


def _packed(bits: np.ndarray) -> bytes:
    return zlib.compress(np.packbits(bits).tobytes())


def _unpacked(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """bool of this shape."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(data), np.uint8), count=shape[0] * shape[1])
    return bits.reshape(shape).astype(bool)
