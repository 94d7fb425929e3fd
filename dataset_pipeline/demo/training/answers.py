"""What is true of a picture, in tags, and what the picture cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.scenes import DrawnPerson
from dataset_pipeline.demo.shapes import Box
from dataset_pipeline.demo.training.boxes import area_px, shared_px
from dataset_pipeline.demo.training.vocabulary import (
    EXPRESSIONS,
    EYE_COLORS,
    FRAMINGS,
    INDEX,
    OUTFITS,
    PEOPLE,
    PLACE_TAGS,
    PLACES,
    TAGS,
)
from dataset_pipeline.demo.training.worlds import Composed


def tags_of(composed: Composed, view: Box, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """What is true of the part `view` of a picture shown at `scale`, and what the part can tell: two [tags] arrays."""
    answers = _Answers()
    seen = [
        (person, pose)
        for person, pose in zip(composed.people, composed.poses, strict=True)
        if _shows_head(person, view)
    ]
    answers.say("general")
    _count_people(answers, [person for person, _ in seen])
    if any(not _shows_head(p, view) and shared_px(p.person, view) > 0.3 * area_px(view) for p in composed.people):
        answers.cannot_tell(PEOPLE)
    for person, pose in seen:
        _describe(answers, person, pose, view, scale)
    if len(seen) == 1:
        answers.say(framing_of(seen[0][0], view))
    elif seen:
        answers.cannot_tell(FRAMINGS)
    if composed.place and area_px(view) > 0.9 * composed.image.shape[0] * composed.image.shape[1]:
        answers.say(*PLACES[composed.place])
    else:
        answers.cannot_tell(PLACE_TAGS)
    return answers.tags, answers.known


def _shows_head(person: DrawnPerson, view: Box) -> bool:
    """Whether a view shows who somebody is: most of the face, or of the head from behind."""
    head = person.head if person.behind else person.face
    return shared_px(head, view) > 0.5 * area_px(head)


class _Answers:
    """tags: 1 where a tag is true. known: 0 where the picture cannot tell."""

    def __init__(self) -> None:
        self.tags, self.known = np.zeros(len(TAGS), np.float32), np.ones(len(TAGS), np.float32)

    def say(self, *names: str) -> None:
        for name in names:
            self.tags[INDEX[name]] = 1

    def say_if(self, holds: bool, name: str) -> None:
        if holds:
            self.say(name)

    def cannot_tell(self, names: Iterable[str]) -> None:
        for name in names:
            self.known[INDEX[name]] = 0


def _count_people(answers: _Answers, people: Sequence[DrawnPerson]) -> None:
    for sex in ("girl", "boy"):
        count = sum(person.character.sex == sex for person in people)
        answers.say_if(count == 1, f"1{sex}")
        answers.say_if(count > 1, f"multiple_{sex}s")
        answers.say_if(1 < count <= 3, f"{count}{sex}s")
    if len(people) <= 1:
        answers.say("solo" if people else "no_humans")


def _describe(answers: _Answers, person: DrawnPerson, pose: Pose | None, view: Box, scale: float) -> None:
    """Looks, outfit and expression of one person whose face is seen."""
    character = person.character
    answers.say(character.hair_color, character.hair_style)
    if character.accessory == "glasses" and person.behind:
        answers.cannot_tell(("glasses",))
    elif character.accessory:
        answers.say(character.accessory)
    eye_px = min((min(b[2] - b[0], b[3] - b[1]) for b in person.eyes), default=0.0) * scale
    if eye_px < 3.0 or (pose and pose.eyes_open < 0.5):
        answers.cannot_tell(EYE_COLORS)
    else:
        answers.say(character.eye_color)
    torso = shared_px((person.halfbody[0], person.head[3], *person.halfbody[2:]), view)
    whole_torso = max(1.0, person.halfbody[3] - person.head[3]) * (person.halfbody[2] - person.halfbody[0])
    if torso > 0.35 * whole_torso:
        answers.say(character.outfit)
    elif torso > 0.05 * whole_torso:
        answers.cannot_tell(OUTFITS)
    face_px = (person.face[3] - person.face[1]) * scale
    if pose is None or person.behind or face_px < 18:
        answers.cannot_tell(EXPRESSIONS)
    else:
        answers.say_if(pose.expression == "smile", "smile")
        answers.say_if(pose.mouth >= 0.5, "open_mouth")
        answers.say_if(pose.eyes_open < 0.3, "closed_eyes")


def framing_of(person: DrawnPerson, view: Box) -> str:
    """How much of a person a view shows, in image-board words."""
    head_px = person.head[3] - person.head[1]
    if head_px > 0.85 * (view[3] - view[1]):
        return "close-up"
    heads = (min(view[3], person.person[3]) - person.head[1]) / max(1.0, head_px)
    if heads < 1.7:
        return "portrait"
    if heads < 2.6:
        return "upper_body"
    return "cowboy_shot" if heads < 3.8 else "full_body"
