"""What a person said, as far as it can be told: how much of it holds, and what of it found nothing to hold for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset_pipeline.assets.corrections import FOUND
from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.corrections.addressing import FRAME_READERS, MATCHED, STITCHED, Addressed, parts_for
from dataset_pipeline.corrections.events import Picture
from dataset_pipeline.graph.project import correction_log
from dataset_pipeline.images.looks import look_of
from dataset_pipeline.images.resize import decode
from dataset_pipeline.orchestration.corrected import what_was_said
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.files import StoreError
from dataset_pipeline.store.store import Store

LOST = re.compile(r"\w+ (?:of|on) ([^()]+) \(([^()]+)\)")  # as faults of FOUND say it: "swap of a, b (e-1)"


@dataclass(frozen=True)
class Unmatched:
    """What of an event found nothing. what: the pictures, or the episodes, that are not there."""

    event: str
    do: str
    what: tuple[str, ...]


@dataclass
class Account:
    """said: how many events there are. holding: how many of them no other one undid. faults: by file, why something
    there does not count. unmatched: what found nothing, in the order in which it was said."""

    where: str
    said: int = 0
    holding: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)

    @property
    def summary(self) -> str:
        return f"{self.holding} of {self.said} corrections by hand hold: {self.where}"

    def problems(self) -> list[str]:
        """What of it does not count or found nothing, a line each."""
        lost = [f"{it.do} ({it.event}) by hand found nothing: {', '.join(it.what)}" for it in self.unmatched]
        return [f"{self.where}: {file}: {why}" for file, why in self.faults.items()] + lost


def account_of(settings: Settings, store: Store) -> Account:
    """What was said in a project and what of it found nothing at the last run. Raises StoreError."""
    said = what_was_said(settings, store)
    matched = {it: store.read(MATCHED, it).to_pylist() for it in store.episodes(MATCHED)}
    lost = unmatched_of(said.in_force, said.addressed, matched, _lost_frames(store, said.addressed))
    return Account(correction_log(settings).uri, len(said.log.events), len(said.in_force), said.log.faults, lost)


def unmatched_of(
    events: Iterable[Any],
    said: Addressed,
    matched: Mapping[str, Iterable[Mapping[str, Any]]],
    lost_frames: Mapping[str, Sequence[str]],
) -> list[Unmatched]:
    """What of events in force found nothing, in their order.

    said: to which episodes they are addressed. matched: rows of `matched_corrections` by episode. lost_frames: by
    event, the images that those who read what is said of frames did not find.
    """
    lost: dict[str, list[str]] = {event.id: list(keys) for event, keys in said.homeless}
    for episode, rows in matched.items():
        told = {part.event: part.pictures for part in parts_for(MATCHED, said.rows.get(episode, ()))}
        for row in rows:
            if row["field"] and not row["image_id"] and not row["field"].endswith("shown_by"):
                named = told.get(row["event"], {}).get(row["field"], ())  # numbers count within the episode
                number = row["number"]
                lost.setdefault(row["event"], []).append(named[number]["image"] if number < len(named) else episode)
    for event, images in lost_frames.items():
        lost.setdefault(event, []).extend(images)
    return [
        Unmatched(event.id, event.do, tuple(dict.fromkeys(lost[event.id]))) for event in events if lost.get(event.id)
    ]


def _lost_frames(store: Store, said: Addressed) -> dict[str, list[str]]:
    """By event, the images that the newest run did not find among frames and stills."""
    lost: dict[str, list[str]] = {}
    readers = {(row["reader"], episode) for episode, rows in said.rows.items() for row in rows}
    for reader, episode in sorted(it for it in readers if it[0] in FRAME_READERS):
        pointer = store.pointer(reader, episode)
        fault = pointer.provenance.faults.get(FOUND, "") if pointer else ""
        for what, event in LOST.findall(fault):
            lost.setdefault(event, []).extend(what.split(", "))
    return lost


def spoken_of(store: Store, images: Iterable[str]) -> list[Picture]:
    """How to speak of images of today so that they are found again later: stills, crops, and frames, panoramas and
    plates that are none. Raises KeyError for an image that is not there."""
    wanted: dict[str, list[str]] = {}
    for image in images:
        wanted.setdefault(episode_of(image), []).append(image)
    found: dict[str, Picture] = {}
    for episode, names in wanted.items():
        pointer = store.pointer("video", episode)
        source = pointer.provenance.fingerprint if pointer else ""
        rows = _rows_of(store, episode, set(names))
        for name in names:
            row = rows[name]
            found[name] = Picture(image=name, source=source, pixels=row["pixel_sha256"] or "", look=_look(store, row))
    return [found[image] for image in dict.fromkeys(it for names in wanted.values() for it in names)]


def _rows_of(store: Store, episode: str, names: set[str]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for asset in ("keyframes", *STITCHED, "images"):
        if (table := store.find(asset, episode)) is not None:
            columns = table.select(["image_id", "path", "pixel_sha256"]).to_pylist()
            rows |= {row["image_id"]: row for row in columns if row["image_id"] in names}
    if missing := sorted(names - rows.keys()):
        raise KeyError(f"there is no image {missing[0]}")
    return rows


def _look(store: Store, row: dict[str, Any]) -> str:
    """Empty where the picture is gone or damaged: then it is found again by everything else alone."""
    try:
        return look_of(decode(store.read_picture(row["path"]))) if row["path"] else ""
    except (StoreError, OSError, ValueError):
        return ""
