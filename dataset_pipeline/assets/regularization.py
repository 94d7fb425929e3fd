"""Pictures of classes that stand beside the training images, so that a trainer does not forget the class. Nothing here
runs by itself; `Step.episode` is a class of `[regularization]`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dataset_pipeline.assets.descriptions import describe_missing
from dataset_pipeline.assets.frames import pictures_of_table
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.file_names import sha256_of_file
from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.characters.names import stored_names
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNANSWERED
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import hash_of
from dataset_pipeline.images.pictures import open_picture
from dataset_pipeline.images.resize import fit
from dataset_pipeline.models.captioner import Captioner
from dataset_pipeline.models.generator import Request
from dataset_pipeline.regularization.folder import from_folder
from dataset_pipeline.regularization.joining import rows_of_set
from dataset_pipeline.regularization.mirroring import seen_tags
from dataset_pipeline.regularization.requests import requests_of, wanted_pictures
from dataset_pipeline.regularization.selection import Looks, select
from dataset_pipeline.regularization.stills import of_nobody, unfit_stills
from dataset_pipeline.settings import RegularizationClass, Settings
from dataset_pipeline.settings.regularization import GENERATED
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.store.left_out import first_reasons, tried
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS

EVERY_PICTURE_IS_THERE = "every_picture_is_there"
EVERY_CLASS_IS_UP_TO_DATE = "every_class_is_up_to_date"
GENERATOR_SHA256 = "generator_sha256"
MEASURED = REQUESTS, PICTURES, SCORES, BOXES, TAGS, VECTORS = tuple(
    f"regularization_{it}" for it in ("requests", "pictures", "scores", "detections", "tags", "embeddings")
)


class Maker(NamedTuple):
    """The generator: its backend and model, and a hash of all that its pictures depend on."""

    model: str
    sha256: str


def class_of(step: Step) -> RegularizationClass:
    """The class at work."""
    assert step.episode is not None
    return step.settings.regularization.named(step.episode)


def takes_pictures(settings: Settings) -> bool:
    """Whether a class is of pictures that are there already, which are resized as training images are."""
    return any(not it.generated for it in settings.regularization.classes)


def generates(settings: Settings) -> bool:
    """Whether pictures of a class are made by a generator."""
    return settings.regularization.generates


def mirrors(settings: Settings) -> bool:
    """Whether a class has the captions of the training images."""
    return settings.regularization.mirrors


def takes_stills(settings: Settings) -> bool:
    """Whether a class is of stills on which nobody is."""
    return settings.regularization.takes_stills


def judges(settings: Settings) -> bool:
    """Whether somebody is asked about pictures."""
    return settings.regularization_selection.judge


MIRRORED: tuple[str, ...] = ("training_set", "core_tags", "character_gallery", "tag_scores")
LOOKED_AT: tuple[str, ...] = ("stills", "shots", "detections", "clusters", "tags", "burnt_in_text")


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=[*MIRRORED, *LOOKED_AT],
    reads_if={**dict.fromkeys(MIRRORED, mirrors), **dict.fromkeys(LOOKED_AT, takes_stills)},
    settings=["regularization", "people", "generator", "captions", "tag_rules", "tag_thresholds"],
    settings_if={
        **dict.fromkeys(("captions", "tag_rules", "tag_thresholds"), mirrors),
        "generator": generates,
        "people": takes_stills,
    },
    generates=True,
    group="regularization",
    labels=["python"],
    on_demand=True,
    by_class=True,
)
def regularization_requests(step: Step) -> Result:
    """Every picture that a class may have: what a generator is asked for, the pictures of a folder, or stills on which
    nobody is."""
    ways = {"prompts": _asked_for, "captions": _asked_for, "folder": _in_folder, "stills": _stills}
    rows = ways[class_of(step).source](step)
    return Result(SCHEMAS["regularization_requests"].table(rows), {"pictures": len(rows)})


def _asked_for(step: Step) -> list[dict]:
    a_class, settings = class_of(step), step.settings.regularization
    mirrored = _mirrored(step) if a_class.source == "captions" else {}
    has_size = a_class.source == "prompts" and a_class.width_px and a_class.height_px
    native_side_px = a_class.width_px if has_size else step.generator.native_side_px()
    rows = requests_of(a_class, settings.seed, settings.generate, native_side_px, **mirrored)
    return [{**row, "pixel_sha256": "", "file": ""} for row in rows]


def _mirrored(step: Step) -> dict[str, Any]:
    """What is known of the training images and of how their captions are written."""
    if absent := [asset for asset in MIRRORED[:3] if not step.pointer(asset)]:
        raise PermanentError(
            f"the class {step.episode!r} mirrors the captions of the training set, and there is no "
            f"{', '.join(absent)} yet: make the set first, with `dataset-pipeline run`"
        )
    names = stored_names(step.read("character_gallery"))
    core = [{**row, "character": names.get(row["character"], "")} for row in step.rows("core_tags")]
    return {
        "training_rows": step.rows("training_set"),
        "core_tags": core,
        "seen": _seen(step, {tag for row in core for tag in row["tags"]}),
        "captions": step.settings.captions,
        "rules": load_rules(step.settings.tag_rules),
    }


def _seen(step: Step, wanted: set[str]) -> dict[str, list[str]]:
    """Which of these tags are seen on each image, read of one episode at a time, as there are many."""
    least = step.settings.tag_thresholds.general
    found: dict[str, list[str]] = {}
    for episode in step.episodes:
        found |= seen_tags(step.read("tag_scores", [episode]), wanted, least)
    return found


def _in_folder(step: Step) -> list[dict]:
    rows = from_folder(class_of(step))
    return [{**row, "path": "", "pixel_sha256": "", "file": row["path"]} for row in rows]


def _stills(step: Step) -> list[dict]:
    a_class, settings = class_of(step), step.settings.regularization
    stills = step.read("stills")
    boxes, clusters, tags, texts = (step.read(it) for it in ("detections", "clusters", "tags", "burnt_in_text"))
    least = step.settings.people.doubt_score  # nobody is there only beyond doubt
    areas_px = {row["image_id"]: row["width_px"] * row["height_px"] for row in stills.to_pylist()}
    unlooked = step.left_out("detections")
    unfit = unfit_stills(boxes, clusters, tags, texts, least, unlooked, areas_px, settings.max_text_share)
    number = wanted_pictures(a_class, settings.generate)
    shots = step.read_columns("shots", ["episode", "start_s"]).to_pylist()
    rows = of_nobody(stills.to_pylist(), unfit, shots, a_class, number, settings.seed)
    pixels = dict(zip(stills["path"].to_pylist(), stills["pixel_sha256"].to_pylist(), strict=True))
    return [{**row, "pixel_sha256": pixels[row["path"]], "file": ""} for row in rows]


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["regularization_requests"],
    settings=["generator", "training_images"],
    settings_if={"generator": generates, "training_images": takes_pictures},
    generates=True,
    group="regularization",
    labels=["torch"],
    on_demand=True,
    by_class=True,
    checks={EVERY_PICTURE_IS_THERE: Check("Each picture that was asked for could be made, or read.")},
    shows=pictures_of_table,
)
def regularization_pictures(step: Step) -> Result:
    """The pictures of a class: generated one by one, each kept as soon as it is there; or those of a folder or of
    stills, as large as training images. One 1024 px picture takes a GPU 3 to 8 s, two cores half an hour."""
    requests = step.rows("regularization_requests")
    generated = any(row["source"] in GENERATED for row in requests)
    maker = _maker(step) if generated else None
    of_size = step.settings.training_images.counted() if not generated else {}

    def made_from(row: dict) -> str:
        asked = [row[name] for name in ("prompt", "negative_prompt", "seed", "width_px", "height_px")]
        return hash_of(maker.sha256, asked) if maker else hash_of(_content_of(step, row), of_size)

    make = _generate if generated else _resized
    rows, left_out, made = step.generated(requests, made_from, lambda absent: make(step, absent))
    numbers: dict[str, Number] = {"made": made, "taken_over": len(rows) - made}
    if maker:
        numbers |= {"generator": maker.model, GENERATOR_SHA256: maker.sha256}
    faults = {EVERY_PICTURE_IS_THERE: first_reasons(left_out)}
    return Result(SCHEMAS["regularization_pictures"].table(rows), numbers, faults, left_out=left_out)


def _maker(step: Step) -> Maker:
    """What makes pictures; where it cannot be asked, that of last time, so that what is there can be found again."""
    try:
        found = step.generator.fingerprint()
        return Maker(found.model, found.sha256)
    except PermanentError:
        before = step.last.provenance if step.last else None
        if before is None or before.settings.get("generator") != step.settings.generator.counted():
            raise
        return Maker(str(before.numbers["generator"]), str(before.numbers[GENERATOR_SHA256]))


def _generate(step: Step, rows: Sequence[dict]) -> Iterator[np.ndarray | Exception]:
    asked = ("prompt", "negative_prompt", "seed", "width_px", "height_px")
    return step.generator.generate(Request(**{name: row[name] for name in asked}) for row in rows)


def _content_of(step: Step, row: dict) -> str:
    """A hash of what a picture that is there shows."""
    return row["pixel_sha256"] or sha256_of_file(_own_file(step, row))


def _own_file(step: Step, row: dict) -> Path:
    """Where a picture of the user's lies on this machine; rows of earlier versions hold its full path."""
    return (step.class_folder or Path()) / row["file"]


