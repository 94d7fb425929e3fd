"""Which of an episode's pictures today is the one that a correction speaks of."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dataset_pipeline.base.ids import box_of_crop, kind_of_span, span_ms_of, still_of
from dataset_pipeline.images.looks import ALIKE_BITS, bits_apart

SAME_MS = 50  # frames so near are one: containers round times otherwise
NEAR_MS = 15_000  # a picture that looks alike may stand in for one so near
MIN_IOU = 0.5
SAME_SCENE_BITS = 40  # of 128: of a replaced source, a picture that differs in more is another one under the same id
LOOKED_AT = 200  # pictures of a folder that are read to find one that looks alike

Looks = Callable[[Sequence[str]], Mapping[str, str]]


class Match(NamedTuple):
    """image_id: empty if nothing is it. how: id, pixels, frame (the time, and for a crop its box), look, nothing."""

    image_id: str
    how: str


NOTHING = Match("", "nothing")


@dataclass(frozen=True)
class Matcher:
    """The pictures of one episode. pixels: sha256 by image id. source: fingerprint of what they were made from. looks:
    gives those of images, reading them; one that cannot be read is left out."""

    pixels: Mapping[str, str]
    source: str
    looks: Looks

    def match(self, picture: Mapping[str, str]) -> Match:
        """picture: a `Picture` as plain JSON.

        In this order: the same id; else the same pixels; else the same frame, or what is made of the same span, and,
        for a crop, the same kind of box with an IoU of at least `MIN_IOU`; else, near in time, what looks alike. What
        came from another source than the correction speaks of has to look alike in any case.
        """
        image, look = picture["image"], picture.get("look", "")
        is_same_source = not picture.get("source") or picture["source"] == self.source
        if image in self.pixels and (is_same_source or self._resembles(image, picture)):
            return Match(image, "id")
        if found := self._by_pixels.get(picture.get("pixels", "")):
            return Match(min(found, key=lambda other: (still_of(other) != still_of(image), other)), "pixels")
        near = [it for it in self._near(image) if it.ms_apart <= SAME_MS]
        for it in sorted(near, key=lambda it: (-it.overlap, it.ms_apart, it.image)):
            if is_same_source or self._resembles(it.image, picture):
                return Match(it.image, "frame")
        return self._by_look(image, look) if look else NOTHING

    @cached_property
    def _by_pixels(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for image, sha256 in self.pixels.items():
            if sha256:
                found[sha256].append(image)
        return found

    @cached_property
    def _by_kind(self) -> Mapping[tuple[str, str], _Places]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for image in self.pixels:
            found[_kind(image)].append(image)
        return {kind: _Places.of(images) for kind, images in found.items()}

    def _near(self, image: str) -> list[_Near]:
        """Those of its kind (stills for a still, else crops of the same things) that it may be by time and box."""
        places = self._by_kind.get(_kind(image))
        return places.near(image) if places else []

    def _resembles(self, image: str, picture: Mapping[str, str]) -> bool:
        """Whether it may be the picture in another encoding; not known to differ counts as yes."""
        if picture.get("pixels") and picture["pixels"] == self.pixels[image]:
            return True
        look = picture.get("look", "")
        found = self.looks([image]) if look else {}
        return image not in found or bits_apart(look, found[image]) <= SAME_SCENE_BITS

    def _by_look(self, image: str, look: str) -> Match:
        near = [it.image for it in sorted(self._near(image), key=lambda it: (it.ms_apart, it.image))]
        found = self.looks(near[:LOOKED_AT])
        best = min(found, key=lambda other: (bits_apart(look, found[other]), near.index(other)), default=None)
        return Match(best, "look") if best and bits_apart(look, found[best]) <= ALIKE_BITS else NOTHING


def _kind(image: str) -> tuple[str, str]:
    """Of the still, told apart only where that is made of a span; and of the crop."""
    return kind_of_span(image), box_of_crop(image)[0] if "#" in image else ""


class _Near(NamedTuple):
    """overlap: IoU of two crops' boxes, 1 for stills."""

    ms_apart: float
    overlap: float
    image: str


@dataclass(frozen=True)
class _Places:
    """Where n pictures of one kind are, read from their ids once. span_ms: float64 [n, 2], nan for those of a folder.
    boxes: float64 [n, 4], shares of the still; None for stills."""

    images: Sequence[str]
    stills: Sequence[str]
    span_ms: np.ndarray
    boxes: np.ndarray | None

    @classmethod
    def of(cls, images: Sequence[str]) -> _Places:
        boxes = [box_of_crop(image)[1] for image in images if "#" in image]
        return cls(
            images,
            [still_of(image) for image in images],
            np.array([_span_ms(image) for image in images], np.float64),
            np.array(boxes, np.float64) if boxes else None,
        )

    def near(self, image: str) -> list[_Near]:
        """Those at most NEAR_MS from this one whose box has an IoU of at least MIN_IOU with its own.

        Pictures of a folder have no time, and may all be any other of it.
        """
        apart = np.abs(self.span_ms - _span_ms(image)).max(axis=1)
        apart[np.isnan(apart)] = NEAR_MS
        numbers = np.flatnonzero(apart <= NEAR_MS)
        overlap = np.ones(len(numbers))
        if self.boxes is not None:
            overlap = _iou(np.array(box_of_crop(image)[1]), self.boxes[numbers])
            numbers, overlap = numbers[overlap >= MIN_IOU], overlap[overlap >= MIN_IOU]
        still = still_of(image)
        return [
            _Near(0.0 if self.stills[i] == still else float(apart[i]), shared, self.images[int(i)])
            for i, shared in zip(numbers.tolist(), overlap.tolist(), strict=True)
        ]


def _span_ms(image: str) -> tuple[float, float]:
    return span_ms_of(image) or (np.nan, np.nan)


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 [n]: of a box with n others, 0 where they do not meet."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.maximum(sides, 0).prod(axis=1)
    whole = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - both
    return np.divide(both, whole, out=np.zeros_like(both), where=both > 0)


def matched_rows(parts: Iterable[Any], matcher: Matcher, readers: Mapping[str, Sequence[str]]) -> list[dict]:
    """Rows of `matched_corrections`: each picture of each part, for each of those who read that.

    parts: `Part`s. readers: by what is done. Where a field names none, one row without a picture stands for it.
    """
    rows = []
    for part in parts:
        value = json.dumps(part.value, sort_keys=True)
        found = [
            (name, number, matcher.match(picture))
            for name, pictures in part.pictures.items()
            for number, picture in enumerate(pictures)
        ] or [("", 0, NOTHING)]
        rows += [
            {
                "reader": reader,
                "event": part.event,
                "field": name,
                "number": number,
                "said": part.said,
                "do": part.do,
                "value": value,
                "image_id": match.image_id,
                "how": match.how,
            }
            for reader in readers[part.do]
            for name, number, match in found
        ]
    return rows
