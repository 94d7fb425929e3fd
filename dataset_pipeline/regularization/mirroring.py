"""Captions that say what those of the training images say, with the class word where a trigger or a name stood.

Nothing that a trainer shall learn as somebody's name may be left. A tag or a title that holds a name is left out; in
free text, where a hole would break the sentence, the class word takes the name's place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.tag_words import counted_people, is_people_count, words
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import CaptionsSettings
from dataset_pipeline.settings.tag_rules import CHARACTER_KINDS, Rules
from dataset_pipeline.tags.overlaps import overlapping_tags
from dataset_pipeline.tags.templates import render

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

HEADS, PIECES, PLACES = ("head", "face"), ("hand", "handdetail"), ("objectdetail",)
# What a crop shows of somebody, by the kinds of tags; of all others it may show everything.
SHOWN: dict[str, frozenset[str]] = {
    **dict.fromkeys((*HEADS, "headdetail", "facedetail", "eyesdetail"), CHARACTER_KINDS),
    **dict.fromkeys((*PIECES, *PLACES), frozenset()),
    "clothesdetail": frozenset({"outfit"}),
}
SOLO = ("solo",)
# Words of a name that are words of the language too, and name nobody where they stand alone.
COMMON = frozenset({"a", "and", "de", "der", "for", "from", "in", "la", "no", "of", "on", "the", "to", "von", "with"})
FIRST_WITHOUT_SPACES = 0x2E80  # Chinese, Japanese and Korean letters, which no space sets apart
_SPACED = r"[^\W_\u2e80-\U0003ffff]"  # a letter or digit of other scripts
_BETWEEN = re.compile(r"[\s_,]+")
_QUALIFIED = re.compile("[\\s_]*[(\uff08].*$")  # `fern (sousou no frieren)`
_PART = re.compile(r"\s*,\s*")


class Names:
    """What of texts names somebody, whatever its case, with spaces or underscores, and only as whole words: `ai` is no
    part of `hair`. characters: as `CharacterName.stored`; triggers: other words that are learnt, e.g. activation tags.
    """

    def __init__(self, characters: Iterable[str], triggers: Iterable[str] = ()) -> None:
        names = [parse_character(stored) for stored in set(characters)]
        spelled = {text for name in names for text in (name.name, name.trigger, _QUALIFIED.sub("", name.name))}
        several = [parts for text in spelled if len(parts := _parts(text)) > 1]
        phrases = {tuple(_parts(text)) for text in {*spelled, *triggers}} - {()}
        phrases |= {tuple(reversed(parts)) for parts in several if len(parts) == 2}
        alone = {part for parts in several for part in parts if len(part) > 1 and part.lower() not in COMMON}
        self._phrases = _pattern(map(_phrase, sorted(phrases, key=lambda parts: (-len(parts), parts))))
        self._words = _pattern(_exact(word[:1].upper() + word[1:]) for word in sorted(alone))

    def named_in(self, text: str) -> bool:
        """Whether a tag, a title or a caption holds a name."""
        return self._phrases.search(text) is not None

    def replaced(self, text: str, word: str) -> str:
        """A text of sentences or tags with `word` for each name, and for each capitalized part of one."""
        return self._words.sub(lambda _: word, self._phrases.sub(lambda _: word, text))


def mirrored(
    row: Mapping[str, Any],
    described: Iterable[str],
    class_word: str,
    names: Names,
    settings: CaptionsSettings,
    rules: Rules,
) -> str:
    """The caption of a row of `training_set` without whom it shows: rendered as it was, by `[captions]` and with the
    same dice, from the same fields less triggers and names; one line, never empty.

    described: the tags that its names stood for; those come back that no other tag says. The class word stands where a
    trigger or a character stood: where none did, there is none. One that counts people yields to what is counted
    on the image.
    """
    fields = {**row, **_whole(row, names), "show": row["show_title"]}
    if names.named_in(fields["show"]):
        fields["show"] = ""
    back = _restored(row, described, names, rules)
    tags = [tag for tag in row["tags"] or () if not names.named_in(tag)]
    first = sum(words(tag) == SOLO for tag in tags[:1])
    fields["tags"] = [*tags[:first], *back, *tags[first:]]
    fields |= _who(row, class_word, settings)
    fields["text"] = names.replaced(row["text"] or "", class_word)
    fields["written"] = _rewritten(row["written"] or "", back, class_word, names)
    caption = render(fields, settings, rules)
    if names.named_in(caption):  # by a word of the template or of the settings
        caption = names.replaced(caption, class_word)
    return caption.strip() or class_word


def seen_tags(tag_scores: pa.Table, wanted: Collection[str], min_score: float) -> dict[str, list[str]]:
    """Which of the wanted general tags the tagger sees on each image, from min_score on, by its id; without images that
    it gave no answer for. tag_scores: a table of that name."""
    answered = tag_scores.filter(pc.is_valid(tag_scores["tags"])).combine_chunks()
    found: dict[str, list[str]] = {image_id: [] for image_id in answered["image_id"].to_pylist()}
    if not found:
        return found
    entries = pc.list_flatten(answered["tags"]).combine_chunks()
    ids = answered["image_id"].take(pc.list_parent_indices(answered["tags"]))
    seen = np.round(entries.field("score").to_numpy(zero_copy_only=False).astype(np.float64), 4) >= min_score
    seen &= pc.equal(entries.field("category"), "general").to_numpy(zero_copy_only=False)
    seen &= pc.is_in(entries.field("tag"), pa.array(sorted(wanted), pa.string())).to_numpy(zero_copy_only=False)
    mask = pa.array(seen)
    for image_id, tag in zip(ids.filter(mask).to_pylist(), entries.field("tag").filter(mask).to_pylist(), strict=True):
        found[image_id].append(tag)
    return found


def shown_of(kind: str, core: Iterable[str], rules: Rules) -> list[str]:
    """Of a character's core tags those that an image of this kind can show."""
    shown = SHOWN.get(kind)
    return [tag for tag in core if shown is None or rules.kind_of(tag) in shown]


