"""What the page is told, as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import check_image, episode_of, pts_ms_of, still_of
from dataset_pipeline.corrections.answers import KEPT, REJECTED
from dataset_pipeline.images.stills import DOUBTFUL
from dataset_pipeline.reports.readiness.buckets import RULES, fit_counted
from dataset_pipeline.review.model import Now
from dataset_pipeline.review.pictures import SHEET_SIDE, TILE_PX
from dataset_pipeline.review.session import Change, Session
from dataset_pipeline.store.store import Store

DIGITS = 4
ASKED = 24  # tiles that are told to be asked about next
SHOWN_EVENTS = 30


def project_told(session: Session) -> dict[str, Any]:
    """All that the page shows at first."""
    view = session.view
    with session.lock:
        quality = view.facts.quality
        return {
            "edition": view.edition,
            "root": view.facts.root,
            "limit": round(view.facts.limit, DIGITS),
            "sheet": {"side": SHEET_SIDE, "tile_px": TILE_PX},
            "titles": view.facts.titles,
            "shows": [show.facts.show for show in view.shows],
            "tiles": {
                "cover": [tile.cover for tile in view.tiles],
                "show": [tile.show for tile in view.tiles],
                "crops": [len(tile.crops) for tile in view.tiles],
                "time": [tile.pts_s for tile in view.tiles],
                "quality": [_number(quality.get(tile.cover)) for tile in view.tiles],
                "group": view.group.tolist(),
            },
            "state": state_told(session.now, np.arange(len(view.tiles))),
            **common_told(session),
            "lookalikes": lookalikes_told(session),
            "doubtful": doubtful_told(session),
            "buckets": buckets_told(),
        }


def change_told(session: Session, change: Change) -> dict[str, Any]:
    """What is another since a person said something."""
    return {"changed": change.tiles.tolist(), "state": state_told(change.now, change.tiles), **common_told(session)}


def state_told(now: Now, tiles: np.ndarray) -> dict[str, list]:
    """Columns with one entry for each of these tiles."""
    whole = {name: getattr(now, name)[tiles].tolist() for name in ("owner", "near", "second", "marks")}
    certainty = [_number(it) for it in now.certainty[tiles].tolist()]
    return whole | {"certainty": certainty, "difference": [_number(it) for it in now.difference[tiles].tolist()]}


def common_told(session: Session) -> dict[str, Any]:
    """What may change with every word, and is small."""
    view, now = session.view, session.now
    people = []
    for number, character in enumerate(view.characters):
        person = now.people.get(character)
        told = {"number": number, "id": character, "gone": person is None}
        if person:
            told |= {"name": person.name, "named": person.named, "show": person.show, "aliases": list(person.aliases)}
        people.append(told)
    own = session.own
    return {
        "characters": people,
        "ask": view.asked_next(now, ASKED),
        "said": len(session.said.events),
        "holding": len(session.holding),
        "undo": len(own),
        "last": own[-1][0].do if own else "",
        "faults": session.said.faults,
        "unmatched": [
            {"event": lost.event, "do": lost.do, "what": list(lost.what)}
            for event in session.holding
            if (lost := view.unmatched.get(event.id))
        ],
        "events": [
            {"id": event.id, "do": event.do, "when": session.said.when[event.id], "what": _summary(event)}
            for event in session.holding[-SHOWN_EVENTS:][::-1]
        ],
        "frames": frames_said(session.holding),
        "judged": {image: said for image, said in now.chosen.items() if image in view.facts.stitched},
        "excluded": [
            {"episode": event.episode, "start_s": event.start_s, "end_s": event.end_s}
            for event in session.holding
            if event.do == "exclude"
        ],
    }


def _summary(event: Any) -> str:
    count = sum(len(event.pictures(name)) for name in event.PICTURES)
    said = ", ".join(str(it) for name, it in event.value.items() if name in ("name", "character", "tags", "text"))
    return f"{said} · {count} pictures" if count else said


def lookalikes_told(session: Session) -> list[dict[str, Any]]:
    """Groups of near-duplicates, the largest first."""
    facts = session.view.facts
    groups = sorted(facts.lookalikes.items(), key=lambda it: (-len(it[1]), it[0]))
    return [
        {
            "group": group,
            "frames": [{"id": it.image_id, "pts_s": it.pts_s, "stands": it.stands} for it in members],
        }
        for group, members in groups
    ]


def doubtful_told(session: Session) -> list[dict[str, Any]]:
    """Panoramas and plates about which a person is asked, or was."""
    columns = ("kind", "reason", "start_s", "end_s", "width_px", "height_px", "known_share", "whole_px", "layers")
    rows = sorted(session.view.facts.stitched.items())
    return [
        {"id": image, **{name: row[name] for name in columns}}
        for image, row in rows
        if row["verdict"] == DOUBTFUL or row["reason"] in (KEPT, REJECTED)
    ]


def frames_said(events: Iterable[Any]) -> dict[str, str]:
    """What a person said of frames, by image id: `stands`, `stays`, or `stands back`."""
    found: dict[str, str] = {}
    for event in events:
        if event.do == "swap":
            found[event.image.image], found[event.instead_of.image] = "stands", "stands back"
        elif event.do in ("keep_both", "keep"):
            found |= {it.image: "stays" for it in event.images}
    return found


def still_told(session: Session, store: Store, image: str) -> dict[str, Any]:
    """A still with its crops, who is on them, and the tags and captions of all. Raises KeyError, ValueError."""
    view, now, still = session.view, session.now, still_of(check_image(image))
    row = view.facts.row_of(still)
    if row is None:
        raise KeyError(still)
    on_it = [it for it in view.facts.images.values() if it["still_id"] == still and it["image_id"] != still]
    episode = episode_of(still)
    tags = _by_image(store, "tags", episode, "tags", {still, *(it["image_id"] for it in on_it)})
    captions = _by_image(store, "captions", episode, "caption", {still, *(it["image_id"] for it in on_it)})

    def told(image_id: str, crop: Mapping[str, Any]) -> dict[str, Any]:
        edits = now.tags.get(image_id)
        kept = [tag for tag in tags.get(image_id) or () if not edits or tag not in edits.remove]
        shown = [*kept, *(tag for tag in (edits.add if edits else ()) if tag not in kept)]
        return {
            "id": image_id,
            "kind": crop.get("kind", "frame"),
            "tile": view.tile_of.get(image_id),
            "tags": shown,
            "added": list(edits.add) if edits else [],
            "removed": sorted(edits.remove) if edits else [],
            "caption": now.captions.get(image_id) or captions.get(image_id) or "",
            "written": image_id in now.captions,
            "chosen": now.chosen.get(image_id, ""),
            "quality": _number(view.facts.quality.get(image_id)),
            "box": [crop.get(name) or 0 for name in ("x_px", "y_px", "width_px", "height_px")],
        }

    ms = pts_ms_of(still)
    return {
        "still": told(still, row),
        "width_px": row["width_px"],
        "height_px": row["height_px"],
        "episode": episode,
        "pts_s": None if ms is None else ms / 1000,
        "is_image": still in view.facts.images,
        "crops": [told(it["image_id"], it) for it in sorted(on_it, key=lambda it: it["image_id"])],
    }


def _by_image(store: Store, asset: str, episode: str, column: str, images: set[str]) -> dict[str, Any]:
    table = store.find(asset, episode, ["image_id", column])
    if table is None:
        return {}
    pairs = zip(table["image_id"].to_pylist(), table[column].to_pylist(), strict=True)
    return {image: value for image, value in pairs if image in images}


def buckets_told() -> list[list[int]]:
    """The sizes that kohya makes batches of at 1024 pixels, so that a box may be drawn in the shape of one."""
    sides = np.arange(256, 2049, 32)
    widths, heights = (it.ravel() for it in np.meshgrid(sides, sides))
    fit = fit_counted(RULES["kohya_scaled"], widths, heights, 1024)
    found = {(w, h) for w, h in zip(fit.width_px.tolist(), fit.height_px.tolist(), strict=True) if w}
    return [list(size) for size in sorted(found)]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, DIGITS)
