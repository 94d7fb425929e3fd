"""Where an image comes from and why it is, or is not, in the set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute

from dataset_pipeline.base.ids import crop_id, episode_of, image_id, is_clip, pts_ms_of, still_of
from dataset_pipeline.corrections.addressing import FRAME_READERS, MATCHED, STITCHED, parts_for
from dataset_pipeline.corrections.events import order_of
from dataset_pipeline.corrections.log import CorrectionLog
from dataset_pipeline.graph.aliases import current_id
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer, Store
from dataset_pipeline.training.manifest import left_out_reasons
from dataset_pipeline.video.clip_spans import contrast_and_change

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them
REPEATED = "repeated_frames"  # a row an episode, with a list of its frames
LEFT_OUT = "left_out"  # in the row of a decision: why there is no row of the image, or no picture


class UnknownImage(LookupError):
    """No table of the store speaks of the image."""


@dataclass(frozen=True)
class Decision:
    """What one asset says of the image: its row, and the code, settings and models it was made by."""

    asset: str
    of: str  # the image the row speaks of: the image itself or its still
    row: dict[str, Any]
    code_version: str
    settings: dict[str, Any]
    models: list[dict[str, Any]]
    demo: bool = False


@dataclass(frozen=True)
class SaidOf:
    """A correction of the image or its still. said: when, UTC. value: all of it but the pictures. by: what wrote it,
    empty if that is not known."""

    event: str
    said: str
    do: str
    value: dict[str, Any]
    of: str
    by: str = ""


@dataclass(frozen=True)
class Explanation:
    """`second_s`: of the video, None for pictures; `end_s`: of the last frame of a clip, a panorama or a plate.
    `box_px`: (x0, y0, x1, y1) of a crop in its still. `still_px`: width and height of the still, None if unknown.
    `alike`: how many frames its still stands for, itself among them. `names`: of characters, by their ids.
    `corrections`: what a person said of it, in the order in which it was said."""

    image_id: str
    still_id: str
    source: str
    second_s: float | None
    box_px: tuple[int, int, int, int] | None
    made_with_demo_models: bool
    decisions: list[Decision]
    still_px: tuple[int, int] | None = None
    alike: int = 1
    names: dict[str, str] = field(default_factory=dict)
    end_s: float | None = None
    corrections: list[SaidOf] = field(default_factory=list)

    @property
    def of_crop(self) -> bool:
        return self.image_id != self.still_id

    @property
    def shorter_side_px(self) -> int:
        """Of the image; 0 if unknown."""
        if self.box_px:
            x0, y0, x1, y1 = self.box_px
            return min(x1 - x0, y1 - y0)
        return 0 if self.of_crop or self.still_px is None else min(self.still_px)


# What these tables hold of a still counts for its crops too.
OF_STILL = frozenset(
    {
        *("keyframes", "frame_embeddings", "distinct_frames", "stills", "detections", "repeated_frames", "text_lines"),
        *("screen_marks", "burnt_in_text", "alignments", *STITCHED, "stitched_embeddings"),
    }
)
# Tables of all episodes in which an image has a row, with its episode.
OF_ALL = frozenset({"training_set"})
# Every table with a row an image, in the order of the work.
OF_IMAGES = tuple(
    name
    for name, schema in SCHEMAS.items()
    if "image_id" in schema.columns and not name.endswith("_measured") and name != MATCHED
)
EMBEDDINGS = frozenset(name for name in OF_IMAGES if name.endswith("embeddings"))  # their rows tell a person nothing
LONG_COLUMNS = frozenset({"pixel_sha256", "model_sha256", "algorithm", "aligned_sha256", "unknown"})
OF_EACH_FRAME = frozenset(  # columns of `alignments` with an entry for each frame or block
    {
        *("pts", "pts_s", "x_px", "y_px", "log_scale", "angle_rad", "gains", "used"),
        *("fixed", "clean", "known", "moving"),
    }
)
CORNERS = ("x0_px", "y0_px", "x1_px", "y1_px")


def image_of(image: str) -> str:
    """The image id meant by an id, a file name or a path of an exported or stored picture."""
    path = Path(image)
    if path.suffix and ("/" not in image or path.exists() or "@" in path.name):
        return image_id(path.name)
    return image_id(image) if "@" in image else image


def clips_of_shot(store: Store, image: str) -> list[dict[str, Any]]:
    """The rows of `clips` of the shot `<episode>/shot-<number>`, or of the one that a frame or a clip begins in."""
    image = current_id(store, image)
    episode, name = episode_of(image), image.partition("/")[2]
    if store.pointer("clips", episode) is None:
        return []
    number, pts_ms = name.removeprefix("shot-"), pts_ms_of(image)
    if name != number and number.isdecimal():
        wanted = {int(number)}
    else:
        shots = _rows(store, "shots", episode) if pts_ms is not None else []
        wanted = {row["number"] for row in shots if row["start_s"] * 1000 <= (pts_ms or 0) < row["end_s"] * 1000}
    return [row for row in _rows(store, "clips", episode) if row["shot"] in wanted]


def clip_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rows of `clips`, a line each."""
    return [
        f"{row['image_id']} of shot {row['shot']}, second {row['start_s']:.3f} to {row['end_s']:.3f}: {row['reason']}"
        for row in rows
    ]


