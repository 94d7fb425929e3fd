"""What can speak against training on a set, a rule each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.reports.readiness.figures import (
    ENLARGED,
    RESOLUTIONS,
    Captions,
    fit_at,
    names_of,
    scale_at,
)
from dataset_pipeline.reports.readiness.leakage import Leak
from dataset_pipeline.training.exporters.kohya import STEP_PX
from dataset_pipeline.training.selection import STILL

SEVERITIES = ("serious", "warning", "note")
STEPPED_RULE = "kohya"  # cuts every side to whole steps
FEW_IMAGES = 10  # of a character; fewer teach one picture by heart rather than a face
MOST_OF_AN_EPOCH = 0.5
MUCH_CROPPED = 0.1  # of the pixels
NEARLY_ALL = 0.95  # of a character's images
CHUNK_TOKENS = 75  # what CLIP's text encoder reads at once, without its two marks
EXAMPLES = 5


@dataclass(frozen=True)
class Fault:
    """message: a sentence that stands alone. count: of what it speaks of. examples: image ids or names. what_to_do: the
    way out, in the project's own terms."""

    name: str
    severity: str
    message: str
    count: int
    examples: tuple[str, ...]
    what_to_do: str


@dataclass(frozen=True)
class Judged:
    """What the rules look at. train: the rows for training of `table`. n_held_out: its other rows. leaked, stages: as
    `judging.readiness` takes them. with_text: ids of images in the set that text lies on. classes: of
    `classes.classes_of`. unmade: names of classes without pictures. concepts, characters, lengths: the
    figures of `train`."""

    table: pa.Table
    train: pa.Table
    n_held_out: int
    resolution: int
    stages: Sequence[tuple[str, str, int]]
    leaked: Sequence[Leak]
    concepts: Sequence[Mapping[str, Any]]
    characters: Sequence[Mapping[str, Any]]
    lengths: Captions
    made_with_demo_models: bool
    with_text: Sequence[str] = ()
    classes: Sequence[Mapping[str, Any]] = ()
    unmade: Sequence[str] = ()


def faults_of(judged: Judged) -> list[Fault]:
    """What every rule finds, the most severe first."""
    found = [
        _empty(judged.train, judged.n_held_out),
        _uncaptioned(judged.table),
        _leaking(judged.leaked, judged.n_held_out),
        _lost_on_the_way(judged.stages),
        _rare_characters(judged.characters),
        _enlarged(judged.train, judged.resolution),
        _without_bucket(judged.train, judged.resolution),
        _dominating(judged.concepts),
        _long_captions(judged.train, judged.lengths),
        _tags_of_everything(judged.train),
        _cropped(judged.train, judged.resolution),
        _with_text(judged.with_text),
        _unused_classes(judged.classes),
        _unmade_classes(judged.unmade),
        _of_demo_models(judged.made_with_demo_models, judged.train.num_rows),
    ]
    return sorted((fault for fault in found if fault), key=lambda fault: SEVERITIES.index(fault.severity))


def _empty(train: pa.Table, held_out: int) -> Fault | None:
    if train.num_rows:
        return None
    return Fault(
        "empty", "serious", "There is nothing to train on.", 0, (),
        "Every image is held out for validation: lower [training_set] validation_share."
        if held_out
        else "Look at what was left out and why, and loosen [selection] or [crops].",
    )  # fmt: skip


def _uncaptioned(table: pa.Table) -> Fault | None:
    rows = zip(table["image_id"].to_pylist(), table["caption"].to_pylist(), strict=True)
    silent = [image_id for image_id, caption in rows if not (caption or "").strip()]
    if not silent:
        return None
    return Fault(
        "no_caption", "serious", f"{_number(len(silent), 'image has', 'images have')} no caption.", len(silent),
        tuple(silent[:EXAMPLES]),
        "Some trainers stop at an empty caption, others learn from the file name or skip the image. "
        "Give [captions] a part that every image has, such as the image type, or leave these images out.",
    )  # fmt: skip


def _leaking(leaked: Sequence[Leak], held_out: int) -> Fault | None:
    if not leaked:
        return None
    kinds = ", ".join(f"{why} {count}" for why, count in sorted(Counter(leak.why for leak in leaked).items()))
    return Fault(
        "leakage", "serious",
        f"{len(leaked)} of {_number(held_out, 'held-out image is', 'held-out images are')} in the training part as "
        f"well: {kinds}.",
        len(leaked), tuple(f"{leak.image_id} is {leak.train_id}" for leak in leaked[:EXAMPLES]),
        "Validation tells nothing on images the trainer has seen. Hold out others by another [training_set] seed, or "
        "lower [distinct_frames] and [repeated_frames] similarity, so that fewer likes are in the set.",
    )  # fmt: skip


