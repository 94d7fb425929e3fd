"""Who is who."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.assets.framework import Check, pipeline_asset
from dataset_pipeline.assets.step import Result, Step
from dataset_pipeline.characters.gallery import build_gallery, decide_clusters
from dataset_pipeline.characters.vectors import vectors_by_id
from dataset_pipeline.ids import episode_of, show_of
from dataset_pipeline.store.schemas import SCHEMAS

CHARACTERS_SHOWN = 8


@pipeline_asset(
    reads=["crop_embeddings"],
    settings=["character_gallery"],
    models=["identity"],
    group="e_characters",
    joined=True,
    kinds=["onnx"],
    checks={"all_crops_speak_one_language": Check("Every embedding comes from the weights in use.")},
)
def character_gallery(step: Step) -> Result:
    """The characters of each show and the crops they are recognised by, over all episodes.

    `[character_gallery]` says how alike crops of one character are and how many it takes.
    """
    identity = step.model("identity")
    embeddings = step.read("crop_embeddings")
    vectors = vectors_by_id(embeddings, identity.fingerprint().sha256)
    ids = list(vectors)
    strangers = embeddings.num_rows - len(ids)
    episodes = [episode_of(image_id) for image_id in ids]
    rows = build_gallery(
        ids,
        np.stack(list(vectors.values())) if ids else np.zeros((0, 1), np.float32),
        episodes,
        [show_of(episode) for episode in episodes],
        identity.differences,
        identity.threshold,
        step.settings.character_gallery,
    )
    return Result(
        SCHEMAS["character_gallery"].table(rows),
        {
            "characters": len(rows),
            "crops": len(ids),
            "crops_in_characters": sum(row["crops"] for row in rows),
        },
        {"all_crops_speak_one_language": f"{strangers} crops were embedded by other weights" if strangers else ""},
    )


def crops_by_character(step: Step) -> dict[str, list[str]]:
    """The pictures of each character of the episode, and of nobody known."""
    paths = {row["image_id"]: row["path"] for row in step.rows("crops") if row["kept"]}
    found: dict[str, list[str]] = {}
    for row in step.previous():
        if row["image_id"] in paths:
            label = " + ".join(row["characters"]) or "nobody known"
            found.setdefault(label, []).append(paths[row["image_id"]])
    ordered = sorted(found, key=lambda label: (label == "nobody known", -len(found[label]), label))
    return {f"{label} ({len(found[label])})": found[label] for label in ordered[:CHARACTERS_SHOWN]}


@pipeline_asset(
    reads=["distinct_frames", "crops", "crop_embeddings", "character_gallery"],
    settings=["clusters"],
    models=["identity"],
    group="e_characters",
    projection=True,
    kinds=["onnx"],
    shows=crops_by_character,
)
def clusters(step: Step) -> Result:
    """Who is on each crop and still, by the gallery; nobody where nobody is near enough.

    `[clusters] max_difference` decides what is near enough.
    """
    identity = step.model("identity")
    assert step.episode is not None
    show = show_of(step.episode)
    rows = decide_clusters(
        [row["image_id"] for row in step.rows("distinct_frames") if row["kept"]],
        step.rows("crops"),
        vectors_by_id(step.read("crop_embeddings"), identity.fingerprint().sha256),
        [row for row in step.rows("character_gallery") if row["show"] == show],
        identity.differences,
        step.settings.clusters.max_difference or identity.threshold,
    )
    crops = [row for row in rows if row["kind"] != "still"]
    return Result(
        SCHEMAS["clusters"].table(rows),
        {
            "crops_recognised": sum(bool(row["characters"]) for row in crops),
            "crops_unknown": sum(not row["characters"] for row in crops),
            "characters": len({name for row in rows for name in row["characters"]}),
        },
    )
