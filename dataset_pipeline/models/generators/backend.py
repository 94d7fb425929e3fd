"""What each program that makes pictures does for the generator, and what it is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

NAMED = 12  # of what is known, where something else was asked for


@dataclass(frozen=True)
class Request:
    """All that a picture depends on beside the generator's fingerprint. seed: 0 to 2**32 - 1; sides: multiples of 8."""

    prompt: str
    negative_prompt: str
    seed: int
    width_px: int
    height_px: int


class Unfit(ValueError):
    """The program works, and what it made of this one request is of no use; another seed or prompt may be."""


class Backend(Protocol):
    """One program. Errors of one picture are ValueErrors, those of all are PermanentErrors."""

    def missing(self) -> str:
        """Why no picture can be made, and what to do, on one line; empty if one can."""
        ...

    def facts(self, repaints: bool = False) -> dict[str, str]:
        """What tells apart the model and all else that changes its pictures, beside `[generator]`; repaints: or what is
        drawn again. Raises PermanentError."""
        ...

    def native_side_px(self) -> int:
        """The side of the squares that the model was trained on. Raises PermanentError where nothing tells it."""
        ...

    def draw(self, request: Request) -> np.ndarray:
        """RGB uint8 [height_px, width_px, 3]."""
        ...

    def redraw(self, picture: np.ndarray, mask: np.ndarray, request: Request, strength: float) -> np.ndarray:
        """The picture, RGB uint8 [h, w, 3], with what the mask, uint8 [h, w], covers (255) drawn again; what lies
        outside may change too. strength: 0 to 1, of noise. The request's sides are the picture's."""
        ...


def unknown(setting: str, value: str, known: Iterable[str]) -> str:
    """That a setting names what is not known, and what is: the most alike first."""
    names = sorted(set(known))
    if not names:
        return f"{setting} = {value!r} is not known here; there is none"
    alike = [name for name in names if value and value.lower() in name.lower()]
    alike += [name for name in difflib.get_close_matches(value, names, NAMED, cutoff=0.4) if name not in alike]
    told = [*alike, *(name for name in names if name not in alike)]
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return f"{setting} = {value!r} is not known here; known are {', '.join(told[:NAMED])}{more}"
