"""Whether a set is fit to train on: what speaks against it, worst first, and the figures to judge it by."""

from __future__ import annotations

import functools
import importlib.util
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.reports.buckets import RULES, Fit, bucket_use, fit_counted
from dataset_pipeline.reports.leakage import Leak
from dataset_pipeline.training.split import VALIDATION

SEVERITIES = ("serious", "warning", "note")
RESOLUTIONS = (512, 768, 1024)
STILL = "still"
ENLARGED = 1.25  # a picture enlarged by more than this is soft
SCALING_RULE = "kohya_scaled"  # stands for the trainers that enlarge
STEPPED_RULE = "kohya"  # cuts every side to whole steps
FEW_IMAGES = 10  # of a character; fewer teach one picture by heart rather than a face
MOST_OF_AN_EPOCH = 0.5
MUCH_CROPPED = 0.1  # of the pixels
NEARLY_ALL = 0.95  # of a character's images
CHUNK_TOKENS = 75  # what CLIP's text encoder reads at once, without its two marks
EXAMPLES = 5

WORD_EDGES = (5, 10, 15, 20, 30, 40, 50, 75, 100)
TOKEN_EDGES = (15, 30, 45, 60, 75, 100, 150, 225)
FACE_EDGES_PX = (32, 64, 96, 128, 192, 256, 512)
SCALE_EDGES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)


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
class Captions:
    """Of every training image. tokens: None where nobody counted them."""

    words: np.ndarray
    tokens: np.ndarray | None


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
    captions = [caption or "" for caption in train["caption"].to_pylist()]
    lengths = _lengths(captions, count_tokens)
    concepts, characters = _concepts(train), _characters(train)
    tagged = [tags or () for tags in train["tags"].to_pylist()]
    stages = list(stages)
    faults = [
        _empty(train, int(held_out.sum())),
        _uncaptioned(training_set),
        _leaking(leaked, int(held_out.sum())),
        _lost_on_the_way(stages),
        _rare_characters(characters),
        _enlarged(train, resolution),
        _dominating(concepts),
        _long_captions(train, lengths),
        _tags_of_everything(train, tagged),
        _cropped(train, resolution),
        _of_demo_models(made_with_demo_models, train.num_rows),
    ]
    found = sorted((fault for fault in faults if fault), key=lambda fault: SEVERITIES.index(fault.severity))
    return {
        "set": {
            "shows": sorted(set(training_set["show"].to_pylist())),
            "episodes": len(set(training_set["episode"].to_pylist())),
            "images": training_set.num_rows,
            "stills": sum(kind == STILL for kind in training_set["kind"].to_pylist()),
            "concepts": len(concepts),
            "characters": len(characters),
            "images_an_epoch": round(sum(row["images"] * row["multiply"] for row in concepts), 1),
            "resolution": resolution,
            "made_with_demo_models": made_with_demo_models,
        },
        "worst": found[0].severity if found else "",
        "faults": [asdict(fault) | {"examples": list(fault.examples)} for fault in found],
        "buckets": _buckets(train, resolution),
        "enlargement": _enlargement(train, resolution),
        "concepts": concepts,
        "characters": characters,
        "tags": _tag_counts(tagged),
        "captions": {
            "words": _summary(lengths.words, WORD_EDGES),
            "tokens": None if lengths.tokens is None else _summary(lengths.tokens, TOKEN_EDGES),
        },
        "splits": {
            "train": train.num_rows,
            "validation": int(held_out.sum()),
            "leaked": dict(Counter(leak.why for leak in leaked)),
            "examples": [asdict(leak) for leak in leaked[:EXAMPLES]],
        },
        "faces": _summary(np.asarray(face_sides_px, np.float64), FACE_EDGES_PX),
        "left_out": [
            {"stage": stage, "reason": outcome, "images": count, "meaning": MEANINGS.get((stage, outcome), "")}
            for stage, outcome, count in stages
        ],
    }


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


