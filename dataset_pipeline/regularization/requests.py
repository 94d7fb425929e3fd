"""Which pictures a class asks for: one row for each, whatever it will come from.

An id is the class and eight hex digits of what is asked for, so that another prompt, or another image in the set,
changes no other picture's.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.file_names import slug
from dataset_pipeline.base.tag_words import MANY, NOBODY, words
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.regularization.mirroring import Names, mirrored, shown_of
from dataset_pipeline.settings import CaptionsSettings, RegularizationClass
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.tags.people import OF_A_PIECE
from dataset_pipeline.tags.templates import without_mark
from dataset_pipeline.training.split import TRAIN

STEP_PX = 8  # sides of generated pictures are multiples of it
SHORTEST, LONGEST = 0.5, 2.0  # sides of a trainer's buckets, by that of its square one
SEEDS = 2**32
NAMED_IN_ERRORS = 10
ASKED = ("prompt", "negative_prompt", "seed", "width_px", "height_px")  # of a generator
UNCOUNTED = frozenset({*OF_A_PIECE, "eyesdetail", "objectdetail"})  # kinds of crops that show less than a person

Rows = list[dict[str, Any]]


def requests_of(
    a_class: RegularizationClass,
    seed: int,
    generate: int,
    native_side_px: int,
    training_rows: Iterable[Mapping[str, Any]] = (),
    core_tags: Iterable[Mapping[str, Any]] = (),
    captions: CaptionsSettings | None = None,
    rules: Rules | None = None,
    seen: Mapping[str, Collection[str]] | None = None,
) -> Rows:
    """Rows of `regularization_requests` for a class whose pictures are generated. generate: how many, where the class
    does not say. native_side_px: of the square that the generator's model was trained on.

    What follows is for the source `captions`. training_rows: of `training_set`. core_tags: rows of that table, with
    characters named as sets are told them. captions, rules: by which the training captions were rendered. seen: by
    image id the tags that the tagger sees on it; of the core tags of its characters those come back, and for an image
    that is not in it those that its kind of crop can show.

    Raises PermanentError where the class asks for nothing, with what to do.
    """
    if a_class.source == "prompts":
        rows = _of_prompts(a_class, seed, wanted_pictures(a_class, generate), native_side_px)
    else:
        assert captions is not None
        assert rules is not None
        rows = _of_captions(a_class, seed, native_side_px, list(training_rows), core_tags, captions, rules, seen or {})
    return with_ids(a_class.name, (([row[name] for name in ASKED], row) for row in rows))


def wanted_pictures(a_class: RegularizationClass, generate: int) -> int:
    """How many pictures a class asks for, to choose from; however many it keeps, so that another `keep` asks for no
    more. generate: where it does not say itself."""
    return a_class.generate or generate


def stands_beside(a_class: RegularizationClass, row: Mapping[str, Any]) -> bool:
    """Whether a class is for a row of `training_set`: one of its shows, by key or title, and of its characters; a class
    that names none is for all."""
    shows, characters = {slug(it) for it in a_class.shows}, {words(it) for it in a_class.characters}
    if shows and not shows & {row["show"], slug(row["show_title"] or row["show"])}:
        return False
    of_row = {words(it) for stored in row["characters"] or () for it in (stored, parse_character(stored).name)}
    return not characters or bool(characters & of_row)


def request(a_class: RegularizationClass, **columns: Any) -> dict[str, Any]:
    """A row of `regularization_requests` but for its id; columns: what is not as for a picture that exists."""
    nothing = {"prompt": "", "negative_prompt": "", "seed": 0, "width_px": 0, "height_px": 0, "mirrors": "", "path": ""}
    return {"source": a_class.source, **nothing, "people": a_class.people, "caption": a_class.caption, **columns}


def with_ids(class_name: str, asked: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]) -> Rows:
    """Rows with their ids, sorted by these; of those that ask for the same, one. asked: of each, what it asks for, and
    the row.

    Two whose first eight digits are the same have sixteen. Digits alone would be read as a time, so eight are taken
    that hold a letter.
    """
    by_hash: dict[str, Mapping[str, Any]] = {}
    for what, row in asked:
        digest = hashlib.sha256(json.dumps([row["source"], *what]).encode()).hexdigest()
        while digest[:8].isdecimal():
            digest = digest[1:] + digest[0]
        by_hash.setdefault(digest, row)
    claimed = Counter(digest[:8] for digest in by_hash)
    return [
        {"image_id": f"{class_name}/{digest[: 8 if claimed[digest[:8]] == 1 else 16]}", **row}
        for digest, row in sorted(by_hash.items())
    ]


def seed_of(seed: int, *what: str | int) -> int:
    """A seed from 0 to 2**32 - 1 that is the same everywhere for the same seed of the settings and the same words."""
    text = "\0".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") % SEEDS


def bucket_size(width_px: int, height_px: int, native_side_px: int) -> tuple[int, int]:
    """(width, height) of a picture of the same shape that a trainer would put into the same bucket: about as many
    pixels as the square that the model was trained on and no more, in multiples of 8, no side shorter than half or
    longer than twice that of the square."""
    if min(width_px, height_px, native_side_px) <= 0:
        raise ValueError(f"a picture of {width_px}x{height_px} px has no size at {native_side_px} px")
    area = native_side_px**2
    longest, shortest = LONGEST * native_side_px, SHORTEST * native_side_px
    scale = math.sqrt(area / (width_px * height_px))
    held = [min(longest, max(shortest, side * scale)) for side in (width_px, height_px)]
    sides = [{math.floor(it / STEP_PX) * STEP_PX, math.ceil(it / STEP_PX) * STEP_PX} for it in held]
    shape = math.log(held[0] / held[1])
    fitting = [(w, h) for w, h in itertools.product(*sides) if w * h <= area and w and h]
    return min(fitting or [(STEP_PX, STEP_PX)], key=lambda it: (abs(math.log(it[0] / it[1]) - shape), -it[0] * it[1]))


def _of_prompts(a_class: RegularizationClass, seed: int, number: int, native_side_px: int) -> Rows:
    """The first prompts have one more each where the number is no multiple of theirs."""
    prompts = [it for it in dict.fromkeys(" ".join(prompt.split()) for prompt in a_class.prompts) if it]
    if not prompts:
        raise PermanentError(
            f"the class {a_class.name!r} has no prompts: write at least one under `prompts` in its table"
        )
    width, height = _size(a_class, (native_side_px, native_side_px))
    rows = []
    for at in range(number):
        which, prompt = at // len(prompts), prompts[at % len(prompts)]
        asked = {"prompt": prompt, "negative_prompt": a_class.negative_prompt, "caption": prompt}
        asked |= {"seed": seed_of(seed, a_class.name, prompt, which)}
        rows.append(request(a_class, **asked, width_px=width, height_px=height))
    return rows


def _of_captions(
    a_class: RegularizationClass,
    seed: int,
    native_side_px: int,
    training_rows: Sequence[Mapping[str, Any]],
    core_tags: Iterable[Mapping[str, Any]],
    captions: CaptionsSettings,
    rules: Rules,
    seen: Mapping[str, Collection[str]],
) -> Rows:
    """One picture for each training image, or as many as `generate` says, as evenly as that goes."""
    names = names_in(training_rows)
    _check_class_word(a_class, names)
    core = _core_by_character(core_tags)
    rows = []
    mirrors = sorted(_beside(a_class, training_rows), key=lambda row: (seed_of(seed, row["image_id"]), row["image_id"]))
    for number, row in enumerate(itertools.islice(itertools.cycle(mirrors), a_class.generate or len(mirrors))):
        described = [tag for stored in row["characters"] or () for tag in core.get((row["show"], stored), ())]
        if (there := seen.get(row["image_id"])) is None:
            described = shown_of(row["kind"], described, rules)
        else:
            described = [tag for tag in described if tag in there]
        caption = mirrored(row, described, a_class.class_word, names, captions, rules)
        width, height = _size(a_class, bucket_size(row["width_px"], row["height_px"], native_side_px))
        asked = {"prompt": without_mark(caption), "negative_prompt": a_class.negative_prompt, "caption": caption}
        asked |= {"seed": seed_of(seed, row["image_id"], number // len(mirrors)), "mirrors": row["image_id"]}
        people = people_on(row) if a_class.people is None else a_class.people
        rows.append(request(a_class, **asked, people=people, width_px=width, height_px=height))
    return rows


def names_in(training_rows: Iterable[Mapping[str, Any]]) -> Names:
    """All that the captions of these rows of `training_set` teach as somebody's name."""
    characters, triggers = set[str](), set[str]()
    for row in training_rows:
        characters.update(row["characters"] or ())
        triggers.update(row["activation_tags"] or ())
    return Names(characters, triggers)