def explain(store: Store, image: str) -> Explanation:
    """Gather every row about an image, which may be called by a former id. Raises UnknownImage."""
    image = current_id(store, image)
    episode, still = episode_of(image), still_of(image)
    video = store.pointer("video", episode)
    if video is None:
        raise UnknownImage(f"no episode {episode} in {store.root}")
    decisions: list[Decision] = []
    for asset in _in_order(OF_IMAGES):
        subject = still if asset in OF_STILL else image
        pointer = store.pointer(asset, None if asset in OF_ALL or asset == REPEATED else episode)
        if pointer is not None:
            every = () if asset in EMBEDDINGS else _rows(store, asset, episode)
            rows = [row for row in every if row["image_id"] == subject]
            if reason := pointer.provenance.left_out.get(subject):
                rows = [{**row, LEFT_OUT: reason} for row in rows or [{}]]
            decisions += [_decision(asset, subject, row, pointer) for row in rows]
    balance, table = store.pointer("concept_balance"), store.find("concept_balance")
    reasons = left_out_reasons(table) if table is not None else {}
    if balance is not None and image in reasons:
        decisions.append(_decision("concept_balance", image, {"reason": reasons[image]}, balance))
    if not any(decision.of == image for decision in decisions):
        there = "\n".join([f"the episode {episode} is there", *clip_lines(clips_of_shot(store, image))])
        raise UnknownImage(f"no image {image} in {store.root}; {there}")
    for decision in decisions if is_clip(image) else ():
        if decision.asset == "clips" and "shot" in decision.row:
            decision.row.update(_about_clip(store, episode, decision.row))
    source = "/".join(filter(None, (video.provenance.root, video.provenance.path)))
    return _explanation(store, image, source, decisions)


def _about_clip(store: Store, episode: str, clip: Mapping[str, Any]) -> dict[str, Any]:
    """What a clip was judged by: its `contrast` and `change`, and the `stills` that its caption was taken from."""
    shot = next((row for row in _rows(store, "shots", episode) if row["number"] == clip["shot"]), None)
    if shot is None:
        return {}
    said = {still_of(row["image_id"]) for row in _rows(store, "captions", episode)}
    said &= {still_of(row["image_id"]) for row in _rows(store, "multiplies", episode)}
    frames = [row for row in _rows(store, "distinct_frames", episode) if row["group"] in said]
    inside = {row["group"] for row in frames if clip["start_s"] <= row["pts_s"] <= clip["end_s"]}
    of_shot = {row["group"] for row in frames if shot["start_s"] <= row["pts_s"] < shot["end_s"]}
    contrast, change = contrast_and_change(shot, clip["start_s"], clip["end_s"])
    return {"contrast": contrast, "change": change, "stills": sorted(inside or of_shot)}


def _in_order(tables: tuple[str, ...]) -> list[str]:
    before = tables.index("stitched_embeddings") + 1
    return [*tables[:before], REPEATED, *tables[before:]]


