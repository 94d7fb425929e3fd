"""Core tags: what a character's images bear so often that its name can stand for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.tag_words import counted_people
from dataset_pipeline.characters.names import as_said
from dataset_pipeline.settings import CoreTagsSettings
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.tags.overlaps import overlapping_tags

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

SCREENCAP_WORDS = ("anime screencap",)


@dataclass
class TagCounts:
    """Of one character: the images that show it alone, and on how many of them each tag stands."""

    images: int = 0
    tags: Counter[str] = field(default_factory=Counter)


def count_tags(
    tag_scores: pa.Table, clusters: pa.Table, min_score: float, counts: dict[str, TagCounts] | None = None
) -> dict[str, TagCounts]:
    """Add one episode's tables to `counts`, by character: its general tags from `min_score` on, over the images with
    exactly one known character on which the tagger counts no second person."""
    counts = {} if counts is None else counts
    alone = clusters.filter(pc.equal(pc.list_value_length(clusters["characters"]), 1)).combine_chunks()
    place = pc.index_in(tag_scores["image_id"], alone["image_id"])
    scored = tag_scores.filter(pc.is_valid(place)).combine_chunks()
    if not scored.num_rows:
        return counts
    place = pc.drop_null(place.combine_chunks() if isinstance(place, pa.ChunkedArray) else place)
    named = pc.dictionary_encode(pc.list_flatten(alone["characters"]).take(place)).combine_chunks()
    lists = scored["tags"].combine_chunks()
    entries = lists.flatten()
    image = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    score = np.round(entries.field("score").to_numpy(zero_copy_only=False).astype(np.float64), 4)
    wanted = (score >= min_score) & pc.equal(entries.field("category"), "general").to_numpy(zero_copy_only=False)
    encoded = pc.dictionary_encode(entries.field("tag").filter(pa.array(wanted)))
    names: list[str] = encoded.dictionary.to_pylist()
    image, tag = image[wanted], encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    lonely = _people(names, image, tag, len(lists)) <= 1
    of_image = named.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    characters: list[str] = named.dictionary.to_pylist()
    for number, images in enumerate(np.bincount(of_image[lonely], minlength=len(characters)).tolist()):
        counts.setdefault(characters[number], TagCounts()).images += images
    kept = lonely[image]
    pairs, seen = np.unique(of_image[image[kept]] * len(names) + tag[kept], return_counts=True)
    for pair, images in zip(pairs.tolist(), seen.tolist(), strict=True):
        counts[characters[pair // len(names)]].tags[names[pair % len(names)]] += images
    return counts


def _people(names: Sequence[str], image: np.ndarray, tag: np.ndarray, images: int) -> np.ndarray:
    """How many people are on each image by its tags; not held at MANY."""
    total = np.zeros(images, np.int64)
    for kind in ("girl", "boy", "other"):
        numbers = np.array([number if found == kind else 0 for found, number in map(counted_people, names)], np.int64)
        largest = np.zeros(images, np.int64)
        if len(numbers):
            np.maximum.at(largest, image, numbers[tag])
        total += largest
    return total


def core_rows(show: str, counts: Mapping[str, TagCounts], settings: CoreTagsSettings, rules: Rules) -> list[dict]:
    """Rows of `core_tags` but for made_from: for each character the tags on at least `min_share` of its images that can
    define it, by name."""
    rows = []
    for character, count in sorted(counts.items()):
        enough = count.images >= settings.min_images
        shares = {tag: round(images / count.images, 4) for tag, images in sorted(count.tags.items())} if enough else {}
        core = [
            tag
            for tag, images in sorted(count.tags.items())
            if enough and images >= settings.min_share * count.images and rules.may_be_core(tag)
        ]
        rows.append(
            {
                "show": show,
                "character": character,
                "tags": core,
                "shares": [shares[tag] for tag in core],
                "images": count.images,
            }
        )
    return rows


def describing_tags(row: Mapping[str, Any], rules: Rules, most: int = 0) -> list[str]:
    """The core tags of a row of `core_tags` as a person would say them, with spaces: those that no other says as well,
    the most frequent first; at most `most`, all if 0."""
    shares = dict(zip(row["tags"], row["shares"], strict=True))
    superfluous = overlapping_tags(row["tags"], "words", rules.implied)
    ordered = sorted(shares.keys() - superfluous.keys(), key=lambda tag: (-shares[tag], tag))
    return [tag.replace("_", " ") for tag in ordered[: most or None]]


def emb_init(
    core_tags: Iterable[Mapping[str, Any]], rules: Rules, image_words: Sequence[str] = SCREENCAP_WORDS
) -> bytes:
    """`emb_init.json` for pivotal tuning, from rows of `core_tags`: the embedding of each character, named as it is,
    and the tags it starts from; besides `screenshots`, which starts from `image_words`."""
    embeddings = {as_said(row["character"]): describing_tags(row, rules) for row in _by_character(core_tags)}
    text = json.dumps(embeddings | {"screenshots": list(image_words)}, ensure_ascii=False, indent=1)
    return f"{text}\n".encode()


def wildcard(core_tags: Iterable[Mapping[str, Any]], rules: Rules) -> bytes:
    """`wildcard.txt` for prompts, from rows of `core_tags`: for each character a line with its name alone, and one with
    the name and its core tags where it has any."""
    lines = []
    for row in _by_character(core_tags):
        name = as_said(row["character"])
        lines.append(name)
        if tags := describing_tags(row, rules):
            lines.append(", ".join([name, *tags]))
    return "".join(f"{line}\n" for line in lines).encode()


def core_markdown(core_tags: Iterable[Mapping[str, Any]], rules: Rules) -> str:
    """A table of the characters for people."""
    lines = ["| character | images alone | core tags |", "| --- | ---: | --- |"]
    for row in _by_character(core_tags):
        tags = ", ".join(describing_tags(row, rules)).replace("|", "\\|")
        lines.append(f"| {row['character'].replace('|', chr(92) + '|')} | {row['images']} | {tags} |")
    return "\n".join(lines)


def _by_character(core_tags: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One row a name: of characters of two shows that share one, the row with more images."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in sorted(core_tags, key=lambda row: (-row["images"], row["show"])):
        best.setdefault(row["character"], row)
    return [best[name] for name in sorted(best)]
