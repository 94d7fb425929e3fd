"""Which clips go into the set, and what is said of each.

A clip is told by its shot's candidate frames: which stills they stand for says what else shows the same, and what the
set says of these stills is said of the clip. Who is there is asked of every still, in the set or not, so that no
caption claims fewer than are seen:

- characters: all that are on any still within the clip;
- counts: of girls, boys and others the largest that any still within the clip bears, and none where any still of the
  shot shows more people than they come to; then neither `solo` nor where the face is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from dataset_pipeline.base.ids import clip_id, episode_of, frame_id, show_of, still_of
from dataset_pipeline.base.tag_words import MANY, NOBODY, counted_people, is_people_count, people_number, words
from dataset_pipeline.characters.names import named
from dataset_pipeline.settings import CaptionsSettings, TrainingSetSettings
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.store.schemas import SAID
from dataset_pipeline.tags.captions import quality_word
from dataset_pipeline.tags.templates import PEOPLE_SEPARATOR, render
from dataset_pipeline.training.split import STRETCH_MS, TRAIN, VALIDATION, held_out
from dataset_pipeline.video.clip_spans import Span

KIND = "clip"
KEPT = "kept"
SHARED = 0.5  # of a clip's images: what so many of them say is said of the clip
LISTS = ("series", "artists", "activation_tags", "tags")


@dataclass(frozen=True)
class Copies:
    """Which stills of all episodes show the same. stays: by still, the one that stays for it. shared: those that stay
    for stills of several episodes."""

    stays: Mapping[str, str] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()


def copies_of(repeated: Iterable[Mapping[str, Any]]) -> Copies:
    """What rows of `repeated_frames` say."""
    stays, episodes = {}, defaultdict(set)
    for row in repeated:
        for frame in row["frames"]:
            stays[frame["image_id"]] = frame["group"]
            episodes[frame["group"]].add(row["episode"])
    return Copies(stays, frozenset(still for still, found in episodes.items() if len(found) > 1))


@dataclass(frozen=True)
class Described:
    """An image of the set: its rows of `selection`, `captions` and `multiplies` in one."""

    image_id: str
    kind: str
    concept: str
    quality: float | None
    said: Mapping[str, Any]

    @property
    def still_id(self) -> str:
        return still_of(self.image_id)


@dataclass(frozen=True)
class Seen:
    """Who is on a still. characters: by name. counts: tags that count people. people: how many, by tags or faces."""

    characters: frozenset[str] = frozenset()
    counts: tuple[str, ...] = ()
    people: int = 0


def seen_on_stills(
    selection: Iterable[Mapping[str, Any]], tags: Iterable[Mapping[str, Any]], names: Mapping[str, str]
) -> dict[str, Seen]:
    """Who is on each still, selected or not, by id; names: what to call the characters, by id."""
    tagged = {row["image_id"]: row["tags"] for row in tags}
    return {
        row["image_id"]: Seen(
            frozenset(named(row["characters"], names)),
            tuple(filter(is_people_count, tagged.get(row["image_id"], ()))),
            max(row["n_people"], row["n_faces"]),
        )
        for row in selection
        if row["image_id"] == row["still_id"]
    }


def images_of_set(
    selection: Iterable[Mapping[str, Any]],
    captions: Iterable[Mapping[str, Any]],
    multiplies: Iterable[Mapping[str, Any]],
) -> list[Described]:
    """The images of an episode that are in the set, by id."""
    said = {row["image_id"]: row for row in captions}
    concepts = {row["image_id"]: row["concept"] for row in multiplies}
    return [
        Described(row["image_id"], row["kind"], concepts[row["image_id"]], row["quality"], said[row["image_id"]])
        for row in sorted(selection, key=lambda row: row["image_id"])
        if row["selected"] and row["image_id"] in said.keys() & concepts.keys()
    ]


def decide_clips(
    episode: str,
    spans: Sequence[Span],
    shots: Iterable[Mapping[str, Any]],
    frames: Iterable[Mapping[str, Any]],
    copies: Copies,
    images: Sequence[Described],
    seen: Mapping[str, Seen],
    fps: int,
    captions: CaptionsSettings,
    rules: Rules,
    split: TrainingSetSettings,
) -> list[dict[str, Any]]:
    """Rows of `clips`, in order of time. frames: of `distinct_frames`; images: of the set. seen: by
    still, of all stills.

    A shot whose stills other episodes have too is a clip only of the episode where most of those that stay are (of
    several, the first by name), elsewhere `repeated`. One that shows nothing but what an earlier clip of the episode
    shows is a `duplicate`, one of which the set has no image `undescribed`. What is trained
    on shares no minute with what is held out, so a clip of minutes of `both_parts` is neither.
    """
    limits = {row["number"]: (row["start_s"], row["end_s"]) for row in shots}
    timed = (row for row in frames if row["group"] and row["pts_s"] is not None)  # those of a folder have no time
    candidates = sorted(timed, key=lambda row: row["pts_s"])
    by_still: dict[str, list[Described]] = defaultdict(list)
    for image in images:
        by_still[image.still_id].append(image)
    shown: list[tuple[int, frozenset[str]]] = []  # shots that are clips, with the stills that stay for theirs
    rows = []
    for span in spans:
        start_s, end_s = limits[span.shot]
        of_shot = [row for row in candidates if start_s <= row["pts_s"] < end_s]
        inside = [row for row in of_shot if span.start_s <= row["pts_s"] <= span.end_s]
        stay = frozenset(copies.stays.get(row["group"], row["group"]) for row in of_shot)
        described = _of_stills(inside, by_still) or _of_stills(of_shot, by_still)
        part = _part(episode, span, split)
        reason = (
            span.reason
            or ("" if part else "both_parts")
            or _why_not(episode, span.shot, stay, copies, shown)
            or ("" if described else "undescribed")
        )
        row = {
            "image_id": clip_id(episode, span.start_s, span.end_s),
            "episode": episode,
            "shot": span.shot,
            "start_s": span.start_s,
            "end_s": span.end_s,
            "frames": span.frames,
            "fps": fps,
            "kept": not reason,
            "reason": reason or KEPT,
            "split": part,
        }
        if not reason:
            shown.append((span.shot, stay))
            near = inside or of_shot
            who = _who(*([seen[it["group"]] for it in of if it["group"] in seen] for of in (near, of_shot)))
            row |= _said(row["image_id"], described, (span.start_s + span.end_s) / 2, of_shot, who, captions, rules)
        rows.append(row)
    return rows


def _part(episode: str, span: Span, split: TrainingSetSettings) -> str:
    """Whether the minutes that a span touches are trained on or held out; empty if some are and others not."""
    first, last = (round(time_s * 1000) // STRETCH_MS for time_s in (span.start_s, span.end_s))
    minutes = [frame_id(episode, minute * STRETCH_MS) for minute in range(first, last + 1)]
    held = held_out(minutes, split.validation_share, split.seed)
    return TRAIN if not held else VALIDATION if len(held) == len(minutes) else ""


def _who(within: Sequence[Seen], of_shot: Sequence[Seen]) -> tuple[Seen, int]:
    """Who the stills within a clip show together, and how many people those of its shot show at least."""
    largest: dict[str, str] = {}
    for tag in sorted({tag for still in within for tag in still.counts}):
        kind, number = counted_people(tag)
        if kind not in largest or number > counted_people(largest[kind])[1]:
            largest[kind] = tag
    together = Seen(
        frozenset().union(*(still.characters for still in within)),
        tuple(largest[kind] for kind in ("girl", "boy", "other") if kind in largest),
        people_number(largest.values()),
    )
    known = frozenset[str]().union(*(still.characters for still in of_shot))
    return together, max([len(known), *(still.people for still in of_shot)])


def _why_not(
    episode: str, shot: int, stay: frozenset[str], copies: Copies, shown: Iterable[tuple[int, frozenset[str]]]
) -> str:
    if shared := stay & copies.shared:
        kept = Counter(episode_of(still) for still in shared)
        if min(kept, key=lambda name: (-kept[name], name)) != episode:
            return "repeated"
    if stay and any(number != shot and stay <= earlier for number, earlier in shown):
        return "duplicate"
    return ""


def _of_stills(frames: Iterable[Mapping[str, Any]], by_still: Mapping[str, list[Described]]) -> list[list[Described]]:
    """For each still that the frames stand for what the set has of it: itself, or if it has not, its crops."""
    found = []
    for still in dict.fromkeys(row["group"] for row in frames):
        whole = [image for image in by_still.get(still, ()) if image.image_id == still]
        if whole or by_still.get(still):
            found.append(whole or by_still[still])
    return found


def _said(
    image_id: str,
    stills: Sequence[Sequence[Described]],
    middle_s: float,
    frames: Sequence[Mapping[str, Any]],
    who: tuple[Seen, int],
    captions: CaptionsSettings,
    rules: Rules,
) -> dict[str, Any]:
    """The columns of `clips` that say what a clip shows. stills: its images in the set, by still. who: of `_who`."""
    together, at_least = who
    images = [image for still in stills for image in still]
    times_s = {row["group"]: row["pts_s"] for row in reversed(frames)}
    nearest = min(images, key=lambda image: (abs(times_s[image.still_id] - middle_s), image.image_id))
    qualities = [image.quality for image in images if image.quality is not None]
    quality = fmean(qualities) if qualities else None
    positions = {image.said["face_position"] for image in images}
    counted = together.people >= min(at_least, MANY)
    fields: dict[str, Any] = {
        "image_id": image_id,
        "kind": KIND,
        "characters": sorted(together.characters.union(*(image.said["characters"] for image in images))),
        "people": PEOPLE_SEPARATOR.join(together.counts) if counted else "",
        "n_people": together.people if counted else 0,
        **{
            name: _shared([[value for image in still for value in image.said[name]] for still in stills])
            for name in LISTS
        },
        "rating": _common([image.said["rating"] for still in stills for image in still[:1]]),
        "show": nearest.said["show"],
        "image_type": "",
        "face_position": positions.pop() if len(positions) == 1 and at_least <= 1 else "",
        "quality_word": quality_word(quality, captions),
        "text": nearest.said["text"],
        "written": "",
    }
    denied = {("solo",)} if at_least > 1 else set()  # one after another, each alone
    denied |= {NOBODY} if at_least else set()
    fields["tags"] = [tag for tag in fields["tags"] if words(tag) not in denied]
    caption = render(fields, captions, rules)
    return {
        **{name: value for name, value in fields.items() if name not in ("kind", "show")},
        "show_title": fields["show"],
        "quality": quality,
        "concept": _common([image.concept for image in images]),
        "caption": caption,
    }


def _shared(values: Sequence[Sequence[str]]) -> list[str]:
    """What at least `SHARED` of the lists hold, in the order of the first that does."""
    counts = Counter(value for listed in values for value in set(listed))
    return [value for value, count in _in_order(counts, values) if count >= SHARED * len(values)]


def _in_order(counts: Mapping[str, int], values: Sequence[Sequence[str]]) -> Iterator[tuple[str, int]]:
    for value in dict.fromkeys(value for listed in values for value in listed):
        yield value, counts[value]


def _common(values: Sequence[Any]) -> Any:
    """The most common one; of several the largest."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value))


def rows_of_set(
    clips: Iterable[Mapping[str, Any]], files: Iterable[Mapping[str, Any]], multiplies: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Clips as rows of `training_set`, with `frames` and `fps` besides: those that have a file, of concepts that have a
    multiply. A concept's clips bear that of its images."""
    written = {row["image_id"]: row for row in files}
    of_file = ("path", "width_px", "height_px", "file_sha256")
    return [
        {
            **{name: row[name] for name in ("image_id", "episode", "concept", "caption", "split", "quality", *SAID)},
            **{name: row[name] for name in ("characters", "frames", "fps")},
            **{name: written[row["image_id"]][name] for name in of_file},
            "show": show_of(row["episode"]),
            "kind": KIND,
            "multiply": multiplies[row["concept"]],
        }
        for row in clips
        if row["kept"] and row["image_id"] in written and row["concept"] in multiplies
    ]
