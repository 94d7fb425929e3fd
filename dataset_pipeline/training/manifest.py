"""The manifest of a training set, and the account of where every frame went."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.characters.names import named
from dataset_pipeline.images.stills import KEEP
from dataset_pipeline.settings import ConceptBalanceSettings, SelectionSettings, TrainingSetSettings
from dataset_pipeline.store.left_out import first_reasons
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.arrangement import arrange, columns_of
from dataset_pipeline.training.balance import ConceptShare, balance
from dataset_pipeline.training.quotas import LeftOut, left_out_of_set
from dataset_pipeline.training.score_cut import OF_CUT
from dataset_pipeline.training.split import TRAIN, VALIDATION, are_held_out, held_out

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

BELOW_CUT, OVER_QUOTA = "below the cut", "over quota"  # outcomes of the set
# Of captions, what the set says of each image beside its caption.
OF_CAPTIONS = (
    "people", "n_people", "series", "artists", "image_type", "rating", "face_position", "quality_word",
    "activation_tags", "tags", "text", "written",
)  # fmt: skip
BLANK = r"^[\s\p{Z}\x0b\x1c-\x1f\x85]*$"  # what Python takes for whitespace
# What the set is made from, by asset, and of each the columns that it takes.
OF_SET = {
    "training_images": ("image_id", "path", "width_px", "height_px", "file_sha256"),
    "captions": ("image_id", "characters", "show", "caption", *OF_CAPTIONS),
    "multiplies": ("image_id", "concept", "multiply"),
    "selection": ("image_id", "kind", "selected", "reason", "quality"),
}


class Balanced(NamedTuple):
    """rows: of `concept_balance`. left_out: the images that the set goes without, and what that costs."""

    rows: list[dict]
    left_out: LeftOut


def balance_rows(
    selection: pa.Table,
    settings: ConceptBalanceSettings,
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
    columns = {name: selected[name].to_pylist() for name in columns_balanced(settings)}
    columns["characters"] = _named(columns["characters"], names or {})

    def images() -> Iterator[dict[str, Any]]:  # one after another: all at once would fill the memory
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))

    concepts = arrange(images(), settings)
    left_out = left_out_of_set(images(), concepts, settings, cut, strata)
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


def columns_balanced(settings: ConceptBalanceSettings) -> list[str]:
    """The columns of `selection` that the balance goes by, of the images selected."""
    needed = {"image_id", "quality", "characters", "kind", "by_hand"}
    return sorted(needed | columns_of(settings.arrangement))


def _named(characters: Iterable[Sequence[str]], names: Mapping[str, str]) -> list[list[str]]:
    """What to call those on each image; images of the same share one list."""
    known: dict[tuple[str, ...], list[str]] = {}
    keys = map(tuple, characters)
    return [known[key] if key in known else known.setdefault(key, named(key, names)) for key in keys]


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
    image_ids = images["image_id"]
    episodes = pc.replace_substring_regex(image_ids, "/.*", "")
    validation = are_held_out(image_ids, settings.validation_share, settings.seed)
    columns = {
        "image_id": image_ids,
        "episode": episodes,
        "show": pc.replace_substring_regex(episodes, "[.].*", ""),
        "kind": selected["kind"],
        "characters": captions["characters"],
        "concept": multiplies["concept"],
        "multiply": multiplies["multiply"],
        "caption": captions["caption"],
        **{name: captions[name] for name in OF_CAPTIONS},
        "show_title": captions["show"],
        "split": pc.if_else(validation, VALIDATION, TRAIN),
        "quality": selected["quality"],
        **{name: images[name] for name in ("path", "width_px", "height_px", "file_sha256")},
    }
    schema = SCHEMAS["training_set"].arrow
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def left_out_of_balance(concept_balance: pa.Table) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The images that the set goes without, and of each the reason as in `training.score_cut`; null where a table does
    not say."""
    lists = zip(concept_balance["over_quota"], concept_balance["over_quota_reasons"], strict=True)
    told = [(ids.values, reasons.values) for ids, reasons in lists if ids.is_valid]
    reasons = [pa.nulls(len(ids), pa.string()) if reasons is None else reasons for ids, reasons in told]
    return pa.chunked_array([ids for ids, _ in told], pa.string()), pa.chunked_array(reasons, pa.string())


def left_out_reasons(concept_balance: pa.Table) -> dict[str, str]:
    """The same by id, empty where a table does not say."""
    ids, reasons = (column.to_pylist() for column in left_out_of_balance(concept_balance))
    return {image_id: reason or "" for image_id, reason in zip(ids, reasons, strict=True)}


