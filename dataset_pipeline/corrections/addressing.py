"""To which episode a correction is addressed, and which asset reads it: rows of the table `corrections`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dataset_pipeline.base.ids import PANORAMA, PLATE, PLATE_WITH_SUBJECT, kind_of_span, show_of
from dataset_pipeline.corrections.events import EVENTS, order_of, told

MATCHED = "matched_corrections"  # reads what is said of images; the assets below read what those turned out to be
# These make images, so they read what is said of their pictures themselves.
FRAME_READERS = ("distinct_frames", "crops", "clips", "panoramas", "backdrops")
STITCHED = {"panoramas": (PANORAMA,), "backdrops": (PLATE, PLATE_WITH_SUBJECT)}  # what each makes of whole shots


@dataclass(frozen=True)
class Episodes:
    """The episodes there are: the fingerprint of each one's source, by key; and today's key by former key."""

    fingerprints: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def today(self, episode: str, source: str) -> str | None:
        """Where an episode is that a correction calls by this key and whose source had this fingerprint. None if it is
        nowhere.

        The one with that very source, for keys may change places; of equal copies the one of that key. Where that
        source is nowhere, since it was encoded again, or where several others are equal to it: the one of that key, or
        the one that it was renamed to.
        """
        bearers = self._by_fingerprint.get(source, []) if source else []
        called = [key for key in (episode, self.renamed.get(episode)) if key is not None and key in self.fingerprints]
        if among := [key for key in called if key in bearers]:
            return among[0]
        if len(bearers) == 1 or not called:
            return bearers[0] if bearers else None
        return called[0]

    @cached_property
    def _by_fingerprint(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for key in sorted(self.fingerprints):
            found[self.fingerprints[key]].append(key)
        return found


@dataclass
class Addressed:
    """rows: of `corrections`, by episode; of every episode there is. homeless: events of which something is addressed
    to no episode there is, with the keys that they name."""

    rows: dict[str, list[dict]]
    homeless: list[tuple[Any, list[str]]] = field(default_factory=list)


def addressed(events: Iterable[Any], when: Mapping[str, str], episodes: Episodes) -> Addressed:
    """Rows of `corrections` for events in force. when: of each, by its id.

    Each episode gets of an event what that says of its own pictures. What is said of a character alone goes to one
    episode: the first that its pictures are of, else the first of any.
    """
    found = Addressed({episode: [] for episode in episodes.fingerprints})
    for event in events:
        parts, unknown = _parts(event, episodes)
        if unknown:
            found.homeless.append((event, unknown))
        for episode, part in parts.items():
            found.rows[episode] += [
                {"reader": reader, "event": event.id, "said": when[event.id], "do": event.do, "value": part}
                for reader in _first_readers(event)
            ]
    return found


def _first_readers(event: Any) -> list[str]:
    """Those who read it first; who makes pictures of whole shots reads only what is said of such a picture."""
    stills = {kind_of_span(it.image) for name in event.PICTURES for it in event.pictures(name) if "#" not in it.image}
    readers = [
        reader if reader in FRAME_READERS else MATCHED
        for reader in event.READERS
        if not event.PICTURES or reader not in STITCHED or stills.intersection(STITCHED[reader])
    ]
    return list(dict.fromkeys(readers))


def _parts(event: Any, episodes: Episodes) -> tuple[dict[str, str], list[str]]:
    """What the event says to each episode, as JSON text; and the keys that it names and that there are not."""
    if event.do == "exclude":
        today = episodes.today(event.episode, event.source)
        plain = told(event) | ({"episode": today} if today else {})
        return ({today: json.dumps(plain, sort_keys=True)}, []) if today else ({}, [event.episode])
    by_episode: dict[str, dict[str, list[dict]]] = {}
    unknown: list[str] = []
    for name in event.PICTURES:
        for picture in event.pictures(name):
            today = episodes.today(picture.episode, picture.source)
            if today is None:
                unknown.append(picture.episode)
                continue
            image = f"{today}{picture.image[len(picture.episode) :]}"
            moved = picture.model_dump(exclude_defaults=True) | {"image": image}
            by_episode.setdefault(today, {}).setdefault(name, []).append(moved)
    if not by_episode and event.do in ("rename", "merge") and episodes.fingerprints:
        by_episode, unknown = {_home(event, episodes.fingerprints): {}}, []
    elif event.do in ("rename", "merge"):
        unknown = []  # of the pictures that show a character one is enough
    value = event.value
    return {
        episode: json.dumps({"do": event.do, **value, **pictures}, sort_keys=True)
        for episode, pictures in by_episode.items()
    }, list(dict.fromkeys(unknown))


def _home(event: Any, episodes: Collection[str]) -> str:
    shows = {show_of(episode) for episode in event.episodes}
    return min(episodes, key=lambda episode: (show_of(episode) not in shows, episode))


@dataclass(frozen=True)
class Part:
    """What an event says to one episode. pictures: plain, by the field that names them. value: the rest."""

    event: str
    said: str
    do: str
    pictures: Mapping[str, Sequence[Mapping[str, str]]]
    value: Mapping[str, Any]


def parts_for(reader: str, rows: Iterable[Mapping[str, Any]]) -> list[Part]:
    """What rows of `corrections` say to a reader, in the order in which it was said."""
    found = []
    for row in sorted(rows, key=lambda row: order_of(row["said"], row["event"])):
        if row["reader"] == reader:
            value = json.loads(row["value"])
            names = EVENTS[row["do"]].PICTURES
            pictures = {name: value.pop(name) for name in names if name in value}
            value.pop("do")
            found.append(Part(row["event"], row["said"], row["do"], pictures, value))
    return found
