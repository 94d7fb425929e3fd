"""Export of a training set. Each trainer profile is a module with a `PROFILE`, named as in `[exported_set] profile`.

An export is a folder `<show>-<profile>-<8 hex of its content>`. On top lie README.md, manifest.json, checksums.sha256
and other documents; the folders below hold only what the trainer reads.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from dataset_pipeline.settings import ExportedSetSettings
from dataset_pipeline.training.exporters.documents import MANIFEST, Profile, documents_of
from dataset_pipeline.training.exporters.folder import ExportError, File, within, write_folder
from dataset_pipeline.training.exporters.image_set import image_set
from dataset_pipeline.training.exporters.regularization import left_out_text, without_spare

PROFILES: tuple[str, ...] = get_args(ExportedSetSettings.model_fields["profile"].annotation)

__all__ = ["PROFILES", "ExportError", "ExportReport", "export", "load_profile"]


@dataclass(frozen=True)
class ExportReport:
    """folder: the set. reused: it was there before, unchanged. changed: files that somebody changed, added or removed
    in folders of the same content, which were left alone (`<folder>: <file> <what>`). left_out: why regularization
    pictures are not in it; empty if all are."""

    folder: Path
    reused: bool
    images: int
    concepts: int
    size_bytes: int
    content_sha256: str
    changed: tuple[str, ...] = ()
    left_out: str = ""


def load_profile(name: str) -> Profile:
    """The profile of this name. Raises ExportError, which lists the known ones."""
    if name not in PROFILES:
        raise ExportError(f"unknown trainer profile {name!r}; known: {', '.join(sorted(PROFILES))}")
    return importlib.import_module(f"{__name__}.{name}").PROFILE


def export(
    profile: str,
    rows: Iterable[Mapping[str, Any]],
    read_picture: Callable[[str], bytes],
    root: Path,
    about: Mapping[str, Any],
    local_path: Callable[[str], Path | None] = lambda path: None,
    recipe: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
) -> ExportReport:
    """Write the set for the trainer `profile` into `<root>/<show>-<profile>-<8 hex of its content>` (`set` if of
    several shows).

    rows: of `training_set`; see `image_set` for columns they may have besides. read_picture: bytes of a row's `path`.
    about: facts for the manifest and the card; of these `models` (list of role, model, sha256, licence),
    `regularization` (list of what `regularization.origin_text` tells of a class) and `made_with_demo_models` are known.
    local_path: where a row's `path` lies on this machine's disk, if it does; such pictures are copied by the kernel.
    recipe: see `ImageSet`; without it, captions and multiplies cannot be computed again from the folder. extra_files:
    files to write beside the manifest, by name. A set of the same content that is already there unchanged is left as it
    is; one that somebody changed is left alone as well, and the set is written beside it. Raises ExportError for an
    unknown profile and for rows that cannot be written, and then leaves nothing behind.
    """
    chosen = load_profile(profile)
    extra_files = extra_files or {}
    extra_sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in extra_files.items()}
    recipe = {**(recipe or {}), "beside": extra_sha256}
    whole = image_set(
        rows, read_picture, local_path, about, chosen.title, chosen.keeps_mark, recipe, chosen.reads_clips
    )
    images = without_spare(whole, chosen.regularization, chosen.whole_repeats)
    left_out = len(whole.pictures) - len(images.pictures)
    places = chosen.places(images)
    documents = documents_of(profile, chosen, images, places)

    def files(folder: Path) -> Iterator[File]:
        yield from chosen.files(images, places)
        for path, text in {**chosen.configs(images, ""), **documents.texts}.items():
            yield File(path, text.encode())
        for path, data in extra_files.items():
            yield File(path, data)

    folder, reused, size_bytes, changed = write_folder(
        root,
        documents.name,
        files,
        lambda folder: chosen.configs(images, folder.as_posix()),
        partial(_content_changes, documents.content),
    )
    return ExportReport(
        folder,
        reused,
        len(images.pictures),
        len(images.concepts),
        size_bytes,
        documents.content,
        changed,
        left_out_text(chosen.title, chosen.regularization, left_out),
    )


def _content_changes(content: str, folder: Path) -> list[str]:
    """Whether a folder with correct checksums holds other content than its name says: empty, or one note that says so.
    Recaptioning and rebalancing change the content and keep the name."""
    try:
        manifest = json.loads(within(folder, MANIFEST, str(folder)).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return [f"{MANIFEST} cannot be read: {error}"]
    is_same = isinstance(manifest, dict) and manifest.get("content") == content
    return [] if is_same else ["captions or multiplies were made again"]
