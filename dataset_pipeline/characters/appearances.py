"""Appearances, the unit of identity: one person on one still, or on all stills that a track of theirs passes.

A person is found as several crops: a head, a body, or both. An appearance holds them together, and its vector counts
head and body once each, so that neither hair nor clothes decide alone who somebody is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.boxes import iou, place_of
from dataset_pipeline.base.ids import PANORAMA, episode_of, kind_of_span
from dataset_pipeline.base.pairing import owners_of
from dataset_pipeline.characters.tracks import tracks_of
from dataset_pipeline.characters.vectors import unit

BODIES = ("person", "halfbody")
HEADS = ("head", "face")
KINDS = (*BODIES, *HEADS)  # crops that say who somebody is, the largest first
CROP_COLUMNS = ("image_id", "still_id", "kind", "x_px", "y_px", "width_px", "height_px", "part_of", "kept")
SAME_BOX_IOU = 0.5  # boxes that overlap so much are one person found twice

Crop = Mapping[str, Any]


@dataclass(frozen=True)
class Appearances:
    """n appearances, sorted by id.

    crops: the ids of each one's crops; it goes by the first. stills: those that it is seen on, sorted. vectors: float32
    [n, d] of unit length. bodies: the same of the bodies alone, zeros where none was measured. rivals: int64 [k, 2],
    pairs of appearances that are beside one another on a still, so most likely two people.
    """

    crops: Sequence[tuple[str, ...]]
    stills: Sequence[tuple[str, ...]]
    vectors: np.ndarray
    bodies: np.ndarray
    rivals: np.ndarray

    def __len__(self) -> int:
        return len(self.crops)

    def some(self, numbers: Sequence[int]) -> Appearances:
        """Those of these numbers, which ascend, and the pairs among them."""
        place = np.full(len(self), -1, np.int64)
        place[list(numbers)] = np.arange(len(numbers))
        rivals = place[self.rivals]
        return Appearances(
            [self.crops[i] for i in numbers],
            [self.stills[i] for i in numbers],
            self.vectors[list(numbers)],
            self.bodies[list(numbers)],
            rivals[(rivals >= 0).all(axis=1)],
        )

    @property
    def ids(self) -> list[str]:
        return [crops[0] for crops in self.crops]


@dataclass(frozen=True)
class Tracked:
    """What tracks say of crops. track_of: the track of each crop that lies on one. vectors: of each such track, by kind
    of crop, those of its samples, [k, d]."""

    track_of: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


def tracked(crops: Iterable[Crop], tracks: Iterable[pa.Table], model_sha256: str) -> Tracked:
    """crops: rows of `crops`. tracks: tables of `tracks`, one an episode, of which the vectors by these weights count.
    Only what crops lie on is kept of them."""
    ids: dict[str, list[str]] = defaultdict(list)
    for crop in crops:
        if crop["kept"] and crop["kind"] in KINDS:
            ids[episode_of(crop["image_id"])].append(crop["image_id"])
    track_of: dict[str, str] = {}
    vectors: dict[str, Mapping[str, np.ndarray]] = {}
    for table in tracks:
        rows = table.drop_columns(["vectors"]).to_pylist()
        found = tracks_of(ids[rows[0]["episode"]], rows) if rows else {}
        track_of |= found
        lie_on_one = set(found.values())
        for number, row in enumerate(rows):
            if row["track_id"] in lie_on_one and row["model_sha256"] == model_sha256:
                vectors[row["track_id"]] = _by_kind(table["vectors"][number].values)
    return Tracked(track_of, vectors)


def _by_kind(vectors: pa.StructArray) -> dict[str, np.ndarray]:
    """The vectors of a track's samples by kind, float32 [k, d]."""
    if not len(vectors):
        return {}
    kinds = np.array(vectors.field("kind").to_pylist())
    matrix = vectors.field("embedding").flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    return {str(kind): matrix[kinds == kind] for kind in np.unique(kinds)}


