"""What a single picture does wrong is its own: it is left out with its reason, and the others go on.

Errors of the whole (weights, a device, memory, a full disk, the store itself) are never taken for a picture's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from dataset_pipeline.base.errors import PermanentError, full_disk, is_out_of_memory
from dataset_pipeline.base.timing import span
from dataset_pipeline.store.store import PictureGone

Answer = TypeVar("Answer")

UNMEASURED = "unmeasured"  # the number of an asset that says how many pictures its model gave no answer for
KEPT = 5000  # images of one table that are told of by name
NAMED = 3  # in one sentence; more are counted
LONGEST_REASON = 300
PLAIN = np.full((512, 512, 3), 128, np.uint8)  # a picture that no model has reason to fail on


class Undeclared(LookupError):
    """An asset asks for what it does not declare: an error of the code, never of a picture."""


def is_of_one(error: Exception) -> bool:
    """Whether an error met at one picture may be that picture's alone.

    So are a picture that is gone from a store that is there, bytes that cannot be decoded (a ValueError) and what a
    model raises. An OSError is one of the store: its drive or connection is away, and may be back later.
    """
    if isinstance(error, PictureGone):
        return True
    whole = (OSError, PermanentError, MemoryError, Undeclared)
    return not (isinstance(error, whole) or is_out_of_memory(error) or full_disk(error))


def tried(work: Callable[..., Answer], *of_one: Any) -> Answer | Exception:
    """What a call gives, or the error that is that one's alone; errors of the whole are raised."""
    try:
        return work(*of_one)
    except Exception as error:
        if not is_of_one(error):
            raise
        return error


def reason_of(error: Exception) -> str:
    """On one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 2] + " …"


def first_reasons(reasons: Mapping[str, str]) -> str:
    """`<image id>: <reason>; ...`: the first are named, the others counted; empty if there are none."""
    named = [f"{image_id}: {reason}" for image_id, reason in list(reasons.items())[:NAMED]]
    return "; ".join([*named, *([f"and {len(reasons) - NAMED} more"] if len(reasons) > NAMED else [])])


def answered(
    paths: Sequence[str],
    picture: Callable[[str], np.ndarray],
    pictures: Callable[[Iterable[str]], Iterator[np.ndarray]],
    ask: Callable[[Iterator[np.ndarray]], Iterable[Answer]],
) -> list[Answer | Exception]:
    """A model's answer for each picture, or the error that is this picture's alone.

    `ask` takes some pictures and gives as many answers. All go together; only if that fails, one by one. Raises errors
    of the whole, among them that of a model which fails on a plain picture too.
    """
    try:
        with span("model"):
            return list(ask(pictures(paths)))
    except Exception as error:
        if not is_of_one(error):
            raise
    return [_alone(path, picture, ask) for path in paths]


def _alone(
    path: str, picture: Callable[[str], np.ndarray], ask: Callable[[Iterator[np.ndarray]], Iterable[Answer]]
) -> Answer | Exception:
    try:
        pixels = picture(path)
    except Exception as error:
        if is_of_one(error):
            return error
        raise
    try:
        with span("model"):
            (answer,) = ask(iter([pixels]))
    except Exception as error:
        if is_of_one(error) and _answers(ask):
            return error
        raise
    return answer


def _answers(ask: Callable[[Iterator[np.ndarray]], Iterable[Answer]]) -> bool:
    """Whether the model works at all: one on a device that is gone fails on every picture."""
    try:
        return len(list(ask(iter([PLAIN])))) == 1
    except Exception:  # the error that made us ask is the one to tell
        return False