def people_on(row: Mapping[str, Any]) -> int | None:
    """How many people a picture after a row of `training_set` must show; None where the row does not say for sure."""
    if row["kind"] in UNCOUNTED:
        return None
    if any(words(tag) == NOBODY for tag in row["tags"] or ()):
        return 0
    number = row["n_people"] or 0
    return None if number >= MANY or "multiple" in (row["people"] or "") else number or None


def _beside(a_class: RegularizationClass, training_rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that the class stands beside and that are trained on. Raises PermanentError without any."""
    found = [row for row in training_rows if row["split"] == TRAIN and stands_beside(a_class, row)]
    if found:
        return found
    if not training_rows:
        raise PermanentError(
            f"the class {a_class.name!r} mirrors the captions of the training set, and there are no training images: "
            "make the set first, e.g. with `dataset-pipeline run`"
        )
    shows = sorted({row["show"] for row in training_rows})
    characters = sorted({stored for row in training_rows for stored in row["characters"] or ()})
    raise PermanentError(
        f"the class {a_class.name!r} stands beside no training image that is trained on: "
        f"its shows = {a_class.shows} and characters = {a_class.characters}. Name shows of "
        f"{', '.join(shows[:NAMED_IN_ERRORS])} and characters of {', '.join(characters[:NAMED_IN_ERRORS]) or 'none'}"
    )


def _check_class_word(a_class: RegularizationClass, names: Names) -> None:
    if names.named_in(a_class.class_word):
        raise PermanentError(
            f"class_word = {a_class.class_word!r} of the class {a_class.name!r} names a character or a trigger of the "
            "training set: take a word for all of its kind, e.g. 'woman' or '1girl'"
        )


def _core_by_character(core_tags: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Sequence[str]]:
    """By show and character; of several of one name in a show, those of the one with more images."""
    found: dict[tuple[str, str], Sequence[str]] = {}
    for row in sorted(core_tags, key=lambda row: row["images"]):
        found[row["show"], row["character"]] = row["tags"]
    return found


def _size(a_class: RegularizationClass, otherwise: tuple[int, int]) -> tuple[int, int]:
    """The class's own size in multiples of 8; `otherwise` for what it leaves at 0."""
    own = (a_class.width_px or otherwise[0], a_class.height_px or otherwise[1])
    return max(STEP_PX, round(own[0] / STEP_PX) * STEP_PX), max(STEP_PX, round(own[1] / STEP_PX) * STEP_PX)
