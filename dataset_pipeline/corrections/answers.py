"""What corrections come to once their pictures are found: plain answers that the rules of other rooms take."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from dataset_pipeline.base.ids import kind_of_span
from dataset_pipeline.corrections.addressing import Part
from dataset_pipeline.corrections.events import order_of
from dataset_pipeline.corrections.matching import Matcher
from dataset_pipeline.images.stills import KEEP, REFUSED

REJECTED, KEPT = "rejected_by_hand", "kept_by_hand"  # images, by a person
EXCLUDED = "excluded_by_hand"  # frames of a span that a person took out
CHOSEN = "chosen_by_hand"  # frames that a person chose out of near-duplicates
MIN_DRAWN_PX = 32  # of the short side of a box that a person draws: models and measures have nothing to see below


@dataclass
class Whos:
    """Who a person says is who, by image id of crops.

    given: the character that a crop shows. banned: those that it does not show. same: crops of one person each, whoever
    that is. names: of characters, as typed, empty for one that lost its name; `aliases`: names they had before. merged:
    by the id of a character the one it is part of. shown_by: crops that show a character, by its id.
    """

    given: dict[str, str] = field(default_factory=dict)
    banned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    same: list[frozenset[str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    merged: dict[str, str] = field(default_factory=dict)
    shown_by: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __bool__(self) -> bool:
        return any((self.given, self.banned, self.same, self.names, self.merged))

    def head_of(self, character: str) -> str:
        """The character that this one is part of by now; itself if it was merged into none."""
        seen = {character}
        while (other := self.merged.get(character)) and other not in seen:
            character = other
            seen.add(other)
        return character


@dataclass(frozen=True)
class Edits:
    """Tags of one image: add, in their order, and remove."""

    add: tuple[str, ...] = ()
    remove: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FrameAnswers:
    """stay: frames that are no near-duplicates of others whatever they look like. first: frames that stand for those
    that look like them. out: spans in seconds from which nothing is taken. lost: by event, what of it was not found."""

    stay: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()
    out: tuple[tuple[float, float], ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)

    def is_out(self, pts_s: float | None) -> bool:
        return pts_s is not None and any(start <= pts_s < end for start, end in self.out)


NOTHING_SAID = FrameAnswers()


@dataclass(frozen=True)
class StitchedAnswers:
    """What a person said of panoramas or plates. chosen: REJECTED or KEPT by image id. out, lost: as of frames."""

    chosen: Mapping[str, str] = field(default_factory=dict)
    out: tuple[tuple[float, float], ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)

    def verdict_on(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The verdict and its reason if a person gave it; else nothing. row: of `panoramas` or `backdrops`."""
        if any(start <= row["end_s"] and row["start_s"] < end for start, end in self.out):
            return {"verdict": REFUSED, "reason": EXCLUDED}
        said = self.chosen.get(row["image_id"], "") if row["path"] else ""
        return {"verdict": KEEP if said == KEPT else REFUSED, "reason": said} if said else {}


@dataclass(frozen=True)
class DrawnBox:
    """A crop that a person drew on a still: its box in thousandths (x, y, width, height), and the id that the crop had
    which it replaces, empty if it replaces none."""

    still_id: str
    kind: str
    box: tuple[int, int, int, int]
    instead_of: str = ""


def whos_of(rows: Iterable[Mapping[str, Any]]) -> Whos:
    """The answers in rows of `matched_corrections` of one show, whose reader is character_gallery or clusters. What was
    said last counts."""
    found = Whos()
    for do, value, images in _events(rows):
        crops = images.get("images", [])
        if do == "rename":
            _rename(found, value["character"], value["name"])
            found.shown_by[value["character"]] += images.get("shown_by", [])
        elif do == "merge":
            head, other = found.head_of(value["character"]), found.head_of(value["other"])
            if head != other:  # all that either is made of is one by now
                found.merged[other] = head
            found.shown_by[value["character"]] += images.get("shown_by", [])
            found.shown_by[value["other"]] += images.get("other_shown_by", [])
        elif do == "set_character":
            _give(found, crops, value)
        elif do == "not_character":
            for crop in crops:
                found.banned[crop].add(value["character"])
                if found.given.get(crop) == value["character"]:
                    del found.given[crop]
        elif do == "same_person" and len(crops) > 1:
            found.same.append(frozenset(crops))
    return found


def _rename(found: Whos, character: str, name: str) -> None:
    before = found.names.get(character, "")
    if before and before != name:
        found.aliases[character].append(before)
    found.names[character] = name


def _give(found: Whos, crops: Sequence[str], value: Mapping[str, Any]) -> None:
    character, origin = value["character"], value.get("split_from", "")
    for crop in crops:
        found.given[crop] = character
        found.banned[crop].discard(character)
        if origin:
            found.banned[crop].add(origin)
    if value.get("name") and character not in found.names:
        found.names[character] = value["name"]


