"""From images to the set a trainer reads."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dataset_pipeline.assets.corrections import rows_of
from dataset_pipeline.assets.crops import has_details
from dataset_pipeline.assets.regularization_export import has_classes, regularization_of
from dataset_pipeline.assets.repeated import repeated_stills
from dataset_pipeline.assets.strata import ASKED_BY_QUERIES, asks_for, strata_behind
from dataset_pipeline.assets.tags import people_seen
from dataset_pipeline.base.tag_words import people_number
from dataset_pipeline.characters.names import names_by_id, stored_names
from dataset_pipeline.corrections.addressing import STITCHED
from dataset_pipeline.corrections.answers import chosen_by_hand
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import DECLARATIONS, Kind, is_joined, parted
from dataset_pipeline.graph.lineage import made_by
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNREADABLE
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import joined_version, version_of
from dataset_pipeline.images.burnt_in_text import boxes_by_still
from dataset_pipeline.images.resize import fit, fit_format
from dataset_pipeline.models import load_registry
from dataset_pipeline.models.registry import Registry
from dataset_pipeline.settings import Settings
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.lineage import Lineage, Made
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.core import emb_init, wildcard
from dataset_pipeline.tags.filter import Known, people_numbers
from dataset_pipeline.tags.scores import tag_rows
from dataset_pipeline.training.balance import balance_markdown, virtual_size
from dataset_pipeline.training.clips import rows_of_set
from dataset_pipeline.training.contents import faces_on
from dataset_pipeline.training.exporters import PROFILES, export, load_profile
from dataset_pipeline.training.exporters.documents import EMB_INIT, WILDCARD
from dataset_pipeline.training.exporters.remake import recipe_of
from dataset_pipeline.training.manifest import (
    OF_SET,
    balance_rows,
    columns_balanced,
    faults_of_set,
    funnel,
    funnel_markdown,
    images_over_quota,
    images_unreadable,
    manifest,
    missing_from_set,
    multiply_rows,
    outcomes,
)
from dataset_pipeline.training.score_cut import check_metric
from dataset_pipeline.training.selection import select

LEFT_ALONE = "left alone"  # the note of `exported_set` on folders of the same content
NO_CLIPS = "no clips"  # that on clips of which the profile takes none
ABSENT = "absent"  # that on classes of which there are no regularization pictures
LEFT_OUT = "left out"  # that on regularization pictures that the trainer would never show
IMAGES_AT_ONCE = 20_000
CHANGES_NAMED = 20  # of such folders; more are counted


def cuts(settings: Settings) -> bool:
    """Whether `[selection]` cuts by score."""
    return settings.selection.cuts


def cut_goes_by(stratum: str) -> Callable[[Settings], bool]:
    """Whether it cuts, and by this stratum."""
    return lambda settings: cuts(settings) and asks_for("selection", stratum)(settings)


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=[
        "images",
        "repeated_frames",
        "detections",
        "quality_scores",
        "tag_scores",
        "hand_edited_tags",
        "clusters",
        "burnt_in_text",
        "character_gallery",
        "matched_corrections",
        "panoramas",
    ],
    reads_if={
        "character_gallery": lambda settings: bool(settings.selection.characters),
        "panoramas": lambda settings: settings.selection.frames_of_panoramas == "thin",
    },
    settings=["selection", "people", "tag_thresholds", "detections"],
    group="set",
    algorithm=6,
    labels=["python"],
)
def selection(step: Step) -> Result:
    """Which images go into the set, and for each one left out, why. `[selection]` decides."""
    settings = step.settings.selection
    images = step.rows("images")
    quality, clusters = step.read("quality_scores"), step.read("clusters")
    if settings.by_metric:
        check_metric(quality, settings.metric, "selection")
    rows = select(
        images,
        dict(zip(quality["image_id"].to_pylist(), quality["score"].to_pylist(), strict=True)),
        dict(zip(clusters["image_id"].to_pylist(), clusters["characters"].to_pylist(), strict=True)),
        settings,
        repeated_stills(step),
        faces_on(step.read("detections"), images, settings.face_min_score),
        _people(step, images),
        step.left_out("detections"),
        chosen_by_hand(rows_of(step)),
        names_by_id(step.read("character_gallery")) if "character_gallery" in step.declaration.reads else None,
        boxes_by_still(step.rows("burnt_in_text")),
        {row["image_id"]: row["covered_s"] or () for row in step.rows("panoramas")}
        if "panoramas" in step.declaration.reads
        else None,
    )
    reasons = Counter(row["reason"] for row in rows)
    cut = sum(row["cut_px"] is not None for row in rows)
    return Result(SCHEMAS["selection"].table(rows), {"selected": 0, **reasons, "text_cut_away": cut})


def _people(step: Step, images: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many people each image shows, as `tags` says; of one without tags what a person wrote."""
    written = {row["image_id"]: row["tags"] for row in step.rows("hand_edited_tags")}
    known = Known(hand_edited=written, seen=people_seen(step, images))
    scored = tag_rows(step.read("tag_scores"))
    numbers = people_numbers(scored, known, step.settings.people, step.settings.tag_thresholds)
    return {image_id: people_number(tags) for image_id, tags in written.items()} | numbers


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=["selection"],
    settings=["training_images"],
    group="set",
    labels=["pillow"],
)
def training_images(step: Step) -> Result:
    """The selected images as a trainer reads them. `[training_images]` says how large at most, and in which format; a
    strip longer than the format holds is scaled down further."""
    settings = step.settings.training_images
    selected = [row for row in step.rows("selection") if row["selected"]]

    def change(picture: np.ndarray) -> np.ndarray:
        fitted = fit(picture, settings.resize_by, settings.max_side_px, settings.filter)
        return fit_format(fitted, settings.format, settings.filter)

    rows, left_out = step.redrawn(selected, change, settings.format, settings.quality)
    numbers: dict[str, Number] = {"size_mb": sum(row["size_bytes"] for row in rows) / 1e6}
    if left_out:
        numbers[UNREADABLE] = len(left_out)
    return Result(
        SCHEMAS["training_images"].table(rows),
        numbers,
        left_out=left_out,
    )


