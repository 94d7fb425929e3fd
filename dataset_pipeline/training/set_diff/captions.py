"""Why the caption of an image is another.

Captions are rendered from fields by settings, so both are tried: the old fields under the new settings, one setting at
a time, and the old settings over the new fields. What gives the new caption alone is the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dataset_pipeline.settings import CaptionsSettings
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.tags.filter import BY_HAND as BY_HAND_REASON
from dataset_pipeline.tags.templates import render, without_mark
from dataset_pipeline.training.set_diff.changes import Changes, Key, Reason
from dataset_pipeline.training.set_diff.sets import Image, TrainingSet

BY_HAND = "written by hand"
TAG_FIELDS = ("tags", "people", "n_people")
TAGS_NAMED = 4
# What a caption is made of but for tags, the most telling first: in words, the asset and the keys that decide it, and
# the asset whose answer they judge.
FIELDS: dict[str, tuple[str, str, tuple[Key, ...], str]] = {
    "written": ("another caption written by a person", "captions", (), "corrections"),
    "characters": ("other characters on it", "clusters", (("clusters", "max_difference"),), ""),
    "activation_tags": ("other activation tags", "tags", (("tags", "concepts"),), ""),
    "text": ("another description", "descriptions", (), ""),
    "tags": ("other tags", "tags", (), ""),
    "show_title": ("another title of the show", "captions", (), "captions"),
    "series": ("another series", "tags", (("tag_thresholds", "copyright"),), ""),
    "artists": ("other artists", "tags", (("tag_thresholds", "artist"),), ""),
    "rating": ("another rating", "tag_scores", (), ""),
    "quality_word": ("another word for its quality", "captions", (("captions", "quality_words"),), "quality_scores"),
    "face_position": ("another place of the face", "captions", (("captions", "face_min_score"),), "detections"),
    "image_type": (
        "another word for its type",
        "captions",
        (("captions", "image_type"), ("captions", "picture_type")),
        "",
    ),
}
_ALL_TAGS = (("tag_thresholds", "general"), ("tag_thresholds", "character"))
_SEEN = (*(("people", key) for key in ("counts", "seen_score", "doubt_score")), ("tags", "composition"))
_FILES = ("tag_rules", "content")
# Why `tags` drops a tag, by the beginning of the reason that it records: in words, the keys that decide it, and the
# asset whose answer they judge.
DROPPED: dict[str, tuple[str, tuple[Key, ...], str]] = {
    "low_score": ("tags by their threshold", _ALL_TAGS, "tag_scores"),
    "general": ("tags by their threshold", _ALL_TAGS, "tag_scores"),
    "character": ("tags by their threshold", _ALL_TAGS, "tag_scores"),
    "meta": ("tags by their threshold", (("tag_thresholds", "meta"),), "tag_scores"),
    "core tag of": ("core tags", (("tags", "prune"),), "core_tags"),
    "trait": ("tags of looks", (("tags", "prune"), _FILES), ""),
    "blacklist": ("blacklisted tags", (("tags", "blacklist"), _FILES), ""),
    "implied by": ("tags that others imply", (("tags", "overlaps"), ("tags", "prune"), _FILES, *_ALL_TAGS), ""),
    "other_count": ("counts of people", (("people", "counts"), ("tags", "prune"), *_ALL_TAGS), "tag_scores"),
    # Whose crops there are, and what the tagger says of them, tells the sexes: tag_scores stands behind both.
    "seen": ("tags by who is seen", (*_SEEN, ("tags", "prune")), "tag_scores"),
    "other_composition": ("compositions", (("tags", "composition"), ("tags", "prune"), *_ALL_TAGS), "tag_scores"),
    "known_character": ("names of known characters", (("tags", "prune"),), "clusters"),
    "max_tags": ("tags beyond the most", (("tags", "max_tags"),), "tag_scores"),
    "concept": ("tags of a concept", (("tags", "concepts"),), ""),
    "hand_edited": ("tags written by hand", (), "hand_edited_tags"),
    BY_HAND_REASON: ("tags changed by hand", (), ""),
}


class Captions:
    """The reasons why captions differ between two sets."""

    def __init__(self, old: TrainingSet, new: TrainingSet, changes: Changes) -> None:
        self.old, self.new, self.changes = old, new, changes
        self._with_mark = old.keeps_mark and new.keeps_mark
        self._by_key: dict[str, CaptionsSettings] = {}
        if old.captions is not None and new.captions is not None:
            names = [
                it for it in CaptionsSettings.model_fields if getattr(old.captions, it) != getattr(new.captions, it)
            ]
            self._by_key = {it: old.captions.model_copy(update={it: getattr(new.captions, it)}) for it in names}

    def differ(self, old: Image, new: Image) -> bool:
        return self._plain(old.caption) != self._plain(new.caption)

    def why(self, old: Image, new: Image) -> Reason:
        """Of two images whose captions differ."""
        if old.by_hand or new.by_hand:
            return Reason(BY_HAND)
        fields = self._seen_fields(old, new)
        wanted = self._plain(new.caption)
        if (by_settings := self._by_settings(old, new)) is not None:
            if not fields or self._said(old, new.fields, self.new) == wanted == self._said(old, old.fields, self.new):
                return by_settings
            if self._said(old, new.fields, self.old) == wanted:
                return self._by_field(fields[0], old, new)
            field = self._by_field(fields[0], old, new)
            causes = dict.fromkeys([*by_settings.causes, *field.causes])
            return Reason(f"{by_settings.what} and {field.what}", tuple(causes), field.detail)
        if fields:
            return self._by_field(fields[0], old, new)
        return self._of_neither(old)

    def _plain(self, caption: str) -> str:
        return caption if self._with_mark else without_mark(caption)

    def _said(self, image: Image, fields: Mapping[str, Any], by: TrainingSet) -> str | None:
        """The caption of fields under the settings of a set; None where these are not known."""
        return None if by.captions is None else self._rendered(fields, by.captions, by.rules)

    def _rendered(self, fields: Mapping[str, Any], settings: CaptionsSettings, rules: Rules | None) -> str | None:
        return None if rules is None else self._plain(render(fields, settings, rules))

    def _by_settings(self, old: Image, new: Image) -> Reason | None:
        """By which keys of [captions] the caption of the old fields is another; None if by none."""
        before = self._said(old, old.fields, self.old)
        if before is None or not self._by_key or self._said(old, old.fields, self.new) == before:
            return None
        seen = {name: self._rendered(old.fields, it, self.old.rules) for name, it in self._by_key.items()}
        after = self._said(old, old.fields, self.new)
        changed = self.changes.keys("captions", old.episode)
        alone = [name for name, caption in seen.items() if caption == after]
        names = alone[:1] or [name for name, caption in seen.items() if caption != before] or list(seen)
        told = (changed.get(("captions", name), f"[captions] {name} changed") for name in names)
        return Reason("other caption settings", tuple(told))

    def _seen_fields(self, old: Image, new: Image) -> list[str]:
        """The fields that differ and show in the caption, in the order of FIELDS."""
        differ = [name for name in FIELDS if self._differs(name, old, new)]
        before = self._said(old, old.fields, self.old)
        if before is None or len(differ) < 2:
            return differ
        seen = []
        for name in differ:
            taken = TAG_FIELDS if name == "tags" else (name,)
            changed = {**old.fields, **{it: new.fields.get(it) for it in taken}}
            if self._said(old, _shown(changed), self.old) != before:
                seen.append(name)
        return seen or differ

    @staticmethod
    def _differs(name: str, old: Image, new: Image) -> bool:
        return any(old.fields.get(it) != new.fields.get(it) for it in (TAG_FIELDS if name == "tags" else (name,)))

    def _by_field(self, name: str, old: Image, new: Image) -> Reason:
        if name == "tags":
            return self._by_tags(old, new)
        if name == "characters" and are_renamed(self.old, self.new, old.image_id):
            return Reason("characters renamed", (), _names_told(old, new))
        what, asset, keys, fallback = FIELDS[name]
        detail = f"({_listed(old.fields.get(name))} -> {_listed(new.fields.get(name))})"
        if name == "show_title":
            return Reason(what, (), detail)
        return Reason(what, self.changes.causes(asset, old.episode, keys, fallback), detail)

    def _by_tags(self, old: Image, new: Image) -> Reason:
        before, after = _tags(old), _tags(new)
        lost, gained = ([tag for tag in one if tag not in other] for one, other in ((before, after), (after, before)))
        if not lost and not gained:
            keys = [("tags", "sort"), ("tags", "shuffle_seed")]
            return Reason("another order of tags", self.changes.causes("tags", old.episode, keys, "tag_scores"))
        marked = [f"+{tag}" for tag in gained] + [f"-{tag}" for tag in lost]
        more = f" and {len(marked) - TAGS_NAMED} more" if len(marked) > TAGS_NAMED else ""
        detail = f"({' '.join(marked[:TAGS_NAMED])}{more})"
        found = Counter(
            reason
            for tags, without, having in ((lost, self.new, self.old), (gained, self.old, self.new))
            for reason in self._why_dropped(tags, without, having, old)
        )
        if found:
            (what, causes), _ = found.most_common(1)[0]
            return Reason(what, causes, detail)
        return Reason("other tags", self._by_tag_settings({*lost, *gained}, old.episode), detail)

    def _why_dropped(
        self, tags: list[str], side: TrainingSet, having: TrainingSet, image: Image
    ) -> list[tuple[str, tuple[str, ...]]]:
        """For each tag that is absent on one side, what its row there says, or the other's that has it because a person
        added it: in words, and the causes."""
        row, other = side.row("tags", image.image_id), having.row("tags", image.image_id) or {}
        if not tags or row is None:
            return []
        reasons = {entry["tag"]: entry["reason"] for entry in row["dropped"] or ()}
        reasons |= {
            entry["tag"]: BY_HAND_REASON for entry in other.get("added") or () if entry["reason"] == BY_HAND_REASON
        }
        told = []
        for tag in tags:
            reason = reasons.get(tag, "")
            beginning = next((it for it in DROPPED if reason.startswith(it)), "")
            if row["hand_edited"]:
                beginning = "hand_edited"
            if not beginning:
                told.append(("other tags", self.changes.causes("tag_scores", image.episode)))
                continue
            if beginning == BY_HAND_REASON:
                told.append(("tags changed by hand", ()))
                continue
            what, keys, fallback = DROPPED[beginning]
            told.append((what, self.changes.causes("tags", image.episode, keys, fallback)))
        return told

    def _by_tag_settings(self, tags: set[str], episode: str) -> tuple[str, ...]:
        """Without tables: the changes that can give other tags; a list of tags that changed decides for its own."""
        changed = self.changes.keys("tags", episode)
        listed = ("tags", "blacklist")
        if listed in changed:
            one, other = (self._blacklist(it, episode) for it in (self.old, self.new))
            if tags <= one ^ other:
                return (changed[listed],)
        only_order = {changed.get(("tags", name)) for name in ("sort", "shuffle_seed")}
        return tuple(it for it in self.changes.upstream("tags", episode) if it not in only_order)

    @staticmethod
    def _blacklist(side: TrainingSet, episode: str) -> set[str]:
        made = side.lineage.made("tags", episode)
        listed = made.settings.get("tags", {}).get("blacklist", ()) if made else ()
        return {tag.replace(" ", "_") for tag in listed}

    def _of_neither(self, old: Image) -> Reason:
        """The fields are the same, and what is known of the settings shows no difference."""
        causes = self.changes.own("captions", old.episode)
        return Reason("other caption settings", causes) if causes else Reason("another caption of the same fields")


def are_renamed(old: TrainingSet, new: TrainingSet, image_id: str) -> bool:
    """Whether both sets know the same characters on an image, so that only what they are called is another."""
    before, after = (side.row("clusters", image_id) for side in (old, new))
    return before is not None and after is not None and before["characters"] == after["characters"]


def _names_told(old: Image, new: Image) -> str:
    return f"({_listed(old.fields.get('characters'))} -> {_listed(new.fields.get('characters'))})"


def _shown(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**fields, "show": fields.get("show_title") or ""}


def _tags(image: Image) -> list[str]:
    people = [tag for tag in (image.fields.get("people") or "").split(", ") if tag]
    return [*people, *(image.fields.get("tags") or ())]


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) or "nobody" if isinstance(value, list | tuple) else str(value or "none")