# ------------------------------------------------------------------------------------------------ faults


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
        scale = _scale(table, resolution)
        enlarged = int((scale > ENLARGED).sum())
        if 2 * enlarged <= len(scale):
            continue
        fitting = [
            side
            for side in RESOLUTIONS
            if side < resolution and 2 * int((_scale(table, side) > ENLARGED).sum()) <= len(scale)
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


def _tags_of_everything(train: pa.Table, tagged: Sequence[Collection[str]]) -> Fault | None:
    images: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for characters, tags in zip(train["characters"].to_pylist(), tagged, strict=True):
        for name in names_of(characters):
            images[name] += 1
            pairs.update((name, tag) for tag in set(tags))
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
    share = _fit(train, STEPPED_RULE, resolution).cropped_share
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


def _of_demo_models(demo: bool, images: int) -> Fault | None:
    if not demo:
        return None
    return Fault(
        "demo_models", "note", "Made with the demo models, which know only drawn scenes.", images, (),
        "Good for trying things out. `dataset-pipeline models pull` fetches the real models.",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ figures


def names_of(characters: Iterable[str]) -> set[str]:
    """The names in a row's `characters`, without appearance and outfit."""
    return {parse_character(character).name for character in characters or ()}


def _concepts(train: pa.Table) -> list[dict[str, Any]]:
    """By share of an epoch, largest first. epoch_share: of images times multiply."""
    images = Counter(train["concept"].to_pylist())
    multiplies = dict(zip(train["concept"].to_pylist(), train["multiply"].to_pylist(), strict=True))
    total = sum(count * multiplies[concept] for concept, count in images.items())
    rows = [
        {
            "concept": concept,
            "images": count,
            "multiply": multiplies[concept],
            "epoch_share": count * multiplies[concept] / total if total else 0.0,
        }
        for concept, count in images.items()
    ]
    return sorted(rows, key=lambda row: (-row["epoch_share"], row["concept"]))


def _characters(train: pa.Table) -> list[dict[str, Any]]:
    """Most images first."""
    kinds: dict[str, Counter[str]] = {}
    for characters, kind in zip(train["characters"].to_pylist(), train["kind"].to_pylist(), strict=True):
        for name in names_of(characters):
            kinds.setdefault(name, Counter())[kind] += 1
    rows = [
        {"character": name, "images": counts.total(), "kinds": dict(sorted(counts.items()))}
        for name, counts in kinds.items()
    ]
    return sorted(rows, key=lambda row: (-row["images"], row["character"]))


def _tag_counts(tagged: Iterable[Collection[str]]) -> list[dict[str, Any]]:
    """Every tag, most frequent first, with the share of all training images that bear it."""
    tagged = list(tagged)
    counts = Counter(tag for tags in tagged for tag in set(tags))
    return [
        {"tag": tag, "images": count, "share": count / len(tagged)}
        for tag, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _buckets(train: pa.Table, resolution: int) -> list[dict[str, Any]]:
    if not train.num_rows:
        return []
    sides = sorted({*RESOLUTIONS, resolution})
    return [
        asdict(use)
        | {"title": RULES[use.rule].title, "buckets": [list(bucket) for bucket in use.buckets]}
        | {"enlarged_share": use.enlarged / train.num_rows}
        for use in bucket_use(train["width_px"].to_numpy(), train["height_px"].to_numpy(), sides, ENLARGED)
    ]


def _enlargement(train: pa.Table, resolution: int) -> dict[str, Any]:
    return _summary(_scale(train, resolution), SCALE_EDGES) | {"rule": SCALING_RULE, "resolution": resolution}


def _scale(table: pa.Table, resolution: int) -> np.ndarray:
    return _fit(table, SCALING_RULE, resolution).scale


def _fit(table: pa.Table, rule: str, resolution: int) -> Fit:
    return fit_counted(RULES[rule], table["width_px"].to_numpy(), table["height_px"].to_numpy(), resolution)


def _summary(values: np.ndarray, edges: Sequence[float]) -> dict[str, Any]:
    """Median, largest, and how many lie above one edge and not above the next; the first bin has no lower edge, the
    last no upper one."""
    counts = np.bincount(np.searchsorted(np.asarray(edges, np.float64), values), minlength=len(edges) + 1)
    bounds = [None, *edges, None]
    return {
        "count": len(values),
        "median": float(np.median(values)) if len(values) else None,
        "largest": float(values.max()) if len(values) else None,
        "bins": [
            {"above": low, "up_to": high, "count": int(count)}
            for low, high, count in zip(bounds, bounds[1:], counts, strict=False)
        ],
    }


def _lengths(captions: Sequence[str], count_tokens: Callable[[str], int] | None) -> Captions:
    words = np.array([len(caption.split()) for caption in captions], np.int64)
    if count_tokens is None:
        return Captions(words, None)
    return Captions(words, np.array([count_tokens(caption) for caption in captions], np.int64))


def clip_token_counter() -> Callable[[str], int]:
    """Counts the tokens of a caption as CLIP reads it, without the marks of start and end. Its pattern never reaches
    over white space, so that each word is looked at once however often it comes."""
    # By its file: importing the package brings every model it has, which takes longer than all else in the report.
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise ImportError("open_clip is not installed")
    spec = importlib.util.spec_from_file_location("tokenizer", Path(package.origin).with_name("tokenizer.py"))
    if spec is None or spec.loader is None:
        raise ImportError(f"{package.origin} has no tokenizer beside it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encode = module.SimpleTokenizer().encode

    @functools.cache
    def of_word(word: str) -> int:
        return len(encode(word))

    return lambda caption: sum(map(of_word, caption.split()))


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