def _explanation(store: Store, image: str, source: str, decisions: list[Decision]) -> Explanation:
    rows = {decision.asset: decision.row for decision in reversed(decisions)}
    still, crop = still_of(image), rows.get("crops") or rows.get("details")
    spanned = next((rows[asset] for asset in ("clips", *STITCHED) if asset in rows), {})
    second_s = rows.get("keyframes", {}).get("pts_s", spanned.get("start_s"))
    frame = rows.get("stills") or rows.get("distinct_frames", {})
    size = (frame["width_px"], frame["height_px"]) if frame.get("width_px") and frame.get("height_px") else None
    for decision in decisions:
        if decision.asset == "detections" and size and CORNERS[0] in decision.row:
            decision.row["crop_id"] = _crop_of(still, decision.row, size)
    x, y = (crop["x_px"], crop["y_px"]) if crop else (0, 0)
    box_px = (x, y, x + crop["width_px"], y + crop["height_px"]) if crop else None
    groups = [row["group"] for row in _rows(store, "distinct_frames", episode_of(image))]
    gallery = store.find("character_gallery")
    names = (
        {} if gallery is None else dict(zip(*(gallery[it].to_pylist() for it in ("character", "name")), strict=True))
    )
    who = {name for row in rows.values() for name in row.get("characters") or ()}
    span_s = None if second_s is None else (second_s, float(spanned.get("end_s") or second_s))
    said = corrections_of(store, image, still, span_s)
    who |= {str(it.value[key]) for it in said for key in ("character", "other") if key in it.value}
    return Explanation(
        image,
        still,
        source,
        second_s,
        box_px,
        any(decision.demo for decision in decisions),
        decisions,
        size,
        max(1, groups.count(still)),
        {character: name for character, name in names.items() if character in who and name},
        spanned.get("end_s"),
        said,
    )


def corrections_of(store: Store, image: str, still: str, span_s: tuple[float, float] | None) -> list[SaidOf]:
    """What a person said of an image, of its still or of a span with it, as the newest run found it. span_s: from when
    to when it shows the video."""
    episode = episode_of(image)
    found: dict[str, SaidOf] = {}
    for row in _rows(store, MATCHED, episode):
        if row["image_id"] in (image, still):
            value = json.loads(row["value"])
            found.setdefault(row["event"], SaidOf(row["event"], row["said"], row["do"], value, row["image_id"]))
    for reader in FRAME_READERS:
        for part in parts_for(reader, _rows(store, "corrections", episode)):
            named = [it["image"] for pictures in part.pictures.values() for it in pictures]
            of = next((it for it in (image, still) if it in named), "")
            if part.do == "exclude" and span_s and _meets(span_s, part.value):
                of = still
            if of:
                found.setdefault(part.event, SaidOf(part.event, part.said, part.do, dict(part.value), of))
    return sorted(found.values(), key=lambda it: order_of(it.said, it.event))


def with_speakers(explanation: Explanation, logs: Iterable[CorrectionLog]) -> Explanation:
    """The same, which says what wrote each correction, as far as these hold it. Raises StoreError."""
    if not explanation.corrections:
        return explanation
    by = {event: name for log in logs for event, name in log.read().by.items()}
    return replace(explanation, corrections=[replace(it, by=by.get(it.event, "")) for it in explanation.corrections])


def _meets(span_s: tuple[float, float], out: Mapping[str, Any]) -> bool:
    return out["start_s"] <= span_s[1] and span_s[0] < out["end_s"]


def _decision(asset: str, subject: str, row: dict[str, Any], pointer: Pointer) -> Decision:
    left = LONG_COLUMNS | {"image_id"} | (OF_EACH_FRAME if asset == "alignments" else frozenset())
    columns = {name: value for name, value in row.items() if name not in left}
    made_from = pointer.provenance
    return Decision(
        asset,
        subject,
        columns,
        made_from.code_version,
        dict(made_from.settings),
        made_from.models,
        made_from.demo,
    )


def _crop_of(still: str, box: Mapping[str, Any], size: tuple[int, int]) -> str:
    """The id of the crop that a box gives; empty for a box outside of the still."""
    limits = (*size, *size)
    x0, y0, x1, y1 = (min(max(float(box[name]), 0.0), limit) for name, limit in zip(CORNERS, limits, strict=True))
    return crop_id(still, box["kind"], (x0, y0, x1, y1), size) if x0 <= x1 and y0 <= y1 else ""


def _rows(store: Store, asset: str, episode: str) -> list[dict[str, Any]]:
    of_all = asset in OF_ALL or asset == REPEATED
    table = store.find(asset, None if of_all else episode)
    if table is None:
        return []
    rows = (table.filter(pc.equal(table["episode"], episode)) if of_all else table).to_pylist()
    return [frame for row in rows for frame in row["frames"]] if asset == REPEATED else rows