def _resized(step: Step, rows: Sequence[dict]) -> Iterator[np.ndarray | Exception]:
    settings = step.settings.training_images

    def resized(row: dict) -> np.ndarray:
        picture = open_picture(_own_file(step, row)) if row["file"] else step.picture(row["path"])
        return fit(picture, settings.resize_by, settings.max_side_px, settings.filter)

    return (tried(resized, row) for row in rows)


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=MEASURED,
    settings=["regularization", "regularization_selection", "descriptions"],
    settings_if={"descriptions": judges},
    group="regularization",
    labels=["python"],
    on_demand=True,
    by_class=True,
)
def regularization_judgements(step: Step) -> Result:
    """What the service of `[descriptions]` answers of each picture that all else keeps, if `[regularization_selection]
    judge` wants that; each is asked about once."""
    if not judges(step.settings):
        return Result(SCHEMAS["regularization_judgements"].empty(), {"asked": 0})
    pictures = {row["image_id"]: row for row in step.rows(PICTURES)}
    prompt = {"prompt": step.settings.regularization_selection.judge_prompt}
    captioner = Captioner(step.settings.descriptions.model_copy(update=prompt))
    rows: dict[str, dict] = {}
    asked = 0
    # Of one that is refused the next best takes the place, and is asked about in turn.
    while wanted := [it for it in _selected(step, rows) if it not in rows]:
        found, of_them = describe_missing(
            step,
            [pictures[it] for it in wanted],
            captioner.fingerprint(),
            lambda some: captioner.describe(step.readable(row["path"] for row in some)),
        )
        rows |= {row["image_id"]: row for row in found}
        asked += of_them
    unanswered = sum(not row["text"] for row in rows.values())
    table = SCHEMAS["regularization_judgements"].table(list(rows.values()))
    return Result(table, {"asked": asked, UNANSWERED: unanswered})