def _lost_on_the_way(stages: Sequence[tuple[str, str, int]]) -> Fault | None:
    lost = sum(count for stage, outcome, count in stages if (stage, outcome) == ("set", "left out"))
    if not lost:
        return None
    return Fault(
        "left_out", "warning", f"{_number(lost, 'selected image is', 'selected images are')} not in the set.", lost, (),
        "An episode is half way through the graph: `dataset-pipeline status` says which, and `run` goes on with it.",
    )  # fmt: skip


def _rare_characters(characters: Sequence[Mapping[str, Any]]) -> Fault | None:
    rare = sorted((row["images"], row["character"]) for row in characters if row["images"] < FEW_IMAGES)
    if not rare:
        return None
    fewest, name = rare[0]
    shown = _number(fewest, "image", "images")
    message = f"{name} is on only {shown}."
    if len(rare) > 1:
        message = f"{len(rare)} characters are on fewer than {FEW_IMAGES} images each, {name} on only {shown}."
    return Fault(
        "few_images", "warning", message, len(rare),
        tuple(f"{name} ({images})" for images, name in rare[:EXAMPLES]),
        "So few images are learnt by heart, face and background together. Add episodes or a folder of pictures, lower "
        "the sizes in [crops], or do without the character.",
    )  # fmt: skip


def _enlarged(train: pa.Table, resolution: int) -> Fault | None:
    crops = [kind != STILL for kind in train["kind"].to_pylist()]
    for what, table in (("crops", train.filter(pa.array(crops, pa.bool_()))), ("images", train)):
        scale = scale_at(table, resolution)
        enlarged = int((scale > ENLARGED).sum())
        if 2 * enlarged <= len(scale):
            continue
        fitting = [
            side
            for side in RESOLUTIONS
            if side < resolution and 2 * int((scale_at(table, side) > ENLARGED).sum()) <= len(scale)
        ]
        lower = f"Train at {fitting[-1]}, raise" if fitting else "Raise"
        ids = table["image_id"].to_pylist()
        return Fault(
            "enlarged", "warning",
            f"{100 * enlarged / len(scale):.0f} % of the {what} are too small for {resolution}: a trainer that fills "
            f"its buckets enlarges half of them {np.median(scale):.1f} times or more.",
            enlarged, tuple(ids[place] for place in np.argsort(-scale, kind="stable")[:EXAMPLES]),
            f"{lower} the sides in [crops], or keep the trainer from enlarging: kohya's bucket_no_upscale, which "
            "exports set, or ai-toolkit.",
        )  # fmt: skip
    return None


def _dominating(concepts: Sequence[Mapping[str, Any]]) -> Fault | None:
    if len(concepts) < 2 or concepts[0]["epoch_share"] <= MOST_OF_AN_EPOCH:
        return None
    concept, share = concepts[0]["concept"], concepts[0]["epoch_share"]
    return Fault(
        "dominating", "warning", f"{concept} is {100 * share:.0f} % of an epoch.", concepts[0]["images"], (concept,),
        "What one concept shows will colour all the others. Lower its weight in [concept_balance] weights, or raise "
        "max_multiply so that the rare ones can catch up.",
    )  # fmt: skip


def _long_captions(train: pa.Table, lengths: Captions) -> Fault | None:
    if lengths.tokens is None:
        return None
    over = np.flatnonzero(lengths.tokens > CHUNK_TOKENS)
    if not len(over):
        return None
    ids = train["image_id"].to_pylist()
    longest = over[np.argsort(-lengths.tokens[over], kind="stable")]
    return Fault(
        "long_captions", "warning",
        f"{_number(len(over), 'caption is', 'captions are')} longer than {CHUNK_TOKENS} tokens, the longest "
        f"{int(lengths.tokens.max())}.",
        len(over), tuple(ids[place] for place in longest[:EXAMPLES]),
        "A trainer that reads one chunk cuts the rest off. Lower [tags] max_tags, or let the trainer read more (kohya: "
        "max_token_length 150 or 225).",
    )  # fmt: skip


