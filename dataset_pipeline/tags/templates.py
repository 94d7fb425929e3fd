"""How a caption's fields become one line of text.

`booru`: tags in the order that models trained on booru sites know. `components`: parts that are each said with a
probability of its own, in the words of the trainers' older scripts (`2people`, `from <series>`, `head cropped`).
`sentence`: plain English for models that read sentences.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from dataset_pipeline.base.tag_words import MANY, TAGS_REMEMBERED, counted_people, is_emoticon
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import CaptionsSettings
from dataset_pipeline.settings.tag_rules import CHARACTER_KINDS, Rules

# Danbooru's words for what a picture shows of somebody; a person crop is what a picture of a person usually is.
KIND_WORDS = {
    "still": "",
    "person": "",
    "halfbody": "upper body",
    "head": "portrait",
    "face": "close-up",
    "hand": "hand focus",
}
CROP_WORDS = {"halfbody": "half body cropped", "head": "head cropped", "face": "face cropped", "hand": "hand cropped"}
SENTENCE_KINDS = {
    "person": "picture",
    "halfbody": "upper body picture",
    "head": "portrait",
    "face": "close-up",
    "hand": "close-up of a hand",
}
POSITIONS = {"left": "at left", "middle": "in the middle", "right": "at right"}
UNKNOWN_ARTISTS = frozenset({"", "anonymous"})
NUMBERS = ("no", "a", "two", "three", "four", "five")
BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")
PEOPLE_SEPARATOR = ", "


class Piece(NamedTuple):
    """Text that stands between two separators. exact: a word whose underscores stay. free: text with commas."""

    text: str
    exact: bool = False
    free: bool = False


def render(fields: Mapping[str, Any], settings: CaptionsSettings, rules: Rules) -> str:
    """The caption: exactly one line, never empty. fields: a row of `captions`.

    What says nothing new is left out, and no part but a free text holds a comma or the separator, so that a trainer
    splits it where we joined it. With nothing to say it is the crop's word, else the show.
    """
    dropped = frozenset(settings.drop)
    tags = [tag for tag in fields["tags"] if rules.kind_of(tag) not in dropped] if dropped else fields["tags"]
    if settings.template == "sentence":
        text = _sentence(fields, tags, settings, rules)
    elif settings.template == "booru":
        text = _joined(fields, settings.order, _booru_pieces(fields, tags, settings), settings)
    else:
        said = [
            entry.part
            for entry in settings.components
            if chance(settings.seed, fields["image_id"], entry.part) < entry.probability
        ]
        text = _joined(fields, said, _component_pieces(fields, tags), settings)
    if text:
        return text
    fallback = (KIND_WORDS.get(fields["kind"], ""), fields["image_type"], fields["show"], "picture")
    return next(text for text in (_clean(text, settings.separator, settings.spaces) for text in fallback) if text)


def chance(seed: int, image_id: str, part: str) -> float:
    """A number in [0, 1) that is the same everywhere for the same seed, image and part of the caption."""
    digest = hashlib.sha256(f"{seed}\0{image_id}\0{part}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _booru_pieces(
    fields: Mapping[str, Any], tags: Iterable[str], settings: CaptionsSettings
) -> dict[str, Callable[[], Iterable[Piece]]]:
    return {
        "people": lambda: map(Piece, fields["people"].split(PEOPLE_SEPARATOR)),
        "people_number": lambda: [Piece(_people_number(fields["n_people"]))],
        "character": lambda: _characters(fields["characters"]),
        "show": lambda: map(Piece, fields["series"] or [fields["show"]]),
        "kind": lambda: [Piece(KIND_WORDS.get(fields["kind"], "") or _type_of_still(fields))],
        "image_type": lambda: [Piece(fields["image_type"])],
        "artist": lambda: map(Piece, fields["artists"]),
        "rating": lambda: [Piece(settings.rating_words.get(fields["rating"], ""))],
        "quality": lambda: [Piece(fields["quality_word"])],
        "face_position": lambda: [Piece(POSITIONS.get(fields["face_position"], ""))],
        "tags": lambda: map(Piece, tags),
        "text": lambda: [Piece(fields["text"], free=True)],
    }


def _component_pieces(fields: Mapping[str, Any], tags: Iterable[str]) -> dict[str, Callable[[], Iterable[Piece]]]:
    explicit = fields["rating"] in ("e", "explicit")
    return {
        "people": lambda: [Piece(_people_number(fields["n_people"]))],
        "character": lambda: _characters(fields["characters"]),
        "show": lambda: [Piece(f"from {name}") for name in fields["series"] or [fields["show"]] if name.strip()],
        "image_type": lambda: [Piece(fields["image_type"])],
        "artist": lambda: [Piece(f"by {name}") for name in fields["artists"] if name not in UNKNOWN_ARTISTS],
        "rating": lambda: [Piece("explicit" if explicit else "")],
        "crop": lambda: [Piece(CROP_WORDS.get(fields["kind"], ""))],
        "quality": lambda: [Piece(fields["quality_word"])],
        "face_position": lambda: [Piece(POSITIONS.get(fields["face_position"], ""))],
        "tags": lambda: map(Piece, tags),
        "text": lambda: [Piece(fields["text"], free=True)],
    }


def _type_of_still(fields: Mapping[str, Any]) -> str:
    return fields["image_type"] if fields["kind"] == "still" else ""


def _people_number(number: int) -> str:
    return "" if not number else "1person" if number == 1 else "many people" if number >= MANY else f"{number}people"


def _characters(stored: Iterable[str]) -> Iterable[Piece]:
    for name in map(parse_character, stored):
        yield Piece(" ".join([name.trigger, *name.spoken_appearances]), exact=name.trigger != name.name)
        yield from map(Piece, name.outfits)


def _joined(
    fields: Mapping[str, Any],
    order: Iterable[str],
    pieces: Mapping[str, Callable[[], Iterable[Piece]]],
    settings: CaptionsSettings,
) -> str:
    """The parts in their order, activation tags before all; `keep_mark` stands between what a trainer must not shuffle
    and the tags."""
    said: dict[str, str] = {}
    kept: int | None = None

    def say(piece: Piece) -> None:
        if piece.free:
            text = _free(piece.text, settings.keep_mark)
        else:
            text = _clean(piece.text, settings.separator, settings.spaces and not piece.exact, settings.keep_mark)
        if text:
            said.setdefault(text.casefold(), text)

    for tag in fields["activation_tags"]:
        say(Piece(tag, exact=True))
    for part in order:
        if part == "tags":
            kept = len(said)
        for piece in pieces[part]():
            say(piece)
    texts = list(said.values())
    if settings.keep_mark and kept and kept < len(texts):
        head, tail = settings.separator.join(texts[:kept]), settings.separator.join(texts[kept:])
        return f"{head} {settings.keep_mark} {tail}"
    return settings.separator.join(texts)


def _sentence(fields: Mapping[str, Any], tags: Iterable[str], settings: CaptionsSettings, rules: Rules) -> str:
    """`A portrait of fern with purple hair, wearing black robe. It shows smile and outdoors.`, or the free text after
    the first half; only what `order` names is said. Nothing if there is nothing to say."""

    def plain(text: str, exact: bool = False) -> str:
        return _clean(text, settings.separator, not exact, settings.keep_mark)

    wanted = frozenset(settings.order)
    activation = [word for tag in fields["activation_tags"] if (word := plain(tag, exact=True))]
    opening = plain(SENTENCE_KINDS.get(fields["kind"], fields["image_type"] or "picture"))
    subject = _and([_spoken(stored, plain) for stored in fields["characters"]])
    if "character" not in wanted or not subject:
        subject = _people(fields["people"]) if "people" in wanted else ""
    first = f"{'an' if opening[:1].lower() in tuple('aeiou') else 'a'} {opening}"
    first += f" of {subject}" if subject else ""
    source = _and([plain(name) for name in fields["series"] or [fields["show"]]]) if "show" in wanted else ""
    first += f" from {source}" if source else ""
    rest: list[str] = []
    free = _free(fields["text"], settings.keep_mark) if "text" in wanted else ""
    if free:
        rest.append(free if free.endswith((".", "!", "?")) else f"{free}.")
    elif "tags" in wanted:
        worn_by_name = {outfit for stored in fields["characters"] for outfit in parse_character(stored).outfits}
        spoken = {tag: text for tag in tags if (text := plain(tag)) and text not in worn_by_name and tag != "solo"}
        looks = [text for tag, text in spoken.items() if rules.kind_of(tag) in CHARACTER_KINDS]
        # What nobody is there to wear is only seen.
        not_seen = CHARACTER_KINDS | {"outfit"} if subject else CHARACTER_KINDS
        worn = [text for tag, text in spoken.items() if subject and rules.kind_of(tag) == "outfit"]
        seen = [text for tag, text in spoken.items() if rules.kind_of(tag) not in not_seen]
        first += f" with {_and(looks)}" if looks else ""
        first += f"{',' if looks else ''} wearing {_and(worn)}" if worn else ""
        rest += [f"It shows {_and(seen)}."] if seen else []
    if "face_position" in wanted and fields["face_position"]:
        place = fields["face_position"]
        rest.append(f"The face is {'in the middle' if place == 'middle' else f'at the {place}'}.")
    if "quality" in wanted and (word := plain(fields["quality_word"])):
        rest.append(f"{word[:1].upper()}{word[1:]}.")
    if "rating" in wanted and (word := plain(settings.rating_words.get(fields["rating"], ""))):
        rest.append(f"Rating: {word}.")
    first = ", ".join([*activation, first]) if activation else first[:1].upper() + first[1:]
    return " ".join([f"{first}.", *rest])


def _spoken(stored: str, plain: Callable[..., str]) -> str:
    """`A with hat in red dress and cape`; nothing where there is no name."""
    name = parse_character(stored)
    text = plain(name.trigger, exact=name.trigger != name.name)
    if not text:
        return ""
    appearances, outfits = _and(map(plain, name.spoken_appearances)), _and(map(plain, name.outfits))
    return text + (f" with {appearances}" if appearances else "") + (f" in {outfits}" if outfits else "")


def _people(counts: str) -> str:
    """`a girl and two boys` for the tags `1girl, 2boys`."""
    largest: dict[str, int] = {}
    for tag in counts.split(PEOPLE_SEPARATOR):
        kind, number = counted_people(tag)
        if kind:
            largest[kind] = max(number, largest.get(kind, 0))
    words = {"girl": "girl", "boy": "boy", "other": "person"}
    return _and(
        [
            f"{NUMBERS[number] if number < MANY else 'many'} {words[kind]}{'' if number == 1 else 's'}"
            for kind, number in largest.items()
            if number
        ]
    )


def _and(texts: Iterable[str]) -> str:
    """`a, b and c`."""
    *before, last = [text for text in texts if text] or [""]
    return f"{', '.join(before)} and {last}" if before else last


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def _clean(part: str, separator: str, spaces: bool, keep_mark: str = "") -> str:
    if spaces and not is_emoticon(part):
        part = part.replace("_", " ")
    for mark in {",", separator.strip(), keep_mark} - {""}:
        part = part.replace(mark, " ")
    return BREAKS.sub(" ", part.encode("utf-8", "replace").decode()).strip()


def _free(text: str, keep_mark: str) -> str:
    """A text of sentences as one line."""
    text = text.encode("utf-8", "replace").decode()
    return BREAKS.sub(" ", text.replace(keep_mark, " ") if keep_mark else text).strip()
