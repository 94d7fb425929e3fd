"""Curves as small pictures, for the web UI and reports."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from dataset_pipeline.images.png import encode_png

SIZE_PX = 480, 160  # of the curve, width and height
_MARGIN_PX = 24
_PAPER, _INK, _MARK = 250, (70.0,), (170.0,)


def plot(across: np.ndarray, values: np.ndarray, marked: float | None = None) -> str:
    """Markdown that holds a PNG of a curve: `values` [n] over `across` [n], ascending, whose ends are written below it;
    with ticks at `marked`. Empty for fewer than two values, or values that are not finite."""
    if len(across) < 2 or not np.isfinite(values).all():
        return ""
    width, height = SIZE_PX
    sheet = np.full((height + 2 * _MARGIN_PX, width + 2 * _MARGIN_PX), _PAPER, np.uint8)
    x = _MARGIN_PX + (across - across[0]) / (across[-1] - across[0]) * width
    y = _MARGIN_PX + (values.max() - values) / max(float(np.ptp(values)), 1e-9) * height
    if marked is not None:
        at = round(float(np.interp(marked, across, x)))
        for top in (0, _MARGIN_PX + height):  # above and below the curve, which may be a needle there
            cv2.line(sheet, (at, top), (at, top + _MARGIN_PX // 2), _MARK, 2)
        _write(sheet, f"{marked:g}", at)
    cv2.polylines(sheet, [np.column_stack([x, y]).round().astype(np.int32)], False, _INK, 1, cv2.LINE_AA)
    for end in (0, -1):
        _write(sheet, f"{across[end]:g}", round(float(x[end])))
    return f"![curve](data:image/png;base64,{base64.b64encode(encode_png(sheet)).decode()})"


def _write(sheet: np.ndarray, text: str, x: int) -> None:
    at = x - 4 * len(text), sheet.shape[0] - _MARGIN_PX // 3
    cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
