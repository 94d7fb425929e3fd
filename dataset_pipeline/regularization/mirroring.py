"""Captions that say what those of the training images say, with the class word where a trigger or a name stood.

Nothing that a trainer shall learn as somebody's name may be left. A tag or a title that holds a name is left out; in
free text, where a hole would break the sentence, the class word takes the name's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.tag_words import counted_people, is_people_count, words
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import CaptionsSettings
from dataset_pipeline.settings.tag_rules import CHARACTER_KINDS, Rules
from dataset_pipeline.tags.overlaps import overlapping_tags
from dataset_pipeline.tags.templates import render

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
    core: Iterable[str],
    class_word: str,
    names: Names,
    settings: CaptionsSettings,
    rules: Rules,
) -> str:
    """The caption of a row of `training_set` without whom it shows: rendered as it was, by `[captions]` and with the
    same dice, from the same fields less triggers and names; one line, never empty.

    core: the core tags of its characters, which their names stood for; those come back that its kind of crop can show
    and that no other tag says. The class word stands where a trigger or a character stood: where none did, there is
    none. One that counts people yields to what is counted on the image.
    """
    fields = {**row, **_whole(row, names), "show": row["show_title"]}
    if names.named_in(fields["show"]):
        fields["show"] = ""
    back = restored(row, core, names, rules)
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


def restored(row: Mapping[str, Any], core: Iterable[str], names: Names, rules: Rules) -> list[str]:
    """The core tags that a mirrored caption says of a row of `training_set`, in their order."""
    shown = SHOWN.get(row["kind"])
    there = {words(tag) for tag in row["tags"] or ()}
    wanted = [tag for tag in dict.fromkeys(core) if words(tag) not in there and not names.named_in(tag)]
    wanted = [tag for tag in wanted if shown is None or rules.kind_of(tag) in shown]
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
    """A whole caption by a person, with the class word for each name, and the core tags after the first of its parts
    that held one; sentences keep their own description."""
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
