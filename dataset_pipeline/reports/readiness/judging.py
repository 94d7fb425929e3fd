"""Whether a set is fit to train on: what speaks against it, worst first, and the figures to judge it by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.reports.readiness.faults import EXAMPLES, Judged, faults_of
from dataset_pipeline.reports.readiness.figures import (
    FACE_EDGES_PX,
    TOKEN_EDGES,
    WORD_EDGES,
    Captions,
    buckets_of,
    characters_of,
    concepts_of,
    enlargement_of,
    lengths_of,
    summary,
    tag_counts,
)
from dataset_pipeline.reports.readiness.leakage import Leak
from dataset_pipeline.training.selection import STILL
from dataset_pipeline.training.split import VALIDATION

MEANINGS = {
    ("frames", "kept"): "full pictures to work with",
    ("frames", "duplicate"): "another frame of the episode shows nearly the same",
    ("frames", "blank"): "black, white or nearly of one colour",
    ("frames", "combing"): "interlacing that could not be undone",
    ("frames", "ghost"): "two pictures blended into one",
    ("frames", "blockiness"): "blocks of a strong compression",
    ("frames", "unreadable"): "the video is damaged there",
    ("frames", "not_measured"): "its embedding could not be measured",
    ("crops", "kept"): "cut out of stills",
    ("crops", "small"): "below the shorter side that [crops] asks for",
    ("crops", "unreadable"): "the still could not be read",
    ("images", "selected"): "go into the set",
    ("images", "kind_not_wanted"): "[selection] does not ask for this kind",
    ("images", "small"): "below [selection] min_short_side_px",
    ("images", "not_scored"): "there is no quality score",
    ("images", "not_tagged"): "there are no tags of it",
    ("images", "faces_not_counted"): "its still could not be searched for faces, which [selection] asks about",
    ("images", "low_quality"): "below [selection] min_quality",
    ("images", "nobody_known"): "nobody was recognised",
    ("images", "repeated"): "another episode has the better copy",
    ("images", "crop_fills_still"): "the still goes in and shows the same",
    ("images", "too_few_faces"): "below [selection] min_faces",
    ("images", "too_many_faces"): "above [selection] max_faces",
    ("images", "character_not_wanted"): "shows none of [selection] characters",
    ("set", "in the set"): "captioned, balanced and rendered",
    ("set", "over quota"): "[concept_balance] takes no more of its concept, of its character or in all",
    ("set", "unreadable"): "the stored picture is gone or damaged",
    ("set", "left out"): "selected, but a step failed on the way",
}


def readiness(
    training_set: pa.Table,
    stages: Iterable[tuple[str, str, int]] = (),
    *,
    resolution: int = 1024,
    leaked: Sequence[Leak] = (),
    face_sides_px: Sequence[float] = (),
    count_tokens: Callable[[str], int] | None = None,
    made_with_demo_models: bool = False,
) -> dict[str, Any]:
    """Everything the report says, as plain JSON: `set`, `worst`, `faults`, `buckets`, `enlargement`, `concepts`,
    `characters`, `tags`, `captions`, `splits`, `faces`, `left_out`.

    training_set: its table. stages: of `manifest.funnel`. resolution: what the set is to be trained at, px. leaked: of
    `leakage.leaks`. face_sides_px: the shorter side of every face, in pixels of the picture that shows it.
    count_tokens: of one caption, such as `clip_token_counter()`.
    """
    held_out = np.array([part == VALIDATION for part in training_set["split"].to_pylist()], dtype=bool)
    train = training_set.filter(pa.array(~held_out))
    judged = Judged(
        table=training_set,
        train=train,
        n_held_out=int(held_out.sum()),
        resolution=resolution,
        stages=list(stages),
        leaked=leaked,
        concepts=concepts_of(train),
        characters=characters_of(train),
        lengths=lengths_of([caption or "" for caption in train["caption"].to_pylist()], count_tokens),
        made_with_demo_models=made_with_demo_models,
    )
    faults = faults_of(judged)
    return {
        "set": _of_the_set(judged),
        "worst": faults[0].severity if faults else "",
        "faults": [asdict(fault) | {"examples": list(fault.examples)} for fault in faults],
        "buckets": buckets_of(train, resolution),
        "enlargement": enlargement_of(train, resolution),
        "concepts": judged.concepts,
        "characters": judged.characters,
        "tags": tag_counts(train["tags"].to_pylist()),
        "captions": _of_the_captions(judged.lengths),
        "splits": {
            "train": train.num_rows,
            "validation": judged.n_held_out,
            "leaked": dict(Counter(leak.why for leak in leaked)),
            "examples": [asdict(leak) for leak in leaked[:EXAMPLES]],
        },
        "faces": summary(np.asarray(face_sides_px, np.float64), FACE_EDGES_PX),
        "left_out": [
            {"stage": stage, "reason": outcome, "images": count, "meaning": MEANINGS.get((stage, outcome), "")}
            for stage, outcome, count in judged.stages
        ],
    }


def _of_the_set(judged: Judged) -> dict[str, Any]:
    table = judged.table
    return {
        "shows": sorted(set(table["show"].to_pylist())),
        "episodes": len(set(table["episode"].to_pylist())),
        "images": table.num_rows,
        "stills": sum(kind == STILL for kind in table["kind"].to_pylist()),
        "concepts": len(judged.concepts),
        "characters": len(judged.characters),
        "images_an_epoch": round(sum(row["images"] * row["multiply"] for row in judged.concepts), 1),
        "resolution": judged.resolution,
        "made_with_demo_models": judged.made_with_demo_models,
    }


def _of_the_captions(lengths: Captions) -> dict[str, Any]:
    return {
        "words": summary(lengths.words, WORD_EDGES),
        "tokens": None if lengths.tokens is None else summary(lengths.tokens, TOKEN_EDGES),
    }
