"""The concept (folder) of each image, by `[concept_balance] arrangement`: `2_characters/fern+stark` and the like."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.file_names import MAX_NAME_BYTES, MAX_NAME_CHARACTERS, safe_folder, safe_name
from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.base.tag_words import MANY
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import ConceptBalanceSettings

OTHERS = "character_others"
NO_APPEARANCE = "no_appearance"
FACE_HEIGHT_RANGE = 25  # percent
MAX_CONCEPT_BYTES = 220  # some trainers want the whole of it as one folder's name
NAMES_REMEMBERED = 10_000


def concept_of(row: Mapping[str, Any], settings: ConceptBalanceSettings) -> tuple[str, ...]:
    """The folders of an image, one for each key of `arrangement`: (2_characters, a+b) for an image of a and b.

    row: of `selection`, with the columns that `columns_of` names. n_characters, n_people and n_faces give
    `0_characters`, `1_person`, `2_faces`; from `many_characters` on all share `<many>+_characters`, from 6 on people
    and faces `6+_people` and `6+_faces`. character joins names, of `a|look|outfit` the a; character_string joins all
    that is known of each, appearance the looks alone, `no_appearance` if there are none. Nobody, or several names
    that together are longer than a folder's may be, are `character_others`; one that is too long is cut. fh_ratio is
    `face_height_ratio_25-50` where the largest face takes 39 percent of the height. image_type is `still` or the crop's
    kind; episode is its key with spaces for dots.
    """
    many = settings.many_characters
    values = ((key, row[FOLDERS[key][0]]) for key in settings.arrangement)
    return tuple(_folder(key, tuple(it) if isinstance(it, list) else it, many) for key, it in values)


@functools.lru_cache(maxsize=NAMES_REMEMBERED)
def _folder(key: str, value: Any, many: int) -> str:
    return FOLDERS[key][1](value, many)


def columns_of(arrangement: Iterable[str]) -> set[str]:
    """The columns of `selection` that an arrangement goes by."""
    return {FOLDERS[key][0] for key in arrangement}


def arrange(rows: Iterable[Mapping[str, Any]], settings: ConceptBalanceSettings) -> dict[str, str]:
    """The concept of each image by id. rows: image_id and `columns_of` the arrangement, for the images of the set.

    Where a concept has fewer than `min_images_per_combination` images its last folder made of names becomes
    `character_others`; where that has fewer still, so does the one before. Folders that a file system blind to case
    would take for one get a hash each.
    """
    arranged = {row["image_id"]: concept_of(row, settings) for row in rows}
    for level in reversed([level for level, key in enumerate(settings.arrangement) if key in NAMED]):
        moved = {
            parts: (*parts[:level], OTHERS, *parts[level + 1 :])
            if images < settings.min_images_per_combination or len("/".join(parts).encode()) > MAX_CONCEPT_BYTES
            else parts
            for parts, images in Counter(arranged.values()).items()
        }
        arranged = {image_id: moved[parts] for image_id, parts in arranged.items()}
    concepts = {parts: tuple(part.casefold() for part in parts) for parts in set(arranged.values())}
    spellings: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for parts, folded in concepts.items():
        for level, part in enumerate(parts):
            spellings[folded[: level + 1]].add(part)
    paths = {
        parts: "/".join(
            _told_apart(part) if len(spellings[folded[: level + 1]]) > 1 else part for level, part in enumerate(parts)
        )
        for parts, folded in concepts.items()
    }
    return {image_id: paths[parts] for image_id, parts in arranged.items()}


def _told_apart(part: str) -> str:
    return part if part == OTHERS else f"{part}-{hashlib.sha256(part.encode()).hexdigest()[:6]}"


def _counted(number: int, many: int, one: str, several: str) -> str:
    return f"{many}+_{several}" if number >= many else f"{number}_{one if number == 1 else several}"


def _names(characters: Iterable[str]) -> list[str]:
    return sorted(set(map(_name, characters)) - {""})


@functools.lru_cache(maxsize=NAMES_REMEMBERED)
def _name(character: str) -> str:
    name = parse_character(character).name
    return safe_folder(name) if name else ""


def _safe(names: Iterable[str]) -> list[str]:
    return sorted(set(map(safe_name, names)) - {""})


def _joined(names: Sequence[str], without: str = OTHERS) -> str:
    folder = "+".join(names)
    too_long = len(folder) > MAX_NAME_CHARACTERS or len(folder.encode()) > MAX_NAME_BYTES
    return OTHERS if too_long else folder or without


def _looks(characters: Sequence[str]) -> str:
    looks = _safe(look for character in characters for look in parse_character(character).appearances)
    return _joined(looks, NO_APPEARANCE if characters else OTHERS)


def _face_height(share: float | None) -> str:
    low = min(int((share or 0.0) * 100), 99) // FACE_HEIGHT_RANGE * FACE_HEIGHT_RANGE
    return f"face_height_ratio_{low}-{low + FACE_HEIGHT_RANGE}"


# By key of an arrangement: the column it goes by, and the folder for a value of it and the number of characters that
# is many.
FOLDERS: dict[str, tuple[str, Callable[[Any, int], str]]] = {
    "n_characters": ("characters", lambda it, many: _counted(len(_names(it)), many, "character", "characters")),
    "n_people": ("n_people", lambda it, _: _counted(it or 0, MANY, "person", "people")),
    "n_faces": ("n_faces", lambda it, _: _counted(it or 0, MANY, "face", "faces")),
    "character": ("characters", lambda it, _: _joined(_names(it))),
    "character_string": ("characters", lambda it, _: _joined(_safe(it))),
    "appearance": ("characters", lambda it, _: _looks(it)),
    "fh_ratio": ("face_height_share", lambda it, _: _face_height(it)),
    "image_type": ("kind", lambda it, _: safe_name(it)),
    "episode": ("image_id", lambda it, _: safe_name(episode_of(it).replace(".", " "))),
    "show": ("image_id", lambda it, _: safe_name(show_of(it))),
}
NAMED = ("character", "character_string", "appearance")
