"""The structured fields of a caption: what is known of an image, before anybody decides how to say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import is_clip, pts_ms_of, shows_nobody
from dataset_pipeline.base.tag_words import is_people_count, people_number, words
from dataset_pipeline.settings import CaptionsSettings
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.tags.templates import PEOPLE_SEPARATOR, render

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

# Tags of text that was laid over a picture; those of its script end in `text`.
TEXT_TAGS = frozenset({"subtitled", "watermark", "web_address", "artist_name", "copyright_name", "credits", "logo"})
LEFT_UNTIL, MIDDLE_UNTIL = 0.38, 0.62  # of the picture's width


@dataclass(frozen=True)
class CaptionSources:
    """What other tables say of an episode's images, each by image id. tags: rows of `tags`. texts: free text.
    written: whole captions that a person wrote.
    faces: left, middle or right."""

    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    characters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    faces: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)


def decide_captions(
    selection: Iterable[Mapping[str, Any]], said: CaptionSources, show: str, settings: CaptionsSettings, rules: Rules
) -> list[dict]:
    """Rows of `captions` for the selected images. show: the title as it shall be read."""
    rows = []
    for row in sorted(selection, key=lambda row: row["image_id"]):
        if row["selected"]:
            fields = caption_fields(row, said, show, settings)
            rows.append({**fields, "caption": render(fields, settings, rules)})
    return rows


def caption_fields(row: Mapping[str, Any], said: CaptionSources, show: str, settings: CaptionsSettings) -> dict:
    """The columns of `captions` but the caption, for a row of `selection`. Counts of people stand apart from the other
    tags; of an image without the text that lay on it, no tag speaks of any."""
    image_id = row["image_id"]
    tagged = said.tags.get(image_id, {})
    tags = [tag for tag in tagged.get("tags") or () if not (row.get("cut_px") and is_of_text(tag))]
    return {
        "image_id": image_id,
        "kind": row["kind"],
        "people": PEOPLE_SEPARATOR.join(tag for tag in tags if is_people_count(tag)),
        "n_people": tagged.get("n_people") or people_number(tags),
        "characters": sorted(said.characters.get(image_id, row["characters"])),
        "show": show,
        "series": list(tagged.get("series") or ()),
        "artists": list(tagged.get("artists") or ()),
        "image_type": image_type_of(image_id, settings),
        "rating": tagged.get("rating") or "",
        "face_position": said.faces.get(image_id, ""),
        "quality_word": quality_word(row.get("quality"), settings),
        "activation_tags": list(tagged.get("activation_tags") or ()),
        "tags": [tag for tag in tags if not is_people_count(tag)],
        "text": said.texts.get(image_id, ""),
        "written": said.written.get(image_id, ""),
    }


def is_of_text(tag: str) -> bool:
    """Whether a tag speaks of text, subtitles or a logo: english_text, subtitled, watermark."""
    said = words(tag)
    return said[-1:] == ("text",) or "_".join(said) in TEXT_TAGS


def image_type_of(image_id: str, settings: CaptionsSettings) -> str:
    """What an image is called: one taken from a video by another word than one taken from a picture of a folder. A
    clip is none."""
    if is_clip(image_id):
        return ""
    return settings.picture_type if pts_ms_of(image_id) is None else settings.image_type


def quality_word(quality: float | None, settings: CaptionsSettings) -> str:
    """The word of the highest of `quality_words` that the score reaches; empty below all of them."""
    reached = [entry for entry in settings.quality_words if quality is not None and quality >= entry.min_quality]
    return max(reached, key=lambda entry: entry.min_quality).word if reached else ""


def face_positions(detections: pa.Table, stills: pa.Table, min_score: float) -> dict[str, str]:
    """left, middle or right for each still on which just one face was found; none for clean plates. stills: image_id
    and width_px."""
    is_face = pc.and_(pc.equal(detections["kind"], "face"), pc.greater_equal(detections["score"], min_score))
    faces = detections.filter(is_face)
    counted = faces.group_by("image_id").aggregate([("x0_px", "min"), ("x1_px", "max"), ("x0_px", "count")])
    alone = counted.filter(pc.equal(counted["x0_px_count"], 1))
    widths = dict(zip(stills["image_id"].to_pylist(), stills["width_px"].to_pylist(), strict=True))
    columns = (alone[name].to_pylist() for name in ("image_id", "x0_px_min", "x1_px_max"))
    return {
        image_id: _position((x0 + x1) / 2 / widths[image_id])
        for image_id, x0, x1 in zip(*columns, strict=True)
        if widths.get(image_id) and not shows_nobody(image_id)
    }


def _position(share: float) -> str:
    return "left" if share < LEFT_UNTIL else "middle" if share < MIDDLE_UNTIL else "right"
