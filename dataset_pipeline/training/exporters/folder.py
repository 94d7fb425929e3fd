"""A set's folder: named by its content, written whole or not at all, never overwritten."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.ids import file_name

CHECKSUMS = "checksums.sha256"
MANIFEST = "manifest.json"


class ExportError(ValueError):
    """A set that cannot be written; the message names the image or folder and what is wrong."""


@dataclass(frozen=True)
class ExportReport:
    """folder: the set. reused: it was there before, unchanged. changed: files that somebody changed, added or removed
    in earlier folders of the same content, which were left alone (`<folder>: <file> <what>`)."""

    folder: Path
    reused: bool
    images: int
    concepts: int
    size_bytes: int
    content_sha256: str
    changed: tuple[str, ...] = ()


def content_hash(facts: Any) -> str:
    """sha256 of anything JSON can hold; equal facts, equal hash."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def picture_path(row: Mapping[str, Any]) -> str:
    """`<concept>/<file name of the image id>.<extension of the stored picture>`, relative to the set's folder."""
    return f"{row['concept']}/{file_name(row['image_id'])}{PurePosixPath(row['path']).suffix}"


def check_rows(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of `training_set` sorted by id. Raises ExportError for what no trainer should be given: no rows, an image
    twice, a caption that is empty or not one line, a concept with two multiplies, two pictures of one file name."""
    ordered = sorted(rows, key=lambda row: row["image_id"])
    if not ordered:
        raise ExportError("the training set is empty: there is nothing to export")
    multiplies: dict[str, float] = {}
    stems: dict[str, str] = {}
    for row in ordered:
        image_id, caption = row["image_id"], row["caption"]
        if not caption or not caption.strip() or len(caption.splitlines()) != 1 or caption != caption.strip():
            raise ExportError(f"image {image_id} has no one-line caption: {caption!r}")
        if any(part in ("", ".", "..") for part in row["concept"].split("/")):
            raise ExportError(f"concept {row['concept']} is no folder of a set")
        if not row["multiply"] > 0:
            raise ExportError(f"concept {row['concept']} has the multiply {row['multiply']}")
        if multiplies.setdefault(row["concept"], row["multiply"]) != row["multiply"]:
            raise ExportError(f"concept {row['concept']} has two multiplies, the second on image {image_id}")
        stem = picture_path(row).rsplit(".", 1)[0].casefold()
        if stem in stems:
            raise ExportError(f"images {stems[stem]} and {image_id} would be one file: {picture_path(row)}")
        stems[stem] = image_id
    return ordered


def write_folder(
    root: Path, name: str, files: Callable[[], Iterable[tuple[str, bytes]]]
) -> tuple[Path, bool, int, tuple[str, ...]]:
    """Put `files` (relative path, bytes) with their checksums into `<root>/<name>`: (folder, reused, bytes, changed).

    A folder of that name whose files are all unchanged is left as it is. If somebody changed it, the set is written
    beside it as `<name>-2` and so on. The folder appears under its name only when it is complete.
    """
    changed: list[str] = []
    for attempt in range(1, 1000):
        folder = root / (name if attempt == 1 else f"{name}-{attempt}")
        if not folder.exists():
            return folder, False, _write(folder, files), tuple(changed)
        found = differences_in(folder)
        if not found:
            return folder, True, sum(path.stat().st_size for path in _files_in(folder)), tuple(changed)
        changed += [f"{folder.name}: {entry}" for entry in found]
    raise ExportError(f"{root} holds a thousand changed copies of {name}; remove some")


def _write(folder: Path, files: Callable[[], Iterable[tuple[str, bytes]]]) -> int:
    partial = folder.parent / f".{folder.name}.partial"
    if partial.exists():
        shutil.rmtree(partial)  # of an export that was killed
    partial.mkdir(parents=True)
    try:
        sums = [_put(partial, path, data) for path, data in files()]
        _put(partial, CHECKSUMS, "".join(f"{digest}  {path}\n" for digest, path, _ in sorted(sums, key=_path)).encode())
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sum(path.stat().st_size for path in _files_in(folder))


def _path(entry: tuple[str, str, int]) -> str:
    return entry[1]


def _put(folder: Path, path: str, data: bytes) -> tuple[str, str, int]:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest(), path, len(data)


def differences_in(folder: Path) -> list[str]:
    """What was changed, added or removed in a written folder since, as `<file> changed`; empty if nothing."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return [f"{CHECKSUMS} missing"]
    expected = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    present = {path.relative_to(folder).as_posix(): path for path in _files_in(folder)}
    present.pop(CHECKSUMS, None)
    found = [f"{path} added" for path in present.keys() - expected.keys()]
    for path, digest in expected.items():
        if path not in present:
            found.append(f"{path} removed")
        elif _file_sha256(present[path]) != digest:
            found.append(f"{path} changed")
    return sorted(found)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
