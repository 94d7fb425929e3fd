"""Which pictures of a class stay, and for each one left out, why.

The first of these reasons counts: unreadable, unmeasured, more_people or fewer_people than asked for, hands,
defect_tag, low_quality, duplicate of a better one, judge, enough; with what was found after a colon. A judge that says
no makes room for the next best. A user's own pictures (`folder`) are dropped only where they cannot be read, for people
if the class says how many, as duplicates, and where there are enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.base.tag_words import words
from dataset_pipeline.regularization.requests import Rows
from dataset_pipeline.repeated.near_duplicates import distinct
from dataset_pipeline.settings import RegularizationSelectionSettings
from dataset_pipeline.tags.people import people_of

SELECTED, UNREADABLE, UNMEASURED = "selected", "unreadable", "unmeasured"
MORE_PEOPLE, FEWER_PEOPLE, HANDS = "more_people", "fewer_people", "hands"
DEFECT_TAG, LOW_QUALITY, DUPLICATE, JUDGE, ENOUGH = "defect_tag", "low_quality", "duplicate", "judge", "enough"


@dataclass(frozen=True)
class Looks:
    """What is known of a class's pictures, each by its id.

    pictures: rows of `regularization_pictures`. scores: quality, higher is better. boxes: rows of detections; none is
    needed for a picture without any. tags: with `tag` and `score`. vectors: float32 [d] of length 1. judged: what the
    judge answered. unmeasured: pictures that a model gave no answer for.
    """

    pictures: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, float] = field(default_factory=dict)
    boxes: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    tags: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)
    unmeasured: Collection[str] = ()


def select(
    requests: Iterable[Mapping[str, Any]], looks: Looks, settings: RegularizationSelectionSettings, keep: int
) -> Rows:
    """Rows of `regularization_selection` for one class, by id. requests: its rows of `regularization_requests`. keep:
    how many stay at most.

    place: of those that stay, the best is 0; null for all others. They stay evenly over what was asked for: the best of
    each prompt, then the second best of each, and so on; of stills those of each episode, of mirrors those of each
    training image.
    """
    rows = list(requests)
    reasons = {row["image_id"]: _why_unfit(row, looks, settings) for row in rows}
    ranked = sorted((row for row in rows if not reasons[row["image_id"]]), key=lambda row: _rank(row, looks))
    reasons |= _duplicates([row["image_id"] for row in ranked], looks.vectors, settings.max_likeness)
    if settings.judge:
        refused = [it for it, answer in looks.judged.items() if says_no(answer)]
        reasons |= {it: JUDGE for it in refused if reasons.get(it) == ""}
    left = [row for row in ranked if not reasons[row["image_id"]]]
    places = {row["image_id"]: place for place, row in enumerate(_in_turn(left)[:keep])}
    return [
        {
            "image_id": image_id,
            "selected": image_id in places,
            "reason": reasons[image_id] or (SELECTED if image_id in places else ENOUGH),
            "place": places.get(image_id),
            "score": looks.scores.get(image_id),
        }
        for image_id in sorted(reasons)
    ]


def says_no(answer: str) -> bool:
    """Whether a judge's answer begins with no."""
    first = answer.strip().split(maxsplit=1)[:1]
    return [word.strip("\"'*.,;:!-").casefold() for word in first] == ["no"]


def _why_unfit(row: Mapping[str, Any], looks: Looks, settings: RegularizationSelectionSettings) -> str:
    """Empty for a picture against which nothing speaks by itself."""
    image_id = row["image_id"]
    picture = looks.pictures.get(image_id)
    if picture is None or picture["reason"]:
        return UNREADABLE
    own = row["source"] == "folder"
    if not own and (image_id in looks.unmeasured or image_id not in looks.scores):
        return UNMEASURED
    boxes = [box for box in looks.boxes.get(image_id, ()) if box["score"] >= settings.min_box_score]
    least, most = people_between(image_id, (picture["width_px"], picture["height_px"]), boxes)
    wanted = row["people"]
    if wanted is not None and least > wanted:
        return f"{MORE_PEOPLE}: {least} for {wanted}"
    if wanted is not None and most < wanted:
        return f"{FEWER_PEOPLE}: {most} for {wanted}"
    if own:
        return ""
    people = max(most, 1) if wanted is None else wanted
    hands = sum(box["kind"] == "hand" for box in boxes)
    if hands > settings.hands_per_person * people:
        return f"{HANDS}: {hands} for {people}"
    if tag := _defect_tag(looks.tags.get(image_id, ()), settings):
        return f"{DEFECT_TAG}: {tag}"
    # 0 is no limit, also for metrics whose scores go below it.
    return LOW_QUALITY if settings.min_quality and looks.scores[image_id] < settings.min_quality else ""


def people_between(image_id: str, size_px: tuple[int, int], boxes: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many people a picture shows at least and at most. size_px: its width and height. boxes: those that count.

    Two heads on one body are two people, and so are two faces in what was found as one head.
    """
    people = people_of(image_id, size_px, boxes, 0.0, 0.0)
    least = max(sum(person.sure for person in people), sum(box["kind"] == "face" for box in boxes))
    return least, max(least, len(people))


def _defect_tag(tags: Iterable[Mapping[str, Any]], settings: RegularizationSelectionSettings) -> str:
    """The most probable of the tags that speak of a defect; empty without any."""
    defects = {words(tag) for tag in settings.defect_tags}
    scores = {entry["tag"]: round(float(entry["score"]), 4) for entry in tags if words(entry["tag"]) in defects}
    found = [tag for tag, score in scores.items() if score >= settings.min_tag_score]
    return min(found, key=lambda tag: (-scores[tag], tag), default="")


def _rank(row: Mapping[str, Any], looks: Looks) -> tuple[float, str]:
    """Sorts pictures best first; those without a score come last."""
    return -looks.scores.get(row["image_id"], -np.inf), row["image_id"]


def _duplicates(best_first: Sequence[str], vectors: Mapping[str, np.ndarray], max_likeness: float) -> dict[str, str]:
    """Why pictures are dropped that are more alike than allowed to a better one that stays."""
    known = [image_id for image_id in best_first if image_id in vectors]
    if max_likeness >= 1.0 or not known:  # the cosine of two that are the same may be above 1 by its last digit
        return {}
    groups = distinct(np.stack([vectors[it] for it in known]), range(len(known)), max_likeness)
    pairs = enumerate(groups.survivor.tolist())
    return {known[at]: f"{DUPLICATE}: {known[of]}" for at, of in pairs if at != of}


def _in_turn(best_first: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The best of each group, best first, then the second best of each, and so on."""
    taken: dict[str, int] = {}
    rounds = []
    for row in best_first:
        group = _group_of(row)
        rounds.append((taken.get(group, 0), row))
        taken[group] = taken.get(group, 0) + 1
    return [row for _, row in sorted(rounds, key=lambda it: it[0])]


def _group_of(row: Mapping[str, Any]) -> str:
    if row["source"] == "stills":
        return episode_of(row["mirrors"])
    return row["mirrors"] or row["prompt"]
