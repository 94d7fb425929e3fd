"""The manifest of a training set, and the account of where every frame went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dataset_pipeline.ids import episode_of, show_of
from dataset_pipeline.training.arrangement import arrange
from dataset_pipeline.training.balance import balance


def balance_rows(selection: Iterable[Mapping[str, Any]], settings: Any) -> list[dict]:
    """Rows of `concept_balance` for the selected images; settings: [concept_balance]."""
    concepts = arrange([row for row in selection if row["selected"]], settings)
    members: dict[str, list[str]] = {}
    for image_id, concept in sorted(concepts.items()):
        members.setdefault(concept, []).append(image_id)
    shares = balance(
        {concept: len(ids) for concept, ids in members.items()},
        settings.weights,
        settings.min_multiply,
        settings.max_multiply,
    )
    return [
        {
            "concept": share.concept,
            "images": share.images,
            "probability": share.probability,
            "unlimited_multiply": share.unlimited_multiply,
            "multiply": share.multiply,
            "image_ids": members[share.concept],
        }
        for share in shares
    ]


def multiply_rows(concept_balance: Iterable[Mapping[str, Any]], episode: str) -> list[dict]:
    """Rows of `multiplies`: the episode's images with their concept and multiply."""
    return [
        {"image_id": image_id, "concept": row["concept"], "multiply": row["multiply"]}
        for row in concept_balance
        for image_id in row["image_ids"]
        if episode_of(image_id) == episode
    ]


def manifest_rows(
    training_images: Iterable[Mapping[str, Any]],
    captions: Iterable[Mapping[str, Any]],
    multiplies: Iterable[Mapping[str, Any]],
    selection: Iterable[Mapping[str, Any]],
) -> list[dict]:
    """Rows of `training_set`: every training image that has a caption and a multiply."""
    caption_of = {row["image_id"]: row for row in captions}
    multiply_of = {row["image_id"]: row for row in multiplies}
    selected = {row["image_id"]: row for row in selection if row["selected"]}
    rows = []
    for image in training_images:
        image_id = image["image_id"]
        if image_id in caption_of and image_id in multiply_of and image_id in selected:
            episode = episode_of(image_id)
            rows.append(
                {
                    "image_id": image_id,
                    "episode": episode,
                    "show": show_of(episode),
                    "kind": selected[image_id]["kind"],
                    "characters": caption_of[image_id]["characters"],
                    "concept": multiply_of[image_id]["concept"],
                    "multiply": multiply_of[image_id]["multiply"],
                    "caption": caption_of[image_id]["caption"],
                    "quality": selected[image_id]["quality"],
                    **{name: image[name] for name in ("path", "width_px", "height_px", "file_sha256")},
                }
            )
    return rows


def funnel(
    distinct_frames: Iterable[Mapping[str, Any]],
    crops: Iterable[Mapping[str, Any]],
    selection: Iterable[Mapping[str, Any]],
    training_set: Iterable[Mapping[str, Any]],
) -> list[tuple[str, str, int]]:
    """(stage, outcome, images) from extracted frames to the set.

    The outcomes of a stage add up to what came into it: frames; then stills and found boxes as crops; then every kept
    still and crop as selected or not; then the selected as in the set or not (a run that failed on the way).
    """
    table = []
    counts: Counter[str] = Counter()
    for stage, rows in (("frames", distinct_frames), ("crops", crops), ("images", selection)):
        counts = Counter(row["reason"] for row in rows)
        table += [(stage, reason, counts[reason]) for reason in sorted(counts, key=lambda r: (-counts[r], r))]
    in_set = sum(1 for _ in training_set)
    table.append(("set", "in the set", in_set))
    if left_out := counts["selected"] - in_set:
        table.append(("set", "left out", left_out))
    return table


def funnel_markdown(stages: Iterable[tuple[str, str, int]]) -> str:
    """The rows of `funnel` as a Markdown table."""
    lines = ["| stage | what became of it | images |", "| --- | --- | ---: |"]
    return "\n".join(lines + [f"| {stage} | {outcome} | {count} |" for stage, outcome, count in stages])


def faults_of_set(rows: Iterable[Mapping[str, Any]], stages: Iterable[tuple[str, str, int]]) -> dict[str, str]:
    """What speaks against a set's checks: images without a caption, selected images that are not in it."""
    silent = [row["image_id"] for row in rows if not row["caption"].strip()]
    left_out = sum(count for stage, outcome, count in stages if (stage, outcome) == ("set", "left out"))
    return {
        "every_image_has_a_caption": f"{len(silent)} have none, the first is {silent[0]}" if silent else "",
        "every_selected_image_is_in_the_set": f"{left_out} are not" if left_out else "",
    }