def _restored(row: Mapping[str, Any], described: Iterable[str], names: Names, rules: Rules) -> list[str]:
    there = {words(tag) for tag in row["tags"] or ()}
    wanted = [tag for tag in dict.fromkeys(described) if words(tag) not in there and not names.named_in(tag)]
    superfluous = overlapping_tags([*(row["tags"] or ()), *wanted], "words", rules.implied)
    return [tag for tag in wanted if tag not in superfluous]


def _whole(row: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The fields besides tags that may hold a name."""
    return {name: [it for it in row[name] or () if not names.named_in(it)] for name in ("series", "artists")}


def _who(row: Mapping[str, Any], class_word: str, settings: CaptionsSettings) -> dict[str, list[str]]:
    """The fields in which triggers and characters stood."""
    activation, characters = list(row["activation_tags"] or ()), list(row["characters"] or ())
    counted = is_people_count(class_word)
    says_people = settings.template != "components" and "people" in settings.order and bool(row["people"])
    another = (row["n_people"] or 0) not in (0, counted_people(class_word)[1])
    stands = not (counted and (says_people or another)) and (activation or characters)
    at = "activation_tags" if activation else "characters"
    # In a stored name `|` would begin an appearance.
    return {"activation_tags": [], "characters": [], **({at: [class_word.replace("|", " ")]} if stands else {})}


def _rewritten(written: str, back: Sequence[str], class_word: str, names: Names) -> str:
    """A whole caption by a person, with the class word for each name, and what that stood for after the first of
    its parts that held one; sentences keep their own description."""
    if not names.named_in(written):
        return written
    text = names.replaced(written, class_word)
    if re.search(r"[.!?]\s*$", text):
        return text
    parts: dict[str, str] = {}
    for part in _PART.split(written):
        named = names.named_in(part)
        is_name = named and not re.sub(r"[\W_]", "", names.replaced(_QUALIFIED.sub("", part), ""))
        said = class_word if is_name else names.replaced(part, class_word)
        for it in (said, *(tag.replace("_", " ") for tag in back)) if named else (said,):
            parts.setdefault(it.casefold(), it)
    return ", ".join(filter(None, parts.values()))


def _parts(text: str) -> list[str]:
    return [part for part in _BETWEEN.split(text) if part]


def _phrase(parts: Sequence[str]) -> str:
    """One letter counts only as it is written: `L` is somebody, the l of a text is not."""
    if len(parts) == 1 and len(parts[0]) == 1:
        return _exact(parts[0])
    return _bounded(r"[\s_,]+".join(map(re.escape, parts)), parts[0][0], parts[-1][-1])


def _exact(word: str) -> str:
    return _bounded(f"(?-i:{re.escape(word)})", word[0], word[-1])


def _bounded(pattern: str, first: str, last: str) -> str:
    before = f"(?<!{_SPACED})" if ord(first) < FIRST_WITHOUT_SPACES else ""
    after = f"(?!{_SPACED})" if ord(last) < FIRST_WITHOUT_SPACES else ""
    return f"{before}{pattern}{after}"


def _pattern(parts: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)