def missing_from_set(selection: pa.Table, training_set: pa.Table) -> pa.ChunkedArray:
    """The selected images that are not in the set."""
    selected = selection["image_id"].filter(selection["selected"])
    return selected.filter(pc.invert(pc.is_in(selected, value_set=training_set["image_id"].combine_chunks())))


def images_over_quota(concept_balance: pa.Table, missing: pa.ChunkedArray) -> dict[str, int]:
    """How many of the images `missing_from_set` are below the cut, or a quota left them out."""
    ids, reasons = left_out_of_balance(concept_balance)
    left_out = reasons.filter(pc.is_in(ids, value_set=missing.combine_chunks()))
    return Counter(BELOW_CUT if why in OF_CUT else OVER_QUOTA for why in left_out.to_pylist())


def images_unreadable(
    left_out: Mapping[str, str], concept_balance: pa.Table, missing: pa.ChunkedArray
) -> dict[str, str]:
    """Of the images that `training_images` left out, with their reasons, those that nothing else keeps from the set."""
    over_quota = pc.list_flatten(concept_balance["over_quota"]).combine_chunks()
    lost = missing.filter(pc.invert(pc.is_in(missing, value_set=over_quota)))
    lost = lost.filter(pc.is_in(lost, value_set=pa.array(left_out, pa.string())))
    return {image_id: left_out[image_id] for image_id in lost.to_pylist()}


def funnel(
    distinct_frames: Mapping[str, int],
    crops: Mapping[str, int],
    selection: Mapping[str, int],
    in_set: int,
    over_quota: Mapping[str, int] | None = None,
    unreadable: int = 0,
    clips: Mapping[str, int] | None = None,
    details: Mapping[str, int] | None = None,
    stitched: Iterable[pa.Table] = (),
) -> list[tuple[str, str, int]]:
    """(stage, outcome, images) from extracted frames to the set. Rows of tables are given as `outcomes` counts them,
    those of panoramas and of plates as they are. in_set: images of the set. over_quota: how many images the cut and the
    quotas left out, as `images_over_quota` says; unreadable: of how many others the picture could not be read or
    written.

    The outcomes of a stage add up to what came into it: frames; panoramas and plates, if there are rows of any in
    `stitched`; then stills and found boxes as crops, and what was found for details if there is any; then every kept
    still, crop and detail as selected or not; then the selected as in the set, below the cut, over a quota, unreadable
    or left out (a run that failed on the way). Clips, if there are rows of any, come last: kept, or why not.
    """
    rows = (row for table in stitched for row in table.select(["verdict", "reason"]).to_pylist())
    judged = Counter(row["reason"] if row["verdict"] == KEEP else f"{row['verdict']}: {row['reason']}" for row in rows)
    table = [*_stage("frames", distinct_frames), *_stage("panoramas and plates", judged)]
    table += [*_stage("crops", crops), *_stage("details", details or {}), *_stage("images", selection)]
    table.append(("set", "in the set", in_set))
    too_many = dict(over_quota or {})
    table += [("set", outcome, count) for outcome, count in sorted(too_many.items())]
    if unreadable:
        table.append(("set", "unreadable", unreadable))
    if left_out := selection.get("selected", 0) - in_set - sum(too_many.values()) - unreadable:
        table.append(("set", "left out", left_out))
    return table + _stage("clips", clips or {})


def outcomes(table: pa.Table) -> dict[str, int]:
    """How many rows of a table bear each `reason`."""
    return {row["values"]: row["counts"] for row in table["reason"].value_counts().to_pylist()}


def _stage(stage: str, counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    return [(stage, reason, counts[reason]) for reason in sorted(counts, key=lambda r: (-counts[r], r))]


def funnel_markdown(stages: Iterable[tuple[str, str, int]]) -> str:
    """The rows of `funnel` as a Markdown table."""
    lines = ["| stage | what became of it | images |", "| --- | --- | ---: |"]
    return "\n".join(lines + [f"| {stage} | {outcome} | {count} |" for stage, outcome, count in stages])


def faults_of_set(
    training_set: pa.Table, stages: Iterable[tuple[str, str, int]], unreadable: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What speaks against a set's checks: images without a caption, selected images that are not in it.

    unreadable: of some of these, why, by image id.
    """
    silent = training_set["image_id"].filter(pc.match_substring_regex(training_set["caption"], BLANK))
    lost = (("set", "left out"), ("set", "unreadable"))
    left_out = sum(count for stage, outcome, count in stages if (stage, outcome) in lost)
    why = f": {first_reasons(unreadable)}" if unreadable else ""
    return {
        "every_image_has_a_caption": f"{len(silent)} have none, the first is {silent[0]}" if len(silent) else "",
        "every_selected_image_is_in_the_set": f"{left_out} are not{why}" if left_out else "",
    }