def appearances_of(
    crops: Iterable[Crop], embeddings: Mapping[str, np.ndarray], by_tracks: Tracked | None = None
) -> Appearances:
    """The people on stills. crops: rows of `crops`, of which the kept ones count. embeddings: [d] by id of the crops
    that have one; people of whom no crop has one are left out. by_tracks: which of them are one person over a shot, and
    what else tells who that is."""
    by_tracks = by_tracks or Tracked()
    by_still: dict[str, list[Crop]] = defaultdict(list)
    for crop in crops:
        if crop["kept"] and crop["kind"] in KINDS:
            by_still[crop["still_id"]].append(crop)
    people = [person for _, found in sorted(by_still.items()) for person in people_on(found)]
    people = [person for person in people if any(crop["image_id"] in embeddings for crop in person)]
    merged = _along_tracks(people, by_tracks.track_of)
    merged.sort(key=lambda parts: parts[0][0]["image_id"])
    members = [[crop for person in parts for crop in person] for parts in merged]
    bodies, heads = (_unit_means(members, kinds, embeddings, by_tracks) for kinds in (BODIES, HEADS))
    return Appearances(
        [tuple(crop["image_id"] for crop in crops) for crops in members],
        [tuple(sorted({crop["still_id"] for crop in crops})) for crops in members],
        unit(bodies + heads),
        bodies,
        _rivals(merged),
    )


def people_on(crops: Iterable[Crop]) -> list[list[Crop]]:
    """The crops of one still, person by person: a smaller kind belongs to whom `part_of` names, as the boxes say; where
    it names nobody of these, to who it lies inside of. One of a kind each; a crop inside nobody is a person of its own.
    """
    people: list[list[Crop]] = []
    for kind in KINDS:
        found = sorted((crop for crop in crops if crop["kind"] == kind), key=lambda crop: crop["image_id"])
        holders = {crop["image_id"]: i for i, person in enumerate(people) for crop in person}
        owners = {i: holders[whole] for i, crop in enumerate(found) if (whole := crop.get("part_of")) in holders}
        left, free = _without(owners.keys(), len(found)), _without(owners.values(), len(people))
        places = [place_of(found[i]) for i in left], [place_of(people[i][0]) for i in free]
        owners |= {left[one]: free[other] for one, other in owners_of(*places).items()}
        for i, crop in enumerate(found):
            if i in owners:
                people[owners[i]].append(crop)
        people += [[crop] for i, crop in enumerate(found) if i not in owners]
    return people


def _without(some: Collection[int], count: int) -> list[int]:
    return [number for number in range(count) if number not in some]


def _along_tracks(people: Sequence[list[Crop]], track_of: Mapping[str, str]) -> list[list[list[Crop]]]:
    """The people of each appearance: those on one track are one, but for a second one of a still."""
    alone: list[list[list[Crop]]] = []
    tracked: dict[str, dict[str, list[Crop]]] = defaultdict(dict)
    for person in people:
        track = next((track_of[crop["image_id"]] for crop in person if crop["image_id"] in track_of), None)
        still = person[0]["still_id"]
        if track is None or still in tracked[track]:
            alone.append([person])
        else:
            tracked[track][still] = person
    return alone + [list(parts.values()) for parts in tracked.values()]


def _unit_means(
    members: Sequence[Sequence[Crop]],
    kinds: Sequence[str],
    embeddings: Mapping[str, np.ndarray],
    by_tracks: Tracked,
) -> np.ndarray:
    """float32 [n, d]: of each appearance the mean of its unit vectors of these kinds, of unit length; zeros if none."""
    width = len(next(iter(embeddings.values()), ()))
    means = np.zeros((len(members), width), np.float32)
    for i, crops in enumerate(members):
        ids = [crop["image_id"] for crop in crops if crop["kind"] in kinds]
        vectors = [embeddings[image_id] for image_id in ids if image_id in embeddings]
        tracks = {by_tracks.track_of[crop["image_id"]] for crop in crops if crop["image_id"] in by_tracks.track_of}
        if len(tracks) == 1:
            of_track = by_tracks.vectors.get(tracks.pop(), {})
            vectors += [vector for kind in kinds for vector in of_track.get(kind, ())]
        if vectors:
            means[i] = unit(np.asarray(vectors, np.float32)).mean(axis=0)
    return unit(means)


def _rivals(merged: Sequence[Sequence[Sequence[Crop]]]) -> np.ndarray:
    """Pairs of appearances on one still, unless boxes of one kind show that they are one person found twice. A panorama
    may show who walks along with it at several places."""
    on_still: dict[str, list[tuple[int, Sequence[Crop]]]] = defaultdict(list)
    for number, people in enumerate(merged):
        for person in people:
            if kind_of_span(person[0]["still_id"]) != PANORAMA:
                on_still[person[0]["still_id"]].append((number, person))
    pairs = {
        (min(one, other), max(one, other))
        for found in on_still.values()
        for i, (one, person) in enumerate(found)
        for other, beside in found[:i]
        if not _is_found_twice(person, beside)
    }
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _is_found_twice(one: Sequence[Crop], other: Sequence[Crop]) -> bool:
    return any(a["kind"] == b["kind"] and iou(place_of(a), place_of(b)) >= SAME_BOX_IOU for a in one for b in other)
