"""The folder of each image: `n_characters/a+b`."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.settings import ConceptBalanceSettings

OTHERS = "character_others"
MAX_NAME_CHARACTERS = 99
MAX_NAME_BYTES = 200  # Linux allows 255 in a name, and a Japanese letter takes three
FORBIDDEN = re.compile(r'[<>:"/\\|?*+\x00-\x1f\x7f]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def safe_name(text: str) -> str:
    """A file or folder name that Windows, Linux and macOS all take; empty if nothing of the text is left.
    Dots go, forbidden marks become `_`, and names Windows keeps for devices get a `_`."""
    name = unicodedata.normalize("NFC", text).replace(".", "")
    name = FORBIDDEN.sub("_", " ".join(name.split())).strip()
    return f"{name}_" if RESERVED.fullmatch(name) else name


def concept_of(characters: Sequence[str], many_characters: int) -> str:
    """`2_characters/a+b` for an image of a and b; of `a|outfit` only the a counts.

    From `many_characters` on all share `<many>+_characters`. Nobody, or a name longer than a folder's may be, is
    `character_others`.
    """
    names = sorted({safe_name(character.split("|")[0]) for character in characters} - {""})
    count = len(names)
    if count >= many_characters:
        parent = f"{many_characters}+_characters"
    else:
        parent = f"{count}_character" if count == 1 else f"{count}_characters"
    leaf = "+".join(names)
    too_long = len(leaf) > MAX_NAME_CHARACTERS or len(leaf.encode()) > MAX_NAME_BYTES
    return f"{parent}/{OTHERS if too_long or not leaf else leaf}"


def arrange(rows: Iterable[Mapping[str, Any]], settings: ConceptBalanceSettings) -> dict[str, str]:
    """The concept of each image by id. rows: image_id and characters of the images of the set.

    Combinations with fewer than `min_images_per_combination` images go to `character_others` of their parent folder.
    Concepts that a file system blind to case would take for one get a hash each.
    """
    raw: dict[str, str] = {}
    spellings: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        concept = concept_of(row["characters"], settings.many_characters)
        raw[row["image_id"]] = concept
        spellings[concept.casefold()].add(concept)
    counts = Counter(raw.values())
    arranged = {}
    for image_id, concept in raw.items():
        parent, leaf = concept.split("/")
        if leaf != OTHERS and counts[concept] < settings.min_images_per_combination:
            leaf = OTHERS
        elif len(spellings[concept.casefold()]) > 1:
            leaf = f"{leaf}-{hashlib.sha256(leaf.encode()).hexdigest()[:6]}"
        arranged[image_id] = f"{parent}/{leaf}"
    return arranged
