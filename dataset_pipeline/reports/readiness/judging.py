"""Whether a set is fit to train on: what speaks against it, worst first, and the figures to judge it by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from dataset_pipeline.reports.readiness.texts import NO_TEXT
from dataset_pipeline.training.selection import STILL
from dataset_pipeline.training.split import VALIDATION

MEANINGS = {
    ("frames", "kept"): "full pictures to work with",
    ("frames", "kept_by_hand"): "a person kept them",
    ("frames", "chosen_by_hand"): "a person chose them out of frames alike",
    ("frames", "duplicate"): "another frame of the episode shows nearly the same",
    ("frames", "blank"): "black, white or nearly of one colour",
    ("frames", "combing"): "interlacing that could not be undone",
    ("frames", "ghost"): "two pictures blended into one",
    ("frames", "blockiness"): "blocks of a strong compression",
    ("frames", "excluded_by_hand"): "a person took its stretch of the episode out",
    ("frames", "unreadable"): "the video is damaged there",
    ("frames", "not_measured"): "its embedding could not be measured",
    ("panoramas and plates", "kept"): "pictures of whole places, fit to be stills",
    ("panoramas and plates", "kept_by_hand"): "a person kept them",
    (
        "panoramas and plates",
        "doubtful: parallax",
    ): "a person is asked: a layer of the place moves otherwise than the rest",
    (
        "panoramas and plates",
        "doubtful: content_moves",
    ): "a person is asked: things move in front of what no frame shows",
    ("panoramas and plates", "doubtful: too_much_unknown"): "a person is asked: parts of the place were never seen",
    (
        "panoramas and plates",
        "doubtful: badly_placed",
    ): "a person is asked: the frames do not quite agree about where they lie",
    (
        "panoramas and plates",
        "doubtful: no_boxes",
    ): "a person is asked: nobody looked for people who stand still, as [tracks] are off",
    ("panoramas and plates", "refused: rejected_by_hand"): "a person rejected them",
    ("panoramas and plates", "refused: parallax"): "a layer of the place moves otherwise than the rest",
    ("panoramas and plates", "refused: content_moves"): "things move in front of what no frame shows",
    ("panoramas and plates", "refused: too_much_unknown"): "too little of the place was seen",
    (
        "panoramas and plates",
        "refused: too_little_travel",
    ): "less far than [panoramas] min_travel asks, or a frame shows about as much",
    ("panoramas and plates", "refused: zoom_adds_nothing"): "the view only zooms, and a frame shows all of it",
    ("panoramas and plates", "refused: rotation"): "the camera turns on its side, and the picture would stand slanted",
    (
        "panoramas and plates",
        "refused: surroundings_unknown",
    ): "what is around the person who would be put back on a plate was never seen",
    (
        "panoramas and plates",
        "refused: frame_shows_it",
    ): "nobody else had to be taken out, so that a frame shows the person who would be put back as well",
    ("panoramas and plates", "refused: unreadable"): "their frames could not be read, or nothing drawn of them",
    ("panoramas and plates", "refused: no_texture"): "too plain for its frames to be placed",
    ("crops", "kept"): "cut out of stills",
    ("crops", "drawn_by_hand"): "cut where a person drew a box",
    ("crops", "replaced_by_hand"): "a person drew another box in its place",
    ("crops", "small"): "below the shorter side that [crops] asks for",
    ("crops", "no_head"): "no head was found on the person, which [crops] requires",
    ("crops", "no_face"): "no face was found on the person, which [crops] requires",
    ("crops", "unreadable"): "the still could not be read",
    ("details", "kept"): "cut out of stills at their own size",
    ("details", "small"): "below three quarters of [details] target_px",
    ("details", "cuts_head"): "no square of it leaves every head whole",
    ("details", "holds_face"): "a hand beside a face",
    ("details", "touches_unknown"): "parts of a panorama that nobody has seen",
    ("details", "overlaps"): "another detail of the still shows the same",
    ("details", "duplicate"): "another still's detail looks alike",
    ("details", "over_limit"): "above [details] max_per_still",
    ("details", "unreadable"): "the still could not be read",
    ("images", "selected"): "go into the set",
    ("images", "rejected_by_hand"): "a person rejected them",
    ("images", "kind_not_wanted"): "[selection] does not ask for this kind",
    ("images", "small"): "below [selection] min_short_side_px",
    ("images", "not_scored"): "there is no quality score",
    ("images", "not_tagged"): "there are no tags of it",
    ("images", "faces_not_counted"): "its still could not be searched for faces, which [selection] asks about",
    ("images", "low_quality"): "below [selection] min_quality",
    ("images", "nobody_known"): "nobody was recognised",
    ("images", "repeated"): "another episode has the better copy",
    ("images", "in_panorama"): "a panorama that goes in shows the place whole",
    ("images", "of_plate"): "crops of somebody put back on a plate: those of the frame that they are from are the same",
    ("images", "crop_fills_still"): "the still goes in and shows the same",
    ("images", "too_few_faces"): "below [selection] min_faces",
    ("images", "too_many_faces"): "above [selection] max_faces",
    ("images", "character_not_wanted"): "shows none of [selection] characters",
    (
        "images",
        "burnt_in_text",
    ): "text lies on them; [selection] text leaves them out, or too little is left without it",
    ("set", "in the set"): "captioned, balanced and rendered",
    ("set", "below the cut"): "the cut by score of [selection] leaves it out",
    ("set", "over quota"): "[concept_balance] takes no more of its concept, of its character or in all, or [selection] "
    "of its stratum or still",
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
    text: Mapping[str, Any] | None = None,
    classes: Sequence[Mapping[str, Any]] = (),
    unmade: Sequence[str] = (),
    made_with_demo_models: bool = False,
) -> dict[str, Any]:
    """Everything the report says, as plain JSON: `set`, `worst`, `faults`, `buckets`, `enlargement`, `concepts`,
    `characters`, `tags`, `captions`, `splits`, `faces`, `text`, `regularization`, `left_out`.

    training_set: its table. stages: of `manifest.funnel`. resolution: what the set is to be trained at, px. leaked: of
    `leakage.leaks`. face_sides_px: the shorter side of every face, in pixels of the picture that shows it.
    count_tokens: of one caption, such as `clip_token_counter()`. text: of `texts.text_in`. classes: of
    `classes.classes_of`. unmade: names of classes that were never made.
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
        with_text=(text or {}).get("left_in", ()),
        classes=classes,
        unmade=unmade,
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
        "text": {**NO_TEXT, **(text or {}), "left_in": len((text or {}).get("left_in", ()))},
        "regularization": [dict(row) for row in classes],
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