@pipeline_asset(
    kind=Kind.JOIN,
    reads=["selection", "shots", *ASKED_BY_QUERIES],
    reads_if={"shots": cut_goes_by("shot")}
    | dict.fromkeys(set(ASKED_BY_QUERIES) - {"character_gallery"}, cut_goes_by("query")),
    settings=["concept_balance", "training_set", "selection", "tag_thresholds"],
    settings_if={"selection": cuts, "tag_thresholds": cut_goes_by("query")},
    group="set",
    algorithm=5,
    labels=["python"],
)
def concept_balance(step: Step) -> Result:
    """Each concept's folder, its sampling probability and its multiply, by `[concept_balance]`: its arrangement, its
    weights and its quotas, of what `[training_set]` does not hold out. Here `[selection]` cuts by score, as that takes
    all episodes. Shows what an epoch is made of, and what each stratum loses."""
    names = stored_names(step.read("character_gallery"))
    selection = step.read_columns("selection", ["selected", *columns_balanced(step.settings.concept_balance)])
    cut = step.settings.selection if "selection" in step.declaration.settings else None
    strata = strata_behind(step, cut, cut.strata, selection["image_id"].to_pylist()) if cut else {}
    settings = step.settings.concept_balance
    rows, left_out = balance_rows(selection, settings, step.settings.training_set, names, cut, strata)
    reasons: dict[str, Number] = {f"left_out_{why}": count for why, count in Counter(left_out.reasons.values()).items()}
    notes = {"balance": balance_markdown(rows)} | ({"strata": left_out.losses} if left_out.losses else {})
    return Result(
        SCHEMAS["concept_balance"].table(rows),
        {
            "concepts": len(rows),
            "images": sum(row["images"] for row in rows),
            "over_quota": sum(len(row["over_quota"]) for row in rows),
            "virtual_size": virtual_size(rows),
            **(reasons | {"mean_lost": left_out.mean_lost} if cut else {}),
        },
        notes=notes,
    )


@pipeline_asset(kind=Kind.PROJECTION, reads=["selection", "concept_balance"], group="set", labels=["python"])
def multiplies(step: Step) -> Result:
    """How often each selected image of the episode is repeated in an epoch. Brings concept_balance back to it."""
    assert step.episode is not None
    by_episode = step.shared("by episode", lambda: multiply_rows(step.rows("concept_balance")))
    selection = step.read("selection")
    selected = set(selection.filter(selection["selected"])["image_id"].to_pylist())
    rows = [row for row in by_episode.get(step.episode, []) if row["image_id"] in selected]
    return Result(SCHEMAS["multiplies"].table(rows), {"concepts": len({row["concept"] for row in rows})})