def _tags_of_everything(train: pa.Table) -> Fault | None:
    images: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for characters, tags in zip(train["characters"].to_pylist(), train["tags"].to_pylist(), strict=True):
        for name in names_of(characters):
            images[name] += 1
            pairs.update((name, tag) for tag in set(tags or ()))
    found = sorted(
        (name, tag)
        for (name, tag), count in pairs.items()
        if images[name] >= FEW_IMAGES and count >= NEARLY_ALL * images[name]
    )
    if not found:
        return None
    name, tag = found[0]
    more = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
    return Fault(
        "tag_of_everything", "note", f"{tag} is on nearly all images of {name}{more}.", len(found),
        tuple(f"{tag} on {name} ({pairs[name, tag]} of {images[name]})" for name, tag in found[:EXAMPLES]),
        "The tag will carry what belongs to the name. Let [core_tags] take it out of the captions, unless it is to be "
        "asked for by itself.",
    )  # fmt: skip


def _cropped(train: pa.Table, resolution: int) -> Fault | None:
    share = fit_at(train, STEPPED_RULE, resolution).cropped_share
    if not len(share) or share.mean() <= MUCH_CROPPED:
        return None
    ids = train["image_id"].to_pylist()
    return Fault(
        "cropped", "note",
        f"kohya as exported cuts off {100 * share.mean():.0f} % of the pixels: not enlarging leaves whole steps only.",
        int((share > MUCH_CROPPED).sum()),
        tuple(ids[place] for place in np.argsort(-share, kind="stable")[:EXAMPLES]),
        "The smaller a picture, the more: raise the sides in [crops], or take bucket_no_upscale out of the file.",
    )  # fmt: skip


def _with_text(with_text: Sequence[str]) -> Fault | None:
    if not with_text:
        return None
    return Fault(
        "burnt_in_text", "warning",
        f"{_number(len(with_text), 'image bears', 'images bear')} subtitles, credits or a logo.",
        len(with_text), tuple(with_text[:EXAMPLES]),
        'A model learns to draw them. [selection] text = "crop" cuts them away, "drop" leaves the images out.',
    )  # fmt: skip


def _unused_classes(classes: Sequence[Mapping[str, Any]]) -> Fault | None:
    wanting = sorted((row for row in classes if row["used"] < row["pictures"]), key=lambda row: row["share"])
    if not wanting:
        return None
    worst = wanting[0]
    examples = tuple(f"{row['class']}: {row['used']} of {row['pictures']}" for row in wanting[:EXAMPLES])
    unused = sum(row["pictures"] - row["used"] for row in wanting)
    if not worst["known"]:
        return Fault(
            "unused_regularization", "warning",
            f"{worst['trainer']} knows no regularization pictures: {_number(unused, 'is', 'are')} left out.", unused,
            examples, "Export for a trainer that does, or take the classes out of [regularization] classes.",
        )  # fmt: skip
    return Fault(
        "unused_regularization", "warning",
        f"Of the {_number(worst['pictures'], 'picture', 'pictures')} of the class {worst['class']} {worst['trainer']} "
        f"uses {worst['used']}.",
        unused, examples,
        "The numbers follow the images to train on and their repeats. Keep fewer ([regularization] classes, keep), or "
        "raise the multiplies in [concept_balance]; a class without any stands beside no image of the set.",
    )  # fmt: skip


def _unmade_classes(unmade: Sequence[str]) -> Fault | None:
    if not unmade:
        return None
    return Fault(
        "unmade_regularization", "warning",
        f"{_number(len(unmade), 'regularization class was', 'regularization classes were')} never made.",
        len(unmade), tuple(unmade[:EXAMPLES]),
        "`dataset-pipeline regularize` makes them; or take them out of [regularization] classes.",
    )  # fmt: skip


def _without_bucket(train: pa.Table, resolution: int) -> Fault | None:
    fit = fit_at(train, STEPPED_RULE, resolution)
    none = np.flatnonzero((fit.width_px == 0) | (fit.height_px == 0))
    if not len(none):
        return None
    ids = train["image_id"].to_pylist()
    return Fault(
        "no_bucket", "warning",
        f"{_number(len(none), 'image has', 'images have')} a side below kohya's step of {STEP_PX} px at {resolution}.",
        len(none), tuple(ids[place] for place in none[:EXAMPLES]),
        "kohya as exported has no bucket for it and stops. Raise the sides in [crops], leave it out, or take "
        "bucket_no_upscale out of the file.",
    )  # fmt: skip


def _of_demo_models(demo: bool, images: int) -> Fault | None:
    if not demo:
        return None
    return Fault(
        "demo_models", "note", "Made with the demo models, which know only drawn scenes.", images, (),
        "Good for trying things out. `dataset-pipeline models pull` fetches the real models.",
    )  # fmt: skip


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
