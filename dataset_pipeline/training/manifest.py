"""The manifest of a training set, and the account of where every frame went."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.characters.names import named
from dataset_pipeline.images.stills import KEEP
from dataset_pipeline.settings import SelectionSettings, TrainingSetSettings
from dataset_pipeline.store.left_out import first_reasons
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.arrangement import arrange, columns_of
from dataset_pipeline.training.balance import ConceptShare, balance
from dataset_pipeline.training.quotas import LeftOut, left_out_of_set
from dataset_pipeline.training.score_cut import OF_CUT
from dataset_pipeline.training.split import TRAIN, VALIDATION, held_out

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

BELOW_CUT, OVER_QUOTA = "below the cut", "over quota"  # outcomes of the set
# Of captions, what the set says of each image beside its caption.
OF_CAPTIONS = (
    "people", "n_people", "series", "artists", "image_type", "rating", "face_position", "quality_word",
    "activation_tags", "tags", "text", "written",
)  # fmt: skip


class Balanced(NamedTuple):
    """rows: of `concept_balance`. left_out: the images that the set goes without, and what that costs."""

    rows: list[dict]
    left_out: LeftOut


def balance_rows(
    selection: pa.Table,
    settings: Any,
    split: TrainingSetSettings,
    names: Mapping[str, str] | None = None,
    cut: SelectionSettings | None = None,
    strata: Mapping[str, Mapping[str, Any]] | None = None,
) -> Balanced:
    """The selected images by concept, less those that a cut or a quota leaves out; settings: [concept_balance]. names:
    what to call the characters, by id. cut: [selection], where it cuts. strata: as `left_out_of_set` takes them.

    What is balanced is what is trained on: held-out images bear their concept's multiply and count for nothing.
    """
    selected = selection.filter(selection["selected"])
    needed = {"image_id", "quality", "characters", "kind", "by_hand"} | columns_of(settings.arrangement)
    images = [
        {**image, "characters": named(image["characters"], names or {})}
        for image in selected.select(sorted(needed)).to_pylist()
    ]
    concepts = arrange(images, settings)
    left_out = left_out_of_set(images, concepts, settings, cut, strata)
    too_many = left_out.reasons
    validation = held_out(concepts, split.validation_share, split.seed)
    members: dict[str, dict[bool, list[str]]] = {concept: {False: [], True: []} for concept in concepts.values()}
    for image_id, concept in sorted(concepts.items()):
        members[concept][image_id in too_many].append(image_id)
    shares = balance(
        {concept: len(set(ids[False]) - validation) for concept, ids in members.items()},
        settings.all_weights,
        settings.min_multiply,
        settings.max_multiply,
    )
    found = {share.concept: share for share in shares}
    rows = [
        asdict(found.get(concept, ConceptShare(concept, 0, 0.0, 0.0, settings.min_multiply if ids[False] else 0.0)))
        | {"image_ids": ids[False], "over_quota": ids[True], "over_quota_reasons": [too_many[it] for it in ids[True]]}
        for concept, ids in sorted(members.items())
    ]
    return Balanced(rows, left_out)


def multiply_rows(concept_balance: Iterable[Mapping[str, Any]]) -> dict[str, list[dict]]:
    """Rows of `multiplies` by episode: its images with their concept and multiply."""
    rows: dict[str, list[dict]] = {}
    for concept in concept_balance:
        for image_id in concept["image_ids"]:
            row = {"image_id": image_id, "concept": concept["concept"], "multiply": concept["multiply"]}
            rows.setdefault(episode_of(image_id), []).append(row)
    return rows


def manifest(
    images: pa.Table, captions: pa.Table, multiplies: pa.Table, selection: pa.Table, settings: TrainingSetSettings
) -> pa.Table:
    """The table of `training_set`: every training image that was selected and has a caption and a multiply."""
    parts = [table.combine_chunks() for table in (captions, multiplies, selection.filter(selection["selected"]))]
    places = [pc.index_in(images["image_id"], part["image_id"]) for part in parts]
    there = functools.reduce(pc.and_, map(pc.is_valid, places))
    images = images.filter(there)
    captions, multiplies, selected = (part.take(place.filter(there)) for part, place in zip(parts, places, strict=True))
    image_ids = images["image_id"].to_pylist()
    episodes = [episode_of(image_id) for image_id in image_ids]
    validation = held_out(image_ids, settings.validation_share, settings.seed)
    columns = {
        "image_id": images["image_id"],
        "episode": pa.array(episodes, pa.string()),
        "show": pa.array([show_of(episode) for episode in episodes], pa.string()),
        "kind": selected["kind"],
        "characters": captions["characters"],
        "concept": multiplies["concept"],
        "multiply": multiplies["multiply"],
        "caption": captions["caption"],
        **{name: captions[name] for name in OF_CAPTIONS},
        "show_title": captions["show"],
        "split": pa.array([VALIDATION if image_id in validation else TRAIN for image_id in image_ids], pa.string()),
        "quality": selected["quality"],
        **{name: images[name] for name in ("path", "width_px", "height_px", "file_sha256")},
    }
    schema = SCHEMAS["training_set"].arrow
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def left_out_reasons(concept_balance: pa.Table) -> dict[str, str]:
    """By id why the set goes without an image, as in `training.score_cut`; empty where a table does not say."""
    lists = (concept_balance[name].to_pylist() for name in ("over_quota", "over_quota_reasons"))
    return {
        image_id: reason or ""
        for ids, reasons in zip(*lists, strict=True)
        for image_id, reason in zip_longest(ids or (), reasons or ())
    }


def images_over_quota(concept_balance: pa.Table, selection: pa.Table, training_set: pa.Table) -> dict[str, int]:
    """How many selected images are not in the set because they are below the cut, or a quota left them out."""
    selected = set(selection.filter(selection["selected"])["image_id"].to_pylist())
    left = selected - set(training_set["image_id"].to_pylist())
    reasons = left_out_reasons(concept_balance).items()
    return Counter(BELOW_CUT if why in OF_CUT else OVER_QUOTA for image_id, why in reasons if image_id in left)


def funnel(
    distinct_frames: Iterable[Mapping[str, Any]],
    crops: Iterable[Mapping[str, Any]],
    selection: Iterable[Mapping[str, Any]],
    training_set: Iterable[Mapping[str, Any]],
    over_quota: Mapping[str, int] | None = None,
    unreadable: int = 0,
    clips: Iterable[Mapping[str, Any]] = (),
    details: Iterable[Mapping[str, Any]] = (),
    stitched: Iterable[Mapping[str, Any]] = (),
) -> list[tuple[str, str, int]]:
    """(stage, outcome, images) from extracted frames to the set. over_quota: how many images the cut and the quotas
    left out, as `images_over_quota` says; unreadable: of how many others the picture could not be read or written.

    The outcomes of a stage add up to what came into it: frames; panoramas and plates, if there are rows of any in
    `stitched`; then stills and found boxes as crops, and what was found for details if there is any; then every kept
    still, crop and detail as selected or not; then the selected as in the set, below the cut, over a quota, unreadable
    or left out (a run that failed on the way). Clips, if there are rows of any, come last: kept, or why not.
    """
    images = _by_reason("images", selection)
    judged = [
        {"reason": row["reason"] if row["verdict"] == KEEP else f"{row['verdict']}: {row['reason']}"}
        for row in stitched
    ]
    table = [*_by_reason("frames", distinct_frames), *_by_reason("panoramas and plates", judged)]
    table += [*_by_reason("crops", crops), *_by_reason("details", details), *images]
    in_set = sum(1 for _ in training_set)
    table.append(("set", "in the set", in_set))
    too_many = dict(over_quota or {})
    table += [("set", outcome, count) for outcome, count in sorted(too_many.items())]
    if unreadable:
        table.append(("set", "unreadable", unreadable))
    selected = sum(count for _, reason, count in images if reason == "selected")
    if left_out := selected - in_set - sum(too_many.values()) - unreadable:
        table.append(("set", "left out", left_out))
    return table + _by_reason("clips", clips)


def _by_reason(stage: str, rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    counts = Counter(row["reason"] for row in rows)
    return [(stage, reason, counts[reason]) for reason in sorted(counts, key=lambda r: (-counts[r], r))]


def funnel_markdown(stages: Iterable[tuple[str, str, int]]) -> str:
    """The rows of `funnel` as a Markdown table."""
    lines = ["| stage | what became of it | images |", "| --- | --- | ---: |"]
    return "\n".join(lines + [f"| {stage} | {outcome} | {count} |" for stage, outcome, count in stages])


def faults_of_set(
    rows: Iterable[Mapping[str, Any]],
    stages: Iterable[tuple[str, str, int]],
    unreadable: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What speaks against a set's checks: images without a caption, selected images that are not in it.

    unreadable: of some of these, why, by image id.
    """
    silent = [row["image_id"] for row in rows if not row["caption"].strip()]
    lost = (("set", "left out"), ("set", "unreadable"))
    left_out = sum(count for stage, outcome, count in stages if (stage, outcome) in lost)
    why = f": {first_reasons(unreadable)}" if unreadable else ""
    return {
        "every_image_has_a_caption": f"{len(silent)} have none, the first is {silent[0]}" if silent else "",
        "every_selected_image_is_in_the_set": f"{left_out} are not{why}" if left_out else "",
    }


def images_unreadable(
    left_out: Mapping[str, str], concept_balance: pa.Table, selection: pa.Table, training_set: pa.Table
) -> dict[str, str]:
    """Of the images that `training_images` left out, with their reasons, those that nothing else keeps from the set."""
    if not left_out:
        return {}
    selected = set(selection.filter(selection["selected"])["image_id"].to_pylist())
    elsewhere = set(pc.list_flatten(concept_balance["over_quota"]).to_pylist())
    elsewhere |= set(training_set["image_id"].to_pylist())
    return {it: reason for it, reason in left_out.items() if it in selected and it not in elsewhere}
