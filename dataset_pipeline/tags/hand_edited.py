"""Tags that a person wrote beside a picture of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.tags.words import words

ENDINGS = (".tags", ".txt")  # the first that is there counts


def sidecars(picture: str) -> list[str]:
    """Where a picture's tags may lie, the first first: `x.tags`, `x.txt`, `x.png.tags`, `x.png.txt`."""
    path = PurePosixPath(picture)
    return [str(path.with_suffix(ending)) for ending in ENDINGS] + [picture + ending for ending in ENDINGS]


def written_tags(text: str) -> list[str]:
    """The tags of a text separated by commas or line breaks, in its order, each once."""
    parts = (" ".join(part.split()) for part in text.replace("\n", ",").split(","))
    found: dict[tuple[str, ...], str] = {}
    for part in parts:
        if part:
            found.setdefault(words(part), part)
    return list(found.values())


def hand_edited_rows(folder: Path, keyframes: Iterable[Mapping[str, Any]]) -> tuple[list[dict], list[str]]:
    """Rows of `hand_edited_tags` for pictures with a file of tags beside them, and a sentence for each file that cannot
    be read as one.

    keyframes: image_id and source_file, the picture's path in the folder. A file without any tag counts as none.
    """
    rows, faults = [], {}
    read: dict[str, tuple[str, list[str]] | None] = {}
    for row in keyframes:
        picture = row["source_file"]
        if picture not in read:
            read[picture] = None
            for name in sidecars(picture):
                try:
                    text = (folder / name).read_text(encoding="utf-8-sig")
                except FileNotFoundError:
                    continue
                except (OSError, UnicodeDecodeError) as error:
                    faults[name] = f"{name} cannot be read as tags: {error}"
                    continue
                if tags := written_tags(text):
                    read[picture] = name, tags
                    break
        if found := read[picture]:
            rows.append({"image_id": row["image_id"], "file": found[0], "tags": found[1]})
    return rows, list(faults.values())
