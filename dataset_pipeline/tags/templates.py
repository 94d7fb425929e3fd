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
    "handdetail": "hand focus",
}
CROP_WORDS = {
    "halfbody": "half body cropped",
    "head": "head cropped",
    "face": "face cropped",
    "hand": "hand cropped",
    "headdetail": "head cropped",
    "facedetail": "face cropped",
    "eyesdetail": "eyes cropped",
    "handdetail": "hand cropped",
    "clothesdetail": "clothes cropped",
    "objectdetail": "object cropped",
}
SENTENCE_KINDS = {
    "person": "picture",
    "halfbody": "upper body picture",
    "head": "portrait",
    "face": "close-up",
    "hand": "close-up of a hand",
    "facedetail": "picture",
    "eyesdetail": "picture",
    "headdetail": "picture",
    "handdetail": "close-up of a hand",
    "clothesdetail": "picture of clothes",
    "objectdetail": "detail of a place",
    "clip": "video clip",
}
POSITIONS = {"left": "at left", "middle": "in the middle", "right": "at right"}
UNKNOWN_ARTISTS = frozenset({"", "anonymous"})
NUMBERS = ("no", "a", "two", "three", "four", "five")
BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")
PEOPLE_SEPARATOR = ", "
# In a caption, a trainer that knows this mark shuffles only what follows it; other trainers would read it as a word.
KEEP_MARK = "|||"


class Piece(NamedTuple):
    """Text that stands between two separators. exact: a word whose underscores stay. free: text with commas."""

    text: str
    exact: bool = False
    free: bool = False


def render(fields: Mapping[str, Any], settings: CaptionsSettings, rules: Rules) -> str:
    """The caption: exactly one line, never empty. fields: a row of `captions`.

    What says nothing new is left out, and no part but a free text holds a comma or the separator, so that a trainer
    splits it where we joined it. With nothing to say it is the crop's word, else the show. What a person wrote as the
    whole caption stays as it is.
    """
    if fields.get("written"):
        return fields["written"]
    dropped = frozenset(settings.drop)
    tags = [tag for tag in fields["tags"] if rules.kind_of(tag) not in dropped] if dropped else fields["tags"]
    if settings.template == "sentence":
        text = _Sentence(fields, settings, rules).text(tags)
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


def without_mark(caption: str) -> str:
    """The caption for a trainer that does not know `|||`: a comma stands in its place."""
    if KEEP_MARK not in caption:
        return caption
    return ", ".join(filter(None, (part.strip(" ,") for part in caption.split(KEEP_MARK))))


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

    def add(piece: Piece) -> None:
        if piece.free:
            text = _free(piece.text, settings.keep_mark)
        else:
            text = _clean(piece.text, settings.separator, settings.spaces and not piece.exact, settings.keep_mark)
        if text:
            said.setdefault(text.casefold(), text)

    for tag in fields["activation_tags"]:
        add(Piece(tag, exact=True))
    for part in order:
        if part == "tags":
            kept = len(said)
        for piece in pieces[part]():
            add(piece)
    texts = list(said.values())
    if settings.keep_mark and kept and kept < len(texts):
        head, tail = settings.separator.join(texts[:kept]), settings.separator.join(texts[kept:])
        return f"{head} {settings.keep_mark} {tail}"
    return settings.separator.join(texts)


class _Sentence:
    """An English caption: `A portrait of fern with purple hair, wearing black robe. It shows smile and outdoors.`, or
    the free text after the first half. A part that `order` does not name, or that has nothing to say, is empty."""

    def __init__(self, fields: Mapping[str, Any], settings: CaptionsSettings, rules: Rules) -> None:
        self._fields, self._settings, self._rules = fields, settings, rules
        self._wanted = frozenset(settings.order)

    def text(self, tags: Iterable[str]) -> str:
        subject = self._subject()
        first, rest = self._opening(subject), self._free_text()
        if not rest and "tags" in self._wanted:
            described, rest = self._described(tags, bool(subject))
            first += described
        activation = [word for tag in self._fields["activation_tags"] if (word := self._plain(tag, exact=True))]
        first = ", ".join([*activation, first]) if activation else first[:1].upper() + first[1:]
        sentences = (f"{first}.", rest, self._face(), self._quality(), self._rating())
        return " ".join(sentence for sentence in sentences if sentence)

    def _plain(self, text: str, exact: bool = False) -> str:
        return _clean(text, self._settings.separator, not exact, self._settings.keep_mark)

    def _subject(self) -> str:
        """`fern and frieren`, else `two girls`."""
        names = _and([_spoken(stored, self._plain) for stored in self._fields["characters"]])
        if names and "character" in self._wanted:
            return names
        return _people(self._fields["people"]) if "people" in self._wanted else ""

    def _opening(self, subject: str) -> str:
        """`a portrait of fern from Sousou no Frieren`."""
        picture = self._plain(SENTENCE_KINDS.get(self._fields["kind"], self._fields["image_type"] or "picture"))
        opening = f"{'an' if picture[:1].lower() in tuple('aeiou') else 'a'} {picture}"
        names = self._fields["series"] or [self._fields["show"]]
        source = _and(map(self._plain, names)) if "show" in self._wanted else ""
        return opening + (f" of {subject}" if subject else "") + (f" from {source}" if source else "")

    def _free_text(self) -> str:
        free = _free(self._fields["text"], self._settings.keep_mark) if "text" in self._wanted else ""
        return free if not free or free.endswith((".", "!", "?")) else f"{free}."

    def _described(self, tags: Iterable[str], has_subject: bool) -> tuple[str, str]:
        """` with purple hair, wearing black robe`, which goes on the opening, and `It shows smile and outdoors.`"""
        said = {outfit for stored in self._fields["characters"] for outfit in parse_character(stored).outfits}
        said |= {"solo", KIND_WORDS.get(self._fields["kind"], "")}  # the opening names the kind of crop
        texts: dict[str, list[str]] = {"looks": [], "worn": [], "seen": []}
        for tag in tags:
            text = self._plain(tag)
            if text and text not in said:
                texts[self._role(tag, has_subject)].append(text)
        looks, worn, seen = map(_and, texts.values())
        with_looks = f" with {looks}" if looks else ""
        wearing = f"{',' if looks else ''} wearing {worn}" if worn else ""
        return with_looks + wearing, f"It shows {seen}." if seen else ""

    def _role(self, tag: str, has_subject: bool) -> str:
        """What nobody is there to wear is only seen."""
        kind = self._rules.kind_of(tag)
        if kind in CHARACTER_KINDS:
            return "looks"
        return "worn" if kind == "outfit" and has_subject else "seen"

    def _face(self) -> str:
        position = self._fields["face_position"] if "face_position" in self._wanted else ""
        if not position:
            return ""
        return f"The face is {'in the middle' if position == 'middle' else f'at the {position}'}."

    def _quality(self) -> str:
        word = self._plain(self._fields["quality_word"]) if "quality" in self._wanted else ""
        return f"{word[:1].upper()}{word[1:]}." if word else ""

    def _rating(self) -> str:
        word = self._settings.rating_words.get(self._fields["rating"], "") if "rating" in self._wanted else ""
        return f"Rating: {plain}." if (plain := self._plain(word)) else ""


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
