"""Contact sheets: many pictures on one small JPEG, for a person to look at."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import cv2
import numpy as np
from anyascii import anyascii
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, MAT = (250, 250, 248), (70, 70, 74), (232, 232, 230)
GAP_PX, CAPTION_PX, FONT_PX = 6, 15, 11
MIN_QUALITY = 40
MOST_SLENDER = 1.6  # height of a cell by its width

T = TypeVar("T")


def contact_sheet(
    pictures: Sequence[np.ndarray],
    labels: Sequence[str],
    columns: int = 6,
    thumb_px: int = 160,
    max_bytes: int = 150_000,
) -> bytes:
    """JPEG of uniform cells, row by row, each picture whole in its cell with its label below it.

    thumb_px: width of a cell; its height follows the middle picture's shape. A sheet above `max_bytes` is saved
    coarser and then smaller. Raises ValueError if there are not as many labels as pictures.
    """
    if len(pictures) != len(labels):
        raise ValueError(f"{len(pictures)} pictures have {len(labels)} labels")
    if not pictures:
        return _saved(_note("no pictures"), max_bytes)
    columns = max(1, min(columns, len(pictures)))
    cell = (thumb_px, _cell_height(pictures, thumb_px))
    lines = -(-len(pictures) // columns)
    step_x, step_y = cell[0] + GAP_PX, cell[1] + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (columns * step_x + GAP_PX, lines * step_y + GAP_PX), PAPER)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        corner = (GAP_PX + i % columns * step_x, GAP_PX + i // columns * step_y)
        _paste(sheet, picture, corner, cell)
        _write(sheet, label, (corner[0], corner[1] + cell[1] + 1), cell[0])
    return _saved(sheet, max_bytes)


def row_sheet(
    rows: Mapping[str, Sequence[np.ndarray]], columns: int = 8, thumb_px: int = 112, max_bytes: int = 150_000
) -> bytes:
    """JPEG with one labelled row for each entry, e.g. a character and its first `columns` pictures."""
    shown = {label: list(pictures)[:columns] for label, pictures in rows.items()}
    everything = [picture for pictures in shown.values() for picture in pictures]
    if not everything:
        return _saved(_note("no pictures"), max_bytes)
    cell = (thumb_px, _cell_height(everything, thumb_px))
    widest = max(len(pictures) for pictures in shown.values())
    step_x, step_y = cell[0] + GAP_PX, cell[1] + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (widest * step_x + GAP_PX, len(shown) * step_y + GAP_PX), PAPER)
    for line, (label, pictures) in enumerate(shown.items()):
        top = GAP_PX + line * step_y
        _write(sheet, label, (GAP_PX, top), sheet.width - 2 * GAP_PX)
        for i, picture in enumerate(pictures):
            _paste(sheet, picture, (GAP_PX + i * step_x, top + CAPTION_PX), cell)
    return _saved(sheet, max_bytes)


def thumbnail(picture: np.ndarray, thumb_px: int) -> np.ndarray:
    """A picture, made smaller if that loses nothing in a cell `thumb_px` wide: twice as many pixels each way stay."""
    height, width = picture.shape[:2]
    scale = 2 * min(thumb_px / width, thumb_px * MOST_SLENDER / height)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items at even distances, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(count - 1, 1))] for i in range(count)]


def _cell_height(pictures: Sequence[np.ndarray], thumb_px: int) -> int:
    shape = float(np.median([picture.shape[0] / picture.shape[1] for picture in pictures]))
    return round(thumb_px * min(max(shape, 0.5), MOST_SLENDER))


def _paste(sheet: Image.Image, picture: np.ndarray, corner: tuple[int, int], cell: tuple[int, int]) -> None:
    height, width = picture.shape[:2]
    scale = min(cell[0] / width, cell[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    thumb = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    sheet.paste(MAT, (*corner, corner[0] + cell[0], corner[1] + cell[1]))
    sheet.paste(thumb, (corner[0] + (cell[0] - size[0]) // 2, corner[1] + (cell[1] - size[1]) // 2))


def _write(sheet: Image.Image, text: str, corner: tuple[int, int], width_px: int) -> None:
    """One line in the built-in font, which is Latin only; what does not fit is cut in the middle, as ids differ at
    their ends."""
    font, wide = _font()
    shown = full = anyascii(text)

    def cut(keep: int) -> str:
        return f"{full[: keep // 3]}..{full[len(full) - (keep - keep // 3) :]}" if keep > 2 else ""

    def length_px(text: str) -> float:
        return sum(wide[letter] for letter in text)

    if length_px(full) > width_px:
        shown = cut(bisect_right(range(len(full)), width_px, key=lambda keep: length_px(cut(keep))) - 1)
    ImageDraw.Draw(sheet).text(corner, shown, fill=INK, font=font)


@cache
def _font() -> tuple[Any, Mapping[str, float]]:
    """The font of labels, and how many pixels wide each letter is: to ask it about a whole label takes longer than to
    draw it."""
    font = ImageFont.load_default(FONT_PX)
    return font, defaultdict(float, {letter: font.getlength(letter) for letter in map(chr, range(32, 127))})


def _note(text: str) -> Image.Image:
    note = Image.new("RGB", (160, 40), PAPER)
    _write(note, text, (GAP_PX, 12), 150)
    return note


def _saved(sheet: Image.Image, max_bytes: int) -> bytes:
    """Coarser in steps down to MIN_QUALITY, then smaller by a fifth until it fits."""
    while True:
        for quality in (88, 80, 70, 55, MIN_QUALITY):
            buffer = io.BytesIO()
            sheet.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= max_bytes:
                return buffer.getvalue()
        if min(sheet.size) < 16:
            raise ValueError(f"no sheet fits into {max_bytes} bytes")
        sheet = sheet.resize((sheet.width * 4 // 5, sheet.height * 4 // 5), Image.Resampling.LANCZOS)