@pipeline_asset(
    kind=Kind.JOIN,
    reads=[
        "distinct_frames",
        *STITCHED,
        "crops",
        "details",
        "selection",
        "training_images",
        "captions",
        "concept_balance",
        "multiplies",
    ],
    reads_if={"details": has_details},
    settings=["training_set"],
    group="set",
    algorithm=2,
    traced=True,
    labels=["python"],
    checks={
        "every_image_has_a_caption": Check("No caption is empty: a trainer would learn from silence.", blocking=True),
        "every_selected_image_is_in_the_set": Check("No episode is half way through the graph."),
    },
)
def training_set(step: Step) -> Result:
    """The manifest of the set: every image with its caption and what that is made of, its concept and multiply.

    Shows what became of every frame.
    """
    parts = [_part_of_set(step, episodes) for episodes in _batches(step)]
    table = pa.concat_tables([SCHEMAS["training_set"].empty(), *(part.table for part in parts)])
    missing = pa.chunked_array([ids for part in parts for ids in part.missing.chunks], pa.string())
    balance = step.read("concept_balance")
    unreadable = images_unreadable(step.left_out("training_images"), balance, missing)
    counted = {
        asset: outcomes(step.read_columns(asset, ["reason"]))
        for asset in ("distinct_frames", "crops", "details")
        if asset in step.declaration.reads
    }
    stages = funnel(
        counted["distinct_frames"],
        counted["crops"],
        sum((part.outcomes for part in parts), Counter()),
        table.num_rows,
        images_over_quota(balance, missing),
        len(unreadable),
        details=counted.get("details"),
        stitched=[step.read_columns(asset, ["verdict", "reason"]) for asset in STITCHED],
    )
    return Result(
        table,
        {f"{stage}: {outcome}": count for stage, outcome, count in stages},
        faults_of_set(table, stages, unreadable),
        {"funnel": funnel_markdown(stages)},
    )


class _PartOfSet(NamedTuple):
    """Of some episodes: their rows of the set, what became of their images, and which selected ones are missing."""

    table: pa.Table
    outcomes: Counter[str]
    missing: pa.ChunkedArray


def _part_of_set(step: Step, episodes: Sequence[str]) -> _PartOfSet:
    images, captions, multiplies, selection = (step.read_columns(*it, episodes) for it in OF_SET.items())
    table = manifest(images, captions, multiplies, selection, step.settings.training_set)
    return _PartOfSet(table, Counter(outcomes(selection)), missing_from_set(selection, table))


def _batches(step: Step) -> Iterator[list[str]]:
    """The episodes, so many at a time that what the set is made from never lies in memory as a whole."""
    batch, images = list[str](), 0
    for episode in sorted(step.episodes):
        pointer = step.pointer("selection", episode)
        batch, images = [*batch, episode], images + (pointer.rows if pointer else 0)
        if images >= IMAGES_AT_ONCE:
            yield batch
            batch, images = [], 0
    yield batch


@pipeline_asset(
    kind=Kind.EXPORT,
    reads=["training_set", "core_tags", "character_gallery", "clips", "training_clips", "regularization_set"],
    reads_if={"regularization_set": has_classes},
    settings=["exported_set", "tag_rules", "regularization", "generator"],
    settings_if=dict.fromkeys(("regularization", "generator"), has_classes),
    group="export",
    algorithm=2,
    labels=["file"],
)
def exported_set(step: Step) -> Result:
    """The set as a folder that a trainer reads, by `[exported_set] profile`.

    Made on demand; a folder that somebody changed is left alone.
    """
    rows, profile = step.rows("training_set"), step.settings.exported_set.profile
    if not rows:
        step.log.warning("the training set is empty: nothing was exported")
        return Result(SCHEMAS["exported_set"].empty(), {"pictures": 0})
    if all(row["tags"] is None for row in rows):
        raise ValueError("the training set was made by an earlier version: `dataset-pipeline run`, then export again")
    episodes, shows = ({row[name] for row in rows} for name in ("episode", "show"))
    about = about_set(step, episodes)
    rules = load_rules(step.settings.tag_rules)
    behind = {asset: settings_behind(step, asset, episodes) for asset in ("captions", "concept_balance")}
    for asset in [asset for asset, settings in behind.items() if settings is None]:
        step.log.warning(f"the set was not all made by one and the same [{asset}]: bring it up to date, export again")
    multiplies = {row["concept"]: row["multiply"] for row in rows}
    clips = rows_of_set(step.rows("clips"), step.rows("training_clips"), multiplies)
    beside = regularization_of(step, rows)
    about |= {"regularization": list(beside.told)} if beside.rows else {}
    rows = [*rows, *clips, *beside.rows]
    tags = {tag for row in rows for tag in row["tags"] or ()}
    recipe = recipe_of(behind["captions"], behind["concept_balance"], tags, rules)
    names = stored_names(step.read("character_gallery"))
    core = [
        {**row, "character": names.get(row["character"], row["character"])}
        for row in step.rows("core_tags")
        if row["show"] in shows
    ]
    extra_files = {EMB_INIT: emb_init(core, rules), WILDCARD: wildcard(core, rules)}
    report = export(
        profile, rows, step.encoded_picture, step.export_root, about, step.local_picture, recipe, extra_files
    )
    told = {LEFT_ALONE: left_alone_markdown(report.changed), NO_CLIPS: no_clips_markdown(profile, len(clips))}
    told |= {LEFT_OUT: report.left_out, ABSENT: beside.absent}
    notes = {name: note for name, note in told.items() if note}
    for note in notes.values():
        step.log.warning(note)
    row = {
        "profile": profile,
        "pictures": report.images,
        "concepts": report.concepts,
        "content_sha256": report.content_sha256,
    }
    return Result(
        SCHEMAS["exported_set"].table([row]),
        {"folder": step.published(report.folder), "pictures": report.images},
        notes=notes,
    )


