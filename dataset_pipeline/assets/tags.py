"""What is said of each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset_pipeline.assets.corrections import rows_of
from dataset_pipeline.base.boxes import place_of
from dataset_pipeline.base.ids import show_of, shows_nobody
from dataset_pipeline.characters.names import named, stored_names
from dataset_pipeline.corrections.answers import set_captions, tag_edits
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import Settings
from dataset_pipeline.settings.tag_rules import Rules, load_rules
from dataset_pipeline.sources.roots import absence
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.captions import CaptionSources, decide_captions, face_positions
from dataset_pipeline.tags.composition import composition_of
from dataset_pipeline.tags.core import core_markdown, core_rows, count_tags
from dataset_pipeline.tags.filter import Known, decide_tags
from dataset_pipeline.tags.hand_edited import hand_edited_rows
from dataset_pipeline.tags.people import LOOKED_FOR, Seen, kind_of, seen_on_images
from dataset_pipeline.tags.scores import tag_rows

COUNTED = ("tag_scores", "clusters")


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=["video", "keyframes"],
    group="text",
    algorithm=3,
    labels=["python"],
    checks={"files_of_tags_can_be_read": Check("Every file of tags beside a picture is text in Unicode.")},
)
def hand_edited_tags(step: Step) -> Result:
    """The tags beside pictures of a folder: `x.tags`, `x.txt` or `x.caption` with `x.png`. They go before a tagger's.

    A file in any encoding but UTF-8, UTF-16 and UTF-32 is named, and its picture keeps the tagger's tags.
    """
    source = step.source
    rows: list[dict] = []
    faults: list[str] = []
    if source["kind"] == "folder":
        if not Path(source["path"]).is_dir():
            raise FileNotFoundError(absence(source["episode"], source["root"], source["path"]))
        keyframes = step.read("keyframes").select(["image_id", "source_file"]).to_pylist()
        rows, faults = hand_edited_rows(Path(source["path"]), keyframes)
    return Result(SCHEMAS["hand_edited_tags"].table(rows), faults={"files_of_tags_can_be_read": "; ".join(faults)})


@pipeline_asset(
    kind=Kind.JOIN,
    reads=COUNTED,
    settings=["core_tags", "tag_thresholds", "tag_rules"],
    group="characters",
    labels=["python"],
)
def core_tags(step: Step) -> Result:
    """What defines each character: the tags that many of its images bear, over all episodes of its show.

    `[core_tags] min_share` says how many. Shows whose tags and characters are those of last time keep their rows.
    """
    rules = load_rules(step.settings.tag_rules)

    def join(show: str, episodes: list[str]) -> list[dict]:
        counts: dict = {}
        for episode in episodes:
            scores, characters = (step.read(asset, [episode]) for asset in COUNTED)
            count_tags(scores, characters, step.settings.tag_thresholds.general, counts)
        return core_rows(show, counts, step.settings.core_tags, rules)

    table, counted = step.by_show(join)
    rows = table.to_pylist()
    return Result(
        table,
        {
            "characters": len(rows),
            "mean_core_tags": sum(len(row["tags"]) for row in rows) / len(rows) if rows else 0.0,
            "shows_counted": counted,
        },
        notes={"core tags": core_markdown(rows, rules)},
    )


def asks_for_characters(settings: Settings) -> bool:
    return any("character:" in concept.query.lower() for concept in settings.tags.concepts)


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=[
        "images",
        "detections",
        "hand_edited_tags",
        "tag_scores",
        "clusters",
        "quality_scores",
        "core_tags",
        "character_gallery",
        "matched_corrections",
    ],
    reads_if={"character_gallery": asks_for_characters},
    settings=["tags", "people", "tag_thresholds", "tag_rules", "detections"],
    group="text",
    algorithm=6,
    labels=["python"],
)
def tags(step: Step) -> Result:
    """The tags that stay on each image, by the thresholds and rules of `[tags]` and by who is seen on it; what was
    dropped or added keeps a reason."""
    assert step.episode is not None
    rules: Rules = step.shared("tag rules", lambda: load_rules(step.settings.tag_rules))
    quality = step.read("quality_scores")
    clusters = step.read("clusters")
    known = Known(
        dict(zip(clusters["image_id"].to_pylist(), clusters["characters"].to_pylist(), strict=True)),
        step.shared("core tags", lambda: _core_by_show(step)).get(show_of(step.episode), {}),
        dict(zip(quality["image_id"].to_pylist(), quality["score"].to_pylist(), strict=True)),
        {row["image_id"]: row["tags"] for row in step.rows("hand_edited_tags")},
        *_seen(step),
    )
    asks = "character_gallery" in step.declaration.reads
    names = step.shared("names", lambda: stored_names(step.read("character_gallery"))) if asks else {}
    known = replace(known, edits=tag_edits(rows_of(step)), names=names)
    scored = tag_rows(step.read("tag_scores"))
    # What a person wrote needs no tagger: one that gave no answer takes nothing from it.
    told = known.hand_edited.keys() | known.edits.keys()
    unscored = told & known.characters.keys() - {row["image_id"] for row in scored}
    scored += [{"image_id": image_id, "tags": ()} for image_id in unscored]
    settings = step.settings
    rows = decide_tags(scored, known, settings.tags, settings.people, settings.tag_thresholds, rules)
    counts = Counter(tag for row in rows for tag in row["tags"])
    return Result(
        SCHEMAS["tags"].table(rows),
        {
            "mean_tags": sum(counts.values()) / len(rows) if rows else 0.0,
            "different_tags": len(counts),
            "hand_edited": sum(row["hand_edited"] for row in rows),
            "corrected": len(known.edits),
            "of_concepts": sum(bool(row["concepts"]) for row in rows),
            "nobody_seen": sum(row["people_at_most"] == 0 for row in rows),
        },
    )


def people_seen(step: Step, images: Sequence[Mapping[str, Any]]) -> dict[str, Seen]:
    """Who is on each image by the boxes, by its id; only clean plates where neither persons nor heads were
    looked for. images: rows of `images`."""
    if not LOOKED_FOR & set(step.settings.detections.kinds):
        images = [row for row in images if shows_nobody(row["still_id"])]
    people, boxes = step.settings.people, step.rows("detections")
    return seen_on_images(images, boxes, step.left_out("detections"), people.doubt_score, people.seen_score)


def _seen(step: Step) -> tuple[dict[str, Seen], dict[str, str]]:
    """Who is seen on each image, and how much of them, by image id."""
    images = step.rows("images")
    seen = people_seen(step, images)
    heights = {row["image_id"]: row["height_px"] for row in images}
    return seen, {
        row["image_id"]: composition_of(
            kind_of(row), seen.get(row["image_id"]), heights[row["still_id"]], place_of(row)
        )
        for row in images
    }


def _core_by_show(step: Step) -> dict[str, dict[str, list[str]]]:
    """The core tags of each show's characters."""
    shows: dict[str, dict[str, list[str]]] = {}
    for row in step.rows("core_tags"):
        shows.setdefault(row["show"], {})[row["character"]] = row["tags"]
    return shows


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=[
        "video",
        "stills",
        "detections",
        "tags",
        "character_gallery",
        "clusters",
        "selection",
        "descriptions",
        "matched_corrections",
    ],
    settings=["captions", "tag_rules"],
    group="set",
    algorithm=8,
    labels=["python"],
)
def captions(step: Step) -> Result:
    """One line of text for each selected image, rendered from structured fields by `[captions] template`, or as a
    person wrote it."""
    settings = step.settings.captions
    texts = step.read("descriptions")
    said_by_tags = ["image_id", "tags", "n_people", "rating", "series", "artists", "activation_tags"]
    tagged = step.read("tags").select(said_by_tags).to_pylist()
    names = step.shared("names", lambda: stored_names(step.read("character_gallery")))
    clusters = step.read("clusters").select(["image_id", "characters"]).to_pylist()
    said = CaptionSources(
        {row["image_id"]: row for row in tagged},
        {row["image_id"]: named(row["characters"], names) for row in clusters},
        face_positions(step.read("detections"), step.read("stills"), settings.face_min_score),
        dict(zip(texts["image_id"].to_pylist(), texts["text"].to_pylist(), strict=True)),
        set_captions(rows_of(step)),
    )
    rules = step.shared("tag rules", lambda: load_rules(step.settings.tag_rules))
    rows = decide_captions(step.rows("selection"), said, step.row("video")["show_title"], settings, rules)
    return Result(
        SCHEMAS["captions"].table(rows),
        {"mean_characters": sum(len(row["caption"]) for row in rows) / len(rows) if rows else 0.0},
    )
