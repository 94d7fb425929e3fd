"""Captions: structured fields, and the one line of text rendered from them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.settings import CaptionsSettings
from dataset_pipeline.tags.words import TAGS_REMEMBERED, is_emoticon, is_people_count

# Danbooru's words for what a picture shows of somebody; a person crop is what a picture of a person usually is.
KIND_WORDS = {
    "still": "screencap",
    "person": "",
    "halfbody": "upper body",
    "head": "portrait",
    "face": "close-up",
    "hand": "hand focus",
}
BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")
PEOPLE_SEPARATOR = ", "


def caption_fields(image_id: str, kind: str, characters: Sequence[str], tags: Sequence[str], show: str) -> dict:
    """The columns of `captions` except the caption: counts of people apart from the other tags, and what kind of
    picture it is in Danbooru's words."""
    return {
        "image_id": image_id,
        "people": PEOPLE_SEPARATOR.join(tag for tag in tags if is_people_count(tag)),
        "characters": sorted(characters),
        "show": show,
        "kind": KIND_WORDS.get(kind, kind),
        "tags": [tag for tag in tags if not is_people_count(tag)],
    }


def render(fields: Mapping[str, Any], settings: CaptionsSettings) -> str:
    """The caption: exactly one line, never empty. What says nothing new is left out, and no part holds a comma or the
    separator, so that a trainer splits it where we joined it. With nothing to say it is the kind, else the show."""
    parts = {
        "people": fields["people"].split(PEOPLE_SEPARATOR),
        "character": fields["characters"],
        "show": [fields["show"]],
        "kind": [fields["kind"]],
        "tags": fields["tags"],
    }
    said: dict[str, str] = {}
    for field in settings.order:
        for part in parts[field]:
            text = _clean(part, settings.separator, settings.spaces)
            if text:
                said.setdefault(text.casefold(), text)
    fallback = (
        _clean(text, settings.separator, settings.spaces) for text in (fields["kind"], fields["show"], "picture")
    )
    return settings.separator.join(said.values()) or next(text for text in fallback if text)


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def _clean(part: str, separator: str, spaces: bool) -> str:
    if spaces and not is_emoticon(part):
        part = part.replace("_", " ")
    for mark in {",", separator.strip()} - {""}:
        part = part.replace(mark, " ")
    return BREAKS.sub(" ", part.encode("utf-8", "replace").decode()).strip()


def decide_captions(
    tags: Iterable[Mapping[str, Any]],
    clusters: Iterable[Mapping[str, Any]],
    selection: Iterable[Mapping[str, Any]],
    show: str,
    settings: CaptionsSettings,
) -> list[dict]:
    """Rows of `captions` for the selected images. show: the title as it shall be read."""
    tags_of = {row["image_id"]: row["tags"] for row in tags}
    characters_of = {row["image_id"]: row["characters"] for row in clusters}
    rows = []
    for row in sorted(selection, key=lambda row: row["image_id"]):
        if row["selected"]:
            image_id = row["image_id"]
            characters = characters_of.get(image_id, row["characters"])
            fields = caption_fields(image_id, row["kind"], characters, tags_of.get(image_id, ()), show)
            rows.append({**fields, "caption": render(fields, settings)})
    return rows