def tag_edits(rows: Iterable[Mapping[str, Any]]) -> dict[str, Edits]:
    """By image, from rows whose reader is tags; of a tag that was added and removed the later counts."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for do, value, images in _events(rows):
        for image in images.get("images", ()):
            for tag in value["tags"]:
                found[image].pop(tag, None)
                found[image][tag] = do == "add_tags"
    return {
        image: Edits(
            tuple(tag for tag, added in tags.items() if added),
            frozenset(tag for tag, added in tags.items() if not added),
        )
        for image, tags in found.items()
    }


def set_captions(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The captions that a person wrote, by image, from rows whose reader is captions."""
    found = {image: value.get("text", "") for _, value, images in _events(rows) for image in images.get("images", ())}
    return {image: text for image, text in found.items() if text}


def chosen_by_hand(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """REJECTED or KEPT by image, from rows whose reader is selection."""
    return {
        image: KEPT if do == "keep" else REJECTED
        for do, _, images in _events(rows)
        for image in images.get("images", ())
    }


def frame_answers(parts: Iterable[Part], matcher: Matcher) -> FrameAnswers:
    """What a person said of frames. matcher: of the candidate frames."""
    stay: set[str] = set()
    first: dict[str, None] = {}
    parts, lost = list(parts), {}
    for part in parts:
        if part.do == "exclude":
            continue
        frames = [(it["image"], matcher.match(it).image_id) for pictures in part.pictures.values() for it in pictures]
        if part.do == "keep":
            frames = [(told, frame) for told, frame in frames if "#" not in told and not kind_of_span(told)]
        if gone := [told for told, frame in frames if not frame]:
            lost[part.event] = f"{part.do} of {', '.join(gone)}"
        if part.do == "swap":
            chosen, replaced = ([frame for _, frame in frames] + ["", ""])[:2]
            if chosen and replaced:
                first.pop(replaced, None)
                first[chosen] = None
        else:
            stay |= {frame for _, frame in frames if frame}
    out, of_others = spans_out(parts, matcher.source)
    return FrameAnswers(frozenset(stay), frozenset(first), out, lost | of_others)


def stitched_answers(parts: Iterable[Part], matcher: Matcher, kinds: Collection[str]) -> StitchedAnswers:
    """What a person said of panoramas or plates, of which the last counts. matcher: of these. kinds: their kinds."""
    parts, chosen, lost = list(parts), {}, {}
    for part in parts:
        told = [it for it in part.pictures.get("images", ()) if kind_of_span(it["image"]) in kinds]
        for picture in (it for it in told if "#" not in it["image"]):
            if image := matcher.match(picture).image_id:
                chosen[image] = KEPT if part.do == "keep" else REJECTED
            else:
                lost[part.event] = f"{part.do} of {picture['image']}"
    out, of_others = spans_out(parts, matcher.source)
    return StitchedAnswers(chosen, out, lost | of_others)


def spans_out(parts: Iterable[Part], source: str) -> tuple[tuple[tuple[float, float], ...], dict[str, str]]:
    """The spans of an episode, in seconds, from which a person took everything out; and by event those that do not
    count, since they tell seconds of another source. source: fingerprint of the episode's, empty if it is not known."""
    out, lost = [], {}
    for part in parts:
        if part.do != "exclude":
            continue
        start_s, end_s, told = part.value["start_s"], part.value["end_s"], part.value.get("source", "")
        if told and source and told != source:
            lost[part.event] = f"exclude of {start_s:g} to {end_s:g} s of a source that was replaced"
        else:
            out.append((start_s, end_s))
    return tuple(out), lost


def drawn_boxes(
    parts: Iterable[Part], matcher: Matcher, sizes_px: Mapping[str, tuple[int, int]]
) -> tuple[list[DrawnBox], dict[str, str]]:
    """The boxes that a person drew, and by event what of them was not found or is too small to be cut. matcher: of the
    stills. sizes_px: their width and height, by id."""
    found: dict[tuple, DrawnBox] = {}
    lost = {}
    for part in parts:
        (still,) = part.pictures["image"]
        here = matcher.match(still).image_id
        if not here:
            lost[part.event] = f"{part.do} on {still['image']}"
            continue
        sides_px = [side * whole / 1000 for side, whole in zip(part.value["box"][2:], sizes_px[here], strict=True)]
        if min(sides_px) < MIN_DRAWN_PX:
            told_px = "x".join(f"{side:.0f}" for side in sides_px)
            lost[part.event] = f"{part.do} on {here}, of {told_px} px where {MIN_DRAWN_PX} are the least"
            continue
        replaced = [f"{here}#{it['image'].partition('#')[2]}" for it in part.pictures.get("instead_of", ())]
        drawn = DrawnBox(here, part.value["kind"], tuple(part.value["box"]), *replaced)
        # Of several boxes for one crop the last one counts.
        found[(here, drawn.instead_of) if replaced else (here, drawn.kind, drawn.box)] = drawn
    return list(found.values()), lost


def _events(rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, dict[str, Any], dict[str, list[str]]]]:
    """What is done, its value, and the images found by the field that names them, event by event as they were said."""
    ordered = sorted(rows, key=lambda row: (*order_of(row["said"], row["event"]), row["field"], row["number"]))
    for _, members in groupby(ordered, key=lambda row: (row["said"], row["event"])):
        told = list(members)
        images: dict[str, list[str]] = defaultdict(list)
        for row in told:
            if row["image_id"]:
                images[row["field"]].append(row["image_id"])
        yield told[0]["do"], json.loads(told[0]["value"]), images