def about_set(step: Step, episodes: Collection[str]) -> dict[str, Any]:
    """What a set's manifest says of how it came about: versions, models and licences, and its lineage if it was
    noted."""
    about = step.origin("training_set") | {"models": models_behind(step, episodes)}
    if lineage := step.lineage("training_set"):
        told = lineage.to_json()
        about["lineage"] = told | {"steps": told["steps"] | clips_behind(step, episodes)}
    return about


def clips_behind(step: Step, episodes: Collection[str]) -> dict[str, Any]:
    """How the clips of these episodes were made, as a lineage tells it: the set is made from none."""
    found: dict[str, dict[str, Made]] = {}
    for asset, episode in itertools.product(
        ("clips", "training_clips"), sorted(set(step.episodes).intersection(episodes))
    ):
        if (pointer := step.pointer(asset, episode)) and pointer.rows:
            found.setdefault(asset, {})[episode] = made_by(pointer.provenance)
    return Lineage(steps=found).to_json()["steps"]


def no_clips_markdown(profile: str, clips: int) -> str:
    """That a set holds none of the clips there are, and for which profiles it would; empty if it holds all."""
    if not clips or load_profile(profile).reads_clips:
        return ""
    others = [name for name in PROFILES if load_profile(name).reads_clips]
    return f"{clips} clips are not in the set: {profile} takes none; export for {' or '.join(others)}"


def left_alone_markdown(changed: Sequence[str]) -> str:
    """Why the set was not written where it lay before; empty if nothing there was changed."""
    if not changed:
        return ""
    lines = [f"- {change}" for change in changed[:CHANGES_NAMED]]
    if len(changed) > CHANGES_NAMED:
        lines.append(f"- and {len(changed) - CHANGES_NAMED} more")
    return "\n".join(["Somebody changed what was exported before, so that was left alone:", "", *lines])


def settings_behind(step: Step, asset: str, episodes: Collection[str]) -> dict[str, Any] | None:
    """The section, of the asset's name, by which it made its part in the set of these episodes; None where that was not
    one and the same, or where the asset has made something else since the set."""
    keys = [""] if is_joined(asset) else sorted(step.episodes)
    found = [(key, pointer) for key in keys if (pointer := step.behind(asset, key or None))]
    joined = is_joined(asset) and found
    version = version_of(found[0][1]) if joined else joined_version(asset, found, "training_set")
    known = [pointer for key, pointer in found if not key or key in episodes]
    sections = {json.dumps(pointer.provenance.settings[asset]) for pointer in known}
    the_set = step.pointer("training_set")
    is_behind = the_set is not None and the_set.provenance.inputs.get(asset) == version
    return json.loads(sections.pop()) if len(sections) == 1 and is_behind else None


def models_behind(step: Step, episodes: Iterable[str]) -> list[dict[str, str]]:
    """The models that measured these episodes, with the licences of their weights, for a set's documents."""
    registry, found = load_registry(), set()
    measured = [name for name in step.ancestors if name in DECLARATIONS and DECLARATIONS[name].models]
    measured = [name for name in measured if parted(name) == "episode"]
    for asset, episode in itertools.product(measured, sorted(set(step.episodes).intersection(episodes))):
        pointer = step.behind(asset, episode)
        for model in pointer.provenance.models if pointer else ():
            licence = "see the demo pack's card" if model["demo"] else _licences(registry, model["model"])
            found.add((model["role"], model["model"], model["sha256"], licence))
    return [dict(zip(("role", "model", "sha256", "licence"), model, strict=True)) for model in sorted(found)]


def _licences(registry: Registry, models: str) -> str:
    entries = [registry.models.get(name) for name in models.split("+")]
    return ", ".join(sorted({entry.licence if entry else "unknown" for entry in entries}))
