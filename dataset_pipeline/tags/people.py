"""Who is seen on an image, by the boxes of its still: how many at least and at most, and how much of them.

A head is a person, for people hide one another's bodies sooner than their heads; a person's box without a head of its
own is one more unless it overlaps with another's, which it mostly repeats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset_pipeline.base.boxes import Box, box_of, clipped, holds, middle, place_of, share_inside
from dataset_pipeline.base.ids import crop_id, shows_nobody
from dataset_pipeline.base.pairing import owners_of

STILL = "still"
LOOKED_FOR = frozenset({"person", "head"})  # without one of these kinds nobody can be counted
# Kinds of crops that show somebody for certain, and that show a piece of somebody, who may be out of sight.
OF_ONE = frozenset({"person", "halfbody", "head", "face", "facedetail", "eyesdetail", "headdetail"})
OF_A_PIECE = frozenset({"hand", "handdetail", "clothesdetail"})
REPEATED_SHARE = 0.5  # a box so much of which lies in another person's mostly repeats it
INSIDE_SHARE = 0.5  # somebody without a head in sight is on a crop from this share of the box on
TOUCHED_SHARE = 0.1  # and may be from this share on


@dataclass(frozen=True)
class Person:
    """One person on a still. sure: found without doubt. crops: the ids that crops of these boxes have."""

    body: Box | None
    head: Box | None
    sure: bool
    crops: tuple[str, ...] = ()

    @property
    def box(self) -> Box:
        box = self.body or self.head
        assert box is not None
        return box


@dataclass(frozen=True)
class Seen:
    """Whom an image shows: between `at_least` and `at_most` people; `people` are those that are there for certain."""

    at_least: int = 0
    at_most: int = 0
    people: tuple[Person, ...] = ()
    maybe: tuple[Person, ...] = field(default=(), repr=False)

    @property
    def nobody(self) -> bool:
        return self.at_most == 0

    @property
    def words(self) -> str:
        """`nobody`, `1 person`, `2 people`, `1 to 2 people`."""
        if self.nobody:
            return "nobody"
        number = str(self.at_most) if self.at_least == self.at_most else f"{self.at_least} to {self.at_most}"
        return f"{number} {'person' if self.at_most == 1 else 'people'}"


def people_of(
    still_id: str, size_px: tuple[int, int], boxes: Iterable[Mapping[str, Any]], doubt_score: float, seen_score: float
) -> list[Person]:
    """The people of a still. size_px: its width and height. boxes: its rows of `detections`.

    Boxes below doubt_score count as not found, people none of whose boxes reaches seen_score as doubtful. A face
    outside of all heads is somebody doubtful.
    """
    known = (row for row in boxes if float(row["score"]) >= doubt_score)
    found = sorted(known, key=lambda row: (-float(row["score"]), box_of(row)))
    bodies, heads, faces = ([row for row in found if row["kind"] == kind] for kind in ("person", "head", "face"))
    owners = owners_of([box_of(row) for row in heads], [box_of(row) for row in bodies])
    head_of = {body: head for head, body in owners.items()}
    people = []
    for number, body in enumerate(bodies):
        head = heads[head_of[number]] if number in head_of else None
        repeats = head is None and any(
            share_inside(box_of(body), box_of(other)) >= REPEATED_SHARE
            for at, other in enumerate(bodies)
            if at != number and _before(other, at in head_of, body)
        )
        score = max(float(row["score"]) for row in (body, head) if row)
        people.append(_person(still_id, size_px, body, head, score >= seen_score and not repeats))
    for number, head in enumerate(heads):
        if number not in head_of.values():
            people.append(_person(still_id, size_px, None, head, float(head["score"]) >= seen_score))
    shown = [person.head or person.box for person in people]
    alone = [face for face in faces if not any(holds(box, middle(box_of(face))) for box in shown)]
    return people + [_person(still_id, size_px, None, face, False) for face in alone]


def seen_on_images(
    images: Iterable[Mapping[str, Any]],
    boxes: Iterable[Mapping[str, Any]],
    not_looked_at: Collection[str],
    doubt_score: float,
    seen_score: float,
) -> dict[str, Seen]:
    """Who is on each image, by its id. images: rows of `images`; boxes: of `detections`. not_looked_at: ids of stills
    without an answer of the detector; they and their crops are left out. A clean plate needs none: nobody is on it,
    whatever its boxes say."""
    by_still: dict[str, list[Mapping[str, Any]]] = {}
    for row in boxes:
        by_still.setdefault(row["image_id"], []).append(row)
    rows = [row for row in images if row["still_id"] not in not_looked_at or shows_nobody(row["still_id"])]
    sizes = {row["image_id"]: (row["width_px"], row["height_px"]) for row in rows if row["image_id"] == row["still_id"]}
    people = {
        still: people_of(still, size, () if shows_nobody(still) else by_still.get(still, ()), doubt_score, seen_score)
        for still, size in sizes.items()
    }
    return {
        row["image_id"]: seen_on(kind_of(row), place_of(row), people[row["still_id"]])
        for row in rows
        if row["still_id"] in people
    }


def kind_of(image: Mapping[str, Any]) -> str:
    """STILL or the crop's kind, of a row of `images`."""
    return STILL if image["image_id"] == image["still_id"] else image["kind"]


def seen_on(kind: str, place: Box, people: Sequence[Person]) -> Seen:
    """Who of a still's people is on an image of it. kind: of `kind_of`. place: where the image lies in its
    still.

    On a crop is who has the middle of the head there, or, if no head was found, half of the box. Who has a tenth of
    the box there may be. A crop of a person shows somebody at least, one of a hand or of clothes maybe.
    """
    sure, maybe = [], []
    for person in people:
        share = share_inside(person.box, place)
        inside = holds(place, middle(person.head)) if person.head else share >= INSIDE_SHARE
        if kind == STILL or inside:
            (sure if person.sure else maybe).append(person)
        elif share >= TOUCHED_SHARE:
            maybe.append(person)
    least = max(len(sure), int(kind in OF_ONE))
    most = max(len(sure) + len(maybe), least, int(kind in OF_A_PIECE))
    return Seen(least, most, tuple(sure), tuple(maybe))


def _person(
    still_id: str, size_px: tuple[int, int], body: Mapping[str, Any] | None, head: Mapping[str, Any] | None, sure: bool
) -> Person:
    rows = [row for row in (body, head) if row]
    crops = [crop_id(still_id, row["kind"], clipped(box_of(row), size_px), size_px) for row in rows]
    return Person(box_of(body) if body else None, box_of(head) if head else None, sure, tuple(crops))


def _before(other: Mapping[str, Any], has_head: bool, body: Mapping[str, Any]) -> bool:
    """Whether `other` is the one that is repeated, of two boxes of people of which `body` has no head."""
    return has_head or (-float(other["score"]), box_of(other)) < (-float(body["score"]), box_of(body))
