"""Which box is part of which: the face of a head, the head of a half body, the half body of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.base.pairing import owners_of


class Named(NamedTuple):
    """A box of a kind by its place among the boxes of that kind."""

    kind: str
    number: int


Owners = dict[Named, Named]  # of what each is part, the smallest whole


def parts_of(boxes: Mapping[str, Sequence[Box]]) -> Owners:
    """Of what each box is part, for those that are part of one; hands tell of nobody. boxes: of one still by kind, the
    most certain first.

    Persons own their half bodies and heads, and these their faces, by `owners_of`: so that nobody has two heads. A head
    is part of the half body of its person where that has one.
    """
    owners: Owners = {}
    for part, whole in (("halfbody", "person"), ("head", "person")):
        owners |= _owned(boxes, part, whole, owners)
    half_of = {person: half for half, person in owners.items() if half.kind == "halfbody"}
    owners |= {part: half_of[whole] for part, whole in owners.items() if part.kind == "head" and whole in half_of}
    for part, whole in (("head", "halfbody"), ("face", "head"), ("face", "halfbody"), ("face", "person")):
        owners |= _owned(boxes, part, whole, owners)
    return owners


def wholes_of(part: Named, owners: Mapping[Named, Named]) -> list[Named]:
    """All that a box is part of, the smallest first."""
    found = []
    while part in owners:
        part = owners[part]
        found.append(part)
    return found


def _owned(boxes: Mapping[str, Sequence[Box]], part: str, whole: str, owners: Owners) -> Owners:
    """Whose those parts are that are nobody's yet, among the wholes that have no such part yet."""
    having = {one for it in owners if it.kind == part for one in wholes_of(it, owners)}
    parts = [it for number in range(len(boxes.get(part, ()))) if (it := Named(part, number)) not in owners]
    wholes = [it for number in range(len(boxes.get(whole, ()))) if (it := Named(whole, number)) not in having]
    found = owners_of([boxes[part][it.number] for it in parts], [boxes[whole][it.number] for it in wholes])
    return {parts[one]: wholes[other] for one, other in found.items()}