def _selected(step: Step, judged: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The pictures that stay by all that is known so far."""
    ranked = _ranked(step, {it: row["text"] for it, row in judged.items()})
    return [row["image_id"] for row in ranked if row["selected"]]


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=[*MEASURED, "regularization_judgements"],
    settings=["regularization", "regularization_selection"],
    group="regularization",
    labels=["python"],
    on_demand=True,
    by_class=True,
)
def regularization_selection(step: Step) -> Result:
    """Which pictures of a class are kept, the best first, and why others are not: wrong hands or people, faults in
    drawing, low quality, too much like another, or refused by who was asked."""
    rows = _ranked(step, {row["image_id"]: row["text"] for row in step.rows("regularization_judgements")})
    reasons = Counter(row["reason"].partition(":")[0] for row in rows)
    return Result(SCHEMAS["regularization_selection"].table(rows), dict(reasons))


def _ranked(step: Step, judged: Mapping[str, str]) -> list[dict]:
    """Rows of `regularization_selection`. judged: what was answered about pictures, by their ids."""
    by_id = {asset: {row["image_id"]: row for row in step.rows(asset)} for asset in (PICTURES, SCORES, TAGS, VECTORS)}
    boxes: dict[str, list[dict]] = {}
    for row in step.rows(BOXES):
        boxes.setdefault(row["image_id"], []).append(row)
    looks = Looks(
        {it: {**row, "reason": ""} for it, row in by_id[PICTURES].items()},
        {it: row["score"] for it, row in by_id[SCORES].items()},
        boxes,
        {it: row["tags"] for it, row in by_id[TAGS].items()},
        {it: np.asarray(row["embedding"], np.float32) for it, row in by_id[VECTORS].items()},
        judged,
        {it for asset in (SCORES, BOXES, TAGS, VECTORS) for it in step.left_out(asset)},
    )
    a_class = class_of(step)
    return select(step.rows(REQUESTS), looks, step.settings.regularization_selection, a_class.keep)


@pipeline_asset(
    kind=Kind.JOIN,
    reads=[REQUESTS, PICTURES, SCORES, "regularization_selection", "regularization_composites"],
    group="regularization",
    labels=["python"],
    on_demand=True,
    checks={EVERY_CLASS_IS_UP_TO_DATE: Check("Each picture that a class kept is still one that it asks for.")},
)
def regularization_set(step: Step) -> Result:
    """The kept pictures of all classes with their captions, in the order of preference; `exported_set` takes them."""
    assets = (REQUESTS, SCORES, PICTURES, "regularization_composites")
    asked, scores, pictures, mended = ({row["image_id"]: row for row in step.rows(asset)} for asset in assets)
    kept = [row for row in step.rows("regularization_selection") if row["selected"]]
    rows = [
        {**row, "file_sha256": hashlib.sha256(step.encoded_picture(row["path"])).hexdigest()}
        for row in rows_of_set(kept, asked, scores, pictures | mended)
    ]
    found = Counter(row["class"] for row in rows)
    lost = Counter(episode_of(row["image_id"]) for row in kept) - found
    told = [
        f"{name}: {count} kept pictures are not asked for any more, as a step failed" for name, count in lost.items()
    ]
    faults = {EVERY_CLASS_IS_UP_TO_DATE: "; ".join([*told, "run `dataset-pipeline regularize` again"] if told else [])}
    return Result(SCHEMAS["regularization_set"].table(rows), dict(found), faults)
